//! Registered components and their configurations as tables.

use std::ffi::c_void;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use szar_core::{
    AdapterConfig, AlignerConfig, ComponentKind, DatasetConfig, EncoderConfig, Error, GateConfig, Problems,
    Result, SemanticsConfig, TextEncoderConfig, registry,
};
use szar_plugin_abi::{self as abi, Args, Components, Object, Out, Status, Str};

use super::simple::Simple;
use super::{Given, boxed, dispatch_shared, drop_boxed};
use crate::out::{Sink, guard};
use crate::wire::{self, Facts, Listed};

/// A configuration of any kind.
enum Config {
    Dataset(Box<dyn DatasetConfig>),
    Encoder(Box<dyn EncoderConfig>),
    Semantics(Box<dyn SemanticsConfig>),
    Texts(Box<dyn TextEncoderConfig>),
    Aligner(Box<dyn AlignerConfig>),
    Adapter(Box<dyn AdapterConfig>),
    Gate(Box<dyn GateConfig>),
}

static CONFIG: Object = Object {
    size: size_of::<Object>(),
    drop: drop_boxed::<Config>,
    call,
};

/// The table of everything that is registered on this side.
pub static COMPONENTS: Components = Components {
    size: size_of::<Components>(),
    list,
    configure,
    config: &raw const CONFIG,
    build,
};

/// The components of this side that can cross.
pub fn listed() -> Vec<Listed> {
    let crosses = |kind| {
        !matches!(
            kind,
            ComponentKind::Preprocessor | ComponentKind::Augmentation | ComponentKind::Launcher
        )
    };
    let own = registry::all().into_iter().filter(|c| crosses(c.kind));
    own.map(|c| Listed {
        kind: c.kind,
        name: c.name.to_owned(),
        summary: c.summary.to_owned(),
        paper: c.paper.to_owned(),
        schema: c.schema(),
        defaults: c.defaults(),
    })
    .collect()
}

unsafe extern "C" fn list(out: *const Out) -> Status {
    // SAFETY: as the boundary promises.
    unsafe {
        guard(out, |sink| {
            sink.json(&listed())?;
            Ok(abi::OK)
        })
    }
}

fn tagged<T: DeserializeOwned>(name: &str, options: &str) -> Result<T> {
    let given: Map<String, Value> = wire::read("the options", options)?;
    let mut fields = Map::from_iter([("type".to_owned(), Value::from(name))]);
    fields.extend(given);
    serde_json::from_value(Value::Object(fields)).map_err(|e| Error::Input(e.to_string()))
}

impl Config {
    fn read(kind: &str, name: &str, options: &str) -> Result<Self> {
        Ok(match kind {
            "dataset" => Self::Dataset(tagged(name, options)?),
            "encoder" => Self::Encoder(tagged(name, options)?),
            "semantics" => Self::Semantics(tagged(name, options)?),
            "text-encoder" => Self::Texts(tagged(name, options)?),
            "aligner" => Self::Aligner(tagged(name, options)?),
            "adapter" => Self::Adapter(tagged(name, options)?),
            "gate" => Self::Gate(tagged(name, options)?),
            other => {
                return Err(Error::Input(format!(
                    "components of kind `{other}` do not cross here"
                )));
            }
        })
    }

    /// All options, defaults included, without `type`.
    fn options(&self) -> Result<Value> {
        let written = match self {
            Self::Dataset(c) => serde_json::to_value(c),
            Self::Encoder(c) => serde_json::to_value(c),
            Self::Semantics(c) => serde_json::to_value(c),
            Self::Texts(c) => serde_json::to_value(c),
            Self::Aligner(c) => serde_json::to_value(c),
            Self::Adapter(c) => serde_json::to_value(c),
            Self::Gate(c) => serde_json::to_value(c),
        };
        let mut value = written.map_err(|e| Error::Input(format!("the options cannot be written: {e}")))?;
        if let Some(fields) = value.as_object_mut() {
            fields.shift_remove("type");
        }
        Ok(value)
    }

    fn validate(&self) -> Vec<wire::Problem> {
        let mut problems = Problems::new();
        match self {
            Self::Dataset(c) => c.validate(&mut problems),
            Self::Encoder(c) => c.validate(&mut problems),
            Self::Semantics(c) => c.validate(&mut problems),
            Self::Texts(c) => c.validate(&mut problems),
            Self::Aligner(c) => c.validate(&mut problems),
            Self::Adapter(c) => c.validate(&mut problems),
            Self::Gate(c) => c.validate(&mut problems),
        }
        let one = |p: szar_core::Problem| wire::Problem {
            field: p.field,
            message: p.message,
            hint: p.hint,
        };
        problems.iter().cloned().map(one).collect()
    }

    fn facts(&self) -> Facts {
        let owned = |path: Option<&std::path::Path>| path.map(std::path::Path::to_owned);
        match self {
            Self::Dataset(c) => Facts {
                marks: c.marks(),
                layout: c.layout(),
                ..Facts::default()
            },
            Self::Encoder(c) => Facts {
                marks: c.marks(),
                comes_trained: !c.trains(),
                prepared: c.prepared().map(str::to_owned),
                weights: owned(c.weights()),
                ..Facts::default()
            },
            Self::Semantics(c) => Facts {
                marks: c.marks(),
                granularities: c.granularities(),
                width: c.width(),
                ..Facts::default()
            },
            Self::Texts(c) => Facts {
                width: c.width(),
                ..Facts::default()
            },
            Self::Aligner(c) => Facts {
                marks: c.marks(),
                weights: owned(c.weights()),
                width: c.width(),
                capabilities: c.capabilities(),
                ..Facts::default()
            },
            Self::Adapter(c) => Facts {
                marks: c.marks(),
                requirements: c.requirements(),
                per_sample: c.per_sample(),
                holds_streams: c.holds_streams(),
                disturbs_aligner: c.disturbs_aligner(),
                ..Facts::default()
            },
            Self::Gate(c) => Facts {
                marks: c.marks(),
                needs_encoder_logits: c.needs_encoder_logits(),
                needs_validation: c.needs_validation(),
                needs_pseudo_unseen: c.needs_pseudo_unseen(),
                wants_truth: c.wants_truth(),
                ..Facts::default()
            },
        }
    }

    fn build(&self, json: &str) -> Result<*mut c_void> {
        let mut given: wire::Surroundings = wire::read("the surroundings", json)?;
        let ctx = given.context()?;
        let missing = |what: &str| Error::Missing(format!("{what} to build with"));
        Ok(match self {
            Self::Dataset(c) => boxed(c.build(&ctx)?),
            Self::Encoder(c) => {
                let input = given
                    .input
                    .take()
                    .ok_or_else(|| missing("the form of the input"))?;
                boxed(c.build(&input.spec(), &ctx)?)
            }
            Self::Semantics(c) => boxed(Simple::Semantics(c.build(&ctx)?)),
            Self::Texts(c) => boxed(Simple::Texts(c.build(&ctx)?)),
            Self::Aligner(c) => {
                let features = given
                    .features
                    .ok_or_else(|| missing("the form of the features"))?;
                let texts = given.granularities.ok_or_else(|| missing("the granularities"))?;
                let width = given.width.ok_or_else(|| missing("the width of the anchors"))?;
                boxed(c.build(&features, &texts, width, &ctx)?)
            }
            Self::Adapter(c) => boxed(c.build(&ctx)?),
            Self::Gate(c) => {
                let candidates = given.candidates.take().ok_or_else(|| missing("the candidates"))?;
                boxed(Simple::Gate(c.build(&candidates, &ctx)?))
            }
        })
    }
}

unsafe extern "C" fn configure(
    kind: Str,
    name: Str,
    options: Str,
    config: *mut *mut c_void,
    out: *const Out,
) -> Status {
    // SAFETY: as the boundary promises.
    unsafe {
        guard(out, |_| {
            let text = |text: Str| {
                text.get()
                    .ok_or_else(|| Error::Input("a text is not UTF-8".into()))
            };
            let slot = config
                .as_mut()
                .ok_or_else(|| Error::Missing("room for the configuration".into()))?;
            *slot = boxed(Config::read(text(kind)?, text(name)?, text(options)?)?);
            Ok(abi::OK)
        })
    }
}

fn run(config: &Config, method: &str, args: &Given<'_>, sink: Sink<'_>) -> Result<Status> {
    match (method, config) {
        ("options", _) => sink.json(&config.options()?)?,
        ("validate", _) => sink.json(&config.validate())?,
        ("facts", _) => sink.json(&config.facts())?,
        ("spec", Config::Encoder(encoder)) => {
            let input: wire::Input = wire::read("the form of the input", args.json)?;
            sink.json(&encoder.spec(&input.spec()))?;
        }
        _ => return Ok(abi::UNSUPPORTED),
    }
    Ok(abi::OK)
}

unsafe extern "C" fn call(config: *mut c_void, method: Str, args: *const Args, out: *const Out) -> Status {
    // SAFETY: the boundary promises what `dispatch_shared` asks for.
    unsafe { dispatch_shared(config, method, args, out, run) }
}

unsafe extern "C" fn build(
    config: *mut c_void,
    args: *const Args,
    object: *mut *mut c_void,
    out: *const Out,
) -> Status {
    // SAFETY: as the boundary promises.
    unsafe {
        guard(out, |_| {
            let config = config.cast::<Config>().cast_const().as_ref();
            let config = config.ok_or_else(|| Error::Missing("the configuration".into()))?;
            let slot = object
                .as_mut()
                .ok_or_else(|| Error::Missing("room for the object".into()))?;
            *slot = config.build(Given::read(args)?.json)?;
            Ok(abi::OK)
        })
    }
}
