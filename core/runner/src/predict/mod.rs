//! A trained pipeline on other sequences: opened once from its run's folder, then asked one sequence at a time.
//!
//! | module       | holds                                                                          |
//! |--------------|--------------------------------------------------------------------------------|
//! | `folder`     | a finished run, judged before anything is loaded                               |
//! | `signature`  | what its model takes, in `model.json`                                          |
//! | `candidates` | the classes that are asked about, and their anchors                            |
//! | `intake`     | sequences with other joints or persons brought to those of the training        |
//! | `chain`      | the run's adapters on a stream that goes on, and their state in a file         |
//! | `frames`     | frames as JSON, a line each                                                    |
//! | `stream`     | frames that come one by one                                                    |
//! | `window`     | the last frames of a stream                                                    |
//! | `source`     | which dataset a path is                                                        |

mod candidates;
mod chain;
mod folder;
mod frames;
mod intake;
pub(crate) mod signature;
mod source;
mod stream;
#[cfg(test)]
mod tests;
mod window;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use szar_core::{
    Aligner, BuildContext, ClassList, DeviceChoice, Error, Result, Scores, Seed, SemanticAnchors, Sequence,
    SkeletonEncoder, SkeletonLayout,
};
use tch::no_grad;

pub use candidates::Candidates;
pub use folder::FinishedRun;
pub use frames::{Line, read_line};
pub use source::{Input, recognise};
pub use stream::{Answer, FrameStream};
pub use window::{Spacing, Window};

use self::candidates::{Wording, worded};
use self::chain::{Chain, Model};
use self::intake::Intake;
use crate::cache_dir;

/// How a run's model is asked.
#[derive(Clone, Debug)]
pub struct PredictOptions {
    /// The classes that a sequence may be of.
    pub candidates: Candidates,
    /// Folder of the text encoder's model, in place of the run's.
    pub text_encoder: Option<PathBuf>,
    /// A class's `global` text stands in for those that it lacks.
    pub fill: bool,
    /// Let the run's adapters work; `None` where it has any.
    pub adapt: Option<bool>,
    /// Where the adapters' state is kept: gone on from if it is there, written by [`Predictor::save`].
    pub state: Option<PathBuf>,
    /// Device in place of the run's.
    pub device: Option<DeviceChoice>,
    /// Sequences that are expected; 0 when nobody knows.
    pub expected: u64,
}

impl Default for PredictOptions {
    fn default() -> Self {
        Self {
            candidates: Candidates::Unseen,
            text_encoder: None,
            fill: false,
            adapt: None,
            state: None,
            device: None,
            expected: 0,
        }
    }
}

/// What is said of one sequence.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// `[C]`, softmax of the last logits, in the order of the candidates' columns.
    pub posterior: Vec<f64>,
    /// Where the time went.
    pub times: Times,
}

/// Time for one sequence.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// In the encoder.
    pub encode: Duration,
    /// In the aligner.
    pub score: Duration,
    /// In the adapters; `None` without any.
    pub adapt: Option<Duration>,
    /// From the sequence to the posterior.
    pub total: Duration,
}

impl Times {
    /// What is neither encoder's, aligner's nor adapters'.
    pub fn rest(&self) -> Duration {
        let inside = self.encode + self.score + self.adapt.unwrap_or_default();
        self.total.saturating_sub(inside)
    }
}

impl Prediction {
    /// The k most probable classes, by column, with their probabilities; equal ones by column.
    pub fn top(&self, k: usize) -> Vec<(usize, f64)> {
        let mut ranked: Vec<(usize, f64)> = self.posterior.iter().copied().enumerate().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.truncate(k);
        ranked
    }
}

/// A trained pipeline that answers.
pub struct Predictor {
    run: FinishedRun,
    ctx: BuildContext,
    encoder: Box<dyn SkeletonEncoder>,
    aligner: Box<dyn Aligner>,
    anchors: SemanticAnchors,
    intake: Intake,
    chain: Option<Chain>,
    state: Option<PathBuf>,
}

impl std::fmt::Debug for Predictor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let classes = &self.anchors.classes;
        f.debug_struct("Predictor")
            .field("run", &self.run)
            .field("classes", classes)
            .finish_non_exhaustive()
    }
}

impl Predictor {
    /// Loads the model of a run and makes it ready for these candidates.
    ///
    /// # Errors
    /// When weights are missing or damaged, a candidate is not known, or an adapter cannot work here.
    pub fn open(run: FinishedRun, options: &PredictOptions) -> Result<Self> {
        let pipeline = &run.resolved.pipeline;
        let ctx = BuildContext {
            device: options.device.unwrap_or(pipeline.device).resolve()?,
            seed: Seed(pipeline.seed),
            cache: cache_dir(),
        };
        let adapts = adapts(&run, options)?;
        let wording = Wording {
            text_encoder: options.text_encoder.as_deref(),
            fill: options.fill,
        };
        let mut worded = worded(&run, &options.candidates, &wording, &ctx)?;
        let encoder = encoder(&run, &ctx)?;
        let aligner = aligner(&run, &ctx)?;
        let mut chain = match adapts {
            true => Some(Chain::begin(&run, &mut worded, &ctx, options.expected)?),
            false => None,
        };
        let kept = options.state.as_deref().filter(|path| path.exists());
        if let (Some(chain), Some(path)) = (&mut chain, kept) {
            chain.restore(path, aligner.as_ref())?;
        }
        let layout = Arc::new(run.signature.layout.clone());
        let this = Self {
            intake: Intake::new(layout, usize::try_from(run.signature.persons).unwrap_or(1)),
            state: options.state.clone(),
            anchors: worded.anchors,
            run,
            ctx,
            encoder,
            aligner,
            chain,
        };
        this.warm()?;
        Ok(this)
    }

    /// Makes what is made at the first call (folded weights, classifiers of the candidates) before anyone waits for it.
    fn warm(&self) -> Result<()> {
        let (signature, layout) = (&self.run.signature, self.intake.layout());
        let [frames, persons] =
            [signature.frames, signature.persons].map(|n| usize::try_from(n).unwrap_or(1));
        let still = Sequence {
            joints: vec![0.1; frames * persons * layout.len() * 3],
            frames,
            persons,
            fps: 30.0,
        };
        let batch = szar_data::store::batch_of(&still, frames, layout, self.ctx.device)?;
        let map = no_grad(|| self.encoder.encode(&batch))?.features;
        let features = signature.form(map)?;
        no_grad(|| self.aligner.score(&features, &self.anchors))?;
        Ok(())
    }

    /// The candidates, by column.
    pub fn classes(&self) -> &ClassList {
        &self.anchors.classes
    }

    /// The skeleton that the run was trained on.
    pub fn layout(&self) -> &SkeletonLayout {
        self.intake.layout()
    }

    /// T, frames after preprocessing.
    pub fn frames(&self) -> usize {
        usize::try_from(self.run.signature.frames).unwrap_or(1)
    }

    /// M, persons that the run was trained on.
    pub fn persons(&self) -> usize {
        self.intake.persons()
    }

    /// V of the sequences that come in, and what messages call their skeleton.
    pub fn source(&self) -> (usize, &str) {
        self.intake.source()
    }

    /// Do adapters work?
    pub fn adapts(&self) -> bool {
        self.chain.is_some()
    }

    /// From now on sequences come with these joints, which are found by their names; `name` is what messages call them.
    ///
    /// # Errors
    /// [`Error::Input`] naming both skeletons, when a joint of the training is not among them.
    pub fn read_from(&mut self, name: &str, joints: &[String]) -> Result<()> {
        self.intake.read_from(name, joints)
    }

    /// Recognises one sequence, `[T, M, V, 3]` of any length, and lets the adapters learn from it.
    ///
    /// # Errors
    /// When the sequence does not fit or has nobody in it, or a component fails.
    pub fn predict(&mut self, sequence: &Sequence) -> Result<Prediction> {
        let started = Instant::now();
        let preprocess = self.run.resolved.pipeline.preprocess.as_ref();
        let batch = self.intake.batch(sequence, preprocess, self.ctx.device)?;
        let mut watch = Instant::now();
        let map = no_grad(|| self.encoder.encode(&batch))?.features;
        let features = self.run.signature.form(map)?;
        let encode = self.lap(&mut watch);
        let mut scores = no_grad(|| self.aligner.score(&features, &self.anchors))?;
        let score = self.lap(&mut watch);
        let mut adapt = None;
        if let Some(chain) = &mut self.chain {
            let model = Model {
                encoder: self.encoder.as_ref(),
                aligner: self.aligner.as_ref(),
            };
            scores = chain.step(&features, scores, &batch, &model)?;
            adapt = Some(self.lap(&mut watch));
        }
        let posterior = posterior(&scores, self.classes().len())?;
        Ok(Prediction {
            posterior,
            times: Times {
                encode,
                score,
                adapt,
                total: started.elapsed(),
            },
        })
    }

    /// Time since the last call, an accelerator's work included.
    fn lap(&self, watch: &mut Instant) -> Duration {
        crate::evaluate::synchronise(self.ctx.device);
        let time = watch.elapsed();
        *watch = Instant::now();
        time
    }

    /// Keeps the adapters' state where the options say.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self) -> Result<()> {
        match (&self.chain, &self.state) {
            (Some(chain), Some(path)) => chain.save(path, self.aligner.as_ref()),
            _ => Ok(()),
        }
    }
}

fn adapts(run: &FinishedRun, options: &PredictOptions) -> Result<bool> {
    let has = !run.resolved.pipeline.adapters.is_empty();
    let adapts = options.adapt.unwrap_or(has);
    if adapts && !has {
        return Err(Error::Input("`--adapt on`, but this run has no adapter".into()));
    }
    if !adapts && options.state.is_some() {
        let why = "`--state` keeps what adapters learned, and none works here";
        return Err(Error::Input(why.into()));
    }
    Ok(adapts)
}

fn encoder(run: &FinishedRun, ctx: &BuildContext) -> Result<Box<dyn SkeletonEncoder>> {
    let config = &run.resolved.pipeline.encoder;
    let state = run.weights("encoder", config.typetag_name(), ctx.device)?;
    ctx.seed.derive("encoder/init", 0).apply();
    let mut encoder = config.build(&run.signature.input(), ctx)?;
    encoder
        .load_state(&state)
        .map_err(|e| Error::Input(format!("encoder.safetensors of this run: {e}")))?;
    Ok(encoder)
}

fn aligner(run: &FinishedRun, ctx: &BuildContext) -> Result<Box<dyn Aligner>> {
    let config = &run.resolved.pipeline.aligner;
    let name = config.typetag_name();
    if config.capabilities().oracle_labels {
        return Err(Error::Input(format!(
            "aligner `{name}` of this run asks for the true label of every sequence, which nobody has here"
        )));
    }
    let state = run.weights("aligner", name, ctx.device)?;
    ctx.seed.derive("aligner/init", 0).apply();
    let texts = &run.signature.texts;
    let mut aligner = config.build(&run.signature.features, &texts.granularities, texts.width, ctx)?;
    aligner
        .load_state(&state)
        .map_err(|e| Error::Input(format!("aligner.safetensors of this run: {e}")))?;
    Ok(aligner)
}

/// Softmax of the only row of logits.
fn posterior(scores: &Scores, classes: usize) -> Result<Vec<f64>> {
    szar_core::shape::expect("scores", &scores.logits, [Some(1), Some(classes as i64)])?;
    let logits = szar_core::host::to_f64(&scores.logits);
    if logits.iter().any(|v| !v.is_finite()) {
        return Err(Error::Input(
            "the model gives values that are not finite for this sequence".into(),
        ));
    }
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shares: Vec<f64> = logits.iter().map(|v| (v - most).exp()).collect();
    let sum: f64 = shares.iter().sum();
    Ok(shares.into_iter().map(|share| share / sum).collect())
}
