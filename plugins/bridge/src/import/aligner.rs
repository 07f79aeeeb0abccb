//! An aligner of the other side, owned or borrowed.

use std::ffi::c_void;
use std::sync::Arc;

use szar_core::{
    Affine, Aligner, Capabilities, Embedding, Error, FeatureMap, FitContext, FitSummary, Linear,
    NamedTensors, OracleLabels, Result, Scores, SeenFeatures, SemanticAnchors, Tokens,
};
use szar_plugin_abi::{self as abi, AlignerRef, Object};
use tch::Tensor;

use super::{Asked, Handle, LentWork, Who, call, json};
use crate::collect::{Collected, Collector};
use crate::lend::Lent;
use crate::{tensor, wire};

/// What both have in common: everything that only asks.
struct Asking<'a> {
    object: *mut c_void,
    table: &'a abi::Aligner,
    methods: &'a Object,
    who: &'a Who,
}

fn rows_of(features: &Tensor) -> Option<i64> {
    features.size().first().copied()
}

impl Asking<'_> {
    fn logits(
        &self,
        call: &str,
        mut answer: Collected,
        rows: &Tensor,
        anchors: &SemanticAnchors,
    ) -> Result<Scores> {
        let want = [rows_of(rows), Some(anchors.classes.len() as i64)];
        let logits = self
            .who
            .checked(call, answer.tensor("logits"), want, rows.device())?;
        Ok(Scores { logits })
    }

    fn call(&self, method: &str, asked: &Asked<'_>) -> Result<Option<Collected>> {
        // SAFETY: whoever made this promised a valid object of the table.
        unsafe { call(self.object, self.methods, self.who, method, asked) }
    }

    fn must(&self, method: &str, asked: &Asked<'_>) -> Result<Collected> {
        let answer = self.call(method, asked)?;
        answer.ok_or_else(|| self.who.error(method, "this aligner has no such method"))
    }

    fn capabilities(&self) -> Result<Capabilities> {
        let answer = self.must("capabilities", &Asked::default())?;
        answer.json().map_err(|why| self.who.error("capabilities", why))
    }

    fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
        let lent = Lent::anchors(anchors)?;
        let seen = Collector::lending([("features", &features.values), ("anchors", &anchors.values)]);
        let run = |out| {
            // SAFETY: as in `call`; what is lent lives until the call returns.
            unsafe { (self.table.score)(self.object, tensor::lend(&features.values), lent.table(), out) }
        };
        let answer = self.who.settle("score", seen.run(run))?;
        let answer = answer.ok_or_else(|| self.who.error("score", "is not supported"))?;
        self.logits("score", answer, &features.values, anchors)
    }

    fn with_labels(
        &self,
        features: &FeatureMap,
        anchors: &SemanticAnchors,
        labels: &OracleLabels,
    ) -> Result<Scores> {
        let asked = Asked {
            tensors: &[("features", &features.values), ("labels", &labels.0)],
            anchors: Some(anchors),
            ..Asked::default()
        };
        let answer = self.must("score_with_labels", &asked)?;
        self.logits("score_with_labels", answer, &features.values, anchors)
    }

    fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
        let asked = Asked {
            tensors: &[("features", &features.values)],
            ..Asked::default()
        };
        match self.call("condense", &asked)? {
            Some(mut answer) => {
                let rows = self.who.sound("condense", answer.tensor("rows"))?;
                match rows_of(&rows) == rows_of(&features.values) {
                    true => Ok(rows),
                    false => Err(self
                        .who
                        .error("condense", "gave another number of rows than samples")),
                }
            }
            None => Ok(features.values.shallow_clone()),
        }
    }

    fn condensed(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
        let asked = Asked {
            tensors: &[("rows", rows)],
            anchors: Some(anchors),
            ..Asked::default()
        };
        match self.call("score_condensed", &asked)? {
            Some(answer) => self.logits("score_condensed", answer, rows, anchors),
            None => self.score(&FeatureMap::new(rows.shallow_clone())?, anchors),
        }
    }

    fn linear(&self, anchors: &SemanticAnchors) -> Result<Option<Linear>> {
        #[derive(serde::Deserialize)]
        struct Form {
            granularities: Vec<usize>,
            scale: f64,
        }
        let asked = Asked {
            anchors: Some(anchors),
            ..Asked::default()
        };
        let Some(answer) = self.call("linear", &asked)? else {
            return Ok(None);
        };
        let form: Option<Form> = answer.json().map_err(|why| self.who.error("linear", why))?;
        Ok(form.map(|f| Linear {
            granularities: f.granularities,
            scale: f.scale,
        }))
    }

    fn asked(
        &self,
        rows: &Tensor,
        anchors: &SemanticAnchors,
        askers: Option<&Tensor>,
        training: bool,
    ) -> Result<Scores> {
        let mut tensors = vec![("rows", rows)];
        tensors.extend(askers.map(|askers| ("askers", askers)));
        let asked = Asked {
            json: if training { "true" } else { "false" },
            tensors: &tensors,
            anchors: Some(anchors),
            work: None,
        };
        match self.call("score_asked", &asked)? {
            Some(answer) => self.logits("score_asked", answer, rows, anchors),
            None if training => Err(Error::Input(
                "this aligner has no training mode at test time".into(),
            )),
            None => self.condensed(rows, anchors),
        }
    }

    fn about(&self, method: &str, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Collected> {
        let asked = Asked {
            tensors: &[("features", &features.values)],
            anchors: Some(anchors),
            ..Asked::default()
        };
        self.must(method, &asked)
    }

    fn embed(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Embedding> {
        let mut answer = self.about("embed", features, anchors)?;
        let device = features.values.device();
        let visual = answer.tensor("visual");
        let visual = self
            .who
            .checked("embed", visual, [rows_of(&features.values), None], device)?;
        let want = [Some(anchors.classes.len() as i64), visual.size().get(1).copied()];
        let classes = self
            .who
            .checked("embed", answer.tensor("classes"), want, device)?;
        Ok(Embedding { visual, classes })
    }

    fn nodes(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Tensor> {
        let mut answer = self.about("embed_nodes", features, anchors)?;
        let want = [rows_of(&features.values), None, None];
        self.who.checked(
            "embed_nodes",
            answer.tensor("nodes"),
            want,
            features.values.device(),
        )
    }

    fn tokens(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Tokens> {
        let mut answer = self.about("tokens", features, anchors)?;
        let device = features.values.device();
        let want = [rows_of(&features.values), None, None];
        let values = self
            .who
            .checked("tokens", answer.tensor("values"), want, device)?;
        let size = values.size();
        let want = [size.get(1).copied(), size.get(2).copied()];
        let mut one = |name: &str| self.who.checked("tokens", answer.tensor(name), want, device);
        Ok(Tokens {
            mean: one("mean")?,
            variance: one("variance")?,
            values,
        })
    }

    fn normalisation(&self) -> Result<Vec<Affine>> {
        let Some(answer) = self.call("normalisation", &Asked::default())? else {
            return Ok(Vec::new());
        };
        let mut layers = Vec::new();
        let sound = |(name, tensor)| Ok((name, self.who.sound("normalisation", Ok(tensor))?));
        let tensors: Vec<_> = answer.tensors.into_iter().map(sound).collect::<Result<_>>()?;
        let mut tensors = tensors.into_iter();
        while let Some((name, weight)) = tensors.next() {
            let layer = name.strip_suffix("/weight").map(str::to_owned);
            let bias = tensors.next().filter(|(bias, _)| {
                layer
                    .as_ref()
                    .is_some_and(|layer| *bias == format!("{layer}/bias"))
            });
            match (layer, bias) {
                (Some(layer), Some((_, bias))) => layers.push(Affine { layer, weight, bias }),
                _ => {
                    let why = format!("`{name}` is not followed by the bias of its layer");
                    return Err(self.who.error("normalisation", why));
                }
            }
        }
        Ok(layers)
    }

    fn normalised(
        &self,
        features: &FeatureMap,
        anchors: &SemanticAnchors,
        affine: &[Affine],
    ) -> Result<Scores> {
        let names: Vec<_> = affine
            .iter()
            .map(|a| (format!("{}/weight", a.layer), format!("{}/bias", a.layer)))
            .collect();
        let mut tensors = vec![("features", &features.values)];
        for (layer, (weight, bias)) in affine.iter().zip(&names) {
            tensors.push((weight, &layer.weight));
            tensors.push((bias, &layer.bias));
        }
        let layers: Vec<_> = affine.iter().map(|a| a.layer.as_str()).collect();
        let text = json(&layers)?;
        let asked = Asked {
            json: &text,
            tensors: &tensors,
            anchors: Some(anchors),
            work: None,
        };
        let answer = self.must("score_normalised", &asked)?;
        self.logits("score_normalised", answer, &features.values, anchors)
    }
}

/// The methods of the trait that only ask, for a type with `asking()`.
macro_rules! asks {
    () => {
        fn score(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Scores> {
            self.asking().score(features, anchors)
        }

        fn score_with_labels(
            &self,
            features: &FeatureMap,
            anchors: &SemanticAnchors,
            labels: &OracleLabels,
        ) -> Result<Scores> {
            self.asking().with_labels(features, anchors, labels)
        }

        fn condense(&self, features: &FeatureMap) -> Result<Tensor> {
            self.asking().condense(features)
        }

        fn score_condensed(&self, rows: &Tensor, anchors: &SemanticAnchors) -> Result<Scores> {
            self.asking().condensed(rows, anchors)
        }

        fn linear(&self, anchors: &SemanticAnchors) -> Result<Option<Linear>> {
            self.asking().linear(anchors)
        }

        fn score_asked(
            &self,
            rows: &Tensor,
            anchors: &SemanticAnchors,
            askers: Option<&Tensor>,
            training: bool,
        ) -> Result<Scores> {
            self.asking().asked(rows, anchors, askers, training)
        }

        fn embed(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Embedding> {
            self.asking().embed(features, anchors)
        }

        fn embed_nodes(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Tensor> {
            self.asking().nodes(features, anchors)
        }

        fn tokens(&self, features: &FeatureMap, anchors: &SemanticAnchors) -> Result<Tokens> {
            self.asking().tokens(features, anchors)
        }

        fn score_normalised(
            &self,
            features: &FeatureMap,
            anchors: &SemanticAnchors,
            affine: &[Affine],
        ) -> Result<Scores> {
            self.asking().normalised(features, anchors, affine)
        }
    };
}

/// An aligner behind a table, ours to train and to free.
#[derive(Debug)]
pub struct ForeignAligner {
    handle: Handle,
    table: &'static abi::Aligner,
    capabilities: Capabilities,
}

impl ForeignAligner {
    /// Wraps an object of this table.
    ///
    /// # Errors
    /// When it does not say what it can do.
    pub fn new(handle: Handle, table: &'static abi::Aligner) -> Result<Self> {
        let mut own = Self {
            handle,
            table,
            capabilities: Capabilities::default(),
        };
        own.capabilities = own.asking().capabilities()?;
        Ok(own)
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            object: self.handle.object(),
            table: self.table,
            methods: self.handle.table,
            who: &self.handle.who,
        }
    }
}

impl Aligner for ForeignAligner {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn fit(
        &mut self,
        seen: &SeenFeatures,
        anchors: &SemanticAnchors,
        ctx: &mut FitContext,
    ) -> Result<FitSummary> {
        let text = json(&wire::Fit {
            classes: Some(seen.train.labels.classes().clone()),
            layout: Some(Arc::clone(&seen.layout)),
            ..LentWork::described(ctx)
        })?;
        let work = LentWork::new(ctx);
        let table = work.table(None, None);
        let asked = Asked {
            json: &text,
            tensors: &[
                ("train/features", &seen.train.features.values),
                ("train/labels", seen.train.labels.columns()),
                ("validation/features", &seen.validation.features.values),
                ("validation/labels", seen.validation.labels.columns()),
            ],
            anchors: Some(anchors),
            work: Some(&table),
        };
        let answer = self.handle.must("fit", &asked)?;
        self.handle.can_be_saved()?;
        self.handle.json("fit", &answer)
    }

    asks!();

    fn normalisation(&self) -> Vec<Affine> {
        self.asking().normalisation().unwrap_or_else(|error| {
            tracing::warn!(%error, "taken for an aligner without normalisation layers");
            Vec::new()
        })
    }

    fn state(&self) -> NamedTensors {
        self.handle.state().unwrap_or_else(|error| {
            tracing::error!(%error, "the state of this aligner cannot be saved");
            NamedTensors::new()
        })
    }

    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        self.handle.load_state(state)
    }
}

/// An aligner of the other side for the duration of a call.
pub struct BorrowedAligner {
    object: *mut c_void,
    table: &'static abi::Aligner,
    methods: &'static Object,
    who: Who,
}

// SAFETY: the trait asks for it; the object stays in the call, and so in the thread, that it was lent to.
unsafe impl Send for BorrowedAligner {}

impl BorrowedAligner {
    /// The aligner of a reference; `None` for none.
    ///
    /// # Safety
    /// The reference is valid while the result is used.
    pub unsafe fn new(reference: AlignerRef) -> Option<Self> {
        // SAFETY: promised by the caller; tables are static on either side.
        let (table, methods): (&'static abi::Aligner, &'static Object) = unsafe {
            let table = reference.table.as_ref()?;
            (table, table.object.as_ref()?)
        };
        Some(Self {
            object: reference.object,
            table,
            methods,
            who: Who::host(),
        })
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            object: self.object,
            table: self.table,
            methods: self.methods,
            who: &self.who,
        }
    }
}

fn lent<T>() -> Result<T> {
    Err(Error::Input(
        "an aligner that was lent for a step can only score".into(),
    ))
}

impl Aligner for BorrowedAligner {
    fn capabilities(&self) -> Capabilities {
        self.asking().capabilities().unwrap_or_default()
    }

    fn fit(&mut self, _: &SeenFeatures, _: &SemanticAnchors, _: &mut FitContext) -> Result<FitSummary> {
        lent()
    }

    asks!();

    fn normalisation(&self) -> Vec<Affine> {
        self.asking().normalisation().unwrap_or_default()
    }

    fn state(&self) -> NamedTensors {
        let answer = self.asking().must("state", &Asked::default());
        answer
            .ok()
            .and_then(|answer| answer.named().ok())
            .unwrap_or_default()
    }

    fn load_state(&mut self, _: &NamedTensors) -> Result<()> {
        lent()
    }
}
