//! Aligners as tables.

use std::cell::RefCell;
use std::ffi::c_void;

use serde_json::json;
use szar_core::{
    Affine, Aligner, Error, FeatureMap, FitContext, OracleLabels, Result, SeenFeatures, SeenLabels, SeenSet,
};
use szar_plugin_abi::{self as abi, AlignerRef, Args, Object, Out, Status, Str};
use tch::Tensor;

use super::{Given, dispatch, dispatch_shared, drop_boxed, give_all};
use crate::collect::{Watched, version};
use crate::import::Surroundings;
use crate::out::{Sink, guard};
use crate::{lend, tensor, wire};

type Boxed = Box<dyn Aligner>;

static OBJECT: Object = Object {
    size: size_of::<Object>(),
    drop: drop_boxed::<Boxed>,
    call,
};

/// The table of every aligner of Rust.
pub static ALIGNER: abi::Aligner = abi::Aligner {
    size: size_of::<abi::Aligner>(),
    object: &raw const OBJECT,
    score,
};

static LENT_OBJECT: Object = Object {
    size: size_of::<Object>(),
    drop: keep,
    call: lent_call,
};

static LENT: abi::Aligner = abi::Aligner {
    size: size_of::<abi::Aligner>(),
    object: &raw const LENT_OBJECT,
    score: lent_score,
};

/// An aligner lent for the duration of a call; it can score but not be trained or freed.
pub struct LentAligner<'a> {
    model: &'a dyn Aligner,
    /// Its own tensors that were handed out, which share its memory.
    given: RefCell<Vec<Watched>>,
}

impl<'a> LentAligner<'a> {
    /// Lends an aligner.
    pub fn new(model: &'a dyn Aligner) -> Self {
        Self {
            model,
            given: RefCell::default(),
        }
    }

    /// What of its own it handed out, with the version that each had.
    pub(crate) fn given(self) -> Vec<Watched> {
        self.given.into_inner()
    }

    fn note<'t>(&self, tensors: impl IntoIterator<Item = (String, &'t Tensor)>) {
        let watched = |(name, tensor): (String, &Tensor)| Watched {
            name: format!("{name} of the aligner"),
            version: version(tensor),
            tensor: tensor.shallow_clone(),
        };
        self.given.borrow_mut().extend(tensors.into_iter().map(watched));
    }

    /// The reference that crosses; valid while `self` lives.
    pub fn reference(&self) -> AlignerRef {
        AlignerRef {
            object: std::ptr::from_ref(self).cast_mut().cast(),
            table: &raw const LENT,
        }
    }
}

unsafe extern "C" fn keep(_: *mut c_void) {}

fn features(args: &Given<'_>) -> Result<FeatureMap> {
    FeatureMap::new(args.tensor("features")?)
}

/// What needs no more than a shared reference.
fn ask(model: &dyn Aligner, method: &str, args: &Given<'_>, sink: Sink<'_>) -> Result<Status> {
    // SAFETY: valid during the call.
    let anchors = || unsafe { lend::anchors(args.anchors) };
    match method {
        "capabilities" => sink.json(&model.capabilities())?,
        "condense" => sink.tensor("rows", model.condense(&features(args)?)?),
        "score_condensed" => {
            let scores = model.score_condensed(&args.tensor("rows")?, &anchors()?)?;
            sink.tensor("logits", scores.logits);
        }
        "linear" => {
            let linear = model.linear(&anchors()?)?;
            sink.json(&linear.map(|l| json!({ "granularities": l.granularities, "scale": l.scale })))?;
        }
        "score_asked" => {
            let training = args.json == "true";
            let askers = args.optional("askers")?;
            let scores = model.score_asked(&args.tensor("rows")?, &anchors()?, askers.as_ref(), training)?;
            sink.tensor("logits", scores.logits);
        }
        "embed" => {
            let embedding = model.embed(&features(args)?, &anchors()?)?;
            sink.tensor("visual", embedding.visual);
            sink.tensor("classes", embedding.classes);
        }
        "embed_nodes" => sink.tensor("nodes", model.embed_nodes(&features(args)?, &anchors()?)?),
        "tokens" => {
            let tokens = model.tokens(&features(args)?, &anchors()?)?;
            sink.tensor("values", tokens.values);
            sink.tensor("mean", tokens.mean);
            sink.tensor("variance", tokens.variance);
        }
        "normalisation" => give_affine(sink, model.normalisation()),
        "score_normalised" => {
            let affine = affine(args)?;
            sink.tensor(
                "logits",
                model
                    .score_normalised(&features(args)?, &anchors()?, &affine)?
                    .logits,
            );
        }
        "score_with_labels" => {
            let labels = OracleLabels(args.tensor("labels")?);
            let scores = model.score_with_labels(&features(args)?, &anchors()?, &labels)?;
            sink.tensor("logits", scores.logits);
        }
        "state" => give_all(sink, model.state()),
        _ => return Ok(abi::UNSUPPORTED),
    }
    Ok(abi::OK)
}

fn give_affine(sink: Sink<'_>, layers: Vec<Affine>) {
    for layer in layers {
        sink.tensor(&format!("{}/weight", layer.layer), layer.weight);
        sink.tensor(&format!("{}/bias", layer.layer), layer.bias);
    }
}

/// Pairs of `LAYER/weight` and `LAYER/bias`, in the order of the json.
fn affine(args: &Given<'_>) -> Result<Vec<Affine>> {
    let layers: Vec<String> = wire::read("the layers", args.json)?;
    let one = |layer: String| {
        Ok(Affine {
            weight: args.tensor(&format!("{layer}/weight"))?,
            bias: args.tensor(&format!("{layer}/bias"))?,
            layer,
        })
    };
    layers.into_iter().map(one).collect()
}

fn fit(model: &mut Boxed, args: &Given<'_>, sink: Sink<'_>) -> Result<()> {
    let given: wire::Fit = wire::read("the surroundings of a fit", args.json)?;
    let missing = |what: &str| Error::Missing(format!("{what} of a fit"));
    let classes = given.classes.clone().ok_or_else(|| missing("classes"))?;
    let layout = given.layout.clone().ok_or_else(|| missing("layout"))?;
    let set = |name: &str| -> Result<SeenSet> {
        Ok(SeenSet {
            features: FeatureMap::new(args.tensor(&format!("{name}/features"))?)?,
            labels: SeenLabels::of_columns(args.tensor(&format!("{name}/labels"))?, classes.clone())?,
        })
    };
    let seen = SeenFeatures {
        train: set("train")?,
        validation: set("validation")?,
        layout,
    };
    // SAFETY: valid during the call.
    let anchors = unsafe { lend::anchors(args.anchors) }?;
    let surroundings = Surroundings::new(args.work.ok_or_else(|| missing("surroundings"))?);
    let summary = surroundings.run(&given, |ctx: &mut FitContext<'_>| model.fit(&seen, &anchors, ctx))?;
    sink.json(&summary)
}

fn run(model: &mut Boxed, method: &str, args: &Given<'_>, sink: Sink<'_>) -> Result<Status> {
    match method {
        "fit" => fit(model, args, sink)?,
        "load_state" => model.load_state(&args.named()?)?,
        _ => return ask(&**model, method, args, sink),
    }
    Ok(abi::OK)
}

unsafe extern "C" fn call(object: *mut c_void, method: Str, args: *const Args, out: *const Out) -> Status {
    // SAFETY: the boundary promises what `dispatch` asks for.
    unsafe { dispatch(object, method, args, out, run) }
}

unsafe extern "C" fn lent_call(
    object: *mut c_void,
    method: Str,
    args: *const Args,
    out: *const Out,
) -> Status {
    let run = |lent: &LentAligner<'_>, method: &str, args: &Given<'_>, sink: Sink<'_>| {
        match method {
            "state" => {
                let state = lent.model.state();
                lent.note(state.iter().map(|(name, tensor)| (name.clone(), tensor)));
                give_all(sink, state);
            }
            "normalisation" => {
                let layers = lent.model.normalisation();
                for layer in &layers {
                    let parts = [("weight", &layer.weight), ("bias", &layer.bias)];
                    lent.note(parts.map(|(part, tensor)| (format!("{}/{part}", layer.layer), tensor)));
                }
                give_affine(sink, layers);
            }
            _ => return ask(lent.model, method, args, sink),
        }
        Ok(abi::OK)
    };
    // SAFETY: as above.
    unsafe { dispatch_shared(object, method, args, out, run) }
}

/// # Safety
/// The tables are valid during the call.
unsafe fn scores(
    model: Option<&dyn Aligner>,
    features: abi::Tensor,
    anchors: *const abi::Anchors,
    out: *const Out,
) -> Status {
    // SAFETY: promised by the caller.
    unsafe {
        guard(out, |sink| {
            let model = model.ok_or_else(|| Error::Missing("the aligner".into()))?;
            let features: Option<Tensor> = tensor::borrow(features);
            let features = features.ok_or_else(|| Error::Missing("features".into()))?;
            let scores = model.score(&FeatureMap::new(features)?, &lend::anchors(anchors)?)?;
            sink.tensor("logits", scores.logits);
            Ok(abi::OK)
        })
    }
}

unsafe extern "C" fn score(
    object: *mut c_void,
    features: abi::Tensor,
    anchors: *const abi::Anchors,
    out: *const Out,
) -> Status {
    // SAFETY: as the boundary promises.
    unsafe {
        let model = object.cast::<Boxed>().as_ref().map(|m| &**m);
        scores(model.map(|m| m as &dyn Aligner), features, anchors, out)
    }
}

unsafe extern "C" fn lent_score(
    object: *mut c_void,
    features: abi::Tensor,
    anchors: *const abi::Anchors,
    out: *const Out,
) -> Status {
    // SAFETY: as the boundary promises.
    unsafe {
        let model = object.cast::<LentAligner<'_>>().as_ref().map(|m| m.model);
        scores(model, features, anchors, out)
    }
}
