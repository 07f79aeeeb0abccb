//! An adapter that takes from the logits of each class a share of their mean over the stream so far.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_plugin::{
    AdapterConfig, Aligner, BuildContext, ComponentInfo, ComponentKind, Error, NamedTensors, Observation,
    Problems, Result, Scores, Task, TestTimeAdapter, shape,
};
use tch::{Kind, Tensor};

/// Options of `running-mean`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RunningMeanConfig {
    /// Share of the mean that is taken away, 0 to 1. Default: all of it.
    pub share: f64,
}

impl Default for RunningMeanConfig {
    fn default() -> Self {
        Self { share: 1.0 }
    }
}

#[typetag::serde(name = "running-mean")]
impl AdapterConfig for RunningMeanConfig {
    fn validate(&self, problems: &mut Problems) {
        let share = self.share;
        problems.check((0.0..=1.0).contains(&share), "share", || {
            format!("must lie between 0 and 1, got {share}")
        });
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        Ok(Box::new(RunningMean {
            share: self.share,
            sums: None,
        }))
    }
}

inventory::submit! {
    ComponentInfo::new::<RunningMeanConfig>(
        ComponentKind::Adapter,
        "running-mean",
        "Takes from the logits of each class their mean over the stream so far.",
        "",
    )
}

/// The runtime part.
#[derive(Debug)]
struct RunningMean {
    share: f64,
    /// `[C + 1]` f64: sums of the logits, then how many samples there were.
    sums: Option<Tensor>,
}

fn not_begun() -> Error {
    Error::Missing("a stream: running-mean was not begun".into())
}

impl TestTimeAdapter for RunningMean {
    fn begin(&mut self, task: &Task) -> Result<()> {
        let numbers = task.candidates.len() as i64 + 1;
        self.sums = Some(Tensor::zeros([numbers], (Kind::Double, task.device)));
        Ok(())
    }

    /// Every sample sees itself and those before it, so that the size of a batch changes nothing.
    fn step(&mut self, seen: &Observation, _: &dyn Aligner) -> Result<Scores> {
        let _no_grad = tch::no_grad_guard();
        let sums = self.sums.as_mut().ok_or_else(not_begun)?;
        let (logits, classes) = (&seen.scores.logits, sums.size()[0] - 1);
        let [batch, _] = shape::sizes("scores", logits, [None, Some(classes)])?;
        if batch == 0 {
            return Ok(Scores {
                logits: logits.shallow_clone(),
            });
        }
        let one = Tensor::ones([batch, 1], (Kind::Double, logits.device()));
        let rows = Tensor::cat(&[logits.to_kind(Kind::Double), one], 1);
        let all = Tensor::cat(&[sums.unsqueeze(0), rows], 0).cumsum(0, Kind::Double);
        *sums = all.get(batch).copy();
        let so_far = all.narrow(0, 1, batch);
        let mean = so_far.narrow(1, 0, classes) / so_far.narrow(1, classes, 1);
        let own = logits.to_kind(Kind::Double) - mean * self.share;
        Ok(Scores {
            logits: own.to_kind(Kind::Float),
        })
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        let sums = self.sums.as_ref().ok_or_else(not_begun)?;
        Ok(NamedTensors::from([("sums".to_owned(), sums.copy())]))
    }

    fn restore(&mut self, mut state: NamedTensors) -> Result<()> {
        let own = self.sums.as_mut().ok_or_else(not_begun)?;
        let sums = state
            .remove("sums")
            .ok_or_else(|| Error::Missing("`sums`".into()))?;
        shape::expect("sums", &sums, [own.size().first().copied()])?;
        *own = sums.to_device(own.device()).to_kind(Kind::Double).copy();
        Ok(())
    }

    fn state_bytes(&self) -> u64 {
        self.sums.as_ref().map_or(0, |sums| 8 * sums.numel() as u64)
    }
}
