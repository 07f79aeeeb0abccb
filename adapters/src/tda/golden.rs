//! Replays the recorded streams through the adapter itself.

use serde_json::Value;
use szar_core::conform::{Case, Driver};
use szar_core::{Error, NamedTensors, Result, SampleRef, TestTimeAdapter};
use tch::{Kind, Tensor};

use super::adapter::normalised;
use super::cache::Cache;
use super::{EntropyUnit, NegativeConfig, PositiveConfig, Tda, TdaConfig, select_views};
use crate::recorded::{Recorded, with_accuracy};
use crate::rows;

inventory::submit! {
    Driver { kind: "adapter", component: "tda", run }
}

/// The share of the views that the released code keeps.
const VIEWS: f64 = 0.1;

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let recorded = Recorded::of(case)?;
    let options = options(case)?;
    let mut adapter = Tda::new(&options);
    adapter.begin(&recorded.task()?)?;
    let (base, entropies, logits) = if recorded.features.dim() == 3 {
        play_views(&mut adapter, &recorded)?
    } else {
        let logits = recorded.play(&mut adapter, |_| Ok(()))?;
        let base = recorded.base()?;
        let entropies = entropies(&base, options.temperature);
        (base, entropies, logits)
    };
    let classes = base.size()[1] as usize;
    let doubt: Vec<f32> = entropies
        .iter()
        .map(|e| normalised(*e, classes, EntropyUnit::Log2) as f32)
        .collect();
    let mut out = NamedTensors::new();
    let stream = adapter.stream()?;
    for (name, cache) in [("positive", &stream.positive), ("negative", &stream.negative)] {
        let entries = cache.as_ref().map(Cache::list).unwrap_or_default();
        let classes: Vec<i64> = entries.iter().map(|(h, _)| h.class as i64).collect();
        let samples: Vec<i64> = entries
            .iter()
            .map(|(h, _)| h.sample.position.cast_signed())
            .collect();
        let entropies: Vec<f32> = entries.iter().map(|(_, e)| *e as f32).collect();
        out.insert(format!("{name}_class"), Tensor::from_slice(&classes));
        out.insert(format!("{name}_sample"), Tensor::from_slice(&samples));
        out.insert(format!("{name}_entropy"), Tensor::from_slice(&entropies));
    }
    out.insert("normalised_entropy".into(), Tensor::from_slice(&doubt));
    with_accuracy(&mut out, &base, &logits, &recorded.labels);
    out.insert("base_logits".into(), base);
    out.insert("logits".into(), logits);
    Ok(Some(out))
}

/// Reads one number of a nested parameter.
fn number(block: &Value, path: &str) -> Result<f64> {
    let found = path.split('.').try_fold(block, |value, key| value.get(key));
    found
        .and_then(Value::as_f64)
        .ok_or_else(|| Error::Missing(format!("parameter `{path}`")))
}

fn options(case: &Case) -> Result<TdaConfig> {
    let (p, n): (Value, Value) = (case.param("positive")?, case.param("negative")?);
    let enabled = |block: &Value| block.get("enabled").and_then(Value::as_bool).unwrap_or(true);
    let mut positive = PositiveConfig {
        enabled: enabled(&p),
        ..PositiveConfig::default()
    };
    if positive.enabled {
        positive.capacity = number(&p, "shot_capacity")? as usize;
        positive.alpha = Some(number(&p, "alpha")?);
        positive.beta = Some(number(&p, "beta")?);
    }
    let mut negative = NegativeConfig {
        enabled: enabled(&n),
        ..NegativeConfig::default()
    };
    if negative.enabled {
        negative.capacity = number(&n, "shot_capacity")? as usize;
        negative.alpha = number(&n, "alpha")?;
        negative.beta = number(&n, "beta")?;
        negative.entropy_lower = number(&n, "entropy_threshold.lower")?;
        negative.entropy_upper = number(&n, "entropy_threshold.upper")?;
        negative.mask_lower = number(&n, "mask_threshold.lower")?;
        negative.mask_upper = number(&n, "mask_threshold.upper")?;
    }
    Ok(TdaConfig {
        positive,
        negative,
        ..TdaConfig::default()
    })
}

fn entropies(logits: &Tensor, temperature: f64) -> Vec<f64> {
    let mut values = Vec::new();
    rows::fetch(logits, &mut values);
    let classes = logits.size()[1] as usize;
    let mut scratch = vec![0.0; classes];
    let of = |row: &[f32]| rows::posterior(row, temperature, &mut scratch);
    values.chunks_exact(classes).map(of).collect()
}

/// The stream of samples with views: base logits, entropies and answers.
fn play_views(adapter: &mut Tda, recorded: &Recorded) -> Result<(Tensor, Vec<f64>, Tensor)> {
    let (mut base, mut entropies, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for (position, views) in (0..).zip(recorded.features.unbind(0)) {
        let length = views
            .square()
            .sum_dim_intlist([1i64].as_slice(), true, Kind::Float)
            .sqrt();
        let views = views / length;
        let logits = views.matmul(&recorded.classes.transpose(0, 1)) * recorded.scale;
        let chosen = select_views(&views, &logits, VIEWS)?;
        let (logits, posterior) = (chosen.logits.unsqueeze(0), chosen.posterior.unsqueeze(0));
        let mut p = Vec::new();
        rows::fetch(&posterior, &mut p);
        entropies.push(rows::entropy(&p));
        let samples = SampleRef::run(position, 1);
        answers.push(adapter.step_keys(&chosen.key.unsqueeze(0), &logits, &posterior, &samples)?);
        base.push(logits);
    }
    Ok((Tensor::cat(&base, 0), entropies, Tensor::cat(&answers, 0)))
}

#[cfg(test)]
#[test]
fn goldens() {
    szar_core::conform::assert_goldens("adapter/tda");
}
