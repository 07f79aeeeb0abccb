//! The part of a run that plays test streams.

use std::collections::BTreeMap;
use std::sync::Arc;

use szar_core::config::Evaluation;
use szar_core::{
    Aligner, BuildContext, ClassList, EncoderSpec, Error, GateConfig, GzslGate, PromptTower, Result,
    SemanticAnchors, SemanticProvider, SkeletonEncoder,
};

use super::Session;
use crate::data::{Data, Part};
use crate::evaluate::{
    Clock, Gated, Model, Played, Saves, Streaming, fit_gate, gzsl, sees_truth, stage, zsl,
};
use crate::features::Features;
use crate::record;
use crate::report::{GzslReport, HeldOut, Prediction, ZslReport};

/// What is left after training.
pub(super) struct Trained<'a> {
    pub data: &'a Data,
    pub features: &'a Features,
    pub anchors: &'a SemanticAnchors,
    pub aligner: &'a dyn Aligner,
    /// What the features are of.
    pub spec: EncoderSpec,
    /// What made the features.
    pub encoder: &'a dyn SkeletonEncoder,
    /// Does an adapter ask for the skeletons?
    pub encodes: bool,
    /// Set where an adapter asks for prompts.
    pub semantics: Option<&'a mut dyn SemanticProvider>,
}

/// Results by protocol, and the lines of all predictions.
#[derive(Default)]
pub(super) struct Results {
    pub zsl: Option<ZslReport>,
    pub gzsl: Option<GzslReport>,
    pub predictions: Vec<Prediction>,
}

/// A gate with its constants, and how they were chosen.
pub(super) struct Fitted {
    gate: Box<dyn GzslGate>,
    constants: BTreeMap<String, f64>,
    held_out: Option<HeldOut>,
}

impl Fitted {
    pub(super) fn gated(&self, config: &dyn GateConfig) -> Gated<'_> {
        Gated {
            gate: self.gate.as_ref(),
            sees_truth: sees_truth(config),
            constants: self.constants.clone(),
            held_out: self.held_out.clone(),
        }
    }
}

impl Session<'_> {
    pub(super) fn evaluate(&mut self, mut trained: Trained) -> Result<Results> {
        let (data, features) = (trained.data, trained.features);
        let all = data.split.all();
        let ctx = BuildContext {
            seed: self.ctx.seed.derive("evaluate", 0),
            ..self.ctx.clone()
        };
        let streaming = Streaming {
            model: Model {
                aligner: trained.aligner,
                anchors: trained.anchors,
            },
            adapters: &self.pipeline.adapters,
            options: &self.pipeline.stream,
            ctx: &ctx,
            layout: Arc::clone(&data.dataset.info().layout),
            spec: trained.spec,
            skeletons: trained.encodes.then_some((&data.store, trained.encoder)),
            saves: Saves {
                folder: self.dir.path("checkpoints"),
                run: self.resolved.hash(),
                every: self.options.save_every,
            },
            progress: self.options.progress,
            cancel: self.options.cancel,
        };
        let mut results = Results::default();
        if self.pipeline.evaluate.contains(&Evaluation::Zsl) {
            let prompts = self.prompts(&mut trained.semantics, data.split.unseen())?;
            let (report, lines, played) = zsl(&streaming, data, features, prompts.as_deref())?;
            self.record("zsl", &streaming, &trained, data.split.unseen(), &played)?;
            self.note_times("zsl", &played.clock, lines.len());
            results.predictions.extend(lines);
            results.zsl = Some(report);
        }
        if self.pipeline.evaluate.contains(&Evaluation::Gzsl) {
            let config = self.pipeline.gate.as_deref();
            let config = config.ok_or_else(|| Error::Missing("a gate for gzsl".into()))?;
            let fitted = self.fitted(config, &streaming.model, &trained)?;
            let prompts = self.prompts(&mut trained.semantics, &all)?;
            let (report, lines, played) = gzsl(
                &streaming,
                fitted.gated(config),
                data,
                features,
                prompts.as_deref(),
            )?;
            if results.zsl.is_none() {
                self.record("gzsl", &streaming, &trained, &all, &played)?;
            }
            self.note_times("gzsl", &played.clock, lines.len());
            results.predictions.extend(lines);
            results.gzsl = Some(report);
        }
        Ok(results)
    }

    /// A gate with its constants chosen, on validation samples or with seen classes held out.
    pub(super) fn fitted(
        &mut self,
        config: &dyn GateConfig,
        model: &Model,
        trained: &Trained,
    ) -> Result<Fitted> {
        let (data, features) = (trained.data, trained.features);
        let mut gate = config.build(&data.split.all(), &self.ctx)?;
        let (constants, held_out) = match self.held_out(config, data)? {
            Some((need, held)) => {
                let (constants, report) = self.fit_open(gate.as_mut(), &need, &held, trained)?;
                (constants, Some(report))
            }
            None => {
                let validation = config.needs_validation();
                let constants = fit_gate(model, gate.as_mut(), data, features, validation)?;
                (constants, None)
            }
        };
        Ok(Fitted {
            gate,
            constants,
            held_out,
        })
    }

    /// Keeps what the pictures of a report need. A component that cannot show itself costs the pictures, not the run.
    fn record(
        &self,
        setting: &'static str,
        streaming: &Streaming,
        trained: &Trained,
        candidates: &ClassList,
        played: &Played,
    ) -> Result<()> {
        if !self.options.record {
            return Ok(());
        }
        let part = match setting {
            "zsl" => Part::UnseenTest,
            _ => Part::SeenTest,
        };
        let source = record::Source {
            setting,
            streaming,
            candidates,
            features: trained.features,
            store: &trained.data.store,
            first: trained.data.rows(part).start,
        };
        match source.take(played) {
            Ok(record) => record.write(&self.dir.path("")),
            Err(error) => {
                tracing::warn!(%error, "nothing is kept for the pictures of a report");
                Ok(())
            }
        }
    }

    /// The prompts of some classes, where an adapter asks for them.
    fn prompts(
        &self,
        semantics: &mut Option<&mut dyn SemanticProvider>,
        classes: &ClassList,
    ) -> Result<Option<Box<dyn PromptTower>>> {
        let Some(semantics) = semantics else {
            return Ok(None);
        };
        match semantics.prompt_tower(classes)? {
            Some(tower) => Ok(Some(tower)),
            None => Err(Error::Input(format!(
                "semantics `{}` has no text encoder whose prompt can be tuned",
                self.pipeline.semantics.typetag_name()
            ))),
        }
    }

    fn note_times(&mut self, setting: &str, clock: &Clock, samples: usize) {
        self.stages
            .push(stage(&format!("{setting} scoring"), clock.scoring, samples));
        if !self.pipeline.adapters.is_empty() {
            let name = format!("{setting} adaptation");
            self.stages.push(stage(&name, clock.adapting, clock.adapted));
        }
    }
}
