//! The adapter: gives the scores on as they are, and counts its steps.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use szar_plugin::{
    AdapterConfig, Aligner, BuildContext, ComponentInfo, ComponentKind, Error, NamedTensors, Observation,
    Problems, Result, Scores, Task, TestTimeAdapter, tch,
};
use tch::{Kind, Tensor};

use crate::{Bomb, Fault};

/// What the adapter can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterFault {
    /// The check of the options panics.
    ValidatePanics,
    /// It cannot be built.
    BuildFails,
    /// Building it panics.
    BuildPanics,
    /// It refuses to begin.
    BeginFails,
    /// A step fails.
    StepFails,
    /// A step panics.
    StepPanics,
    /// A step panics with something that panics when it is dropped.
    StepPanicsForEver,
    /// Dropping it panics.
    DropPanics,
    /// The result lacks a sample.
    FewerSamples,
    /// The result lacks a class.
    FewerClasses,
    /// The result has one axis.
    Flat,
    /// The result holds whole numbers.
    Integers,
    /// The result is of double precision, which is allowed.
    Doubles,
    /// The result has no values.
    Undefined,
    /// The result is sparse.
    Sparse,
    /// It writes into the features.
    WritesFeatures,
    /// It writes into the scores.
    WritesScores,
    /// It writes into the anchors that it was given when the stream began.
    WritesAnchors,
    /// It writes into the weights of the aligner.
    WritesAligner,
    /// It wants gradients of the features themselves.
    Learns,
    /// It keeps all it was lent for ever, which is allowed.
    Keeps,
    /// It seeds the random numbers, which is allowed.
    Seeds,
    /// It leaves the recording of gradients switched off.
    LeavesGradients,
    /// It leaves a thread behind that never ends.
    LeavesThread,
    /// It cannot tell its state.
    SnapshotFails,
    /// Its state has no name.
    SnapshotNameless,
    /// The step takes two seconds, so that the run can be stopped in it.
    Slow,
    /// The diagnostics panic.
    DiagnosticsPanic,
    /// The moved anchors have another shape than the anchors.
    AnchorsMisshapen,
}

/// Options of `faulty`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FaultyConfig {
    /// What goes wrong.
    pub fault: Fault<AdapterFault>,
    /// Steps that go well before. Default: none.
    pub after: u64,
    /// Digits alone, which the schema does not say. Default: one of them.
    #[serde(deserialize_with = "digits")]
    pub digits: String,
}

fn digits<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(text),
        false => Err(serde::de::Error::custom(format!(
            "`{text}` is not made of digits"
        ))),
    }
}

impl Default for FaultyConfig {
    fn default() -> Self {
        Self {
            fault: Fault::None,
            after: 0,
            digits: "0".into(),
        }
    }
}

#[typetag::serde(name = "faulty")]
impl AdapterConfig for FaultyConfig {
    fn validate(&self, _: &mut Problems) {
        if self.fault.now() == Some(AdapterFault::ValidatePanics) {
            panic!("the check of the options panicked");
        }
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        match self.fault.now() {
            Some(AdapterFault::BuildFails) => Err(Error::Input("this adapter cannot be built".into())),
            Some(AdapterFault::BuildPanics) => panic!("building panicked"),
            fault => Ok(Box::new(Faulty {
                fault,
                after: self.after,
                steps: 0,
                kept: Vec::new(),
            })),
        }
    }
}

inventory::submit! {
    ComponentInfo::new::<FaultyConfig>(
        ComponentKind::Adapter,
        "faulty",
        "Gives the scores on as they are, and misbehaves on demand.",
        "",
    )
}

/// The runtime part.
#[derive(Debug)]
struct Faulty {
    fault: Option<AdapterFault>,
    after: u64,
    steps: u64,
    kept: Vec<Tensor>,
}

impl Drop for Faulty {
    fn drop(&mut self) {
        if self.fault == Some(AdapterFault::DropPanics) {
            panic!("dropping panicked");
        }
    }
}

impl Faulty {
    fn misbehave(&mut self, fault: AdapterFault, seen: &Observation, model: &dyn Aligner) -> Result<Tensor> {
        use AdapterFault as F;
        let logits = &seen.scores.logits;
        let size = logits.size();
        match fault {
            F::StepFails => return Err(Error::Input("this step fails".into())),
            F::StepPanics => panic!("this step panics"),
            F::StepPanicsForEver => std::panic::panic_any(Bomb),
            F::FewerSamples => return Ok(logits.narrow(0, 0, (size[0] - 1).max(0)).copy()),
            F::FewerClasses => return Ok(logits.narrow(1, 0, size[1] - 1)),
            F::Flat => return Ok(logits.flatten(0, -1)),
            F::Integers => return Ok(logits.to_kind(Kind::Int64)),
            F::Doubles => return Ok(logits.to_kind(Kind::Double)),
            F::Undefined => return Ok(Tensor::new()),
            F::Sparse => return Ok(logits.to_sparse(None, None::<&[i64]>, None)),
            F::WritesFeatures => drop(seen.features.values.shallow_clone().fill_(0.5)),
            F::WritesScores => drop(logits.shallow_clone().fill_(0.5)),
            F::WritesAnchors => self.kept.iter_mut().for_each(|anchors| drop(anchors.fill_(0.5))),
            F::WritesAligner => model.state().values_mut().for_each(|own| drop(own.fill_(0.5))),
            F::Learns => drop(seen.features.values.set_requires_grad(true)),
            F::Keeps => {
                let lent = [&seen.features.values, logits];
                self.kept.extend(lent.map(Tensor::shallow_clone));
            }
            F::Seeds => tch::manual_seed(17),
            F::LeavesGradients => std::mem::forget(tch::no_grad_guard()),
            F::LeavesThread => leave_thread(),
            F::Slow => std::thread::sleep(std::time::Duration::from_secs(2)),
            _ => {}
        }
        Ok(logits.shallow_clone())
    }
}

/// A thread that works with tensors until the process ends.
fn leave_thread() {
    std::thread::spawn(|| {
        let mut sum = Tensor::zeros([64], (Kind::Float, tch::Device::Cpu));
        loop {
            sum += Tensor::rand([64], (Kind::Float, tch::Device::Cpu));
        }
    });
}

impl TestTimeAdapter for Faulty {
    fn begin(&mut self, task: &Task) -> Result<()> {
        match self.fault {
            Some(AdapterFault::BeginFails) => return Err(Error::Input("this adapter does not begin".into())),
            Some(AdapterFault::WritesAnchors) => self.kept.push(task.anchors.values.shallow_clone()),
            _ => {}
        }
        self.steps = 0;
        Ok(())
    }

    fn step(&mut self, seen: &Observation, model: &dyn Aligner) -> Result<Scores> {
        self.steps += 1;
        let logits = match self.fault {
            Some(fault) if self.steps > self.after => self.misbehave(fault, seen, model)?,
            _ => seen.scores.logits.shallow_clone(),
        };
        Ok(Scores { logits })
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        let name = match self.fault {
            Some(AdapterFault::SnapshotFails) => return Err(Error::Input("the state is a secret".into())),
            Some(AdapterFault::SnapshotNameless) => "",
            _ => "steps",
        };
        let steps = Tensor::from(i64::try_from(self.steps).unwrap_or(i64::MAX));
        Ok(NamedTensors::from([(name.to_owned(), steps)]))
    }

    fn restore(&mut self, state: NamedTensors) -> Result<()> {
        let steps = state
            .get("steps")
            .ok_or_else(|| Error::Missing("`steps`".into()))?;
        self.steps = u64::try_from(steps.f_int64_value(&[])?).unwrap_or(0);
        Ok(())
    }

    fn moved_anchors(&self) -> Option<Tensor> {
        let misshapen = self.fault == Some(AdapterFault::AnchorsMisshapen);
        misshapen.then(|| Tensor::zeros([2, 2], (Kind::Float, tch::Device::Cpu)))
    }

    fn diagnostics(&self) -> std::collections::BTreeMap<String, Vec<f64>> {
        if self.fault == Some(AdapterFault::DiagnosticsPanic) {
            panic!("the diagnostics panicked");
        }
        std::collections::BTreeMap::new()
    }
}
