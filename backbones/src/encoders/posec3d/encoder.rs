//! The encoder: skeletons into heat maps, heat maps through the network, cells into nodes.

use std::cell::RefCell;
use std::sync::Arc;

use szar_core::checkpoint::copy_into;
use szar_core::component::InputSpec;
use szar_core::{
    EncoderConfig, EncoderSpec, Encoding, Error, FeatureMap, FitContext, FitSummary, NamedTensors, Result,
    SeenSkeletons, SkeletonBatch, SkeletonEncoder, SkeletonLayout, shape,
};
use tch::{Device, Kind, Tensor, no_grad};

use super::config::{Pool, PoseC3dConfig};
use super::folded::Folded;
use super::heat::{Clip, Draws, chunk};
use super::net::{BACKBONE, HEAD, Net};
use super::ops;
use super::plan::Plan;
use crate::encoders::gcn::{COORDINATES, check_input};
use crate::encoders::layers::{evaluating, without_wrapper};
use crate::nn::classifier::{self, SeenClassifier};

/// SlowOnly over heat maps with its classifier of the seen classes.
#[derive(Debug)]
pub struct PoseC3d {
    net: Net,
    config: PoseC3dConfig,
    kind: Kind,
    layout: Arc<SkeletonLayout>,
    spec: EncoderSpec,
    persons: i64,
    /// Every tensor of the state.
    watched: Vec<Tensor>,
    /// With the sum of the versions of the tensors they were made from.
    folded: RefCell<Option<(i64, Folded)>>,
}

impl PoseC3d {
    /// Builds the network on a device, with random weights from the current seed of libtorch.
    ///
    /// # Errors
    /// When the layout is not a skeleton or the sizes are not positive.
    pub fn new(config: &PoseC3dConfig, input: &InputSpec, device: Device) -> Result<Self> {
        let plan = Plan::slow_only(input.layout.len() as i64, config.base_channels);
        Self::of_plan(plan, config, input, device)
    }

    /// A network of other sizes.
    pub(super) fn of_plan(
        plan: Plan,
        config: &PoseC3dConfig,
        input: &InputSpec,
        device: Device,
    ) -> Result<Self> {
        check_input("posec3d", input)?;
        let net = Net::new(plan, config.dropout, input.seen_classes, device);
        Ok(Self {
            watched: net.state().into_values().collect(),
            net,
            config: config.clone(),
            kind: config.inference.resolve(device),
            layout: Arc::clone(&input.layout),
            spec: config.spec(input),
            persons: input.persons,
            folded: RefCell::new(None),
        })
    }

    /// `[n, T', H', W', N]` f32 of heat maps `[n, T, H, W, K]`; `tap` is shown the stem's and every stage's output, where
    /// normalisations are folded.
    pub(super) fn map(&self, heat: &Tensor, tap: &mut dyn FnMut(&Tensor)) -> Tensor {
        if !self.config.fold {
            return evaluating(|| self.net.map(heat, self.kind)).to_kind(Kind::Float);
        }
        let version = self.watched.iter().map(Tensor::internal_version).sum();
        let mut cache = self.folded.borrow_mut();
        if cache.as_ref().is_some_and(|(made, _)| *made != version) {
            *cache = None;
        }
        let fresh = || (version, Folded::new(&self.net, self.kind));
        no_grad(|| cache.get_or_insert_with(fresh).1.forward(heat, tap))
    }

    /// Logits `[n, S]` of pooled features `[n, N]`.
    pub(super) fn classify(&self, pooled: &Tensor) -> Tensor {
        no_grad(|| self.net.classify(pooled))
    }

    /// Calls `take` for some samples after the others, with their clips' first number and their map of cells.
    fn in_parts(&self, clip: &Clip, count: i64, mut take: impl FnMut(i64, Tensor)) {
        let (length, size) = (self.config.clip_frames, self.config.size);
        let channels = self.net.plan.joints.max(self.net.plan.base);
        let device = self.net.weight.device();
        let step = chunk(length * size * size * channels, device);
        for start in (0..count).step_by(step.unsigned_abs() as usize) {
            let heat = clip.heat(start, step.min(count - start), size, self.config.sigma);
            take(start, self.map(&heat, &mut |_| {}));
        }
    }

    /// `[n, N, T', V']` of cells `[n, T', H', W', N]`.
    fn nodes(&self, clip: &Clip, start: i64, cells: &Tensor) -> Tensor {
        let s = cells.size();
        let mean = |axes: &[i64]| cells.mean_dim(axes, false, Kind::Float);
        match self.config.pool {
            Pool::Clip => mean(&[1, 2, 3]).unsqueeze(-1).unsqueeze(-1),
            Pool::Image => mean(&[2, 3]).transpose(1, 2).unsqueeze(-1),
            Pool::Cells => cells.flatten(2, 3).permute([0, 3, 1, 2]),
            Pool::Joints => {
                let form = [s[1], s[2], s[3]];
                let stride = self.net.plan.stride();
                let drawn = (self.config.size, self.config.sigma);
                let shares = clip.shares(start, s[0], form, stride, drawn);
                shares.matmul(&cells.flatten(2, 3)).permute([0, 3, 1, 2])
            }
        }
    }

    fn clip(&self, batch: &SkeletonBatch, draws: Option<Draws>) -> Clip {
        Clip::new(batch, self.config.clip_frames, self.config.view, draws)
    }

    fn classes(&self) -> i64 {
        self.net.bias.size()[0]
    }

    fn check(&self, batch: &SkeletonBatch) -> Result<()> {
        let v = self.layout.len() as i64;
        let form = [None, Some(COORDINATES), None, Some(v), Some(self.persons)];
        shape::expect("joints", &batch.joints, form)?;
        let size = batch.joints.size();
        shape::expect("frames", &batch.frames, [Some(size[0])])?;
        if size[0] < 1 || size[2] < 1 {
            return Err(Error::Shape {
                what: "joints".into(),
                got: size,
                want: "at least 1 sample and 1 frame".into(),
            });
        }
        let want = (size[0] * size[4]) as usize;
        if batch.present.len() != want {
            return Err(Error::Input(format!(
                "the batch says of {} persons whether they are there, it has {want}",
                batch.present.len()
            )));
        }
        Ok(())
    }
}

impl SkeletonEncoder for PoseC3d {
    fn spec(&self) -> EncoderSpec {
        self.spec
    }

    fn encode(&self, batch: &SkeletonBatch) -> Result<Encoding> {
        self.check(batch)?;
        no_grad(|| {
            let clip = self.clip(batch, None);
            let (mut features, mut logits) = (Vec::new(), Vec::new());
            self.in_parts(&clip, batch.joints.size()[0], |start, cells| {
                features.push(self.nodes(&clip, start, &cells).contiguous());
                if self.spec.classifies {
                    logits.push(self.classify(&ops::mean(&cells)));
                }
            });
            Ok(Encoding {
                features: FeatureMap::new(Tensor::cat(&features, 0))?,
                seen_logits: self.spec.classifies.then(|| Tensor::cat(&logits, 0)),
            })
        })
    }

    fn fit(
        &mut self,
        train: &dyn SeenSkeletons,
        validation: &dyn SeenSkeletons,
        ctx: &mut FitContext,
    ) -> Result<FitSummary> {
        let classes = train.labels().classes().len() as i64;
        if classes != self.classes() {
            return Err(Error::Input(format!(
                "the classifier was built for {} seen classes, the training data has {classes}",
                self.classes()
            )));
        }
        self.spec.classifies = true;
        classifier::fit(&*self, &self.config.train, train, validation, ctx)
    }

    fn state(&self) -> NamedTensors {
        let mut state = self.net.state();
        if !self.spec.classifies {
            state.retain(|name, _| !is_head(name));
        }
        state
    }

    /// Takes over an official state dict, of the whole recogniser or of its backbone. A classifier that is missing or made
    /// for another number of classes is left out: the encoder then gives no logits until it is trained.
    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        let mut given: NamedTensors = without_wrapper(state)
            .into_iter()
            .map(|(name, tensor)| (official(name), tensor))
            .collect();
        let mut own = self.net.state();
        let fits = |name: &String| given.get(name).map(Tensor::size) == own.get(name).map(Tensor::size);
        let classifies = own.keys().filter(|name| is_head(name)).all(fits);
        if !classifies {
            tracing::info!("the weights hold no classifier of {} classes", self.classes());
            given.retain(|name, _| !is_head(name));
            own.retain(|name, _| !is_head(name));
        }
        copy_into(&own, &given, |name| name.ends_with("num_batches_tracked"))?;
        self.spec.classifies = classifies;
        Ok(())
    }
}

fn is_head(name: &str) -> bool {
    let rest = name.strip_prefix(HEAD);
    rest.is_some_and(|rest| rest.starts_with('.'))
}

/// The name in a state dict of the whole recogniser, of one that may come from a part of it.
fn official(name: String) -> String {
    let starts = |front: &str| name.starts_with(front);
    if starts("conv1.") || starts("layer") {
        format!("{BACKBONE}.{name}")
    } else if starts("fc_cls.") {
        format!("cls_head.{name}")
    } else {
        name
    }
}

impl SeenClassifier for PoseC3d {
    fn weights(&self) -> NamedTensors {
        self.net.state()
    }

    fn train_logits(&self, batch: &SkeletonBatch, kind: Kind) -> Result<Tensor> {
        self.check(batch)?;
        let size = self.config.train_size.unwrap_or(self.config.size);
        let crop = self.config.crop;
        let heat = no_grad(|| {
            let clip = self.clip(batch, Some(Draws { crop }));
            clip.heat(0, batch.joints.size()[0], size, self.config.sigma)
        });
        Ok(self.net.train(&heat, kind))
    }

    fn eval_logits(&self, batch: &SkeletonBatch) -> Result<Tensor> {
        self.check(batch)?;
        no_grad(|| {
            let mut logits = Vec::new();
            self.in_parts(&self.clip(batch, None), batch.joints.size()[0], |_, cells| {
                logits.push(self.classify(&ops::mean(&cells)));
            });
            Ok(Tensor::cat(&logits, 0))
        })
    }
}
