//! A network made an encoder: persons in and out, weights, evaluation.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use szar_core::checkpoint::copy_into;
use szar_core::component::InputSpec;
use szar_core::{
    EncoderSpec, Encoding, Error, FeatureMap, FitContext, FitSummary, NamedTensors, Result, SeenSkeletons,
    SkeletonBatch, SkeletonEncoder, SkeletonLayout, shape,
};
use tch::{Kind, Tensor, no_grad};

use super::persons::{index, per_sample, rows, set, shares, slots};
use super::{COORDINATES, Folded, Network, Persons, Stream};
use crate::encoders::layers::{channels_first, evaluating, without_wrapper};
use crate::nn::classifier::{self, SeenClassifier, TrainConfig};

/// Options that graph-convolutional encoders share.
#[derive(Clone, Debug)]
pub struct Common {
    /// What of the motion is read.
    pub stream: Stream,
    /// Who enters the mean over persons.
    pub persons: Persons,
    /// Arithmetic of the products while features are computed.
    pub kind: Kind,
    /// Whether normalisations are folded into the products before them while features are computed.
    pub fold: bool,
    /// How it is trained.
    pub train: TrainConfig,
}

/// A [`Network`] with its classifier of the seen classes, as a [`SkeletonEncoder`].
#[derive(Debug)]
pub struct GraphEncoder<N: Network> {
    net: N,
    common: Common,
    layout: Arc<SkeletonLayout>,
    spec: EncoderSpec,
    persons: i64,
    /// Every tensor of the state.
    watched: Vec<Tensor>,
    folded: RefCell<Option<Fresh<N::Folded>>>,
}

/// Weights as they are evaluated, with what follows from them.
#[derive(Debug)]
struct Fresh<F> {
    /// Sum of the versions of the tensors they were made from.
    version: i64,
    /// `None` where the network is evaluated as it is.
    folded: Option<F>,
    /// What an absent person (all zeros) gives in each place, `[M, T', V', N]`, by T.
    absent: BTreeMap<i64, Tensor>,
}

impl<N: Network> GraphEncoder<N> {
    /// An encoder of `net`, which gives features of form `spec` for `input`.
    pub fn wrap(net: N, common: Common, spec: EncoderSpec, input: &InputSpec) -> Self {
        Self {
            watched: net.state().into_values().collect(),
            net,
            common,
            layout: Arc::clone(&input.layout),
            spec,
            persons: input.persons,
            folded: RefCell::new(None),
        }
    }

    /// The network.
    pub fn network(&self) -> &N {
        &self.net
    }

    /// Feature map and logits, showing `tap` every block's output `[n, T, V, C]` of the n persons that were computed, where
    /// normalisations are folded.
    ///
    /// # Errors
    /// [`Error::Shape`] when the batch is not what the encoder was built for.
    pub fn encode_with_taps(&self, batch: &SkeletonBatch, tap: &mut dyn FnMut(&Tensor)) -> Result<Encoding> {
        self.check(batch)?;
        no_grad(|| {
            let map = self.mean_map(batch, tap);
            let seen_logits = self
                .spec
                .classifies
                .then(|| self.classify(&map.mean_dim([1i64, 2].as_slice(), false, Kind::Float)));
            let map = channels_first(&self.net.features(map)).contiguous();
            Ok(Encoding {
                features: FeatureMap::new(map)?,
                seen_logits,
            })
        })
    }

    /// Mean over persons, `[B, T', V', N]` f32.
    fn mean_map(&self, batch: &SkeletonBatch, tap: &mut dyn FnMut(&Tensor)) -> Tensor {
        let present = set(&batch.present);
        let joints = self.read(&batch.joints);
        let mut cache = self.folded.borrow_mut();
        let fresh = self.fresh(&mut cache);
        if present.len() == batch.present.len() {
            let x = self.net.prepare(joints);
            let all = self.forward(fresh, &x, &slots(&present, self.persons), tap);
            return per_sample(&all, self.persons).mean_dim([1i64].as_slice(), false, Kind::Float);
        }
        let mut known = Vec::new();
        if !present.is_empty() {
            let x = self
                .net
                .prepare(joints.index_select(0, &index(&present, joints.device())));
            known.push(self.forward(fresh, &x, &slots(&present, self.persons), tap));
        }
        known.push(self.absent(fresh, &joints));
        self.gather(&Tensor::cat(&known, 0), &batch.present)
    }

    /// The last block's output `[n, T', V', N]` f32 of `x` `[n, T, W, C]`, row i in place `slots[i]`.
    fn forward(
        &self,
        fresh: &Fresh<N::Folded>,
        x: &Tensor,
        slots: &[i64],
        tap: &mut dyn FnMut(&Tensor),
    ) -> Tensor {
        match &fresh.folded {
            Some(folded) => folded.forward(x, slots, tap),
            None => evaluating(|| self.net.train(x, slots, self.common.kind)).to_kind(Kind::Float),
        }
    }

    /// `[B * M, T, V, 3]`, this encoder's stream of the joints.
    fn read(&self, joints: &Tensor) -> Tensor {
        rows(&self.common.stream.of(joints, &self.layout))
    }

    /// Mean over persons `[B, T', V', N]`, from the outputs of those present with those of absent ones, by place, as
    /// last M rows.
    fn gather(&self, known: &Tensor, present: &[bool]) -> Tensor {
        let absent = known.size()[0] - self.persons;
        let mut next = 0;
        let row = |(i, here): (usize, &bool)| {
            next += i64::from(*here);
            if *here {
                next - 1
            } else {
                absent + i as i64 % self.persons
            }
        };
        let source: Vec<i64> = present.iter().enumerate().map(row).collect();
        let all = known.index_select(0, &index(&source, known.device()));
        let all = per_sample(&all, self.persons);
        match self.common.persons {
            Persons::All => all.mean_dim([1i64].as_slice(), false, Kind::Float),
            Persons::Present => {
                let shares = shares(present, self.persons as usize);
                let shares = Tensor::from_slice(&shares).to_device(all.device());
                let weighted = &all * shares.view([-1, self.persons, 1, 1, 1]);
                weighted.sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
            }
        }
    }

    /// What absent persons give over as many frames as `joints` `[_, T, V, 3]` has; computed once.
    fn absent(&self, fresh: &mut Fresh<N::Folded>, joints: &Tensor) -> Tensor {
        let size = joints.size();
        if let Some(known) = fresh.absent.get(&size[1]) {
            return known.shallow_clone();
        }
        let zeros = Tensor::zeros(
            [self.persons, size[1], size[2], size[3]],
            (Kind::Float, joints.device()),
        );
        let places: Vec<i64> = (0..self.persons).collect();
        let out = self.forward(fresh, &self.net.prepare(zeros), &places, &mut |_| {});
        fresh.absent.insert(size[1], out.shallow_clone());
        out
    }

    /// Logits `[B, S]` of pooled outputs `[B, N]`.
    fn classify(&self, pooled: &Tensor) -> Tensor {
        let (weight, bias) = self.net.head();
        pooled.linear(&weight.flatten(1, -1), Some(bias))
    }

    /// The folded weights, made anew if any tensor of the state was written since.
    fn fresh<'a>(&self, cache: &'a mut Option<Fresh<N::Folded>>) -> &'a mut Fresh<N::Folded> {
        let version = self.watched.iter().map(Tensor::internal_version).sum();
        if cache.as_ref().is_some_and(|fresh| fresh.version != version) {
            *cache = None;
        }
        cache.get_or_insert_with(|| Fresh {
            version,
            folded: self
                .common
                .fold
                .then(|| no_grad(|| self.net.fold(self.common.kind))),
            absent: BTreeMap::new(),
        })
    }

    fn classes(&self) -> i64 {
        self.net.head().1.size()[0]
    }

    fn is_head(name: &str) -> bool {
        let rest = name.strip_prefix(N::HEAD);
        rest.is_some_and(|rest| rest.starts_with('.'))
    }

    fn check(&self, batch: &SkeletonBatch) -> Result<()> {
        let v = self.layout.len() as i64;
        shape::expect(
            "joints",
            &batch.joints,
            [None, Some(COORDINATES), None, Some(v), Some(self.persons)],
        )?;
        let size = batch.joints.size();
        if size[2] < 1 {
            return Err(Error::Shape {
                what: "joints".into(),
                got: size,
                want: "at least 1 frame".into(),
            });
        }
        self.net.check_frames(size[2])?;
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

/// Refuses an input that is no skeleton or has no joint, frame or person.
///
/// # Errors
/// [`Error::Input`] naming the encoder and what is lacking.
pub fn check_input(encoder: &str, input: &InputSpec) -> Result<()> {
    input.layout.validate()?;
    for (what, size) in [
        ("joints", input.layout.len() as i64),
        ("frames", input.frames),
        ("persons", input.persons),
    ] {
        if size < 1 {
            return Err(Error::Input(format!(
                "`{encoder}` needs at least 1 of {what}, got {size}"
            )));
        }
    }
    Ok(())
}

impl<N: Network> SkeletonEncoder for GraphEncoder<N> {
    fn spec(&self) -> EncoderSpec {
        self.spec
    }

    fn encode(&self, batch: &SkeletonBatch) -> Result<Encoding> {
        self.encode_with_taps(batch, &mut |_| {})
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
        classifier::fit(&*self, &self.common.train, train, validation, ctx)
    }

    fn state(&self) -> NamedTensors {
        let mut state = self.net.state();
        if !self.spec.classifies {
            state.retain(|name, _| !Self::is_head(name));
        }
        state
    }

    /// Takes over an official state dict; fixed graphs are compared, not loaded. A classifier that is missing or made
    /// for another number of classes is left out: the encoder then gives no logits until it is trained.
    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        let mut given = without_wrapper(state);
        let mut own = self.net.state();
        self.net.accept(&mut given, &self.layout)?;
        let fits = |name: &String| given.get(name).map(Tensor::size) == own.get(name).map(Tensor::size);
        let classifies = own.keys().filter(|name| Self::is_head(name)).all(fits);
        if !classifies {
            tracing::info!("the weights hold no classifier of {} classes", self.classes());
            given.retain(|name, _| !Self::is_head(name));
            own.retain(|name, _| !Self::is_head(name));
        }
        // What `accept` took out is fixed.
        own.retain(|name, tensor| given.contains_key(name) || tensor.requires_grad() || is_statistic(name));
        copy_into(&own, &given, |name| name.ends_with("num_batches_tracked"))?;
        self.spec.classifies = classifies;
        Ok(())
    }
}

fn is_statistic(name: &str) -> bool {
    ["running_mean", "running_var", "num_batches_tracked"]
        .iter()
        .any(|suffix| name.ends_with(suffix))
}

impl<N: Network> SeenClassifier for GraphEncoder<N> {
    fn weights(&self) -> NamedTensors {
        self.net.state()
    }

    fn train_logits(&self, batch: &SkeletonBatch, kind: Kind) -> Result<Tensor> {
        self.check(batch)?;
        let joints = self.read(&batch.joints);
        let pool = |map: &Tensor| map.mean_dim([1i64, 2].as_slice(), false, Kind::Float);
        let m = self.persons as usize;
        let everyone = self.common.persons == Persons::All || batch.present.iter().all(|p| *p);
        let pooled = if everyone {
            let all: Vec<i64> = (0..joints.size()[0]).collect();
            let x = self.net.prepare(joints);
            let pooled = pool(&self.net.train(&x, &slots(&all, self.persons), kind));
            let pooled = per_sample(&pooled, self.persons);
            pooled.mean_dim([1i64].as_slice(), false, Kind::Float)
        } else {
            // A sample with nobody in it keeps its first person, zeros and all.
            let shares = shares(&batch.present, m);
            let counted: Vec<bool> = shares.iter().map(|s| *s > 0.0).collect();
            let rows = set(&counted);
            let x = self
                .net
                .prepare(joints.index_select(0, &index(&rows, joints.device())));
            let pooled = pool(&self.net.train(&x, &slots(&rows, self.persons), kind));
            let mut weights = vec![0.0f32; batch.len() * rows.len()];
            for (column, row) in rows.iter().enumerate() {
                weights[*row as usize / m * rows.len() + column] = shares[*row as usize];
            }
            let weights = Tensor::from_slice(&weights).view([-1, rows.len() as i64]);
            weights.to_device(pooled.device()).mm(&pooled)
        };
        Ok(self.classify(&pooled))
    }

    fn eval_logits(&self, batch: &SkeletonBatch) -> Result<Tensor> {
        self.check(batch)?;
        Ok(no_grad(|| {
            let map = self.mean_map(batch, &mut |_| {});
            self.classify(&map.mean_dim([1i64, 2].as_slice(), false, Kind::Float))
        }))
    }

    fn begin_epoch(&self, epoch: u32) {
        self.net.begin_epoch(epoch);
    }

    fn after_backward(&self) {
        self.net.after_backward();
    }
}
