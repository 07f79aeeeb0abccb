//! Trains encoder and aligner: once for the run, and once more, without some classes, for a gate that asks for that. Both
//! go through the same code with the same seeds, and differ in nothing but the samples.

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use szar_core::config::Pipeline;
use szar_core::{
    Aligner, ClassId, FeatureNeed, FitContext, FitSummary, InputSpec, Progress, RecordedFeatures, Result,
    SeenFeatures, SeenSet, SemanticAnchors, SkeletonEncoder,
};

use super::parts::{AlignerPart, EncoderPart, Motion, Named};
use super::{Session, spec};
use crate::data::{Data, Part, TrainingData, spill};
use crate::features::{Extraction, FeatureStore, Features, Gathering, Origin, Wanted, finite};
use crate::lock::wait_for;
use crate::perf::{Stage, Watch};
use crate::train::{Source, Trained, obtain};

/// What a training is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The model that is evaluated.
    Run,
    /// The model that a gate is fitted on.
    Gate,
}

impl Purpose {
    /// Name of a stage in progress and report.
    pub(super) fn stage(self, name: &str) -> Cow<'_, str> {
        match self {
            Self::Run => name.into(),
            Self::Gate => format!("gate: {name}").into(),
        }
    }

    /// Name of a trained part in the run's folder.
    fn file(self, part: &str) -> Cow<'_, str> {
        match self {
            Self::Run => part.into(),
            Self::Gate => format!("gate-{part}").into(),
        }
    }

    /// Given weights know every seen class: only the run's own model may be made of them.
    fn given(self, weights: Option<&Path>) -> Option<&Path> {
        weights.filter(|_| self == Self::Run)
    }
}

/// A training of encoder and aligner.
pub(super) struct Course<'a> {
    pub(super) data: TrainingData<'a>,
    pub(super) purpose: Purpose,
    /// Rows of the store, from the first, that its encoder is asked about.
    rows: usize,
}

impl<'a> Course<'a> {
    /// The run's own.
    pub(super) fn of_run(data: &'a Data) -> Self {
        Self {
            data: TrainingData::whole(data),
            purpose: Purpose::Run,
            rows: data.used(),
        }
    }

    /// That of a gate, which sees no test sample.
    ///
    /// # Errors
    /// As [`TrainingData::without`].
    pub(super) fn of_gate(data: &'a Data, held: &[ClassId]) -> Result<Self> {
        Ok(Self {
            data: TrainingData::without(data, held)?,
            purpose: Purpose::Gate,
            rows: data.rows(Part::SeenTest).start,
        })
    }

    /// That of a gate on features of an encoder that does not know the held-out classes; the test samples of that dataset
    /// are what the gate is fitted on.
    pub(super) fn of_recorded_gate(data: &'a Data) -> Self {
        Self {
            purpose: Purpose::Gate,
            ..Self::of_run(data)
        }
    }

    /// Rows that are learned from, or chosen on.
    pub(super) fn learned(&self) -> usize {
        self.data.data().rows(Part::SeenTest).start
    }
}

impl Session<'_> {
    pub(super) fn build_encoder(&self, course: &Course) -> Result<Box<dyn SkeletonEncoder>> {
        let data = course.data.data();
        let input = InputSpec {
            layout: Arc::clone(&data.dataset.info().layout),
            frames: self.pipeline.preprocess.frames(),
            persons: data.persons() as i64,
            seen_classes: course.data.classes().len() as i64,
        };
        self.ctx.seed.derive("encoder/init", 0).apply();
        self.pipeline.encoder.build(&input, &self.ctx)
    }

    pub(super) fn train_encoder(
        &mut self,
        encoder: &mut dyn SkeletonEncoder,
        course: &Course,
    ) -> Result<Trained> {
        let purpose = course.purpose;
        let watch = Watch::start(&purpose.stage("encoder training"));
        if !self.pipeline.encoder.trains() {
            return self.take_encoder(encoder, watch);
        }
        let (data, device) = (&course.data, self.ctx.device);
        let shared = self.shared_encoder(data)?;
        let _alone = self.alone(shared.as_deref())?;
        let train = data.skeletons(data.train(), device)?;
        let validation = data.skeletons(data.validation(), device)?;
        let about = self.about("encoder", self.pipeline.encoder.typetag_name());
        let mut part = EncoderPart {
            encoder,
            train: &train,
            validation: &validation,
            purpose,
            session: self,
        };
        let trained = obtain(
            &purpose.file("encoder"),
            &mut part,
            purpose.given(self.pipeline.encoder.weights()),
            self.dir,
            shared.as_deref(),
            device,
            &about,
        )?;
        self.stages.push(fit_stage(watch, &trained, data.train().len()));
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

    /// Features of a course's rows: those that an earlier run kept, or computed now.
    pub(super) fn extract(&mut self, encoder: &dyn SkeletonEncoder, course: &Course) -> Result<Features> {
        let watch = Watch::start(&course.purpose.stage("features"));
        if let Some(recorded) = course.data.data().dataset.features() {
            let features = self.gather(recorded, course)?;
            self.stages.push(watch.stop(course.rows as u64, true));
            return Ok(features);
        }
        let progress = self.progress(course.purpose);
        let extraction = self.extraction(encoder, course, &progress)?;
        let mut wanted = self.wanted();
        let (features, origin) = if self.keeps_features() {
            let store = FeatureStore::new(self.feature_folder());
            let (key, mut form) = self.feature_entry(&extraction, course)?;
            if wanted == Wanted::Descriptors && !form.descriptors {
                wanted = Wanted::Map;
            }
            form.map = (wanted == Wanted::Map).then_some(self.pipeline.features.precision);
            store.obtain(&key, &form, wanted, extraction.store.layout(), &extraction)?
        } else {
            (extraction.run(wanted == Wanted::Pooled)?, Origin::Computed)
        };
        finite(&features, course.learned())?;
        self.stages
            .push(watch.stop(course.rows as u64, origin == Origin::Kept));
        Ok(features)
    }

    /// Features that came with the dataset; they were checked when they were read.
    fn gather(&self, recorded: &dyn RecordedFeatures, course: &Course) -> Result<Features> {
        let data = course.data.data();
        let gathering = Gathering {
            recorded,
            layout: &data.dataset.info().layout,
            spill: &spill("features"),
            device: self.ctx.device,
            progress: &self.progress(course.purpose),
            cancel: self.options.cancel,
        };
        let parts = [Part::Train, Part::Validation, Part::SeenTest, Part::UnseenTest];
        gathering.run(parts.map(|part| data.samples(part)), self.wanted())
    }

    pub(super) fn extraction<'b>(
        &'b self,
        encoder: &'b dyn SkeletonEncoder,
        course: &'b Course,
        progress: &'b dyn Progress,
    ) -> Result<Extraction<'b>> {
        Ok(Extraction {
            encoder,
            store: course.data.data().skeletons()?,
            count: course.rows,
            device: self.ctx.device,
            progress,
            cancel: self.options.cancel,
        })
    }

    /// An aligner trained on `features` of the store's rows; `anchors` may be those of further classes.
    pub(super) fn train_aligner(
        &mut self,
        course: &Course,
        features: &Features,
        anchors: &SemanticAnchors,
        encoder: &dyn SkeletonEncoder,
    ) -> Result<(Box<dyn Aligner>, Option<FitSummary>)> {
        let (purpose, data, device) = (course.purpose, &course.data, self.ctx.device);
        let watch = Watch::start(&purpose.stage("aligner training"));
        let config = &self.pipeline.aligner;
        self.ctx.seed.derive("aligner/init", 0).apply();
        let mut aligner = config.build(
            &spec(features),
            &anchors.granularities,
            anchors.width(),
            &self.ctx,
        )?;
        let set = |rows: &[usize]| -> Result<SeenSet> {
            Ok(SeenSet {
                features: features.at(rows).map,
                labels: data.labels(rows, device)?,
            })
        };
        let seen = SeenFeatures {
            train: set(data.train())?,
            validation: set(data.validation())?,
            layout: Arc::clone(&data.data().dataset.info().layout),
        };
        let seen_anchors = anchors.for_classes(data.classes())?;
        let about = self.about("aligner", config.typetag_name());
        let shared = self.shared_aligner(data, features, &seen_anchors, encoder)?;
        let _alone = self.alone(shared.as_deref())?;
        let skeletons = match data.data().store {
            Some(_) => Some(data.skeletons(data.train(), device)?),
            None => None,
        };
        let motion = skeletons.as_ref().map(|skeletons| Motion {
            skeletons,
            encoder,
            pooled: features.map.is_pooled(),
        });
        let mut part = AlignerPart {
            aligner: aligner.as_mut(),
            seen: &seen,
            anchors: &seen_anchors,
            motion: motion.as_ref(),
            purpose,
            session: self,
        };
        let trained = obtain(
            &purpose.file("aligner"),
            &mut part,
            purpose.given(config.weights()),
            self.dir,
            shared.as_deref(),
            device,
            &about,
        )?;
        self.stages.push(fit_stage(watch, &trained, data.train().len()));
        Ok((aligner, trained.summary))
    }

    /// Waits while another process trains the part that is to be kept in `shared`.
    fn alone(&self, shared: Option<&Path>) -> Result<Option<File>> {
        let missing = shared.filter(|path| !path.exists());
        let lock = |path: &Path| wait_for(&path.with_extension("lock"), "training this", self.options.cancel);
        missing.map(lock).transpose()
    }

    fn keeps_features(&self) -> bool {
        self.pipeline.features.keep && !self.options.fresh
    }

    /// How much of the features this run wants.
    pub(super) fn wanted(&self) -> Wanted {
        wanted(self.pipeline, self.options.fresh)
    }

    pub(super) fn progress(&self, purpose: Purpose) -> Named<'_> {
        Named {
            purpose,
            inner: self.options.progress,
        }
    }

    pub(super) fn fit_context<'b>(
        &'b self,
        part: &str,
        checkpoint: PathBuf,
        progress: &'b dyn Progress,
    ) -> FitContext<'b> {
        FitContext {
            device: self.ctx.device,
            precision: self.pipeline.precision,
            seed: self.ctx.seed.derive(part, 0),
            progress,
            cancel: self.options.cancel,
            checkpoint: Some(checkpoint),
            motion: None,
        }
    }
}

/// How much of the features a pipeline wants. Descriptors without the map come from the store alone, which a `fresh` run
/// does not ask.
pub(super) fn wanted(pipeline: &Pipeline, fresh: bool) -> Wanted {
    let adapters = pipeline.adapters.iter();
    let by_adapters = adapters.map(|a| super::wanted(&a.requirements())).max();
    let wanted = by_adapters.unwrap_or(Wanted::Pooled);
    match pipeline.aligner.capabilities().features {
        FeatureNeed::Map => Wanted::Map,
        _ if wanted == Wanted::Descriptors && (fresh || !pipeline.features.keep) => Wanted::Map,
        _ => wanted,
    }
}

fn fit_stage(watch: Watch, trained: &Trained, samples: usize) -> Stage {
    let epochs = trained.summary.as_ref().map_or(0, |s| s.epochs.max(1) as usize);
    watch.stop((samples * epochs) as u64, trained.source != Source::Trained)
}
