//! Replays the recorded streams through the adapter itself.

use szar_core::conform::{Case, Driver};
use szar_core::{NamedTensors, Result, TestTimeAdapter};
use tch::Tensor;

use super::{Filter, T3a, T3aConfig};
use crate::recorded::{Recorded, with_accuracy};

inventory::submit! {
    Driver { kind: "adapter", component: "t3a", run }
}

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let recorded = Recorded::of(case)?;
    let options = T3aConfig {
        filter: Filter::Official,
        filter_k: usize::try_from(case.param::<i64>("filter_k")?).ok(),
        ..T3aConfig::default()
    };
    let mut adapter = T3a::new(&options);
    adapter.begin(&recorded.task()?)?;
    let logits = recorded.play(&mut adapter, |_| Ok(()))?;
    let (mut samples, mut labels, mut entropies) = (Vec::new(), Vec::new(), Vec::<f32>::new());
    for (label, entries) in adapter
        .supports()
        .into_iter()
        .flat_map(|s| s.blocks())
        .enumerate()
    {
        samples.extend(entries.iter().map(|e| e.sample));
        entropies.extend(entries.iter().map(|e| e.entropy as f32));
        labels.extend(entries.iter().map(|_| label as i64));
    }
    let mut out = NamedTensors::new();
    out.insert("support_sample".into(), Tensor::from_slice(&samples));
    out.insert("support_label".into(), Tensor::from_slice(&labels));
    out.insert("support_entropy".into(), Tensor::from_slice(&entropies));
    let base = recorded.base()?;
    with_accuracy(&mut out, &base, &logits, &recorded.labels);
    out.insert("base_logits".into(), base);
    out.insert("logits".into(), logits);
    Ok(Some(out))
}

#[cfg(test)]
#[test]
fn goldens() {
    szar_core::conform::assert_goldens("adapter/t3a");
}
