//! Semantic providers, text encoders and gates: everything by name.

use std::ffi::c_void;

use szar_core::{
    ClassList, Column, GateEvidence, GzslGate, OpenEvidence, OracleLabels, Result, Scores, SemanticProvider,
    TextEncoder,
};
use szar_plugin_abi::{self as abi, Args, Object, Out, Status, Str};

use super::{Given, dispatch, drop_boxed};
use crate::out::Sink;
use crate::wire;

/// One of the kinds that only answer calls by name.
pub(crate) enum Simple {
    Semantics(Box<dyn SemanticProvider>),
    Texts(Box<dyn TextEncoder>),
    Gate(Box<dyn GzslGate>),
}

/// Their table.
pub static OBJECT: Object = Object {
    size: size_of::<Object>(),
    drop: drop_boxed::<Simple>,
    call,
};

fn semantics(
    provider: &mut dyn SemanticProvider,
    method: &str,
    args: &Given<'_>,
    sink: Sink<'_>,
) -> Result<Status> {
    if method != "anchors" {
        return Ok(abi::UNSUPPORTED);
    }
    let classes: ClassList = wire::read("the classes", args.json)?;
    let anchors = provider.anchors(&classes)?;
    sink.json(&anchors.granularities)?;
    sink.tensor("anchors", anchors.values);
    Ok(abi::OK)
}

fn texts(encoder: &mut dyn TextEncoder, method: &str, args: &Given<'_>, sink: Sink<'_>) -> Result<Status> {
    match method {
        "width" => sink.json(&encoder.width())?,
        "fingerprint" => sink.json(&encoder.fingerprint())?,
        "encode" => {
            let texts: Vec<String> = wire::read("the texts", args.json)?;
            sink.tensor("vectors", encoder.encode(&texts)?);
        }
        _ => return Ok(abi::UNSUPPORTED),
    }
    Ok(abi::OK)
}

fn gate(gate: &mut dyn GzslGate, method: &str, args: &Given<'_>, sink: Sink<'_>) -> Result<Status> {
    let (seen, unseen, classes) = match method {
        "fit_open" => {
            let open: wire::Open = wire::read("the columns", args.json)?;
            (open.seen, open.unseen, open.classes)
        }
        _ => {
            let (seen, unseen): (Vec<Column>, Vec<Column>) = wire::read("the columns", args.json)?;
            let classes = [seen.len(), unseen.len()];
            (seen, unseen, classes)
        }
    };
    let scores = Scores {
        logits: args.tensor("logits")?,
    };
    let encoder_logits = args.optional("encoder_logits")?;
    let truth = args.optional("truth")?.map(OracleLabels);
    let evidence = GateEvidence {
        scores: &scores,
        seen: &seen,
        unseen: &unseen,
        encoder_logits: encoder_logits.as_ref(),
        truth: truth.as_ref(),
    };
    match method {
        "fit_open" => {
            sink.json(&gate.fit_open(&OpenEvidence {
                evidence,
                labels: &args.tensor("labels")?,
                classes,
            })?)?;
        }
        "fit" => sink.json(&gate.fit(&evidence)?)?,
        "takes_for_seen" => sink.tensor("seen", gate.takes_for_seen(&evidence)?),
        "unseen_score" => sink.tensor("score", gate.unseen_score(&evidence)?),
        "seen_logits" => sink.tensor("logits", gate.seen_logits(&evidence)?),
        _ => return Ok(abi::UNSUPPORTED),
    }
    Ok(abi::OK)
}

fn run(object: &mut Simple, method: &str, args: &Given<'_>, sink: Sink<'_>) -> Result<Status> {
    match object {
        Simple::Semantics(provider) => semantics(&mut **provider, method, args, sink),
        Simple::Texts(encoder) => texts(&mut **encoder, method, args, sink),
        Simple::Gate(own) => gate(&mut **own, method, args, sink),
    }
}

unsafe extern "C" fn call(object: *mut c_void, method: Str, args: *const Args, out: *const Out) -> Status {
    // SAFETY: the boundary promises what `dispatch` asks for.
    unsafe { dispatch(object, method, args, out, run) }
}
