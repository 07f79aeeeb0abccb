//! `none`: gives the scores back as they are; an explicit baseline in grids of adapters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    AdapterConfig, Aligner, BuildContext, ComponentInfo, ComponentKind, Error, NamedTensors, Observation,
    Problems, Result, Scores, Task, TestTimeAdapter,
};

/// Options of the `none` adapter: it has none.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NoneConfig {}

#[typetag::serde(name = "none")]
impl AdapterConfig for NoneConfig {
    fn validate(&self, _: &mut Problems) {}

    fn holds_streams(&self) -> bool {
        true
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        Ok(Box::new(Unchanged))
    }
}

inventory::submit! {
    ComponentInfo::new::<NoneConfig>(
        ComponentKind::Adapter,
        "none",
        "Gives the scores back as they are.",
        "",
    )
}

/// The runtime part of `none`.
#[derive(Clone, Copy, Debug)]
struct Unchanged;

impl TestTimeAdapter for Unchanged {
    fn begin(&mut self, _: &Task) -> Result<()> {
        Ok(())
    }

    fn step(&mut self, seen: &Observation, _: &dyn Aligner) -> Result<Scores> {
        Ok(Scores {
            logits: seen.scores.logits.shallow_clone(),
        })
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        Ok(NamedTensors::new())
    }

    fn restore(&mut self, state: NamedTensors) -> Result<()> {
        nothing_in(&state)
    }
}

/// Refuses a state where there is none to take.
pub(crate) fn nothing_in(state: &NamedTensors) -> Result<()> {
    match state.keys().next() {
        None => Ok(()),
        Some(name) => Err(Error::Input(format!(
            "the snapshot holds `{name}`, this adapter keeps no state"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use szar_core::testing::{DotModel, build_context, play, task};
    use szar_core::{FeatureMap, Granularity};
    use tch::{Tensor, kind::FLOAT_CPU};

    use super::*;

    #[test]
    fn scores_come_back_bit_for_bit() {
        let task = task(5, 8, 1, 1);
        let mut adapter = NoneConfig {}.build(&build_context()).unwrap();
        adapter.begin(&task).unwrap();
        let features = FeatureMap::from_pooled(&Tensor::randn([7, 8], FLOAT_CPU)).unwrap();
        let model = DotModel { scale: 3.0 };
        let got = play(adapter.as_mut(), &model, &task.anchors, &features, 7).unwrap();
        let text = task.anchors.granularity(&Granularity::GLOBAL).unwrap();
        assert!(got.equal(&(features.pooled().matmul(&text.transpose(0, 1)) * 3.0)));
        assert!(adapter.snapshot().unwrap().is_empty());
    }

    #[test]
    fn a_foreign_state_is_refused_by_name() {
        let state = NamedTensors::from([("keys".to_owned(), Tensor::zeros([1], FLOAT_CPU))]);
        let error = Unchanged.restore(state).unwrap_err().to_string();
        assert_eq!(error, "the snapshot holds `keys`, this adapter keeps no state");
    }
}
