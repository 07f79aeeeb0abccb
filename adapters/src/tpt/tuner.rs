//! The adapter: views, and which way they are tuned by.

use szar_core::{
    Aligner, AugmentationConfig, Error, NamedTensors, Observation, PromptTower, Result, Scores,
    SemanticAnchors, Task, TestTimeAdapter, host, shape,
};
use tch::{Kind, Tensor};

use super::config::Tuned;
use super::graph::{self, Parameter};
use super::linear::Engine;
use super::select::Selection;
use crate::views::{Views, ViewsConfig};

/// AdamW (Loshchilov and Hutter 2019) with the constants of PyTorch.
pub(super) const BETA1: f64 = 0.9;
pub(super) const BETA2: f64 = 0.999;
pub(super) const EPSILON: f64 = 1e-8;

/// How a sample is tuned.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// What is tuned.
    pub parameter: Tuned,
    /// One residual for all classes?
    pub shared: bool,
    /// Steps of the optimiser.
    pub steps: usize,
    /// Learning rate.
    pub lr: f64,
    /// Decay of the parameter per step, in parts of the learning rate.
    pub weight_decay: f64,
    /// Which views the loss is taken over; chosen once, before the first step.
    pub selection: Selection,
    /// Views that are kept at least.
    pub min_kept: usize,
    /// Multiplies the logits where a posterior is needed.
    pub logit_scale: f64,
}

/// What became of a sample.
#[derive(Debug)]
pub struct Record {
    /// Numbers of the kept views, ascending.
    pub kept: Vec<usize>,
    /// Entropy of their mean posterior before the last step, nats.
    pub loss: f64,
    /// The tuned parameter: residual `[1 or C, G, d]` on the texts that the aligner compares, or context `[n, H]`.
    pub parameter: Tensor,
}

/// The runtime part of `tpt` and its relatives.
pub struct Tuner {
    name: &'static str,
    rules: Rules,
    views: ViewsConfig,
    own: Box<dyn AugmentationConfig>,
    stream: Option<Stream>,
}

impl std::fmt::Debug for Tuner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tuner")
            .field("name", &self.name)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

struct Stream {
    views: Views,
    tuning: Tuning,
}

struct Tuning {
    rules: Rules,
    /// V.
    views: usize,
    anchors: SemanticAnchors,
    /// How the aligner's scores are differentiated, once that is known.
    way: Option<Way>,
}

enum Way {
    Linear(Box<Engine>),
    Graph,
}

impl Tuner {
    /// `own` makes the views where the options name no augmentation.
    pub fn new(
        name: &'static str,
        rules: Rules,
        views: &ViewsConfig,
        own: Box<dyn AugmentationConfig>,
    ) -> Self {
        Self {
            name,
            rules,
            views: views.clone(),
            own,
            stream: None,
        }
    }

    /// Tunes samples whose views are there already: the logits of their first views under the tuned texts, `[n, C]`.
    ///
    /// # Shapes
    /// - `rows`: `[n·V, ..]` as [`Aligner::condense`] gives them, the views of a sample next to each other
    ///
    /// # Errors
    /// [`Error::Missing`] before `begin`, or without the prompts that the options ask for; [`Error::Shape`] when `rows`
    /// are no whole number of samples.
    pub fn tune(
        &mut self,
        rows: &Tensor,
        model: &dyn Aligner,
        prompts: Option<&dyn PromptTower>,
    ) -> Result<Tensor> {
        self.tuning()?.tune(rows, model, prompts, None)
    }

    /// As [`Self::tune`], with what became of every sample.
    ///
    /// # Errors
    /// As [`Self::tune`].
    pub fn tune_recorded(
        &mut self,
        rows: &Tensor,
        model: &dyn Aligner,
        prompts: Option<&dyn PromptTower>,
    ) -> Result<(Tensor, Vec<Record>)> {
        let mut records = Vec::new();
        let answers = self.tuning()?.tune(rows, model, prompts, Some(&mut records))?;
        Ok((answers, records))
    }

    fn tuning(&mut self) -> Result<&mut Tuning> {
        let stream = self.stream.as_mut().ok_or_else(|| not_begun(self.name))?;
        Ok(&mut stream.tuning)
    }

    /// Tunes through autograd, whatever the aligner.
    #[cfg(test)]
    pub(crate) fn use_graph(&mut self) {
        self.tuning().unwrap().way = Some(Way::Graph);
    }

    #[cfg(test)]
    pub(crate) fn is_linear(&mut self) -> bool {
        matches!(self.tuning().unwrap().way, Some(Way::Linear(_)))
    }
}

fn not_begun(name: &str) -> Error {
    Error::Missing(format!("a stream: {name} was not begun"))
}

impl Tuning {
    fn tune(
        &mut self,
        rows: &Tensor,
        model: &dyn Aligner,
        prompts: Option<&dyn PromptTower>,
        record: Option<&mut Vec<Record>>,
    ) -> Result<Tensor> {
        let (views, rules) = (self.views, self.rules);
        let size = rows.size();
        let classes = self.anchors.classes.len();
        let whole = size
            .first()
            .is_some_and(|rows| (*rows as usize).is_multiple_of(views));
        if !whole {
            let want = format!("a multiple of {views} rows");
            return Err(Error::Shape {
                what: "rows of views".into(),
                got: size,
                want,
            });
        }
        if size[0] == 0 {
            return Ok(Tensor::zeros([0, classes as i64], (Kind::Float, rows.device())));
        }
        if self.way.is_none() {
            self.way = Some(self.choose(rows, model)?);
        }
        match &mut self.way {
            Some(Way::Linear(engine)) => {
                shape::expect("rows of views", rows, [None, Some(engine.row() as i64)])?;
                Ok(along_rows(engine, &rules, rows, views, classes, record))
            }
            _ => {
                let parameter = Parameter::of(&rules, &self.anchors, model, prompts)?;
                graph::tune(&parameter, &rules, model, &rows.detach(), views, record)
            }
        }
    }

    /// The short way, where the aligner says that its scores are a product and the first row agrees.
    fn choose(&self, rows: &Tensor, model: &dyn Aligner) -> Result<Way> {
        if self.rules.parameter == Tuned::Prompt {
            return Ok(Way::Graph);
        }
        let Some(linear) = model.linear(&self.anchors)? else {
            return Ok(Way::Graph);
        };
        let row = rows.narrow(0, 0, 1);
        let score = |rows: &Tensor| tch::no_grad(|| model.score_condensed(rows, &self.anchors));
        let known = host::to_f64(&score(&row)?.logits);
        let index: Vec<i64> = linear.granularities.iter().map(|g| *g as i64).collect();
        let index = Tensor::from_slice(&index).to_device(rows.device());
        let texts = self
            .anchors
            .values
            .to_kind(Kind::Float)
            .f_index_select(1, &index)?
            .flatten(1, 2);
        if row.dim() != 2 || row.size()[1] != texts.size()[1] {
            return Ok(Way::Graph);
        }
        let product = row.to_kind(Kind::Float).mm(&texts.transpose(0, 1)) * linear.scale;
        let largest = known.iter().fold(1e-6f64, |top, z| top.max(z.abs()));
        let off = known
            .iter()
            .zip(host::to_f64(&product))
            .map(|(a, b)| (a - b).abs());
        if off.fold(0.0, f64::max) > 1e-3 * largest {
            return Ok(Way::Graph);
        }
        let engine = Engine::new(&linear, &self.anchors, self.rules.shared)?;
        Ok(Way::Linear(Box::new(engine)))
    }
}

/// Samples one after the other on the host.
fn along_rows(
    engine: &mut Engine,
    rules: &Rules,
    rows: &Tensor,
    views: usize,
    classes: usize,
    mut record: Option<&mut Vec<Record>>,
) -> Tensor {
    let fetched = host::HostF32::new(&rows.detach());
    let mut answers = vec![0.0; fetched.as_slice().len() / (views * engine.row()) * classes];
    let samples = fetched.as_slice().chunks_exact(views * engine.row());
    for (sample, answer) in samples.zip(answers.chunks_exact_mut(classes)) {
        engine.tune(sample, rules, answer, record.as_deref_mut());
    }
    Tensor::from_slice(&answers)
        .view([-1, classes as i64])
        .to_device(rows.device())
}

impl TestTimeAdapter for Tuner {
    fn begin(&mut self, task: &Task) -> Result<()> {
        if task.candidates.is_empty() {
            return Err(Error::Input(format!("{} needs candidates", self.name)));
        }
        self.stream = Some(Stream {
            views: Views::begin(&self.views, self.own.as_ref(), task)?,
            tuning: Tuning {
                rules: self.rules,
                views: self.views.count,
                anchors: task.anchors.with_values(task.anchors.values.detach())?,
                way: None,
            },
        });
        Ok(())
    }

    fn step(&mut self, seen: &Observation, model: &dyn Aligner) -> Result<Scores> {
        let Stream { views, tuning } = self.stream.as_mut().ok_or_else(|| not_begun(self.name))?;
        let classes = tuning.anchors.classes.len() as i64;
        let batch = Some(seen.samples.len() as i64);
        shape::expect("scores", &seen.scores.logits, [batch, Some(classes)])?;
        let mut answers = vec![Tensor::zeros(
            [0, classes],
            (Kind::Float, seen.scores.logits.device()),
        )];
        views.each(seen, |_, maps| {
            let rows = tch::no_grad(|| model.condense(maps))?;
            answers.push(tuning.tune(&rows, model, seen.prompts, None)?);
            Ok(())
        })?;
        Ok(Scores {
            logits: Tensor::cat(&answers, 0),
        })
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        self.stream.as_ref().ok_or_else(|| not_begun(self.name))?;
        Ok(NamedTensors::new())
    }

    fn restore(&mut self, state: NamedTensors) -> Result<()> {
        self.stream.as_ref().ok_or_else(|| not_begun(self.name))?;
        match state.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::Input(format!(
                "{} keeps nothing between samples, its state holds `{name}`",
                self.name
            ))),
        }
    }
}
