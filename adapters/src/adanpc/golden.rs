//! Replays the recorded streams through the adapter itself.

use szar_core::conform::{Case, Driver};
use szar_core::{NamedTensors, Result, TestTimeAdapter, host};
use tch::Tensor;

use super::{AdaNpc, AdaNpcConfig, Answer, Capacity, Confidence, Unbounded};
use crate::recorded::{Recorded, with_accuracy};

inventory::submit! {
    Driver { kind: "adapter", component: "adanpc", run }
}

/// Rows of the memory's end that are recorded.
const TAIL: i64 = 8;

fn options(case: &Case) -> Result<AdaNpcConfig> {
    let plain = AdaNpcConfig::default();
    Ok(AdaNpcConfig {
        k: case.param("k")?,
        temperature: case.param("temperature")?,
        beta: case.param("beta")?,
        // Above 1, the recorded word for off.
        eps_ball: case.param::<f64>("eps_ball").ok().filter(|eps| *eps <= 1.0),
        bn: case.param("bn").unwrap_or(false),
        steps: case.param("steps").unwrap_or(plain.steps),
        lr: case.param("lr").unwrap_or(plain.lr),
        confidence: Confidence::Official,
        capacity: Capacity::Word(Unbounded::None),
        answer: Answer::Votes,
        ..plain
    })
}

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let recorded = Recorded::of(case)?;
    let memory = case.input("memory")?;
    let labels = host::to_i64(&case.input("memory_labels")?)?;
    let labels: Vec<usize> = labels
        .iter()
        .map(|l| usize::try_from(*l).unwrap_or(usize::MAX))
        .collect();
    let mut sizes = vec![labels.len() as i64];
    let mut adapter = AdaNpc::new(&options(case)?).with_memory(&memory, &labels);
    adapter.begin(&recorded.task()?)?;
    let scores = recorded.play(&mut adapter, |adapter| {
        sizes.extend(adapter.memories().first().map(|m| m.len() as i64));
        Ok(())
    })?;
    let mut out = NamedTensors::new();
    out.insert("memory_size".into(), Tensor::from_slice(&sizes));
    for memory in adapter.memories() {
        let rows = Tensor::from_slice(&memory.values).reshape([-1, memory.rows.width as i64]);
        let count = rows.size()[0];
        let tail = TAIL.min(count);
        out.insert("memory_tail".into(), rows.narrow(0, count - tail, tail));
        out.insert(
            "memory_label".into(),
            crate::saved::integers(memory.labels.iter().copied()),
        );
    }
    for bn in adapter.bns() {
        out.extend(
            bn.state
                .iter()
                .map(|(name, t)| (format!("bn_{name}"), t.detach())),
        );
    }
    with_accuracy(&mut out, &recorded.base()?, &scores, &recorded.labels);
    out.insert("scores".into(), scores);
    Ok(Some(out))
}

#[cfg(test)]
#[test]
fn goldens() {
    szar_core::conform::assert_goldens("adapter/adanpc");
}
