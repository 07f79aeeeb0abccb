//! Members built, asked and saved together.

use szar_core::checkpoint::read_weights;
use szar_core::component::InputSpec;
use szar_core::{
    BuildContext, EncoderConfig, EncoderSpec, Encoding, Error, FeatureMap, FitContext, FitSummary,
    NamedTensors, Result, SeenSkeletons, SkeletonBatch, SkeletonEncoder, shape,
};
use tch::{Tensor, no_grad};

use super::config::{EnsembleConfig, joined};
use super::fit;

/// One encoder of an ensemble.
pub(super) struct Member {
    pub(super) encoder: Box<dyn SkeletonEncoder>,
    /// Name of the component.
    pub(super) name: &'static str,
    /// Multiplies its logits.
    factor: f64,
    /// It came with weights, which stay as they are.
    given: bool,
    /// It is trained here.
    pub(super) trains: bool,
}

/// Several encoders as one.
pub struct Ensemble {
    pub(super) members: Vec<Member>,
    pub(super) config: EnsembleConfig,
}

impl std::fmt::Debug for Ensemble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ensemble")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Ensemble {
    /// Builds all members, those without weights of their own from the current seed of libtorch.
    ///
    /// # Errors
    /// [`Error::Input`] when there is no member, or naming the maps of all when they cannot be joined; whatever keeps a
    /// member or its weights from being used, with the member's place.
    pub fn new(config: &EnsembleConfig, input: &InputSpec, ctx: &BuildContext) -> Result<Self> {
        let factors = config.factors();
        if config.members.is_empty() || factors.len() != config.members.len() {
            return Err(Error::Input(format!(
                "`ensemble` needs members and a factor for each, got {} and {}",
                config.members.len(),
                factors.len()
            )));
        }
        if !config.pooled {
            same_maps(config, input)?;
        }
        let members = config.members.iter().zip(factors).enumerate();
        let members = members.map(|(i, (member, factor))| {
            build(member.as_ref(), factor, input, ctx).map_err(|e| e.context(place(i, member.typetag_name())))
        });
        Ok(Self {
            members: members.collect::<Result<_>>()?,
            config: config.clone(),
        })
    }

    /// Features of all members on the channel axis.
    fn join(&self, features: &[FeatureMap]) -> Result<FeatureMap> {
        if self.config.pooled {
            let pooled: Vec<Tensor> = features.iter().map(FeatureMap::pooled).collect();
            return FeatureMap::from_pooled(&Tensor::f_cat(&pooled, 1)?);
        }
        let maps: Vec<&Tensor> = features.iter().map(|map| &map.values).collect();
        FeatureMap::new(Tensor::f_cat(&maps, 1)?)
    }

    /// Sum of the members' logits with their factors; `None` when a member has none.
    fn add(&self, logits: Vec<Option<Tensor>>) -> Result<Option<Tensor>> {
        let Some(logits) = logits.into_iter().collect::<Option<Vec<Tensor>>>() else {
            return Ok(None);
        };
        let form = logits.first().map(Tensor::size).unwrap_or_default();
        let mut sum: Option<Tensor> = None;
        for (i, (member, logits)) in self.members.iter().zip(&logits).enumerate() {
            let want = [form.first().copied(), form.get(1).copied()];
            shape::expect("seen logits", logits, want).map_err(|e| e.context(place(i, member.name)))?;
            let part = logits * member.factor;
            sum = Some(sum.map_or_else(|| part.shallow_clone(), |sum| sum + &part));
        }
        Ok(sum)
    }
}

/// How a member is called in messages.
pub(super) fn place(i: usize, name: &str) -> String {
    format!("members[{i}], `{name}`")
}

/// What stands before the names of a member's tensors.
pub(super) fn prefix(i: usize) -> String {
    format!("members.{i}.")
}

fn build(config: &dyn EncoderConfig, factor: f64, input: &InputSpec, ctx: &BuildContext) -> Result<Member> {
    let name = config.typetag_name();
    let mut encoder = config.build(input, ctx)?;
    if let Some(path) = config.weights() {
        let weights = read_weights(path, &encoder.state(), ctx.device)?;
        weights.expect_component(name)?;
        encoder
            .load_state(&weights.tensors)
            .map_err(|e| e.context(path.display().to_string()))?;
    }
    let given = config.weights().is_some();
    Ok(Member {
        encoder,
        name,
        factor,
        given,
        trains: config.trains() && !given,
    })
}

/// Refuses members whose maps cannot stand beside each other.
fn same_maps(config: &EnsembleConfig, input: &InputSpec) -> Result<()> {
    let specs: Vec<EncoderSpec> = config.members.iter().map(|m| m.spec(input)).collect();
    let form = |spec: &EncoderSpec| (spec.frames, spec.joints);
    if specs.windows(2).all(|pair| form(&pair[0]) == form(&pair[1])) {
        return Ok(());
    }
    let mut text =
        "`ensemble` joins the features of its members channel by channel, and their maps differ".to_owned();
    for (i, (member, spec)) in config.members.iter().zip(&specs).enumerate() {
        let place = place(i, member.typetag_name());
        text.push_str(&format!(
            "\n  {place}: {} frames, {} joints",
            spec.frames, spec.joints
        ));
    }
    text.push_str("\n\nhint: `pooled: true` joins pooled features");
    Err(Error::Input(text))
}

/// The tensors of every member of a state, under their own names.
///
/// # Errors
/// [`Error::Input`] naming those that belong to none.
pub(super) fn split(state: &NamedTensors, count: usize) -> Result<Vec<NamedTensors>> {
    let mut parts: Vec<NamedTensors> = (0..count).map(|_| NamedTensors::new()).collect();
    let mut strange = Vec::new();
    for (name, tensor) in state {
        let rest = name
            .strip_prefix("members.")
            .and_then(|rest| rest.split_once('.'));
        let found = rest.and_then(|(number, own)| Some((parts.get_mut(number.parse::<usize>().ok()?)?, own)));
        match found {
            Some((part, own)) => drop(part.insert(own.to_owned(), tensor.shallow_clone())),
            None => strange.push(format!("\n  `{}` is unknown", name.escape_debug())),
        }
    }
    if strange.is_empty() {
        return Ok(parts);
    }
    Err(Error::Input(format!(
        "weights do not fit an ensemble of {count}, whose names begin with `members.0.` and so on: {} unknown{}",
        strange.len(),
        strange.concat()
    )))
}

/// Are the values the same, by the names of `own`?
fn equal(own: &NamedTensors, given: &NamedTensors) -> bool {
    let same = |(name, tensor): (&String, &Tensor)| {
        given.get(name).is_some_and(|other| {
            (other.size(), other.kind()) == (tensor.size(), tensor.kind())
                && tensor.equal(&other.to_device(tensor.device()))
        })
    };
    own.len() == given.len() && own.iter().all(same)
}

impl SkeletonEncoder for Ensemble {
    fn spec(&self) -> EncoderSpec {
        joined(self.members.iter().map(|m| m.encoder.spec()), self.config.pooled)
    }

    fn encode(&self, batch: &SkeletonBatch) -> Result<Encoding> {
        let (mut features, mut logits) = (Vec::new(), Vec::new());
        for (i, member) in self.members.iter().enumerate() {
            let encoding = member
                .encoder
                .encode(batch)
                .map_err(|e| e.context(place(i, member.name)))?;
            features.push(encoding.features);
            logits.push(encoding.seen_logits);
        }
        no_grad(|| {
            Ok(Encoding {
                features: self.join(&features)?,
                seen_logits: self.add(logits)?,
            })
        })
    }

    /// Trains the members without weights, one after the other.
    fn fit(
        &mut self,
        train: &dyn SeenSkeletons,
        validation: &dyn SeenSkeletons,
        ctx: &mut FitContext,
    ) -> Result<FitSummary> {
        fit::fit(self, train, validation, ctx)
    }

    fn state(&self) -> NamedTensors {
        let named = self.members.iter().enumerate().flat_map(|(i, member)| {
            let front = prefix(i);
            let state = member.encoder.state().into_iter();
            state.map(move |(name, tensor)| (format!("{front}{name}"), tensor))
        });
        named.collect()
    }

    /// Takes over the weights of all members. Those of a member that came with its own must be the same.
    fn load_state(&mut self, state: &NamedTensors) -> Result<()> {
        let parts = split(state, self.members.len())?;
        for (i, (member, part)) in self.members.iter_mut().zip(&parts).enumerate() {
            let own = place(i, member.name);
            if !member.given {
                member.encoder.load_state(part).map_err(|e| e.context(own))?;
            } else if !equal(&member.encoder.state(), part) {
                return Err(Error::Input(format!(
                    "{own}: was saved with other weights than the file of its `weights` holds now; take that file back, or start anew"
                )));
            }
        }
        Ok(())
    }
}

/// Where a member keeps the state of its unfinished training, beside that of the whole.
pub(super) fn checkpoint(whole: &std::path::Path, i: usize) -> std::path::PathBuf {
    let text = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned());
    let stem = text(whole.file_stem()).unwrap_or_default();
    let ending = text(whole.extension())
        .map(|e| format!(".{e}"))
        .unwrap_or_default();
    whole.with_file_name(format!("{stem}.member{i}{ending}"))
}
