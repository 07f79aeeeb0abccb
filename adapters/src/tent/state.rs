//! Scale and shift of every layer in one stream, and the optimiser that moves them.

use szar_core::optim::Optimiser;
use szar_core::{Affine, Error, NamedTensors, Result, shape};
use tch::{Kind, Tensor};

use super::TentConfig;

/// One stream's layers.
pub(super) struct Layers {
    pub affine: Vec<Affine>,
    pub optimiser: Optimiser,
}

impl std::fmt::Debug for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layers")
            .field("affine", &self.affine)
            .finish_non_exhaustive()
    }
}

impl Layers {
    /// Starts from these scales and shifts, copied.
    ///
    /// # Errors
    /// [`Error::Unknown`] when `layers` names one that is not there; [`Error::Input`] when there is none.
    pub(super) fn new(options: &TentConfig, from: &[Affine]) -> Result<Self> {
        if from.is_empty() {
            return Err(Error::Input(
                "tent needs an aligner with normalisation layers".into(),
            ));
        }
        let known = || from.iter().map(|a| a.layer.as_str());
        if let Some(unknown) = options.layers.iter().find(|l| known().all(|k| k != l.as_str())) {
            return Err(Error::unknown("layer", unknown, known()).context("option `layers`"));
        }
        let moves = |layer: &str| options.layers.is_empty() || options.layers.iter().any(|l| l == layer);
        let own = |t: &Tensor, moves: bool| t.detach().to_kind(Kind::Float).copy().set_requires_grad(moves);
        let affine: Vec<Affine> = from
            .iter()
            .map(|a| Affine {
                layer: a.layer.clone(),
                weight: own(&a.weight, moves(&a.layer)),
                bias: own(&a.bias, moves(&a.layer)),
            })
            .collect();
        let optimiser = Optimiser::new(options.rule(), options.weight_decay, &by_name(&affine));
        Ok(Self { affine, optimiser })
    }

    /// Refuses an aligner whose layers are others.
    pub(super) fn check(&self, found: &[Affine]) -> Result<()> {
        let form = |list: &[Affine]| -> Vec<(String, Vec<i64>)> {
            list.iter().map(|a| (a.layer.clone(), a.weight.size())).collect()
        };
        let (own, found) = (form(&self.affine), form(found));
        if own == found {
            return Ok(());
        }
        Err(Error::Input(format!(
            "the aligner's normalisation layers are {found:?}, the state of tent is of {own:?}"
        )))
    }

    /// Everything, under names below `prefix`.
    pub(super) fn save(&self, prefix: &str, into: &mut NamedTensors) {
        let state = self.optimiser.state().into_iter();
        let state = state.map(|(name, t)| (format!("optimiser/{name}"), t));
        for (name, tensor) in by_name(&self.affine).into_iter().chain(state) {
            into.insert(format!("{prefix}{name}"), tensor.detach().copy());
        }
    }

    /// What [`Self::save`] wrote, without the prefix.
    pub(super) fn load(options: &TentConfig, state: &NamedTensors) -> Result<Self> {
        let (moments, layers): (Vec<_>, Vec<_>) =
            state.iter().partition(|(name, _)| name.starts_with("optimiser/"));
        let mut affine = Vec::new();
        for (name, weight) in &layers {
            let Some(layer) = name.strip_suffix("/weight") else {
                let pair = name.strip_suffix("/bias").map(|l| format!("{l}/weight"));
                if pair.is_none_or(|pair| !state.contains_key(&pair)) {
                    return Err(Error::Missing(format!("the `weight` that goes with `{name}`")));
                }
                continue;
            };
            let (number, layer) = layer
                .split_once('/')
                .ok_or_else(|| Error::Input(format!("`{name}` is not an entry of tent")))?;
            let bias = state.get(&format!("{number}/{layer}/bias"));
            let bias = bias.ok_or_else(|| Error::Missing(format!("`{number}/{layer}/bias`")))?;
            shape::expect(name, weight, [None])?;
            shape::expect(&format!("{number}/{layer}/bias"), bias, [Some(weight.size()[0])])?;
            affine.push(Affine {
                layer: layer.to_owned(),
                weight: weight.shallow_clone(),
                bias: bias.shallow_clone(),
            });
        }
        let mut own = Self::new(options, &affine)?;
        let moments = moments.into_iter();
        let moments = moments.map(|(name, t)| (name["optimiser/".len()..].to_owned(), t.shallow_clone()));
        own.optimiser.load_state(&moments.collect())?;
        Ok(own)
    }

    /// Bytes of scales, shifts and moments.
    pub(super) fn bytes(&self) -> u64 {
        let mut all = NamedTensors::new();
        self.save("", &mut all);
        let sizes = all.values().map(|t| t.numel() * t.kind().elt_size_in_bytes());
        sizes.sum::<usize>() as u64
    }
}

/// Scales and shifts under names that keep the order of the layers.
fn by_name(affine: &[Affine]) -> NamedTensors {
    let each = |(i, a): (usize, &Affine)| {
        let name = |what: &str| format!("{i:04}/{}/{what}", a.layer);
        [
            (name("weight"), a.weight.shallow_clone()),
            (name("bias"), a.bias.shallow_clone()),
        ]
    };
    affine.iter().enumerate().flat_map(each).collect()
}
