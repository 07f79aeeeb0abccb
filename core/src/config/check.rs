//! Do the parts fit each other? Decided from their options alone, before any data is read.

use super::pipeline::{Evaluation, Pipeline, Plain, Stream};
use crate::checkpoint::{SAY, UNSAID, may_say};
use crate::component::{self, Capabilities, EncoderSpec, FeatureNeed, InputSpec, Requirements};
use crate::problems::Problems;
use crate::registry::{self, ComponentKind};
use crate::{
    AdapterConfig, AlignerConfig, DatasetConfig, EncoderConfig, GateConfig, Granularity, PreprocessorConfig,
    SemanticsConfig,
};

/// Adds everything that is wrong with a pipeline: each component's options alone, then what one component needs
/// and another does not give. Touches no file and no device.
pub fn check(pipeline: &Pipeline, problems: &mut Problems) {
    let parts = Parts {
        plain: Some((Plain::of(pipeline), true)),
        dataset: Some((&*pipeline.dataset, true)),
        preprocess: Some((&*pipeline.preprocess, true)),
        encoder: Some((&*pipeline.encoder, true)),
        semantics: Some((&*pipeline.semantics, true)),
        aligner: Some((&*pipeline.aligner, true)),
        adapters: pipeline.adapters.iter().map(|a| Some((&**a, true))).collect(),
        gate: pipeline.gate.as_deref().map(|g| (g, true)),
        has_gate: pipeline.gate.is_some(),
    };
    parts.check(problems);
}

/// Parts whose fit is judged without a dataset and without texts.
#[derive(Clone, Copy, Debug)]
pub struct Composition<'a> {
    /// What the encoder would be given.
    pub input: &'a InputSpec,
    /// From skeletons to features.
    pub encoder: &'a dyn EncoderConfig,
    /// Scores features against anchors.
    pub aligner: &'a dyn AlignerConfig,
    /// Works on the scores.
    pub adapter: Option<&'a dyn AdapterConfig>,
    /// Decides between seen and unseen.
    pub gate: Option<&'a dyn GateConfig>,
    /// How samples arrive.
    pub stream: &'a Stream,
}

impl Composition<'_> {
    /// Adds what [`check`] would say of a pipeline with these parts: what one of them needs and another does not give.
    pub fn check(&self, problems: &mut Problems) {
        let sound = Sound {
            dataset: None,
            preprocess: None,
            encoder: Some(self.encoder),
            semantics: None,
            aligner: Some(self.aligner),
            adapters: vec![self.adapter],
            gate: self.gate,
        };
        let spec = self.encoder.spec(self.input);
        sound.features(Some(&spec), problems);
        sound.adapt(Some(&spec), Some(self.stream), problems);
        sound.gating(Some(&spec), problems);
    }
}

/// A part that was read, and whether it was read whole.
pub(crate) type Read<T> = Option<(T, bool)>;

/// A pipeline of which parts may be missing or incomplete, because (some of) their fields were refused before.
pub(crate) struct Parts<'a> {
    pub plain: Read<Plain>,
    pub dataset: Read<&'a dyn DatasetConfig>,
    pub preprocess: Read<&'a dyn PreprocessorConfig>,
    pub encoder: Read<&'a dyn EncoderConfig>,
    pub semantics: Read<&'a dyn SemanticsConfig>,
    pub aligner: Read<&'a dyn AlignerConfig>,
    pub adapters: Vec<Read<&'a dyn AdapterConfig>>,
    pub gate: Read<&'a dyn GateConfig>,
    /// A gate is written down, sound or not.
    pub has_gate: bool,
}

/// Validates one part; it stays only when it is whole and nothing is wrong with it, so that no later check
/// stumbles over it.
macro_rules! validated {
    ($part:expr, $scope:expr, $problems:expr) => {
        $part.and_then(|(part, whole)| {
            let before = $problems.len();
            $problems.scoped($scope, |p| part.validate(p));
            (whole && $problems.len() == before).then_some(part)
        })
    };
}

impl Parts<'_> {
    /// Adds what is wrong with the parts and between them.
    pub fn check(self, problems: &mut Problems) {
        if let Some((plain, _)) = &self.plain {
            plain.validate(problems);
        }
        let each = self.adapters.into_iter().enumerate();
        let sound = Sound {
            dataset: validated!(self.dataset, "dataset", problems),
            preprocess: validated!(self.preprocess, "preprocess", problems),
            encoder: validated!(self.encoder, "encoder", problems),
            semantics: validated!(self.semantics, "semantics", problems),
            aligner: validated!(self.aligner, "aligner", problems),
            gate: validated!(self.gate, "gate", problems),
            adapters: each
                .map(|(i, adapter)| validated!(adapter, &format!("adapters[{i}]"), problems))
                .collect(),
        };
        sound.texts(problems);
        sound.source(problems);
        sound.prepared(problems);
        let spec = sound.encoder_spec();
        sound.features(spec.as_ref(), problems);
        let stream = self.plain.as_ref().map(|(plain, _)| plain.stream.clone());
        sound.adapt(spec.as_ref(), stream.as_ref(), problems);
        sound.gating(spec.as_ref(), problems);
        match self.plain {
            Some((plain, _)) if !self.has_gate => gateless(&plain, problems),
            Some((plain, _)) => sound.unfitted(&plain, problems),
            None => {}
        }
    }
}

/// gzsl cannot be evaluated without a gate.
fn gateless(plain: &Plain, problems: &mut Problems) {
    if let Some(i) = plain.evaluate.iter().position(|e| *e == Evaluation::Gzsl) {
        problems.add_with_hint(
            &format!("evaluate[{i}]"),
            "evaluate asks for gzsl, but there is no gate",
            "add a `gate:` block, or take gzsl out of `evaluate`",
        );
    }
}

/// The parts that nothing is wrong with.
struct Sound<'a> {
    dataset: Option<&'a dyn DatasetConfig>,
    preprocess: Option<&'a dyn PreprocessorConfig>,
    encoder: Option<&'a dyn EncoderConfig>,
    semantics: Option<&'a dyn SemanticsConfig>,
    aligner: Option<&'a dyn AlignerConfig>,
    adapters: Vec<Option<&'a dyn AdapterConfig>>,
    gate: Option<&'a dyn GateConfig>,
}

impl Sound<'_> {
    /// Does the aligner get the texts it wants, in the width it wants?
    fn texts(&self, problems: &mut Problems) {
        let (Some(semantics), Some(aligner)) = (self.semantics, self.aligner) else {
            return;
        };
        let (from, to) = (semantics.typetag_name(), aligner.typetag_name());
        if let (Some(gives), Some(wants)) = (semantics.width(), aligner.width())
            && gives != wants
        {
            problems.add_with_hint(
                "aligner",
                format!("aligner `{to}` wants anchors of width {wants}, semantics `{from}` gives {gives}"),
                format!("choose a text encoder of width {wants}, or train the aligner anew for {gives}"),
            );
        }
        let offered = semantics.granularities();
        let wanted = aligner.capabilities().granularities;
        let lacking: Vec<_> = wanted.iter().filter(|g| !offered.contains(g)).collect();
        if !lacking.is_empty() {
            let message = format!(
                "aligner `{to}` uses the texts {}, semantics `{from}` has no {}",
                names(&wanted),
                names(lacking.iter().copied())
            );
            problems.add_with_hint(
                "aligner",
                format!("{message}\n`{from}` gives: {}", names(&offered)),
                "choose semantics that give these texts, or an aligner that does without",
            );
        }
    }

    /// Skeletons go to an encoder of skeletons, features to one that passes them on; who asks for skeletons gets some.
    fn source(&self, problems: &mut Problems) {
        let Some(dataset) = self.dataset else { return };
        let (from, features) = (dataset.typetag_name(), dataset.features().is_some());
        if let Some(encoder) = self.encoder.filter(|e| e.passes_on() != features) {
            let name = encoder.typetag_name();
            let (message, hint) = if features {
                (
                    format!(
                        "encoder `{name}` encodes skeletons, dataset `{from}` brings features in their place"
                    ),
                    "take an encoder that passes features on, such as `recorded`",
                )
            } else {
                (
                    format!(
                        "encoder `{name}` passes on features that a dataset brings, dataset `{from}` brings skeletons"
                    ),
                    "take an encoder of skeletons, or a dataset of features",
                )
            };
            problems.add_with_hint("encoder", message, hint);
        }
        if !features {
            return;
        }
        let mut need = |place: &str, who: &str, name: &str, reason: &str| {
            let why = format!(
                "{who} `{name}` needs the skeletons ({reason}), dataset `{from}` brings features in their place"
            );
            problems.add(place, why);
        };
        if let Some((aligner, why)) = self
            .aligner
            .and_then(|a| Some((a, a.capabilities().needs_skeletons?)))
        {
            need("aligner", "aligner", aligner.typetag_name(), &why);
        }
        for (i, adapter) in self.adapters.iter().enumerate() {
            if let Some((adapter, why)) = adapter.and_then(|a| Some((a, a.requirements().skeletons?))) {
                need(&format!("adapters[{i}]"), "adapter", adapter.typetag_name(), &why);
            }
        }
    }

    /// Are weights used on sequences prepared as those they were trained on?
    fn prepared(&self, problems: &mut Problems) {
        if let (Some(encoder), Some(preprocess)) = (self.encoder, self.preprocess) {
            problems.scoped("encoder", |p| prepared(encoder, preprocess.typetag_name(), p));
        }
    }

    /// What the encoder will give, when the options alone tell.
    fn encoder_spec(&self) -> Option<EncoderSpec> {
        let features = self.dataset?.features();
        if features.is_some() || self.encoder?.passes_on() {
            return features.map(|form| form.spec);
        }
        let (layout, persons) = self.dataset?.layout()?;
        let input = InputSpec {
            layout,
            persons,
            frames: self.preprocess?.frames(),
            seen_classes: 1,
        };
        Some(self.encoder?.spec(&input))
    }

    fn features(&self, spec: Option<&EncoderSpec>, problems: &mut Problems) {
        let (Some(encoder), Some(aligner), Some(spec)) = (self.encoder, self.aligner, spec) else {
            return;
        };
        if aligner.capabilities().features == FeatureNeed::Map && spec.is_pooled() {
            problems.add(
                "aligner",
                format!(
                    "aligner `{}` needs a spatio-temporal feature map, encoder `{}` gives pooled features",
                    aligner.typetag_name(),
                    encoder.typetag_name()
                ),
            );
        }
    }

    fn adapt(&self, spec: Option<&EncoderSpec>, stream: Option<&Stream>, problems: &mut Problems) {
        let Some(aligner) = self.aligner else { return };
        let offers: Capabilities = aligner.capabilities();
        let encoder = self.encoder.zip(spec).map(|(e, spec)| (e.typetag_name(), spec));
        for (i, adapter) in self.adapters.iter().enumerate() {
            let Some(adapter) = adapter else { continue };
            let (name, needs) = (adapter.typetag_name(), adapter.requirements());
            problems.scoped(&format!("adapters[{i}]"), |p| {
                component::negotiate(name, &needs, encoder, (aligner.typetag_name(), &offers), p);
                self.surroundings(name, &needs, stream, p);
                let layout = self.dataset.and_then(|d| d.layout());
                if let (Some((layout, _)), Some((from, spec))) = (&layout, encoder)
                    && needs.parts
                    && !spec.is_pooled()
                    && spec.joints != layout.len() as i64
                {
                    p.add(
                        "",
                        format!(
                            "adapter `{name}` needs body parts, the {} joints of the features of encoder `{from}` are not the {} of layout `{}`",
                            spec.joints,
                            layout.len(),
                            layout.name
                        ),
                    );
                }
                if let Some((layout, _)) = layout.filter(|(l, _)| needs.parts && l.parts.is_empty()) {
                    p.add(
                        "",
                        format!(
                            "adapter `{name}` needs body parts, layout `{}` names none",
                            layout.name
                        ),
                    );
                }
            });
        }
    }

    /// What an adapter needs of the semantics and of the stream.
    fn surroundings(
        &self,
        name: &str,
        needs: &Requirements,
        stream: Option<&Stream>,
        problems: &mut Problems,
    ) {
        if let (Some(reason), Some(semantics)) = (&needs.prompts, self.semantics)
            && !semantics.prompts()
        {
            let from = semantics.typetag_name();
            let why = format!(
                "adapter `{name}` needs a text encoder whose prompt can be tuned ({reason}), semantics `{from}` has none"
            );
            problems.add("", why);
        }
        if let Some(stream) = stream.filter(|s| s.batch / s.streams.max(1) < needs.batch) {
            let why = format!(
                "adapter `{name}` needs at least {} samples of a stream in a step, `stream.batch: {}` over {} stream(s) gives fewer",
                needs.batch, stream.batch, stream.streams
            );
            problems.add_with_hint(
                "",
                why,
                format!("set `stream.batch` to {} or more", needs.batch * stream.streams),
            );
        }
    }

    /// A gate that is fitted needs samples to be fitted on.
    fn unfitted(&self, plain: &Plain, problems: &mut Problems) {
        let fitted = self.gate.is_some_and(|gate| gate.needs_validation());
        if fitted && plain.validation.fraction == 0.0 && plain.evaluate.contains(&Evaluation::Gzsl) {
            problems.add(
                "validation.fraction",
                "the gate is fitted on validation samples, and 0 leaves none; take a share such as 0.1",
            );
        }
    }

    fn gating(&self, spec: Option<&EncoderSpec>, problems: &mut Problems) {
        if let (Some(gate), Some(encoder), Some(spec)) = (self.gate, self.encoder, spec)
            && gate.needs_encoder_logits()
            && !spec.classifies
        {
            problems.add(
                "gate",
                format!(
                    "gate `{}` needs an encoder that classifies the seen classes, encoder `{}` does not",
                    gate.typetag_name(),
                    encoder.typetag_name()
                ),
            );
        }
        let recorded = self.dataset.and_then(|d| d.features());
        let retrained = self.gate.is_some_and(|gate| {
            let held = gate.needs_pseudo_unseen();
            held.is_some_and(|held| held.retrain_encoder)
        });
        let held_out = recorded.is_some_and(|form| form.held_out);
        if let (Some(gate), Some(dataset)) = (self.gate, self.dataset)
            && recorded.is_some_and(|form| form.spec.classifies)
            && gate.fits_on_encoder_logits()
            && !(retrained && held_out)
        {
            problems.add_with_hint(
                "gate",
                format!(
                    "gate `{}` is fitted on the encoder's logits of samples that are not tested, dataset `{}` has logits of test samples alone",
                    gate.typetag_name(),
                    dataset.typetag_name()
                ),
                "let it judge by the aligner's scores, give its constants, or bring features with held-out classes for it",
            );
        }
        if let (Some(gate), Some(encoder)) = (self.gate, self.encoder)
            && retrained
            && !held_out
            && !encoder.retrains()
        {
            problems.add_with_hint(
                "gate",
                format!(
                    "gate `{}` is fitted on classes that are held out of a training of the encoder, encoder `{}` comes with its weights and is not trained",
                    gate.typetag_name(),
                    encoder.typetag_name()
                ),
                "set `gate.pseudo_unseen.retrain_encoder: false` if its weights may know the held-out classes, or choose a gate with given constants",
            );
        }
    }
}

/// Does an encoder, or a member of it, have weights that were trained on other sequences than `preprocess` makes?
fn prepared(encoder: &dyn EncoderConfig, preprocess: &str, problems: &mut Problems) {
    for (i, member) in encoder.members().into_iter().enumerate() {
        problems.scoped(&format!("members[{i}]"), |p| prepared(member, preprocess, p));
    }
    match (encoder.prepared(), encoder.weights()) {
        (Some(_), None) if encoder.trains() => {
            problems.add(
                "prepared",
                "says how sequences were prepared for `weights`, and there are none",
            );
        }
        (Some(named), _) if named != preprocess => {
            if let Err(error) = registry::find(ComponentKind::Preprocessor, named) {
                problems.add("prepared", error.to_string());
                return;
            }
            problems.add_with_hint(
                "prepared",
                format!(
                    "the weights were trained on sequences prepared by `{named}`, this pipeline prepares them by `{preprocess}`"
                ),
                format!("give the pipeline `preprocess: {{type: {named}}}`, or train anew"),
            );
        }
        (None, Some(path)) if !may_say(path) => {
            problems.add_with_hint("weights", format!("`{}` {UNSAID}", path.display()), SAY);
        }
        _ => {}
    }
}

fn names<'a>(list: impl IntoIterator<Item = &'a Granularity>) -> String {
    let names: Vec<_> = list.into_iter().map(Granularity::as_str).collect();
    names.join(", ")
}
