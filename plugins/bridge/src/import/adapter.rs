//! An adapter of the other side.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use szar_core::{
    Aligner, Error, Held, NamedTensors, Observation, Result, SampleRef, Scores, Task, TestTimeAdapter,
};
use szar_plugin_abi::{self as abi, EncoderRef, Named, Str};
use tch::Tensor;

use super::{Asked, Handle, json};
use crate::collect::{Collector, Watched, version};
use crate::export::{LentAligner, LentEncoder};
use crate::lend::LentSkeletons;
use crate::tensor;
use crate::wire;

/// An adapter behind a table.
#[derive(Debug)]
pub struct ForeignAdapter {
    handle: Handle,
    table: &'static abi::Adapter,
    snapshots: Option<&'static abi::AdapterSnapshot>,
    /// Those of the stream, and their version when it began: what was lent then may still be held.
    anchors: Option<(Tensor, i64)>,
    /// The same of the aligner's own tensors, where it asked for them.
    watched: RefCell<Vec<Watched>>,
    writes_aligner: bool,
}

/// One of the functions that see an observation.
type Step = unsafe extern "C" fn(
    *mut std::ffi::c_void,
    *const abi::Observation,
    abi::AlignerRef,
    *const abi::Out,
) -> abi::Status;

impl ForeignAdapter {
    /// Wraps an object of this table.
    pub fn new(
        handle: Handle,
        table: &'static abi::Adapter,
        snapshots: Option<&'static abi::AdapterSnapshot>,
    ) -> Self {
        Self {
            handle,
            table,
            snapshots,
            anchors: None,
            watched: RefCell::default(),
            writes_aligner: false,
        }
    }

    /// One that may write into the aligner's own tensors, since its configuration says so.
    #[must_use]
    pub fn writing_aligner(mut self, writes: bool) -> Self {
        self.writes_aligner = writes;
        self
    }

    fn observe(&self, name: &str, step: Step, seen: &Observation, model: &dyn Aligner) -> Result<Scores> {
        let place = |sample: &SampleRef| abi::Sample {
            stream: sample.stream as u64,
            position: sample.position,
        };
        let samples: Vec<abi::Sample> = seen.samples.iter().map(place).collect();
        let skeletons = seen.skeletons.map(|s| LentSkeletons::new(s.batch)).transpose()?;
        let encoder = seen.skeletons.map(|s| LentEncoder::new(s.encoder));
        let own = abi::Observation {
            size: size_of::<abi::Observation>(),
            features: tensor::lend(&seen.features.values),
            scores: tensor::lend(&seen.scores.logits),
            samples: samples.as_ptr(),
            count: samples.len(),
            skeletons: skeletons.as_ref().map_or(std::ptr::null(), LentSkeletons::table),
            encoder: encoder.as_ref().map_or(
                EncoderRef {
                    object: std::ptr::null_mut(),
                    table: std::ptr::null(),
                },
                LentEncoder::reference,
            ),
        };
        let model = LentAligner::new(model);
        let mut lent = Collector::lending([
            ("features", &seen.features.values),
            ("scores", &seen.scores.logits),
        ]);
        if let Some((anchors, version)) = &self.anchors {
            lent = lent.lend_since("anchors", anchors, *version);
        }
        let mut answer = self.handle.run_lending(lent, name, |object, out| {
            // SAFETY: everything lent lives until the call returns.
            unsafe { step(object, &raw const own, model.reference(), out) }
        })?;
        self.watch(name, model.given())?;
        let logits = &seen.scores.logits;
        let [rows, columns] = szar_core::shape::sizes("scores", logits, [None, None])?;
        let want = [Some(rows), Some(columns)];
        let who = &self.handle.who;
        Ok(Scores {
            logits: who.checked(name, answer.tensor("logits"), want, logits.device())?,
        })
    }

    /// Takes note of what was newly handed out, and looks at what was before.
    fn watch(&self, name: &str, given: Vec<Watched>) -> Result<()> {
        if self.writes_aligner {
            return Ok(());
        }
        let mut watched = self.watched.borrow_mut();
        for new in given {
            if watched.iter().all(|old| old.name != new.name) {
                watched.push(new);
            }
        }
        match watched.iter().find_map(Watched::misuse) {
            Some(why) => Err(self.handle.who.error(name, why)),
            None => Ok(()),
        }
    }

    fn value<T: serde::de::DeserializeOwned + Default>(&self, method: &str) -> T {
        let answer = self.handle.call(method, &Asked::default());
        let read =
            answer.and_then(|answer| answer.map(|answer| self.handle.json(method, &answer)).transpose());
        read.unwrap_or_else(|error| {
            tracing::warn!(%error, "left out of the report");
            None
        })
        .unwrap_or_default()
    }
}

impl TestTimeAdapter for ForeignAdapter {
    fn begin(&mut self, task: &Task) -> Result<()> {
        let text = json(&wire::Task {
            candidates: task.candidates.clone(),
            seen: task.seen.clone(),
            features: task.features,
            layout: Arc::clone(&task.layout),
            device: wire::device_name(task.device),
            seed: task.seed.0,
            streams: task.streams,
            expected: task.expected,
        })?;
        let asked = Asked {
            json: &text,
            anchors: Some(&task.anchors),
            ..Asked::default()
        };
        let anchors = &task.anchors.values;
        self.watched.get_mut().clear();
        self.anchors = Some((anchors.shallow_clone(), version(anchors)));
        self.handle.must("begin", &asked).map(|_| ())
    }

    fn step(&mut self, seen: &Observation, model: &dyn Aligner) -> Result<Scores> {
        self.observe("step", self.table.step, seen, model)
    }

    fn snapshot(&self) -> Result<NamedTensors> {
        let Some(table) = self.snapshots else {
            return Err(self
                .handle
                .who
                .error("snapshot", "has no snapshots, so a stopped run cannot go on"));
        };
        // SAFETY: the object is valid, the results live during the call.
        let answer = self
            .handle
            .run("snapshot", |object, out| unsafe { (table.snapshot)(object, out) })?;
        answer
            .named()
            .map_err(|why| self.handle.who.error("snapshot", why))
    }

    fn restore(&mut self, state: NamedTensors) -> Result<()> {
        let Some(table) = self.snapshots else {
            return Err(self
                .handle
                .who
                .error("restore", "has no snapshots, so a stopped run cannot go on"));
        };
        let named = |(name, tensor): (&String, &Tensor)| Named {
            name: Str::new(name),
            tensor: tensor::lend(tensor),
        };
        let tensors: Vec<Named> = state.iter().map(named).collect();
        let restore = |object, out| {
            // SAFETY: names and tensors live until the call returns.
            unsafe { (table.restore)(object, tensors.as_ptr(), tensors.len(), out) }
        };
        self.handle.run("restore", restore).map(|_| ())
    }

    fn wants_second_pass(&self) -> bool {
        self.table.rescore.is_some() && self.value("wants_second_pass")
    }

    fn rescore(&mut self, seen: &Observation, model: &dyn Aligner) -> Result<Scores> {
        let Some(rescore) = self.table.rescore else {
            return Err(Error::Input("this adapter has no second pass".into()));
        };
        self.observe("rescore", rescore, seen, model)
    }

    fn held(&self) -> Vec<Held> {
        let entry = |entry: wire::Entry| Held {
            sample: SampleRef {
                stream: entry.stream,
                position: entry.position,
            },
            class: entry.class,
        };
        self.value::<Vec<wire::Entry>>("held")
            .into_iter()
            .map(entry)
            .collect()
    }

    fn moved_anchors(&self) -> Option<Tensor> {
        let answer = self.handle.call("moved_anchors", &Asked::default());
        let anchors = answer.ok().flatten()?.tensor("anchors").ok()?;
        let (start, _) = self.anchors.as_ref()?;
        let of = |axis: usize| start.size().get(axis).copied();
        let want = [None, of(0), of(1), of(2)];
        let who = &self.handle.who;
        let checked = who.checked("moved_anchors", Ok(anchors), want, start.device());
        checked
            .inspect_err(|error| tracing::warn!(%error, "left out of the report"))
            .ok()
    }

    fn diagnostics(&self) -> BTreeMap<String, Vec<f64>> {
        self.value("diagnostics")
    }

    fn state_bytes(&self) -> u64 {
        self.value("state_bytes")
    }
}
