//! Does a plugin keep what its components promise? Each is configured with its default options (or given ones), built, and
//! tried on small random data: shapes, devices, determinism, independence of the batch size where claimed, state that comes
//! back, errors instead of crashes, and memory over ten thousand calls.

mod adapter;
mod aligner;
mod encoder;
mod others;

use serde_json::{Map, Value, json};
use szar_core::{ComponentInfo, ComponentKind, Error, Problems, Result};
use tch::Tensor;

use crate::library::Loaded;

/// Calls of the memory trial.
pub const CALLS: usize = 10_000;

/// Bytes that the resident set may grow by over the last nine tenths of the calls: allocators keep some.
const SLACK: u64 = 24 << 20;

/// How one trial ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As promised.
    Kept,
    /// Not tried, with the reason.
    Skipped(String),
    /// Broken, with what was seen.
    Broken(String),
}

/// One trial of one component.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Kind and name.
    pub component: String,
    /// What was tried.
    pub what: &'static str,
    /// How it ended.
    pub verdict: Verdict,
}

/// The trials of one component.
pub(crate) struct Trials {
    component: String,
    findings: Vec<Finding>,
}

impl Trials {
    /// Notes a trial: an error says what was seen.
    pub fn note(&mut self, what: &'static str, result: Result<()>) {
        let verdict = match result {
            Ok(()) => Verdict::Kept,
            Err(error) => Verdict::Broken(error.to_string()),
        };
        self.add(what, verdict);
    }

    /// Notes a trial that was left out.
    pub fn skip(&mut self, what: &'static str, why: &str) {
        self.add(what, Verdict::Skipped(why.to_owned()));
    }

    fn add(&mut self, what: &'static str, verdict: Verdict) {
        self.findings.push(Finding {
            component: self.component.clone(),
            what,
            verdict,
        });
    }
}

/// A broken promise in words.
pub(crate) fn broken<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::Input(why.into()))
}

/// Something must be refused.
pub(crate) fn refused<T>(what: &str, result: Result<T>) -> Result<()> {
    match result {
        Ok(_) => broken(format!("{what} was taken without an error")),
        Err(_) => Ok(()),
    }
}

/// Two tensors with the same bits.
pub(crate) fn same(what: &str, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.size() != b.size() {
        return broken(format!("{what}: shapes {:?} and {:?}", a.size(), b.size()));
    }
    match a.equal(b) {
        true => Ok(()),
        false => broken(format!(
            "{what} differ by up to {:e}",
            (a - b).abs().max().double_value(&[])
        )),
    }
}

/// Two tensors that may differ by rounding.
pub(crate) fn close(what: &str, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.size() != b.size() {
        return broken(format!("{what}: shapes {:?} and {:?}", a.size(), b.size()));
    }
    match a.allclose(b, 1e-4, 1e-4, false) {
        true => Ok(()),
        false => broken(format!(
            "{what} differ by up to {:e}",
            (a - b).abs().max().double_value(&[])
        )),
    }
}

/// Only finite values.
pub(crate) fn finite(what: &str, tensor: &Tensor) -> Result<()> {
    match tensor.isfinite().all().int64_value(&[]) {
        1 => Ok(()),
        _ => broken(format!("{what} are not all finite")),
    }
}

/// Resident memory of this process in bytes, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = status.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

/// Runs `call` ten thousand times; the resident set after the first thousand and at the end must be about the same.
pub(crate) fn steady(mut call: impl FnMut() -> Result<()>) -> Result<()> {
    for _ in 0..CALLS / 10 {
        call()?;
    }
    let before = resident();
    for _ in CALLS / 10..CALLS {
        call()?;
    }
    match (before, resident()) {
        (Some(before), Some(after)) if after > before + SLACK => broken(format!(
            "the resident set grew by {:.1} MB over {} calls",
            (after - before) as f64 / 1e6,
            CALLS - CALLS / 10
        )),
        _ => Ok(()),
    }
}

/// Options as serde of the host finds them.
pub(crate) fn block(info: &ComponentInfo, options: &Map<String, Value>) -> Value {
    let mut all = info.defaults().as_object().cloned().unwrap_or_default();
    all.extend(options.clone());
    json!({ "type": szar_core::registry::PLUGIN, "component": info.name, "options": all })
}

/// Reads a configuration and lets it judge itself.
pub(crate) fn configured<C: serde::de::DeserializeOwned>(
    info: &ComponentInfo,
    options: &Map<String, Value>,
    validate: impl FnOnce(&C, &mut Problems),
) -> Result<C> {
    let config: C = serde_json::from_value(block(info, options)).map_err(|e| Error::Input(e.to_string()))?;
    let mut problems = Problems::new();
    validate(&config, &mut problems);
    match problems.is_empty() {
        true => Ok(config),
        false => Err(Error::Config(problems)),
    }
}

/// Tries every component of a plugin. `options` are given to components by name, over their defaults.
pub fn examine(plugin: &Loaded, options: &Map<String, Value>) -> Vec<Finding> {
    let none = Map::new();
    let mut findings = Vec::new();
    for info in &plugin.components {
        let own = options.get(info.name).and_then(Value::as_object).unwrap_or(&none);
        let mut trials = Trials {
            component: format!("{} `{}`", info.kind, info.name),
            findings: Vec::new(),
        };
        described(info, &mut trials);
        match info.kind {
            ComponentKind::Adapter => adapter::examine(info, own, &mut trials),
            ComponentKind::Aligner => aligner::examine(info, own, &mut trials),
            ComponentKind::Encoder => encoder::examine(info, own, &mut trials),
            _ => others::examine(info, own, &mut trials),
        }
        findings.extend(trials.findings);
    }
    findings
}

/// The defaults fit the schema, an unknown field does not, and every option is explained.
fn described(info: &ComponentInfo, trials: &mut Trials) {
    let judge = || -> Result<()> {
        let schema = info.schema();
        let validator = jsonschema::validator_for(&schema).map_err(|e| Error::Input(e.to_string()))?;
        if let Some(error) = validator.iter_errors(&info.defaults()).next() {
            return broken(format!("the default options do not fit the schema: {error}"));
        }
        let mut unknown = info.defaults();
        if let Some(fields) = unknown.as_object_mut() {
            fields.insert("no_such_option_of_anybody".into(), Value::Null);
        }
        match validator.is_valid(&unknown) {
            true => broken(
                "the schema takes fields that there are not; set `additionalProperties: false` (serde: `deny_unknown_fields`)",
            ),
            false => Ok(()),
        }
    };
    trials.note("schema and defaults", judge());
    let fields = info.schema();
    let bare = fields["properties"].as_object().into_iter().flatten();
    let bare: Vec<_> = bare
        .filter(|(_, field)| {
            field["description"].as_str().unwrap_or_default().is_empty() && field.get("$ref").is_none()
        })
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    let explained = match bare.is_empty() && !info.summary.is_empty() {
        true => Ok(()),
        false if info.summary.is_empty() => broken("the component has no summary"),
        false => broken(format!("no description of {}", bare.join(", "))),
    };
    trials.note("summary and descriptions", explained);
}
