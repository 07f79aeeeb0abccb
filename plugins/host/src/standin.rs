//! What stands in the pipeline for a component of a plugin: a configuration of its kind that asks the plugin.
//!
//! Blocks of plugins reach serde as `{type: plugin, component: NAME, options: {...}}` (see `szar_core::registry`); they are
//! written out again under the component's own name, with all options.

use std::ffi::c_void;
use std::path::Path;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use szar_core::{
    AdapterConfig, Aligner, AlignerConfig, BuildContext, Capabilities, ClassList, ComponentKind, Dataset,
    DatasetConfig, EncoderConfig, EncoderSpec, Error, GateConfig, Granularity, GzslGate, InputSpec, Mark,
    Problems, PseudoUnseen, Requirements, Result, SemanticProvider, SemanticsConfig, SkeletonEncoder,
    SkeletonLayout, TestTimeAdapter, TextEncoder, TextEncoderConfig,
};
use szar_plugin_abi::{Args, Object, Str};
use szar_plugin_bridge::import::{
    self, Asked, BuildWith, Facts, ForeignAdapter, ForeignAligner, ForeignDataset, ForeignEncoder,
    ForeignGate, ForeignSemantics, ForeignTexts, Handle, Input,
};
use szar_plugin_bridge::{Collector, Failure};

use crate::library::{Loaded, loaded};
// What the attribute of typetag expands to. The number is that of its version, which the workspace pins; another version
// is a compile error here, and needs another number.
use typetag::__private23 as hidden;

/// A configuration that lives in a plugin.
#[derive(Debug)]
struct Foreign {
    name: &'static str,
    plugin: &'static Loaded,
    handle: Handle,
    options: Value,
    facts: Facts,
}

impl Foreign {
    fn configure(kind: ComponentKind, name: &str, options: &Value) -> Result<Self> {
        let owner = loaded().into_iter().find_map(|plugin| {
            let mut own = plugin.components.iter();
            own.find(|c| c.kind == kind && c.name == name)
                .map(|info| (plugin, info.name))
        });
        let (plugin, name) = owner.ok_or_else(|| {
            let known: Vec<_> = loaded()
                .iter()
                .flat_map(|p| p.components.iter().map(|c| c.name))
                .collect();
            Error::unknown("component of a plugin", name, known)
        })?;
        let who = plugin.who(kind, name);
        let word = kind.as_str().replace(' ', "-");
        let text = options.to_string();
        let mut config: *mut c_void = std::ptr::null_mut();
        let answer = Collector::default().run(|out| {
            let table = plugin.table;
            // SAFETY: the texts live during the call, the table is one of this type.
            unsafe {
                (table.configure)(
                    Str::new(&word),
                    Str::new(name),
                    Str::new(&text),
                    &raw mut config,
                    out,
                )
            }
        });
        let _ = who.settle("configure", answer)?;
        if config.is_null() {
            return Err(who.error("configure", "gave null instead of a configuration"));
        }
        // SAFETY: the table was checked when the plugin was loaded; what `configure` gave is ours.
        let handle = unsafe { Handle::new(config, plugin.config, Arc::clone(&who)) }?;
        let read = |method: &str| handle.must(method, &Asked::default());
        let options = read("options")?.json().map_err(|why| who.error("options", why))?;
        let facts = read("facts")?.json().map_err(|why| who.error("facts", why))?;
        Ok(Self {
            name,
            plugin,
            handle,
            options,
            facts,
        })
    }

    fn validate(&self, problems: &mut Problems) {
        let said = self
            .handle
            .must("validate", &Asked::default())
            .and_then(|answer| {
                let read = answer.json::<Vec<import::Problem>>();
                read.map_err(|why| self.handle.who.error("validate", why))
            });
        match said {
            Ok(list) => {
                for import::Problem { field, message, hint } in list {
                    match hint {
                        Some(hint) => problems.add_with_hint(&field, message, hint),
                        None => problems.add(&field, message),
                    }
                }
            }
            Err(error) => problems.add("", error.to_string()),
        }
    }

    /// Builds the runtime part and hands it over with its table.
    fn build<T>(&self, with: &BuildWith, wrap: impl FnOnce(Parts) -> Result<T>) -> Result<T> {
        let text = serde_json::to_string(with).map_err(|e| Error::Input(format!("as JSON: {e}")))?;
        let args = Args {
            size: size_of::<Args>(),
            json: Str::new(&text),
            tensors: std::ptr::null(),
            count: 0,
            anchors: std::ptr::null(),
            work: std::ptr::null(),
        };
        let mut built: *mut c_void = std::ptr::null_mut();
        let answer = Collector::default().run(|out| {
            // SAFETY: the configuration is valid, arguments live during the call.
            unsafe { (self.plugin.table.build)(self.handle.object(), &raw const args, &raw mut built, out) }
        });
        let who = Arc::clone(&self.handle.who);
        match answer {
            Err(Failure::Unsupported) => return Err(who.error("build", "cannot be built")),
            other => who.settle("build", other)?,
        };
        wrap(Parts {
            built,
            plugin: self.plugin,
            who,
        })
    }
}

/// What a plugin built.
struct Parts {
    built: *mut c_void,
    plugin: &'static Loaded,
    who: Arc<import::Who>,
}

impl Parts {
    /// A table of the kind, checked when the plugin was loaded.
    fn table<T>(&self, table: Option<T>) -> Result<T> {
        table.ok_or_else(|| self.who.error("build", "lacks the functions of its kind"))
    }

    fn handle(self, methods: &'static Object) -> Result<Handle> {
        // SAFETY: what `build` gave is ours, and belongs to the table of its kind.
        unsafe { Handle::new(self.built, methods, self.who) }
    }
}

impl Serialize for Foreign {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.options.serialize(serializer)
    }
}

/// How a block of a plugin reaches serde.
#[derive(Deserialize)]
struct Block {
    component: String,
    options: Value,
}

/// A stand-in of one kind: reads and writes its options, and is known to the kind's registry under `plugin`.
macro_rules! stand_in {
    ($name:ident, $kind:ident, $config:ident) => {
        /// See the module.
        #[derive(Debug)]
        struct $name(Foreign);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let block = Block::deserialize(deserializer)?;
                let read = Foreign::configure(ComponentKind::$kind, &block.component, &block.options);
                read.map(Self).map_err(D::Error::custom)
            }
        }

        // What `#[typetag::serde(name = "plugin")]` would write, but for the name, which is the component's own.
        hidden::inventory::submit! {
            <dyn $config>::typetag_register(
                szar_core::registry::PLUGIN,
                (|deserializer| Ok(Box::new(hidden::erased_serde::deserialize::<$name>(deserializer)?)))
                    as hidden::DeserializeFn<<dyn $config as hidden::Strictest>::Object>,
            )
        }
    };
}

/// What every stand-in answers the same way.
macro_rules! common {
    () => {
        fn validate(&self, problems: &mut Problems) {
            self.0.validate(problems);
        }

        fn typetag_name(&self) -> &'static str {
            self.0.name
        }

        fn typetag_deserialize(&self) {}
    };
}

macro_rules! marks {
    () => {
        fn marks(&self) -> Vec<Mark> {
            self.0.facts.marks.clone()
        }
    };
}

stand_in!(DatasetStandIn, Dataset, DatasetConfig);
stand_in!(EncoderStandIn, Encoder, EncoderConfig);
stand_in!(SemanticsStandIn, Semantics, SemanticsConfig);
stand_in!(TextsStandIn, TextEncoder, TextEncoderConfig);
stand_in!(AlignerStandIn, Aligner, AlignerConfig);
stand_in!(AdapterStandIn, Adapter, AdapterConfig);
stand_in!(GateStandIn, Gate, GateConfig);

impl DatasetConfig for DatasetStandIn {
    common!();
    marks!();

    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        self.0.facts.layout.clone()
    }

    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn Dataset>> {
        self.0.build(&BuildWith::of(ctx), |parts| {
            let (table, methods) = parts.table(parts.plugin.tables.dataset)?;
            Ok(Box::new(ForeignDataset::new(parts.handle(methods)?, table)?) as Box<dyn Dataset>)
        })
    }
}

impl EncoderStandIn {
    /// The form of the features, as the plugin says.
    fn said(&self, input: &InputSpec) -> Result<EncoderSpec> {
        let text = serde_json::to_string(&Input::of(input)).unwrap_or_default();
        let asked = Asked {
            json: &text,
            ..Asked::default()
        };
        let answer = self.0.handle.must("spec", &asked)?;
        let spec: EncoderSpec = answer
            .json()
            .map_err(|why| self.0.handle.who.error("spec", why))?;
        if [spec.channels, spec.frames, spec.joints].iter().any(|n| *n < 1) {
            let why = format!("gave {spec:?}, expected sizes of 1 at least");
            return Err(self.0.handle.who.error("spec", why));
        }
        Ok(spec)
    }
}

impl EncoderConfig for EncoderStandIn {
    common!();
    marks!();

    fn trains(&self) -> bool {
        !self.0.facts.comes_trained
    }

    fn spec(&self, input: &InputSpec) -> EncoderSpec {
        self.said(input).unwrap_or_else(|error| {
            // `build` asks again, and fails.
            tracing::debug!("{error}");
            EncoderSpec {
                channels: 0,
                frames: 1,
                joints: 1,
                classifies: false,
            }
        })
    }

    fn weights(&self) -> Option<&Path> {
        self.0.facts.weights.as_deref()
    }

    fn prepared(&self) -> Option<&str> {
        self.0.facts.prepared.as_deref()
    }

    fn build(&self, input: &InputSpec, ctx: &BuildContext) -> Result<Box<dyn SkeletonEncoder>> {
        let _ = self.said(input)?;
        let with = BuildWith {
            input: Some(Input::of(input)),
            ..BuildWith::of(ctx)
        };
        self.0.build(&with, |parts| {
            let (table, methods) = parts.table(parts.plugin.tables.encoder)?;
            Ok(Box::new(ForeignEncoder::new(parts.handle(methods)?, table)?) as Box<dyn SkeletonEncoder>)
        })
    }
}

impl SemanticsConfig for SemanticsStandIn {
    common!();
    marks!();

    fn granularities(&self) -> Vec<Granularity> {
        self.0.facts.granularities.clone()
    }

    fn width(&self) -> Option<i64> {
        self.0.facts.width
    }

    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn SemanticProvider>> {
        let device = ctx.device;
        self.0.build(&BuildWith::of(ctx), |parts| {
            let table = parts.table(parts.plugin.tables.object)?;
            Ok(Box::new(ForeignSemantics::new(parts.handle(table)?, device)) as Box<dyn SemanticProvider>)
        })
    }
}

impl TextEncoderConfig for TextsStandIn {
    common!();

    fn width(&self) -> Option<i64> {
        self.0.facts.width
    }

    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn TextEncoder>> {
        self.0.build(&BuildWith::of(ctx), |parts| {
            let table = parts.table(parts.plugin.tables.object)?;
            Ok(Box::new(ForeignTexts::new(parts.handle(table)?)?) as Box<dyn TextEncoder>)
        })
    }
}

impl AlignerConfig for AlignerStandIn {
    common!();
    marks!();

    fn capabilities(&self) -> Capabilities {
        self.0.facts.capabilities.clone()
    }

    fn width(&self) -> Option<i64> {
        self.0.facts.width
    }

    fn weights(&self) -> Option<&Path> {
        self.0.facts.weights.as_deref()
    }

    fn build(
        &self,
        features: &EncoderSpec,
        granularities: &[Granularity],
        width: i64,
        ctx: &BuildContext,
    ) -> Result<Box<dyn Aligner>> {
        let with = BuildWith {
            features: Some(*features),
            granularities: Some(granularities.to_vec()),
            width: Some(width),
            ..BuildWith::of(ctx)
        };
        self.0.build(&with, |parts| {
            let (table, methods) = parts.table(parts.plugin.tables.aligner)?;
            Ok(Box::new(ForeignAligner::new(parts.handle(methods)?, table)?) as Box<dyn Aligner>)
        })
    }
}

impl AdapterConfig for AdapterStandIn {
    common!();
    marks!();

    fn requirements(&self) -> Requirements {
        self.0.facts.requirements.clone()
    }

    fn per_sample(&self) -> bool {
        self.0.facts.per_sample
    }

    fn holds_streams(&self) -> bool {
        self.0.facts.holds_streams
    }

    fn disturbs_aligner(&self) -> bool {
        self.0.facts.disturbs_aligner
    }

    fn build(&self, ctx: &BuildContext) -> Result<Box<dyn TestTimeAdapter>> {
        self.0.build(&BuildWith::of(ctx), |parts| {
            let (table, methods) = parts.table(parts.plugin.tables.adapter)?;
            let snapshots = parts.plugin.tables.snapshot;
            let handle = parts.handle(methods)?;
            let adapter = ForeignAdapter::new(handle, table, snapshots);
            Ok(Box::new(adapter.writing_aligner(self.0.facts.disturbs_aligner)) as Box<dyn TestTimeAdapter>)
        })
    }
}

impl GateConfig for GateStandIn {
    common!();
    marks!();

    fn needs_encoder_logits(&self) -> bool {
        self.0.facts.needs_encoder_logits
    }

    fn needs_validation(&self) -> bool {
        self.0.facts.needs_validation
    }

    fn needs_pseudo_unseen(&self) -> Option<PseudoUnseen> {
        self.0.facts.needs_pseudo_unseen.clone()
    }

    fn wants_truth(&self) -> bool {
        self.0.facts.wants_truth
    }

    fn build(&self, candidates: &ClassList, ctx: &BuildContext) -> Result<Box<dyn GzslGate>> {
        let with = BuildWith {
            candidates: Some(candidates.clone()),
            ..BuildWith::of(ctx)
        };
        self.0.build(&with, |parts| {
            let table = parts.table(parts.plugin.tables.object)?;
            Ok(Box::new(ForeignGate::new(parts.handle(table)?)) as Box<dyn GzslGate>)
        })
    }
}
