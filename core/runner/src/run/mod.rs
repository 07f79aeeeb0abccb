//! One pipeline from configuration to report.

mod describe;
mod evaluate;
mod extract;
mod held_out;
mod parts;
mod shared;
mod training;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use szar_core::config::{Evaluation, Pipeline, Resolved};
use szar_core::{
    Aligner, BuildContext, Cancel, EncoderSpec, Error, Progress, Requirements, Result, Seed, SemanticAnchors,
    SemanticProvider, SkeletonEncoder,
};

use crate::data::Data;
use crate::evaluate::stage;
use crate::features::{Features, Wanted};
use crate::perf::{Stage, Watch};
use crate::report::{AlignerReport, EncoderReport, Report};
use crate::rundir::RunDir;
use crate::summary;

use self::describe::{count, data_report, encoder_report, marks, provenance};
use self::training::Course;

pub use extract::{Extracted, extract};

/// How to run, as far as it does not change results.
pub struct RunOptions<'a> {
    /// Folder of the run; by default `<output>/<name>-<hash>`.
    pub out: Option<PathBuf>,
    /// Forget what an earlier run left, and train anew.
    pub fresh: bool,
    /// Go on with an unfinished run, and refuse when there is none.
    pub resume: bool,
    /// Time between two saves of a stream that is being played.
    pub save_every: Duration,
    /// Keep what the pictures of a report need ([`crate::record`]).
    pub record: bool,
    /// Where progress goes.
    pub progress: &'a dyn Progress,
    /// When to stop.
    pub cancel: &'a Cancel,
}

/// Time between two saves of a stream, unless the caller says otherwise: little is lost when a run is killed, and
/// saving costs nothing that is felt.
pub const SAVE_EVERY: Duration = Duration::from_secs(30);

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
    run_after(resolved, options, &mut Models::default())
}

/// As [`run`], after other runs of the same process: what the last of them prepared (data, features, trained encoder and
/// aligner) is used again when nothing that it depends on differs, so that pipelines which differ in their adapters are
/// compared on the very same models, at the cost of their adapters.
///
/// # Errors
/// As [`run`].
pub fn run_after(resolved: &Resolved, options: &RunOptions, models: &mut Models) -> Result<Outcome> {
    let root = folder(resolved, options);
    if options.resume {
        RunDir::must_be_unfinished(&root)?;
    }
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
    let mut session = Session::new(resolved, options, &dir)?;
    let (report, predictions) = session.run(models)?;
    let summary = summary::text(&report);
    dir.finish(&report, &predictions, &summary)?;
    Ok(Outcome {
        report,
        dir: root,
        summary,
        reused: false,
    })
}

/// Folder of a run.
fn folder(resolved: &Resolved, options: &RunOptions) -> PathBuf {
    let pipeline = &resolved.pipeline;
    let name = || format!("{}-{}", pipeline.name, &resolved.hash()[..12]);
    let chosen = options.out.clone();
    chosen.unwrap_or_else(|| pipeline.output.0.join(name()))
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

/// What a run prepared before its streams, for the next one.
#[derive(Default)]
pub struct Models(Option<Prepared>);

impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = self.0.as_ref().map(|p| &p.key);
        f.debug_tuple("Models").field(&key).finish()
    }
}

struct Prepared {
    /// Hash of everything it depends on.
    key: String,
    /// The run folder that holds the weights.
    folder: PathBuf,
    data: Data,
    anchors: SemanticAnchors,
    semantics: Box<dyn SemanticProvider>,
    encoder: Box<dyn SkeletonEncoder>,
    features: Features,
    encoder_report: EncoderReport,
    aligner: Box<dyn Aligner>,
    aligner_report: AlignerReport,
}

impl<'a> Session<'a> {
    fn new(resolved: &'a Resolved, options: &'a RunOptions, dir: &'a RunDir) -> Result<Self> {
        let pipeline = &resolved.pipeline;
        Ok(Self {
            resolved,
            pipeline,
            options,
            dir,
            ctx: BuildContext {
                device: pipeline.device.resolve()?,
                seed: Seed(pipeline.seed),
                cache: cache_dir(),
            },
            stages: Vec::new(),
        })
    }

    fn run(&mut self, models: &mut Models) -> Result<(Report, Vec<crate::report::Prediction>)> {
        let started = Instant::now();
        let key = self.key();
        let mut prepared = match models.0.take().filter(|p| p.key == key && !self.options.fresh) {
            Some(prepared) => self.again(prepared)?,
            None => self.prepare(key)?,
        };
        let needs = |wants: fn(&Requirements) -> bool| {
            let mut adapters = self.pipeline.adapters.iter();
            adapters.any(|a| wants(&a.requirements()))
        };
        let encodes = needs(|r| r.skeletons.is_some());
        let asked = needs(|r| r.prompts.is_some());
        let results = self.evaluate(evaluate::Trained {
            data: &prepared.data,
            features: &prepared.features,
            anchors: &prepared.anchors,
            aligner: prepared.aligner.as_ref(),
            spec: spec(&prepared.features),
            encoder: prepared.encoder.as_ref(),
            encodes,
            semantics: asked.then_some(prepared.semantics.as_mut()),
        })?;
        let inside: f64 = self.stages.iter().map(|stage| stage.seconds).sum();
        let rest = (started.elapsed().as_secs_f64() - inside).max(0.0);
        self.stages
            .push(stage("overhead", Duration::from_secs_f64(rest), 0));
        let report = Report {
            name: self.pipeline.name.clone(),
            marks: marks(self.pipeline),
            provenance: provenance(self.resolved, self.ctx.device),
            data: data_report(&prepared.data),
            encoder: prepared.encoder_report.clone(),
            aligner: prepared.aligner_report.clone(),
            zsl: results.zsl,
            gzsl: results.gzsl,
            performance: std::mem::take(&mut self.stages),
        };
        models.0 = Some(prepared);
        Ok((report, results.predictions))
    }

    /// Hash of everything that the models depend on.
    fn key(&self) -> String {
        let options = self.resolved.hash_of(&[
            "seed",
            "device",
            "threads",
            "precision",
            "dataset",
            "preprocess",
            "encoder",
            "semantics",
            "aligner",
            "validation",
        ]);
        format!("{options}/{:?}", self.wanted())
    }

    /// What an earlier run prepared; its weights also stand in this run's folder.
    fn again(&mut self, prepared: Prepared) -> Result<Prepared> {
        for part in ["encoder", "aligner"] {
            let name = format!("{part}.safetensors");
            let (from, to) = (prepared.folder.join(&name), self.dir.path(&name));
            if from.exists() && !to.exists() {
                let linked = std::fs::hard_link(&from, &to);
                linked
                    .or_else(|_| std::fs::copy(&from, &to).map(|_| ()))
                    .map_err(|e| Error::write(&to, e))?;
            }
            let watch = Watch::start(&format!("{part} training"));
            self.stages.push(watch.stop(0, true));
        }
        Ok(prepared)
    }

    fn prepare(&mut self, key: String) -> Result<Prepared> {
        let data = self.read()?;
        // What the gate asks for is judged before hours of training.
        let gzsl = self.pipeline.evaluate.contains(&Evaluation::Gzsl);
        if let Some(gate) = self.pipeline.gate.as_deref().filter(|_| gzsl) {
            self.held_out(gate, &data)?;
        }
        let (anchors, semantics) = self.anchors(&data)?;
        let course = Course::of_run(&data);
        let mut encoder = self.build_encoder(&course)?;
        let trained_encoder = self.train_encoder(encoder.as_mut(), &course)?;
        let features = self.extract(encoder.as_ref(), &course)?;
        let encoder_report = encoder_report(encoder.as_ref(), trained_encoder.summary, &data, &features)?;
        let (aligner, fit) = self.train_aligner(&course, &features, &anchors, encoder.as_ref())?;
        let aligner_report = AlignerReport {
            parameters: count(&aligner.state()),
            fit,
        };
        Ok(Prepared {
            key,
            folder: self.dir.path(""),
            data,
            anchors,
            semantics,
            encoder,
            features,
            encoder_report,
            aligner,
            aligner_report,
        })
    }

    fn read(&mut self) -> Result<Data> {
        let watch = Watch::start("read");
        let dataset = self.pipeline.dataset.build(&self.ctx)?;
        let data = Data::read(self.pipeline, dataset, self.options.progress, self.options.cancel)?;
        self.stages.push(watch.stop(data.store.len() as u64, false));
        Ok(data)
    }

    fn anchors(&mut self, data: &Data) -> Result<(SemanticAnchors, Box<dyn SemanticProvider>)> {
        let watch = Watch::start("semantics");
        let classes = data.split.all();
        let mut semantics = self.pipeline.semantics.build(&self.ctx)?;
        let anchors = semantics.anchors(&classes)?.to_device(self.ctx.device);
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
        Ok((anchors, semantics))
    }
}

/// How much of the features an adapter wants. Where it encodes skeletons itself, it compares what it gets with those of
/// the stream, which must then be of the encoder's form.
fn wanted(needs: &Requirements) -> Wanted {
    match &needs.feature_map {
        _ if needs.skeletons.is_some() || needs.node_embeddings => Wanted::Map,
        None => Wanted::Pooled,
        Some(_) if needs.descriptors_do => Wanted::Descriptors,
        Some(_) => Wanted::Map,
    }
}

/// The form that the features have.
fn spec(features: &Features) -> EncoderSpec {
    let (_, channels, frames, joints) = features.map.dims();
    EncoderSpec {
        channels,
        frames,
        joints,
        classifies: features.seen_logits.is_some(),
    }
}

#[cfg(test)]
mod tests;
