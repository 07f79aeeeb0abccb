//! Training on seen classes.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use szar_core::host::to_f64;
use szar_core::optim::{Optimiser, Plateau, Rule};
use szar_core::{
    Error, FeatureMap, FitContext, FitSummary, NamedTensors, Result, Seed, SeenFeatures, SeenSet,
};
use tch::{Kind, Tensor, no_grad};

use super::config::{Nodes, TrainingQuery};
use super::head::{Dropout, Pass};
use super::loss::{self, Targets};
use super::network::Network;
use super::{Purls, Source};

/// Samples of which a view is made at a time.
const CHUNK: i64 = 512;

/// What a checkpoint says besides its tensors.
#[derive(Serialize, Deserialize)]
struct Note {
    epoch: u32,
    plateau: Plateau,
    best: f64,
    summary: FitSummary,
}

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

/// Numbers `0 .. count` in a random order, cut into batches; a last batch of one joins the one before, because
/// a batch statistic needs two samples.
fn batches(count: usize, size: i64, seed: Seed, device: tch::Device) -> Vec<Tensor> {
    let mut order: Vec<i64> = (0..count as i64).collect();
    order.shuffle(&mut seed.rng());
    let order = Tensor::from_slice(&order).to_device(device);
    let mut sizes = vec![size; count / size as usize];
    match (count as i64 % size, sizes.last_mut()) {
        (0, _) => {}
        (1, Some(last)) => *last += 1,
        (rest, _) => sizes.push(rest),
    }
    order.split_with_sizes(sizes.as_slice(), 0)
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

struct Trainer<'a> {
    model: &'a Purls,
    /// `[S, L, d]`.
    text: &'a Tensor,
    train: Samples<'a>,
    validation: Samples<'a>,
    validation_batches: Vec<Tensor>,
    optimiser: Optimiser,
    plateau: Plateau,
    summary: FitSummary,
    best: f64,
    best_state: NamedTensors,
}

/// Trains until the last epoch and keeps the weights of the best one, by the loss on validation samples of seen
/// classes; without such samples, those of the last.
pub(super) fn fit(
    model: &Purls,
    seen: &SeenFeatures,
    text: &Tensor,
    ctx: &mut FitContext,
) -> Result<FitSummary> {
    let mut trainer = Trainer::new(model, seen, text, ctx)?;
    let first = trainer.resume(ctx)?;
    let epochs = model.config.epoch_count();
    ctx.progress.begin("purls", u64::from(epochs));
    for epoch in first..epochs {
        trainer.epoch(epoch, ctx)?;
        trainer.save(epoch, ctx)?;
        let loss = trainer.summary.train_loss.last().copied().unwrap_or(f64::NAN);
        ctx.progress
            .advance(u64::from(epoch + 1), &format!("loss {loss:.4}"));
    }
    ctx.progress.end();
    model.network.load(&trainer.best_state)?;
    Ok(trainer.summary)
}

impl<'a> Trainer<'a> {
    fn new(model: &'a Purls, seen: &'a SeenFeatures, text: &'a Tensor, ctx: &FitContext) -> Result<Self> {
        let config = &model.config;
        let train = Samples::new(model, &seen.train)?;
        if train.len() < 2 {
            return Err(Error::Input(format!(
                "aligner `purls` needs at least 2 training samples, there are {}",
                train.len()
            )));
        }
        let validation = Samples::new(model, &seen.validation)?;
        let order = ctx.seed.derive("purls-validation", 0);
        let validation_batches = batches(validation.len(), config.batch_size(), order, text.device());
        let plateau = &config.plateau;
        Ok(Self {
            model,
            text,
            train,
            validation,
            validation_batches,
            optimiser: Optimiser::new(Rule::Adam, config.weight_decay, &model.network.parameters()),
            plateau: Plateau::new(
                config.learning_rate(),
                plateau.factor,
                plateau.patience,
                plateau.cooldown,
            ),
            summary: FitSummary {
                validation_measure: "loss".into(),
                ..FitSummary::default()
            },
            best: f64::INFINITY,
            best_state: NamedTensors::new(),
        })
    }

    fn epoch(&mut self, epoch: u32, ctx: &FitContext) -> Result<()> {
        ctx.seed.derive("purls", u64::from(epoch)).apply();
        let order = ctx.seed.derive("purls-order", u64::from(epoch));
        let batches = batches(
            self.train.len(),
            self.model.config.batch_size(),
            order,
            self.text.device(),
        );
        let mut sum = Tensor::zeros([1], (Kind::Float, self.text.device()));
        for index in &batches {
            ctx.cancel.check()?;
            sum += self.step(index)? * index.numel() as f64;
        }
        let train = sum / self.train.len() as f64;
        // The one read of the epoch: both losses at once.
        let losses = to_f64(&Tensor::cat(&[train, no_grad(|| self.validate())?], 0));
        self.judge(epoch, losses[0], losses.get(1).copied())
    }

    /// One update; gives the loss before it.
    fn step(&mut self, index: &Tensor) -> Result<Tensor> {
        let (seen, labels) = self.train.batch(self.model, index)?;
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
        self.optimiser.step(self.plateau.lr);
        Ok(total.detach())
    }

    /// `[1]`, the mean loss of the validation samples; `[0]` without any.
    fn validate(&self) -> Result<Tensor> {
        let device = self.text.device();
        if self.validation.len() == 0 {
            return Ok(Tensor::zeros([0], (Kind::Float, device)));
        }
        let (network, config) = (&self.model.network, &self.model.config);
        let mut sum = Tensor::zeros([1], (Kind::Float, device));
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

    fn judge(&mut self, epoch: u32, train: f64, validation: Option<f64>) -> Result<()> {
        let measure = validation.unwrap_or(train);
        if !(train.is_finite() && measure.is_finite()) {
            return Err(Error::Input(format!(
                "training of `purls` diverged in epoch {}: the loss is not a number; lower `lr`, or look for \
                 values that are no numbers in the features",
                epoch + 1
            )));
        }
        self.plateau.observe(measure);
        self.summary.epochs = epoch + 1;
        self.summary.train_loss.push(train);
        self.summary.validation.extend(validation);
        if measure < self.best || validation.is_none() {
            self.best = measure;
            self.summary.best_epoch = epoch + 1;
            self.best_state = copies(&self.model.network.state());
        }
        Ok(())
    }

    fn save(&self, epoch: u32, ctx: &FitContext) -> Result<()> {
        let mut all = NamedTensors::new();
        let mut add = |prefix: &str, tensors: &NamedTensors| {
            all.extend(
                tensors
                    .iter()
                    .map(|(name, t)| (format!("{prefix}/{name}"), t.shallow_clone())),
            );
        };
        add("network", &self.model.network.state());
        add("optimiser", &self.optimiser.state());
        if self.summary.best_epoch != epoch + 1 {
            add("best", &self.best_state);
        }
        let note = Note {
            epoch: epoch + 1,
            plateau: self.plateau.clone(),
            best: self.best,
            summary: self.summary.clone(),
        };
        ctx.save(&all, &note)
    }

    /// Goes on from a checkpoint; gives the number of finished epochs.
    fn resume(&mut self, ctx: &FitContext) -> Result<u32> {
        let Some((tensors, note)) = ctx.load::<Note>()? else {
            return Ok(0);
        };
        let below = |prefix: &str| -> NamedTensors {
            let own = tensors
                .iter()
                .filter_map(|(name, t)| Some((name.strip_prefix(prefix)?, t)));
            own.map(|(name, t)| (name.to_owned(), t.shallow_clone()))
                .collect()
        };
        self.model.network.load(&below("network/"))?;
        self.optimiser.load_state(&below("optimiser/"))?;
        self.best_state = below("best/");
        if self.best_state.is_empty() {
            self.best_state = copies(&self.model.network.state());
        }
        (self.plateau, self.best, self.summary) = (note.plateau, note.best, note.summary);
        Ok(note.epoch)
    }
}

fn copies(state: &NamedTensors) -> NamedTensors {
    state
        .iter()
        .map(|(name, t)| (name.clone(), t.detach().copy()))
        .collect()
}
