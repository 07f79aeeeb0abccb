//! The encoder: persons in and out, weights, evaluation.

use std::cell::RefCell;
use std::sync::Arc;

use szar_core::checkpoint::copy_into;
use szar_core::component::InputSpec;
use szar_core::{
    EncoderConfig, EncoderSpec, Encoding, Error, FeatureMap, FitContext, FitSummary, NamedTensors, Result,
    SeenSkeletons, SkeletonBatch, SkeletonEncoder, SkeletonLayout, shape,
};
use tch::{Device, Kind, Tensor, no_grad};

use super::config::{Persons, StGcnConfig};
use super::folded::Folded;
use super::graph::Graph;
use super::net::{COORDINATES, Net};
use crate::encoders::layers::{channels_first, same_graph, without_wrapper};
use crate::nn::classifier::{self, SeenClassifier};

/// An ST-GCN with its classifier of the seen classes.
#[derive(Debug)]
pub struct StGcn {
    net: Net,
    config: StGcnConfig,
    layout: Arc<SkeletonLayout>,
    spec: EncoderSpec,
    persons: i64,
    kind: Kind,
    /// Every tensor of the state.
    watched: Vec<Tensor>,
    /// Folded weights, and the sum of the versions of the tensors they were made from.
    folded: RefCell<Option<(i64, Folded)>>,
}

impl StGcn {
    /// Builds the network on a device, with random weights from the current seed of libtorch.
    ///
    /// # Errors
    /// When the layout is not a skeleton or the sizes are not positive.
    pub fn new(config: &StGcnConfig, input: &InputSpec, device: Device) -> Result<Self> {
        input.layout.validate()?;
        for (what, size) in [
            ("joints", input.layout.len() as i64),
            ("frames", input.frames),
            ("persons", input.persons),
        ] {
            if size < 1 {
                return Err(Error::Input(format!(
                    "`st-gcn` needs at least 1 of {what}, got {size}"
                )));
            }
        }
        let graph = Graph::new(&input.layout, config.strategy, config.max_hop, config.dilation);
        let net = Net::new(config, &graph.adjacency(), input.seen_classes, device);
        Ok(Self {
            watched: net.state().into_values().collect(),
            net,
            config: config.clone(),
            layout: Arc::clone(&input.layout),
            spec: config.spec(input),
            persons: input.persons,
            kind: config.inference.resolve(device),
            folded: RefCell::new(None),
        })
    }

    /// Feature map and logits, showing `tap` every block's output `[n, T, V, C]` of the n persons that were computed.
    ///
    /// # Errors
    /// [`Error::Shape`] when the batch is not what the encoder was built for.
    pub fn encode_with_taps(&self, batch: &SkeletonBatch, tap: &mut dyn FnMut(&Tensor)) -> Result<Encoding> {
        self.check(batch)?;
        no_grad(|| {
            let present = rows_of(&batch.present, true);
            let persons = persons_of(&batch.joints);
            let mut folded = self.folded.borrow_mut();
            let folded = self.fresh(&mut folded);
            let map = if present.len() == batch.present.len() {
                per_sample(&folded.forward(&persons, tap), self.persons).mean_dim(
                    [1i64].as_slice(),
                    false,
                    Kind::Float,
                )
            } else {
                let rows = index(&present, persons.device());
                let mut known = Vec::new();
                if !present.is_empty() {
                    known.push(folded.forward(&persons.index_select(0, &rows), tap));
                }
                known.push(folded.absent(batch.joints.size()[2]));
                self.gather(&Tensor::cat(&known, 0), &batch.present)
            };
            let map = channels_first(&map).contiguous();
            let features = FeatureMap::new(map)?;
            let seen_logits = self.spec.classifies.then(|| self.classify(&features.pooled()));
            Ok(Encoding {
                features,
                seen_logits,
            })
        })
    }

    /// Mean over persons `[B, T', V, N]`, from the outputs of those present with that of an absent one as last row.
    fn gather(&self, known: &Tensor, present: &[bool]) -> Tensor {
        let absent = known.size()[0] - 1;
        let mut next = 0;
        let row = |here: &bool| {
            next += i64::from(*here);
            if *here { next - 1 } else { absent }
        };
        let source: Vec<i64> = present.iter().map(row).collect();
        let all = per_sample(
            &known.index_select(0, &index(&source, known.device())),
            self.persons,
        );
        match self.config.persons {
            Persons::All => all.mean_dim([1i64].as_slice(), false, Kind::Float),
            Persons::Present => {
                let shares = shares(present, self.persons as usize);
                let shares = Tensor::from_slice(&shares).to_device(all.device());
                let weighted = &all * shares.view([-1, self.persons, 1, 1, 1]);
                weighted.sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
            }
        }
    }

    /// Logits `[B, S]` of pooled features `[B, N]`.
    fn classify(&self, pooled: &Tensor) -> Tensor {
        let head = &self.net.classifier;
        pooled.linear(&head.weight.flatten(1, -1), Some(&head.bias))
    }

    /// The folded weights, made anew if any tensor of the state was written since.
    fn fresh<'a>(&self, cache: &'a mut Option<(i64, Folded)>) -> &'a mut Folded {
        let version = self.watched.iter().map(Tensor::internal_version).sum();
        if cache.as_ref().is_some_and(|(v, _)| *v != version) {
            *cache = None;
        }
        &mut cache
            .get_or_insert_with(|| (version, Folded::new(&self.net, self.kind)))
            .1
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

impl SkeletonEncoder for StGcn {
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
        if classes != self.net.classifier.bias.size()[0] {
            return Err(Error::Input(format!(
                "the classifier was built for {} seen classes, the training data has {classes}",
                self.net.classifier.bias.size()[0]
            )));
        }
        self.spec.classifies = true;
        classifier::fit(&*self, &self.config.train, train, validation, ctx)
    }

    fn state(&self) -> NamedTensors {
        let mut state = self.net.state();
        if !self.spec.classifies {
            state.retain(|name, _| !name.starts_with("fcn."));
        }
        state
    }

    /// Takes over an official state dict. `A` is compared, not loaded. A classifier that is missing or made for
    /// another number of classes is left out: the encoder then gives no logits until it is trained.
    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        let mut given = without_wrapper(state);
        if let Some(graph) = given.remove("A") {
            same_graph(&graph, &self.net.graph, &self.layout.name)?;
        }
        let mut own = self.net.state();
        own.remove("A");
        let head = ["fcn.weight", "fcn.bias"];
        let fits = |name: &str| given.get(name).map(Tensor::size) == own.get(name).map(Tensor::size);
        let classifies = head.iter().all(|n| fits(n));
        if !classifies {
            tracing::info!(
                "the weights hold no classifier of {} classes",
                own["fcn.bias"].size()[0]
            );
            given.retain(|name, _| !name.starts_with("fcn."));
            own.retain(|name, _| !name.starts_with("fcn."));
        }
        copy_into(&own, &given, |name| name.ends_with("num_batches_tracked"))?;
        self.spec.classifies = classifies;
        Ok(())
    }
}

impl SeenClassifier for StGcn {
    fn weights(&self) -> NamedTensors {
        self.net.state()
    }

    fn train_logits(&self, batch: &SkeletonBatch, kind: Kind) -> Result<Tensor> {
        self.check(batch)?;
        let persons = persons_of(&batch.joints);
        let pool = |map: &Tensor| map.mean_dim([1i64, 2].as_slice(), false, Kind::Float);
        let m = self.persons as usize;
        let everyone = self.config.persons == Persons::All || batch.present.iter().all(|p| *p);
        let pooled = if everyone {
            let pooled = pool(&self.net.train(&persons, kind));
            pooled.view([-1, self.persons, self.spec.channels]).mean_dim(
                [1i64].as_slice(),
                false,
                Kind::Float,
            )
        } else {
            // A sample with nobody in it keeps its first person, zeros and all.
            let shares = shares(&batch.present, m);
            let counted: Vec<bool> = shares.iter().map(|s| *s > 0.0).collect();
            let rows = rows_of(&counted, true);
            let pooled = pool(
                &self
                    .net
                    .train(&persons.index_select(0, &index(&rows, persons.device())), kind),
            );
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
        let features = SkeletonEncoder::encode(self, batch)?.features;
        Ok(no_grad(|| self.classify(&features.pooled())))
    }
}

/// `[B, 3, T, V, M]` as `[B * M, T, V, 3]`, sample-major.
fn persons_of(joints: &Tensor) -> Tensor {
    let s = joints.size();
    joints
        .to_kind(Kind::Float)
        .permute([0, 4, 2, 3, 1])
        .reshape([s[0] * s[4], s[2], s[3], s[1]])
}

/// `[B * M, ..]` as `[B, M, ..]`.
fn per_sample(x: &Tensor, persons: i64) -> Tensor {
    x.unflatten(0, [-1, persons])
}

fn rows_of(flags: &[bool], wanted: bool) -> Vec<i64> {
    let rows = flags.iter().enumerate().filter(|(_, f)| **f == wanted);
    rows.map(|(i, _)| i as i64).collect()
}

fn index(rows: &[i64], device: Device) -> Tensor {
    Tensor::from_slice(rows).to_device(device)
}

/// Weight of every person in the mean over those present; a sample with nobody in it counts its first person.
fn shares(present: &[bool], persons: usize) -> Vec<f32> {
    let share = |sample: &[bool]| {
        let count = sample.iter().filter(|p| **p).count();
        let of = |(i, here): (usize, &bool)| match (count, *here, i) {
            (0, _, 0) => 1.0,
            (_, true, _) => 1.0 / count as f32,
            _ => 0.0,
        };
        sample.iter().enumerate().map(of).collect::<Vec<f32>>()
    };
    present.chunks(persons.max(1)).flat_map(share).collect()
}
