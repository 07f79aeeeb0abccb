//! Training on seen classes.

use szar_core::optim::{Optimiser, Rule};
use szar_core::{Error, FeatureMap, FitContext, FitSummary, NamedTensors, Result, SeenFeatures, SeenSet};
use tch::{Kind, Tensor};

use super::super::training::{self, At, Lesson, Measure, Plan, Rate, Sampling, epoch};
use super::config::{Nodes, TrainingQuery};
use super::head::{Dropout, Pass};
use super::loss::{self, Targets};
use super::network::Network;
use super::{Purls, Source};

/// Samples of which a view is made at a time.
const CHUNK: i64 = 512;

/// The views of a set of samples, made once where they are smaller than the map.
enum Views<'a> {
    Ready(Tensor),
    Of(&'a FeatureMap),
}

struct Samples<'a> {
    views: Views<'a>,
    /// `[n]` i64.
    labels: Tensor,
}

impl<'a> Samples<'a> {
    fn new(model: &Purls, set: &'a SeenSet) -> Result<Self> {
        let count = set.features.dims().0;
        let views = if matches!(model.source, Source::Nodes(Nodes::All)) || count == 0 {
            Views::Of(&set.features)
        } else {
            let starts = (0..count).step_by(CHUNK as usize);
            let parts = starts.map(|at| model.view(&set.features.narrow(at, CHUNK.min(count - at))));
            Views::Ready(Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0))
        };
        Ok(Self {
            views,
            labels: set.labels.columns().shallow_clone(),
        })
    }

    fn len(&self) -> usize {
        self.labels.numel()
    }

    fn batch(&self, model: &Purls, index: &Tensor) -> Result<(Tensor, Tensor)> {
        let seen = match &self.views {
            Views::Ready(views) => views.index_select(0, index),
            Views::Of(map) => model.view(&map.select(index))?,
        };
        Ok((seen, self.labels.index_select(0, index)))
    }
}

/// The weighted loss of a batch and its terms `[L]`.
pub(super) fn objective(
    network: &Network,
    loss: super::Loss,
    seen: &Tensor,
    probes: Option<&Tensor>,
    targets: &Targets,
    pass: &Pass,
) -> Result<(Tensor, Tensor)> {
    let projected = network.project(&network.fuse(seen, probes)?, pass);
    let terms = loss::terms(loss, &projected, targets, &network.tmps);
    let weighted = network
        .d
        .as_ref()
        .map_or_else(|| terms.shallow_clone(), |d| &terms * d);
    Ok((weighted.sum(Kind::Float), terms))
}

/// `[B, L, N]`: the probes of the classes in `columns`, from texts `[S, L, d]`. Rows are picked by a product with 0 and
/// 1, whose gradient is the same bits on every device.
pub(super) fn probes_of(network: &Network, text: &Tensor, columns: &Tensor) -> Result<Tensor> {
    let probes = network.attention()?.probe(text);
    let (classes, slots, channels) = probes.size3()?;
    let pick = columns.one_hot(classes).to_kind(Kind::Float);
    Ok(pick.mm(&probes.view([classes, -1])).view([-1, slots, channels]))
}

struct Alignment<'a> {
    model: &'a Purls,
    /// `[S, L, d]`.
    text: &'a Tensor,
    train: Samples<'a>,
    validation: Samples<'a>,
    validation_batches: Vec<Tensor>,
    optimiser: Optimiser,
}

/// Trains until the last epoch and keeps the weights of the best one, by the loss on validation samples of seen
/// classes; without such samples, those of the last.
pub(super) fn fit(
    model: &Purls,
    seen: &SeenFeatures,
    text: &Tensor,
    ctx: &mut FitContext,
) -> Result<FitSummary> {
    let config = &model.config;
    let (train, validation) = (
        Samples::new(model, &seen.train)?,
        Samples::new(model, &seen.validation)?,
    );
    let order = ctx.seed.derive("purls-validation", 0);
    let plan = Plan {
        name: "purls",
        about: serde_json::to_string(config).map_err(|e| Error::Input(e.to_string()))?,
        rounds: config.epoch_count(),
        sampling: Sampling::Epoch {
            batch: config.batch_size(),
            drop_last: false,
        },
        lr: config.learning_rate(),
        rate: Rate::Plateau(config.plateau),
        patience: None,
    };
    let samples = train.len();
    let mut lesson = Alignment {
        model,
        text,
        validation_batches: epoch(validation.len(), config.batch_size(), false, order, text.device()),
        train,
        validation,
        optimiser: Optimiser::new(Rule::Adam, config.weight_decay, &model.network.parameters()),
    };
    training::run(&mut lesson, &plan, samples, ctx)
}

impl Alignment<'_> {
    /// `[1]`, the mean loss of the validation samples.
    fn held_out(&self) -> Result<Tensor> {
        let (network, config) = (&self.model.network, &self.model.config);
        let mut sum = Tensor::zeros([1], (Kind::Float, self.text.device()));
        for index in &self.validation_batches {
            let (seen, labels) = self.validation.batch(self.model, index)?;
            let columns = match config.training_query {
                TrainingQuery::RandomSeen => index.remainder(self.text.size()[0]),
                TrainingQuery::Label | TrainingQuery::MeanText => labels.shallow_clone(),
            };
            let targets = Targets {
                text: self.text,
                labels: &labels,
            };
            let probes = self.probes(&columns)?;
            let (total, _) = objective(
                network,
                config.loss,
                &seen,
                probes.as_ref(),
                &targets,
                &Pass::Eval,
            )?;
            sum += total * index.numel() as f64;
        }
        Ok(sum / self.validation.len() as f64)
    }

    /// The probes of the classes in `columns`, or of the mean text; `None` without attention.
    fn probes(&self, columns: &Tensor) -> Result<Option<Tensor>> {
        let network = &self.model.network;
        if network.shape.attention.is_none() {
            return Ok(None);
        }
        if self.model.config.training_query == TrainingQuery::MeanText {
            let mean = self.text.mean_dim([0i64].as_slice(), true, Kind::Float);
            let probes = network.attention()?.probe(&mean);
            return Ok(Some(probes.expand([columns.size()[0], -1, -1], false)));
        }
        probes_of(network, self.text, columns).map(Some)
    }
}

impl Lesson for Alignment<'_> {
    fn terms(&self) -> &'static [&'static str] {
        &["contrastive"]
    }

    fn step(&mut self, rows: &Tensor, at: At) -> Result<Tensor> {
        let (seen, labels) = self.train.batch(self.model, rows)?;
        let (network, config) = (&self.model.network, &self.model.config);
        let columns = match config.training_query {
            TrainingQuery::RandomSeen => Tensor::randint(
                self.text.size()[0],
                [labels.size()[0]],
                (Kind::Int64, labels.device()),
            ),
            TrainingQuery::Label | TrainingQuery::MeanText => labels.shallow_clone(),
        };
        let probes = self.probes(&columns)?;
        let targets = Targets {
            text: self.text,
            labels: &labels,
        };
        let pass = Pass::Train(Dropout::Share(config.dropout));
        let (total, _) = objective(network, config.loss, &seen, probes.as_ref(), &targets, &pass)?;
        self.optimiser.zero_grad();
        total.backward();
        self.optimiser.step(at.lr);
        Ok(total.detach().view([1]))
    }

    fn validate(&mut self, _: u32) -> Result<Measure> {
        if self.validation.len() == 0 {
            return Ok(Measure::Nothing);
        }
        self.held_out().map(Measure::Loss)
    }

    fn weights(&self) -> NamedTensors {
        self.model.network.state()
    }

    fn optimisers(&mut self) -> Vec<(&'static str, &mut Optimiser)> {
        vec![("adam", &mut self.optimiser)]
    }
}
