//! Parity with recorded tensors: golden cases, the drivers that replay them, and the comparison.
//!
//! A case is a folder `<kind>/<component>/<case>/` with `case.yaml` and `tensors.safetensors`
//! (`weights/...`, `input/...`, `output/...`). A driver maps a case's names to a component's and returns what
//! the component computes; [`compare`] holds it against what was recorded.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use crate::checkpoint::{self, NamedTensors};
use crate::{Error, Result};

/// Largest difference that counts as equal: `|got - want| <= atol + rtol * |want|`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Tolerance {
    /// Absolute part.
    pub atol: f64,
    /// Relative part.
    pub rtol: f64,
}

#[derive(Deserialize)]
struct CaseFile {
    kind: String,
    component: String,
    #[serde(default)]
    params: Value,
    tolerance: ToleranceFile,
    weights_from: Option<String>,
}

#[derive(Deserialize)]
struct ToleranceFile {
    #[serde(flatten)]
    all: Tolerance,
    #[serde(default)]
    per_output: std::collections::BTreeMap<String, Tolerance>,
}

/// A recorded case.
#[derive(Debug)]
pub struct Case {
    /// encoder, aligner, adapter, graph, preprocess, metric, semantics.
    pub kind: String,
    /// Component, in the goldens' words.
    pub component: String,
    /// `<kind>/<component>/<case>`, as far as the path tells.
    pub name: String,
    /// What to construct.
    pub params: Value,
    /// Folder of the case, for further files.
    pub folder: PathBuf,
    tensors: NamedTensors,
    tolerance: Tolerance,
    per_output: std::collections::BTreeMap<String, Tolerance>,
}

impl Case {
    /// Reads a case folder.
    ///
    /// # Errors
    /// When a file is missing or not as the format says.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("case.yaml");
        let text = std::fs::read_to_string(&path).map_err(|e| Error::read(&path, e))?;
        let file: CaseFile =
            serde_yaml::from_str(&text).map_err(|e| Error::format(&path, None, e.to_string()))?;
        let (mut tensors, _) = checkpoint::load(&folder.join("tensors.safetensors"), Device::Cpu)?;
        if let Some(from) = &file.weights_from {
            let root = folder.ancestors().nth(3).unwrap_or(folder);
            let (other, _) = checkpoint::load(&root.join(from).join("tensors.safetensors"), Device::Cpu)?;
            tensors.extend(other.into_iter().filter(|(name, _)| name.starts_with("weights/")));
        }
        let names: Vec<_> = folder
            .components()
            .rev()
            .take(3)
            .map(|c| c.as_os_str().to_string_lossy())
            .collect();
        let name = names.into_iter().rev().collect::<Vec<_>>().join("/");
        Ok(Self {
            kind: file.kind,
            component: file.component,
            name,
            params: file.params,
            folder: folder.to_owned(),
            tensors,
            tolerance: file.tolerance.all,
            per_output: file.tolerance.per_output,
        })
    }

    /// Every case folder at or below a folder, sorted by path.
    ///
    /// # Errors
    /// When the folder cannot be read or holds no case.
    pub fn find(root: &Path) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut open = vec![root.to_owned()];
        while let Some(folder) = open.pop() {
            if folder.join("case.yaml").is_file() {
                found.push(folder);
                continue;
            }
            let entries = std::fs::read_dir(&folder).map_err(|e| Error::read(&folder, e))?;
            open.extend(entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()));
        }
        if found.is_empty() {
            return Err(Error::Input(format!(
                "{}: no folder with a `case.yaml` at or below it",
                root.display()
            )));
        }
        found.sort();
        Ok(found)
    }

    /// An input tensor.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn input(&self, name: &str) -> Result<Tensor> {
        self.tensor(&format!("input/{name}"))
    }

    /// An input tensor that not every case has.
    pub fn optional_input(&self, name: &str) -> Option<Tensor> {
        self.tensor(&format!("input/{name}")).ok()
    }

    /// A recorded output, for drivers that report only what the case records.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn output(&self, name: &str) -> Result<Tensor> {
        self.tensor(&format!("output/{name}"))
    }

    fn tensor(&self, name: &str) -> Result<Tensor> {
        let found = self.tensors.get(name).map(Tensor::shallow_clone);
        found.ok_or_else(|| Error::Missing(format!("tensor `{name}` of case {}", self.name)))
    }

    /// The weights, under the official state_dict names.
    pub fn weights(&self) -> NamedTensors {
        let own = self
            .tensors
            .iter()
            .filter_map(|(n, t)| Some((n.strip_prefix("weights/")?, t)));
        own.map(|(n, t)| (n.to_owned(), t.shallow_clone())).collect()
    }

    /// The recorded outputs by name.
    pub fn outputs(&self) -> NamedTensors {
        let own = self
            .tensors
            .iter()
            .filter_map(|(n, t)| Some((n.strip_prefix("output/")?, t)));
        own.map(|(n, t)| (n.to_owned(), t.shallow_clone())).collect()
    }

    /// A parameter of the case as JSON.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Input`] when it is absent or of another type.
    pub fn param<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<T> {
        let value = self
            .params
            .get(name)
            .ok_or_else(|| Error::Missing(format!("parameter `{name}` of {}", self.name)))?;
        serde_json::from_value(value.clone())
            .map_err(|e| Error::Input(format!("parameter `{name}` of {}: {e}", self.name)))
    }

    /// Tolerance of an output: `per_output` entries name it whole or up to a `*`.
    pub fn tolerance(&self, output: &str) -> Tolerance {
        let matches = |pattern: &str| match pattern.strip_suffix('*') {
            Some(start) => output.starts_with(start),
            None => pattern == output,
        };
        let special = self.per_output.iter().find(|(pattern, _)| matches(pattern));
        special.map_or(self.tolerance, |(_, t)| *t)
    }
}

/// Replays the cases of one component. `component` may be `*` for all of a kind.
#[derive(Clone, Copy)]
pub struct Driver {
    /// Kind in the goldens' words.
    pub kind: &'static str,
    /// Component in the goldens' words.
    pub component: &'static str,
    /// Computes the outputs under their recorded names; `Ok(None)` when this case asks for something that does not exist here yet.
    pub run: fn(&Case) -> Result<Option<NamedTensors>>,
}

inventory::collect!(Driver);

/// The driver of a case, if there is one.
pub fn driver(kind: &str, component: &str) -> Option<&'static Driver> {
    inventory::iter::<Driver>
        .into_iter()
        .find(|d| d.kind == kind && (d.component == component || d.component == "*"))
}

/// How one output compares.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Name of the output.
    pub output: String,
    /// Largest absolute difference; infinite when shapes differ or values are not finite.
    pub max_error: f64,
    /// What was allowed.
    pub tolerance: Tolerance,
    /// Within tolerance everywhere?
    pub ok: bool,
    /// Why not, when it is not a matter of size.
    pub note: Option<String>,
}

/// Holds what was computed against every recorded output. A recorded output that was not computed is a mismatch.
pub fn compare(case: &Case, got: &NamedTensors) -> Vec<Comparison> {
    let one = |(name, want): (&String, &Tensor)| {
        let tolerance = case.tolerance(name);
        let fail = |note: String| Comparison {
            output: name.clone(),
            max_error: f64::INFINITY,
            tolerance,
            ok: false,
            note: Some(note),
        };
        let Some(got) = got.get(name) else {
            return fail("not computed".into());
        };
        if got.size() != want.size() {
            return fail(format!("shape {:?}, expected {:?}", got.size(), want.size()));
        }
        if want.numel() == 0 {
            return Comparison {
                output: name.clone(),
                max_error: 0.0,
                tolerance,
                ok: true,
                note: None,
            };
        }
        let exact = want.kind() == Kind::Int64;
        let (got, want) = (
            got.to_device(Device::Cpu).to_kind(Kind::Double),
            want.to_kind(Kind::Double),
        );
        // Equal infinities and NaNs count as equal; any other difference with them does not.
        let same = got
            .eq_tensor(&want)
            .logical_or(&got.isnan().logical_and(&want.isnan()));
        let error = (&got - &want)
            .abs()
            .where_self(&same.logical_not(), &Tensor::from(0.0f64));
        let allowed = if exact {
            want.zeros_like()
        } else {
            want.abs() * tolerance.rtol + tolerance.atol
        };
        let ok = error.le_tensor(&allowed).all().int64_value(&[]) == 1;
        let largest = error
            .nan_to_num(f64::INFINITY, f64::INFINITY, f64::INFINITY)
            .max()
            .double_value(&[]);
        Comparison {
            output: name.clone(),
            max_error: largest,
            tolerance,
            ok,
            note: None,
        }
    };
    case.outputs().iter().map(one).collect()
}

/// The golden cases used by tests: `$SZAR_GOLDENS`, else `../shared/goldens` beside the workspace; `None` (and a
/// line on stderr) where there are none.
pub fn goldens_for_tests(below: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/goldens");
    let root = std::env::var_os("SZAR_GOLDENS")
        .map_or(beside, PathBuf::from)
        .join(below);
    if root.is_dir() {
        return Some(root);
    }
    eprintln!(
        "skipped: no golden cases at {} (set SZAR_GOLDENS)",
        root.display()
    );
    None
}

/// Runs every golden case below a folder of the goldens and panics, for tests, with all that differ.
pub fn assert_goldens(below: &str) {
    let Some(root) = goldens_for_tests(below) else {
        return;
    };
    let mut wrong = Vec::new();
    for folder in Case::find(&root).unwrap_or_else(|e| panic!("{e}")) {
        let case = Case::load(&folder).unwrap_or_else(|e| panic!("{e}"));
        let Some(driver) = driver(&case.kind, &case.component) else {
            panic!("no driver for {}", case.name)
        };
        match (driver.run)(&case) {
            Ok(Some(got)) => {
                let bad = compare(&case, &got).into_iter().filter(|c| !c.ok);
                wrong.extend(bad.map(|c| {
                    format!(
                        "{}: {} off by {:e} {:?}",
                        case.name, c.output, c.max_error, c.note
                    )
                }));
            }
            Ok(None) => wrong.push(format!("{}: not implemented", case.name)),
            Err(error) => wrong.push(format!("{}: {error}", case.name)),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} outputs differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
