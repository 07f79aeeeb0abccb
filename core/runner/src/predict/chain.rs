//! The run's adapters on a stream that goes on: each sample passes all of them before the next one comes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use szar_core::checkpoint::{self, NamedTensors, copy_into};
use szar_core::online::{Online, Snapshot};
use szar_core::{
    AdapterConfig, Aligner, BuildContext, Error, FeatureMap, Observation, PromptTower, Result, SampleRef,
    Scores, Seed, SemanticAnchors, SkeletonBatch, SkeletonEncoder, Skeletons, Task,
};
use tch::no_grad;

use super::candidates::Worded;
use super::folder::FinishedRun;

/// What a state file says it is.
const FORMAT: &str = "szar-predict-state/1";

/// One adapter.
struct Link {
    online: Online,
    seed: Seed,
    encodes: bool,
    prompts: bool,
}

/// The adapters, in their order.
pub(super) struct Chain {
    links: Vec<Link>,
    prompts: Option<Box<dyn PromptTower>>,
    /// Samples so far.
    position: u64,
    /// Does one of them change the aligner?
    disturbs: bool,
    /// Hash of the run's configuration.
    run: String,
}

/// The model that they adapt.
pub(super) struct Model<'a> {
    pub encoder: &'a dyn SkeletonEncoder,
    pub aligner: &'a dyn Aligner,
}

impl Chain {
    /// Begins a stream of `expected` samples, 0 when nobody knows.
    ///
    /// # Errors
    /// When an adapter cannot work on single samples without labels, with every reason; or does not fit the candidates.
    pub fn begin(run: &FinishedRun, worded: &mut Worded, ctx: &BuildContext, expected: u64) -> Result<Self> {
        let configs = &run.resolved.pipeline.adapters;
        refuse(configs)?;
        let ctx = BuildContext {
            seed: ctx.seed.derive("evaluate", 0),
            ..ctx.clone()
        };
        let mut links = Vec::with_capacity(configs.len());
        for (place, config) in configs.iter().enumerate() {
            let task = task(run, worded, &ctx, place, expected)?;
            task.seed.apply();
            let needs = config.requirements();
            links.push(Link {
                online: Online::begin(config.as_ref(), &ctx, &task)?,
                seed: task.seed,
                encodes: needs.skeletons.is_some(),
                prompts: needs.prompts.is_some(),
            });
        }
        let prompts = match links.iter().any(|link| link.prompts) {
            true => worded.semantics.prompt_tower(&worded.anchors.classes)?,
            false => None,
        };
        let disturbs = configs.iter().any(|config| config.disturbs_aligner());
        Ok(Self {
            links,
            prompts,
            position: 0,
            disturbs,
            run: run.hash.clone(),
        })
    }

    /// The scores of one sample after all adapters.
    ///
    /// # Errors
    /// Whatever an adapter refuses.
    pub fn step(
        &mut self,
        features: &FeatureMap,
        scores: Scores,
        batch: &SkeletonBatch,
        model: &Model,
    ) -> Result<Scores> {
        let samples = SampleRef::run(self.position, 1);
        let mut scores = scores;
        for link in &mut self.links {
            let seen = Observation {
                skeletons: link.encodes.then_some(Skeletons {
                    batch,
                    encoder: model.encoder,
                }),
                prompts: self.prompts.as_deref().filter(|_| link.prompts),
                ..Observation::new(features, &scores, &samples)
            };
            link.seed.derive("step", self.position).apply();
            let stepped = no_grad(|| link.online.step(&seen, model.aligner))?;
            if !stepped.skipped.is_empty() {
                return Err(Error::Input(
                    "the model gives values that are not finite for this sequence".into(),
                ));
            }
            scores = stepped.scores;
        }
        self.position += 1;
        Ok(scores)
    }

    /// Keeps the state of all adapters in a file.
    ///
    /// # Errors
    /// When an adapter cannot tell its state, or the file cannot be written.
    pub fn save(&self, path: &Path, aligner: &dyn Aligner) -> Result<()> {
        let mut tensors = NamedTensors::new();
        let mut about = vec![
            ("format".to_owned(), FORMAT.to_owned()),
            ("run".to_owned(), self.run.clone()),
            ("samples".to_owned(), self.position.to_string()),
        ];
        for (place, link) in self.links.iter().enumerate() {
            let snapshot = link.online.snapshot()?;
            let named = |name: String| format!("{place}/{name}");
            tensors.extend(snapshot.tensors.into_iter().map(|(name, t)| (named(name), t)));
            about.extend(
                snapshot
                    .identity
                    .into_iter()
                    .map(|(what, value)| (named(what), value)),
            );
        }
        if self.disturbs {
            let state = aligner.state().into_iter();
            tensors.extend(state.map(|(name, t)| (format!("aligner/{name}"), t)));
        }
        checkpoint::save(path, &tensors, &about)
    }

    /// Goes on from a file that [`Self::save`] wrote.
    ///
    /// # Errors
    /// When the file is damaged, or of another run, other adapters or other candidates.
    pub fn restore(&mut self, path: &Path, aligner: &dyn Aligner) -> Result<()> {
        let device = aligner
            .state()
            .values()
            .next()
            .map_or(tch::Device::Cpu, |t| t.device());
        let (tensors, about) = checkpoint::load(path, device)?;
        let unfit = |why: String| {
            let hint = "name another file, or remove it to begin anew";
            Error::format(path, None, format!("{why}\n\nhint: {hint}"))
        };
        for (what, want) in [("format", FORMAT), ("run", &self.run)] {
            let found = about.get(what).map_or("nothing", String::as_str);
            if found != want {
                return Err(unfit(format!(
                    "is the state of something else: its {what} is `{found}`, expected `{want}`"
                )));
            }
        }
        let samples = about.get("samples").and_then(|n| n.parse().ok());
        self.position =
            samples.ok_or_else(|| unfit("says not after how many samples it was saved".into()))?;
        for (place, link) in self.links.iter_mut().enumerate() {
            let snapshot = Snapshot {
                identity: below(&about, place, String::clone),
                tensors: below(&tensors, place, |t| t.shallow_clone()),
            };
            link.online.restore(&snapshot).map_err(|e| unfit(e.to_string()))?;
        }
        if self.disturbs {
            let own = tensors
                .iter()
                .filter_map(|(name, t)| Some((name.strip_prefix("aligner/")?, t)));
            let own: NamedTensors = own
                .map(|(name, t)| (name.to_owned(), t.shallow_clone()))
                .collect();
            copy_into(&aligner.state(), &own, |_| false).map_err(|e| unfit(e.to_string()))?;
        }
        Ok(())
    }
}

/// The entries of the adapter at this place.
fn below<T>(all: &BTreeMap<String, T>, place: usize, copy: impl Fn(&T) -> T) -> BTreeMap<String, T> {
    let prefix = format!("{place}/");
    all.iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?.to_owned(), copy(value))))
        .collect()
}

fn task(run: &FinishedRun, worded: &Worded, ctx: &BuildContext, place: usize, expected: u64) -> Result<Task> {
    let anchors: &SemanticAnchors = &worded.anchors;
    Ok(Task {
        candidates: anchors.classes.clone(),
        seen: worded.seen.clone(),
        anchors: anchors.with_values(anchors.values.shallow_clone())?,
        features: run.signature.features,
        layout: Arc::new(run.signature.layout.clone()),
        device: ctx.device,
        seed: ctx.seed.derive("adapter", place as u64),
        streams: 1,
        expected,
    })
}

/// Says which adapters cannot work here, and why.
fn refuse(configs: &[Box<dyn AdapterConfig>]) -> Result<()> {
    let why = |config: &dyn AdapterConfig| {
        let (name, batch) = (config.typetag_name(), config.requirements().batch);
        if !config.test_tuned_variants().is_empty() {
            return Some(format!(
                "adapter `{name}` chooses its constants by the true labels of the stream"
            ));
        }
        if batch > 1 {
            return Some(format!(
                "adapter `{name}` needs at least {batch} samples in a step, here they come one by one"
            ));
        }
        let mark = config.marks().into_iter().find(|mark| mark.uses_test_labels)?;
        Some(format!("adapter `{name}` needs the true labels: {}", mark.text))
    };
    let reasons: Vec<String> = configs.iter().filter_map(|config| why(config.as_ref())).collect();
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Error::Input(format!(
        "{}\n\nhint: `--adapt off` answers without adapters",
        reasons.join("\n")
    )))
}
