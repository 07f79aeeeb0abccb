//! One pipeline from configuration to report.

mod describe;
mod parts;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use szar_core::config::{Evaluation, Pipeline, Resolved};
use szar_core::{
    Aligner, BuildContext, Cancel, Error, FitContext, InputSpec, Progress, Result, Seed, SeenFeatures,
    SeenSet, SemanticAnchors, SkeletonEncoder,
};
use tch::Kind;

use crate::data::{Data, Part};
use crate::evaluate::{Model, Streaming, gzsl, stage, zsl};
use crate::extract::{Features, extract};
use crate::perf::{Stage, Watch};
use crate::report::{AlignerReport, Provenance, Report};
use crate::rundir::RunDir;
use crate::summary;
use crate::train::{Source, Trained, content_hash, obtain};

use self::describe::{count, data_report, device_name, encoder_report, git_revision, marks};
use self::parts::{AlignerPart, EncoderPart};

/// How to run, as far as it does not change results.
pub struct RunOptions<'a> {
    /// Folder of the run; by default `<output>/<name>-<hash>`.
    pub out: Option<PathBuf>,
    /// Forget what an earlier run left, and train anew.
    pub fresh: bool,
    /// Where progress goes.
    pub progress: &'a dyn Progress,
    /// When to stop.
    pub cancel: &'a Cancel,
}

/// A finished run.
#[derive(Debug)]
pub struct Outcome {
    /// Its report.
    pub report: Report,
    /// Its folder.
    pub dir: PathBuf,
    /// The summary for reading.
    pub summary: String,
    /// True when the run had finished earlier and nothing was computed.
    pub reused: bool,
}

/// Runs a pipeline, or goes on where an earlier run of the same configuration stopped.
///
/// # Errors
/// When input is wrong, a component fails, the folder cannot be written, or the user stops.
pub fn run(resolved: &Resolved, options: &RunOptions) -> Result<Outcome> {
    let pipeline = &resolved.pipeline;
    let device = pipeline.device.resolve()?;
    let output = &pipeline.output.0;
    let hash = resolved.hash();
    let root = options
        .out
        .clone()
        .unwrap_or_else(|| output.join(format!("{}-{}", pipeline.name, &hash[..12])));
    let dir = RunDir::open(&root, resolved, options.fresh)?;
    if let Some(report) = dir.report()? {
        let summary = summary::text(&report);
        return Ok(Outcome {
            report,
            dir: root,
            summary,
            reused: true,
        });
    }
    let ctx = BuildContext {
        device,
        seed: Seed(pipeline.seed),
        cache: cache_dir(),
    };
    let mut session = Session {
        resolved,
        pipeline,
        options,
        dir: &dir,
        ctx,
        stages: Vec::new(),
    };
    let (report, predictions) = session.run()?;
    let summary = summary::text(&report);
    dir.finish(&report, &predictions, &summary)?;
    Ok(Outcome {
        report,
        dir: root,
        summary,
        reused: false,
    })
}

/// Folder for what can be computed again: `$SZAR_CACHE`, else `szar` in the user's cache folder.
pub fn cache_dir() -> PathBuf {
    let variable = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    variable("SZAR_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|p| p.join("szar")))
        .or_else(|| variable("HOME").map(|p| p.join(".cache/szar")))
        .unwrap_or_else(|| std::env::temp_dir().join("szar"))
}

struct Session<'a> {
    resolved: &'a Resolved,
    pipeline: &'a Pipeline,
    options: &'a RunOptions<'a>,
    dir: &'a RunDir,
    ctx: BuildContext,
    stages: Vec<Stage>,
}

impl Session<'_> {
    fn run(&mut self) -> Result<(Report, Vec<crate::report::Prediction>)> {
        let data = self.read()?;
        let anchors = self.anchors(&data)?;
        let (mut encoder, input) = self.build_encoder(&data)?;
        let trained_encoder = self.train_encoder(encoder.as_mut(), &data)?;
        let features = self.extract(encoder.as_ref(), &data)?;
        let encoder_report = encoder_report(encoder.as_ref(), trained_encoder.summary, &data, &features)?;
        let spec = encoder.spec();
        drop(encoder);
        let (aligner, aligner_report) = self.train_aligner(&data, &features, &anchors, &input)?;
        let model = Model {
            aligner: aligner.as_ref(),
            anchors: &anchors,
        };
        let ctx = BuildContext {
            seed: self.ctx.seed.derive("evaluate", 0),
            ..self.ctx.clone()
        };
        let streaming = Streaming {
            model,
            adapters: &self.pipeline.adapters,
            options: &self.pipeline.stream,
            ctx: &ctx,
            layout: Arc::clone(&input.layout),
            spec,
            progress: self.options.progress,
            cancel: self.options.cancel,
        };
        let mut predictions = Vec::new();
        let mut results = (None, None);
        if self.pipeline.evaluate.contains(&Evaluation::Zsl) {
            let (report, lines, played) =
                zsl(&streaming, &data, &features.rows(&data.rows(Part::UnseenTest)))?;
            self.stages
                .push(stage("zsl scoring", played.scoring, lines.len()));
            self.note_adapting("zsl adaptation", &played, lines.len());
            predictions.extend(lines);
            results.0 = Some(report);
        }
        if self.pipeline.evaluate.contains(&Evaluation::Gzsl) {
            let config = self
                .pipeline
                .gate
                .as_ref()
                .ok_or_else(|| Error::Missing("a gate for gzsl".into()))?;
            let mut gate = config.build(&data.split.all(), &self.ctx)?;
            let (report, lines, played) = gzsl(&streaming, gate.as_mut(), &data, &features)?;
            self.stages
                .push(stage("gzsl scoring", played.scoring, lines.len()));
            self.note_adapting("gzsl adaptation", &played, lines.len());
            predictions.extend(lines);
            results.1 = Some(report);
        }
        let report = Report {
            name: self.pipeline.name.clone(),
            marks: marks(self.pipeline),
            provenance: self.provenance(),
            data: data_report(&data),
            encoder: encoder_report,
            aligner: aligner_report,
            zsl: results.0,
            gzsl: results.1,
            performance: std::mem::take(&mut self.stages),
        };
        Ok((report, predictions))
    }

    fn note_adapting(&mut self, name: &str, played: &crate::evaluate::Played, samples: usize) {
        if played.after.is_some() {
            self.stages.push(stage(name, played.adapting, samples));
        }
    }

    fn read(&mut self) -> Result<Data> {
        let watch = Watch::start("read");
        let dataset = self.pipeline.dataset.build(&self.ctx)?;
        let data = Data::read(self.pipeline, dataset, self.options.progress, self.options.cancel)?;
        self.stages.push(watch.stop(data.store.len() as u64, false));
        Ok(data)
    }

    fn anchors(&mut self, data: &Data) -> Result<SemanticAnchors> {
        let watch = Watch::start("semantics");
        let classes = data.split.all();
        let anchors = self
            .pipeline
            .semantics
            .build(&self.ctx)?
            .anchors(&classes)?
            .to_device(self.ctx.device);
        let anchors = anchors.for_classes(&classes)?;
        if let Some(width) = self.pipeline.aligner.width().filter(|w| *w != anchors.width()) {
            return Err(Error::Input(format!(
                "aligner `{}` wants anchors of width {width}, semantics `{}` gives {}",
                self.pipeline.aligner.typetag_name(),
                self.pipeline.semantics.typetag_name(),
                anchors.width()
            )));
        }
        self.stages.push(watch.stop(classes.len() as u64, false));
        Ok(anchors)
    }

    fn build_encoder(&self, data: &Data) -> Result<(Box<dyn SkeletonEncoder>, InputSpec)> {
        let input = InputSpec {
            layout: Arc::clone(&data.dataset.info().layout),
            frames: self.pipeline.preprocess.frames(),
            persons: data.store.persons() as i64,
            seen_classes: data.split.seen().len() as i64,
        };
        self.ctx.seed.derive("encoder/init", 0).apply();
        Ok((self.pipeline.encoder.build(&input, &self.ctx)?, input))
    }

    fn train_encoder(&mut self, encoder: &mut dyn SkeletonEncoder, data: &Data) -> Result<Trained> {
        let watch = Watch::start("encoder training");
        let shared = self.shared_encoder(data);
        let train = data.seen(Part::Train, self.ctx.device)?;
        let validation = data.seen(Part::Validation, self.ctx.device)?;
        let about = self.about("encoder", self.pipeline.encoder.typetag_name());
        let mut part = EncoderPart {
            encoder,
            train: &train,
            validation: &validation,
            session: self,
        };
        let given = self.pipeline.encoder.weights();
        let trained = obtain(
            "encoder",
            &mut part,
            given,
            self.dir,
            shared.as_deref(),
            self.ctx.device,
            &about,
        )?;
        self.stages
            .push(fit_stage(watch, &trained, data.partition.train.len()));
        Ok(trained)
    }

    /// Where an encoder trained on the same data with the same options, seed, device and threads is kept.
    fn shared_encoder(&self, data: &Data) -> Option<PathBuf> {
        if self.options.fresh {
            return None;
        }
        let options = self.resolved.hash_of(&[
            "seed",
            "threads",
            "precision",
            "preprocess",
            "encoder",
            "validation",
        ]);
        let device = format!("{:?}/{}", self.ctx.device, tch::get_num_threads());
        let rows = data.rows(Part::Train).start..data.rows(Part::Validation).end;
        let labels: String = rows
            .clone()
            .map(|r| format!("{} ", data.class(data.partition.all()[r])))
            .collect();
        let texts = [options.as_str(), &device, &labels, env!("CARGO_PKG_VERSION")];
        let hash = content_hash(texts, data.store.values(rows));
        let folder = self.pipeline.output.0.join(".trained");
        Some(folder.join(format!("encoder-{}.safetensors", &hash[..16])))
    }

    fn about(&self, role: &str, component: &str) -> Vec<(String, String)> {
        let block = self
            .resolved
            .value
            .get(role)
            .map(ToString::to_string)
            .unwrap_or_default();
        let preprocess = self
            .resolved
            .value
            .get("preprocess")
            .map(ToString::to_string)
            .unwrap_or_default();
        vec![
            ("szar".into(), env!("CARGO_PKG_VERSION").into()),
            ("component".into(), component.into()),
            ("options".into(), block),
            ("preprocess".into(), preprocess),
            ("seed".into(), self.pipeline.seed.to_string()),
        ]
    }

    fn extract(&mut self, encoder: &dyn SkeletonEncoder, data: &Data) -> Result<Features> {
        let watch = Watch::start("features");
        let needs_map = self.pipeline.aligner.capabilities().features == szar_core::FeatureNeed::Map
            || self
                .pipeline
                .adapters
                .iter()
                .any(|a| a.requirements().feature_map.is_some());
        let (progress, cancel) = (self.options.progress, self.options.cancel);
        let features = extract(
            encoder,
            &data.store,
            !needs_map,
            self.ctx.device,
            progress,
            cancel,
        )?;
        self.stages.push(watch.stop(data.store.len() as u64, false));
        Ok(features)
    }

    fn train_aligner(
        &mut self,
        data: &Data,
        features: &Features,
        anchors: &SemanticAnchors,
        input: &InputSpec,
    ) -> Result<(Box<dyn Aligner>, AlignerReport)> {
        let watch = Watch::start("aligner training");
        let config = &self.pipeline.aligner;
        let (_, channels, frames, joints) = features.map.dims();
        let spec = szar_core::EncoderSpec {
            channels,
            frames,
            joints,
            classifies: features.seen_logits.is_some(),
        };
        self.ctx.seed.derive("aligner/init", 0).apply();
        let mut aligner = config.build(&spec, &anchors.granularities, anchors.width(), &self.ctx)?;
        let set = |part| -> Result<SeenSet> {
            let labels = data.seen_labels(part, self.ctx.device)?;
            Ok(SeenSet {
                features: features.rows(&data.rows(part)).map,
                labels,
            })
        };
        let seen = SeenFeatures {
            train: set(Part::Train)?,
            validation: set(Part::Validation)?,
            layout: Arc::clone(&input.layout),
        };
        let seen_anchors = anchors.for_classes(data.split.seen())?;
        let about = self.about("aligner", config.typetag_name());
        let mut part = AlignerPart {
            aligner: aligner.as_mut(),
            seen: &seen,
            anchors: &seen_anchors,
            session: self,
        };
        let trained = obtain(
            "aligner",
            &mut part,
            config.weights(),
            self.dir,
            None,
            self.ctx.device,
            &about,
        )?;
        let report = AlignerReport {
            parameters: count(&aligner.state()),
            fit: trained.summary.clone(),
        };
        self.stages
            .push(fit_stage(watch, &trained, data.partition.train.len()));
        Ok((aligner, report))
    }

    fn fit_context(&self, purpose: &str, checkpoint: PathBuf) -> FitContext<'_> {
        FitContext {
            device: self.ctx.device,
            precision: self.pipeline.precision,
            seed: self.ctx.seed.derive(purpose, 0),
            progress: self.options.progress,
            cancel: self.options.cancel,
            checkpoint: Some(checkpoint),
        }
    }

    fn provenance(&self) -> Provenance {
        let p = self.pipeline;
        let mut components = BTreeMap::from([
            ("dataset".to_owned(), p.dataset.typetag_name().to_owned()),
            ("preprocess".to_owned(), p.preprocess.typetag_name().to_owned()),
            ("encoder".to_owned(), p.encoder.typetag_name().to_owned()),
            ("semantics".to_owned(), p.semantics.typetag_name().to_owned()),
            ("aligner".to_owned(), p.aligner.typetag_name().to_owned()),
        ]);
        for (i, adapter) in p.adapters.iter().enumerate() {
            components.insert(format!("adapters[{i}]"), adapter.typetag_name().to_owned());
        }
        if let Some(gate) = &p.gate {
            components.insert("gate".to_owned(), gate.typetag_name().to_owned());
        }
        Provenance {
            szar: env!("CARGO_PKG_VERSION").into(),
            git: git_revision(),
            config: self.resolved.hash(),
            seed: p.seed,
            device: device_name(self.ctx.device),
            threads: i64::from(tch::get_num_threads()),
            precision: match p.precision.resolve(self.ctx.device) {
                Kind::BFloat16 => "bf16".into(),
                _ => "f32".into(),
            },
            components,
        }
    }
}

fn fit_stage(watch: Watch, trained: &Trained, samples: usize) -> Stage {
    let epochs = trained.summary.as_ref().map_or(0, |s| s.epochs.max(1) as usize);
    watch.stop((samples * epochs) as u64, trained.source != Source::Trained)
}
