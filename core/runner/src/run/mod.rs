//! One pipeline from configuration to report.

mod describe;
mod evaluate;
mod parts;
mod shared;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use szar_core::config::{Pipeline, Resolved};
use szar_core::{
    Aligner, BuildContext, Cancel, EncoderSpec, Error, FitContext, FitSummary, InputSpec, Progress,
    Requirements, Result, Seed, SeenFeatures, SeenSet, SemanticAnchors, SemanticProvider, SkeletonEncoder,
};

use crate::data::{Data, Part};
use crate::evaluate::stage;
use crate::extract::{Features, extract, finite};
use crate::perf::{Stage, Watch};
use crate::report::{AlignerReport, EncoderReport, Report};
use crate::rundir::RunDir;
use crate::summary;
use crate::train::{Source, Trained, obtain};

use self::describe::{count, data_report, encoder_report, marks, provenance};
use self::parts::{AlignerPart, EncoderPart, Motion};

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
    let pipeline = &resolved.pipeline;
    let device = pipeline.device.resolve()?;
    let output = &pipeline.output.0;
    let hash = resolved.hash();
    let root = options
        .out
        .clone()
        .unwrap_or_else(|| output.join(format!("{}-{}", pipeline.name, &hash[..12])));
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

impl Session<'_> {
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
            encoder: encodes.then_some(prepared.encoder.as_ref()),
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
        format!("{options}/{}", if self.needs_map() { "map" } else { "pooled" })
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
        let (anchors, semantics) = self.anchors(&data)?;
        let (mut encoder, input) = self.build_encoder(&data)?;
        let trained_encoder = self.train_encoder(encoder.as_mut(), &data)?;
        let features = self.extract(encoder.as_ref(), &data)?;
        let encoder_report = encoder_report(encoder.as_ref(), trained_encoder.summary, &data, &features)?;
        let (aligner, aligner_report) =
            self.train_aligner(&data, &features, &anchors, encoder.as_ref(), &input)?;
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

    fn needs_map(&self) -> bool {
        let adapters = &self.pipeline.adapters;
        self.pipeline.aligner.capabilities().features == szar_core::FeatureNeed::Map
            || adapters.iter().any(|a| wants_map(&a.requirements()))
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
        if !self.pipeline.encoder.trains() {
            return self.take_encoder(encoder, watch);
        }
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

    /// An encoder that comes with its weights. What it was is kept in the run's folder, so that a run which is resumed
    /// never goes on with another one.
    fn take_encoder(&mut self, encoder: &mut dyn SkeletonEncoder, watch: Watch) -> Result<Trained> {
        let name = self.pipeline.encoder.typetag_name();
        match self.dir.trained("encoder", name, self.ctx.device)? {
            Some((state, _)) => encoder
                .load_state(&state)
                .map_err(|e| e.context("encoder.safetensors of this run"))?,
            None => {
                let about = self.about("encoder", name);
                self.dir
                    .keep("encoder", &encoder.state(), &FitSummary::default(), &about)?;
            }
        }
        tracing::info!(encoder = name, "comes with its weights: nothing to train");
        self.stages.push(watch.stop(0, true));
        Ok(Trained {
            source: Source::Given,
            summary: None,
        })
    }

    fn extract(&mut self, encoder: &dyn SkeletonEncoder, data: &Data) -> Result<Features> {
        let watch = Watch::start("features");
        let (progress, cancel) = (self.options.progress, self.options.cancel);
        let features = extract(
            encoder,
            &data.store,
            !self.needs_map(),
            self.ctx.device,
            progress,
            cancel,
        )?;
        finite(&features, data.rows(Part::SeenTest).start)?;
        self.stages.push(watch.stop(data.store.len() as u64, false));
        Ok(features)
    }

    fn train_aligner(
        &mut self,
        data: &Data,
        features: &Features,
        anchors: &SemanticAnchors,
        encoder: &dyn SkeletonEncoder,
        input: &InputSpec,
    ) -> Result<(Box<dyn Aligner>, AlignerReport)> {
        let watch = Watch::start("aligner training");
        let config = &self.pipeline.aligner;
        self.ctx.seed.derive("aligner/init", 0).apply();
        let mut aligner = config.build(
            &spec(features),
            &anchors.granularities,
            anchors.width(),
            &self.ctx,
        )?;
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
        let shared = self.shared_aligner(data, features, &seen_anchors, encoder);
        let skeletons = data.seen(Part::Train, self.ctx.device)?;
        let motion = Motion {
            skeletons: &skeletons,
            encoder,
            pooled: !self.needs_map(),
        };
        let mut part = AlignerPart {
            aligner: aligner.as_mut(),
            seen: &seen,
            anchors: &seen_anchors,
            motion: &motion,
            session: self,
        };
        let trained = obtain(
            "aligner",
            &mut part,
            config.weights(),
            self.dir,
            shared.as_deref(),
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
            motion: None,
        }
    }
}

/// Does an adapter want more than pooled features? Where it encodes skeletons itself, it compares what it gets with those
/// of the stream, which must then be of the encoder's form.
fn wants_map(needs: &Requirements) -> bool {
    needs.feature_map.is_some() || needs.skeletons.is_some() || needs.node_embeddings
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

fn fit_stage(watch: Watch, trained: &Trained, samples: usize) -> Stage {
    let epochs = trained.summary.as_ref().map_or(0, |s| s.epochs.max(1) as usize);
    watch.stop((samples * epochs) as u64, trained.source != Source::Trained)
}

#[cfg(test)]
mod tests;
