//! `balance` as an adapter of its own.

use std::collections::BTreeMap;

use szar_core::{
    AdapterConfig, Aligner, BuildContext, ComponentInfo, ComponentKind, Error, NamedTensors, Observation,
    Problems, Result, Scores, Task, TestTimeAdapter, host, shape,
};
use tch::Tensor;

use super::{Balance, BalanceConfig};

#[typetag::serde(name = "balance")]
impl AdapterConfig for BalanceConfig {
    fn validate(&self, problems: &mut Problems) {
        self.judge("", problems);
    }

    fn holds_streams(&self) -> bool {
        true
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        Ok(Box::new(BalanceAdapter {
            options: self.clone(),
            streams: Vec::new(),
        }))
    }
}

inventory::submit! {
    ComponentInfo::new::<BalanceConfig>(
        ComponentKind::Adapter,
        "balance",
        "Brings logits to a common scale and takes out the classes that the stream's posteriors favour.",
        "after Menon et al., Long-tail learning via logit adjustment (ICLR 2021)"
    )
}

/// The runtime part of `balance`. On an accelerator the logits `[B, C]` go to the host and back once a step.
#[derive(Debug)]
pub struct BalanceAdapter {
    options: BalanceConfig,
    streams: Vec<Balance>,
}

impl TestTimeAdapter for BalanceAdapter {
    fn begin(&mut self, task: &Task) -> Result<()> {
        let one = || Balance::new(&self.options, task.candidates.len());
        self.streams = (0..task.streams).map(|_| one()).collect();
        Ok(())
    }

    fn step(&mut self, seen: &Observation, _: &dyn Aligner) -> Result<Scores> {
        let first = self.streams.first().ok_or_else(not_begun)?;
        let (classes, logits) = (first.mass.len(), &seen.scores.logits);
        shape::expect(
            "logits",
            logits,
            [Some(seen.samples.len() as i64), Some(classes as i64)],
        )?;
        let mut values = host::HostF32::new(logits).as_slice().to_vec();
        for (row, sample) in values.chunks_exact_mut(classes.max(1)).zip(seen.samples) {
            self.streams[sample.stream].step(row, None);
        }
        let balanced = host::tensor(&values, &logits.size());
        Ok(Scores {
            logits: balanced.to_device(logits.device()),
        })
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        if self.streams.is_empty() {
            return Err(not_begun());
        }
        let rows: Vec<Tensor> = self
            .streams
            .iter()
            .map(|s| Tensor::from_slice(&s.numbers()))
            .collect();
        Ok(NamedTensors::from([(
            "balance".to_owned(),
            Tensor::stack(&rows, 0),
        )]))
    }

    fn restore(&mut self, state: NamedTensors) -> Result<()> {
        let numbers = state
            .get("balance")
            .ok_or_else(|| Error::Missing("`balance` in the snapshot".into()))?;
        shape::expect("balance", numbers, [Some(self.streams.len() as i64), None])?;
        for (at, stream) in (0..).zip(&mut self.streams) {
            stream.set_numbers(&Vec::<f64>::try_from(numbers.get(at))?)?;
        }
        Ok(())
    }

    fn diagnostics(&self) -> BTreeMap<String, Vec<f64>> {
        let strength: f64 = self.streams.iter().map(Balance::mean_strength).sum();
        BTreeMap::from([(
            "mean_strength".to_owned(),
            vec![strength / self.streams.len().max(1) as f64],
        )])
    }

    fn state_bytes(&self) -> u64 {
        self.streams.iter().map(Balance::bytes).sum()
    }
}

fn not_begun() -> Error {
    Error::Missing("a stream: balance was not begun".into())
}
