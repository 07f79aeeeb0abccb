//! Names under which official checkpoints hold the networks: one file a network, called by initials.

use szar_core::{Error, NamedTensors, Result};

/// Initials of official files, and the network in each.
const FILES: [(&str, &str); 9] = [
    ("se", "sequence_encoder"),
    ("sd", "sequence_decoder"),
    ("te", "text_encoder"),
    ("td", "text_decoder"),
    ("tne", "n_text_encoder"),
    ("tnd", "n_text_decoder"),
    ("tve", "v_text_encoder"),
    ("tvd", "v_text_decoder"),
    ("dis", "discriminator"),
];

/// The same tensors under our names: `se.mu.0.weight`, `se_1699.mu.0.weight` and CADA-VAE's `se_trip1699.mu.0.weight` become
/// `sequence_encoder.mu.0.weight`. A classifier is left out: it belongs to one list of candidates and is trained anew.
///
/// # Errors
/// [`Error::Input`] when two entries would bear one name, as those of files of several epochs do.
pub fn canonical(state: &NamedTensors) -> Result<NamedTensors> {
    let mut all = NamedTensors::new();
    for (name, tensor) in state {
        let (network, key) = name.split_once('.').unwrap_or((name, ""));
        if ["classifier", "clasifier"].contains(&network) {
            continue;
        }
        let own = if key.is_empty() {
            name.clone()
        } else {
            format!("{}.{key}", full(network))
        };
        if all.insert(own.clone(), tensor.shallow_clone()).is_some() {
            return Err(Error::Input(format!(
                "the weights hold `{own}` twice, the second time as `{name}`; leave the files of one epoch only"
            )));
        }
    }
    Ok(all)
}

fn full(network: &str) -> &str {
    let initials = network.trim_end_matches(|c: char| c.is_ascii_digit());
    let initials = initials
        .strip_suffix("_trip")
        .unwrap_or(initials)
        .trim_end_matches('_');
    let known = FILES.iter().find(|(file, _)| *file == initials);
    known.map_or(network, |(_, full)| full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn official_files_are_recognised_by_their_initials() {
        let given = [
            "se.mu.0.weight",
            "sd_1699.model.0.bias",
            "te_trip8499.logvar_transformation.0.weight",
            "tnd.model.0.weight",
            "sequence_encoder.mu.0.bias",
            "clasifier.model.0.weight",
            "sex.mu.0.weight",
        ];
        let state = given.map(|n| (n.to_owned(), tch::Tensor::new())).into();
        let names: Vec<_> = canonical(&state).unwrap().into_keys().collect();
        let want = [
            "n_text_decoder.model.0.weight",
            "sequence_decoder.model.0.bias",
            "sequence_encoder.mu.0.bias",
            "sequence_encoder.mu.0.weight",
            "sex.mu.0.weight",
            "text_encoder.logvar_transformation.0.weight",
        ];
        assert_eq!(names, want);
    }

    #[test]
    fn files_of_two_epochs_are_refused() {
        let given = ["se_1699.mu.0.bias", "se_3399.mu.0.bias"];
        let state = given.map(|n| (n.to_owned(), tch::Tensor::new())).into();
        let error = canonical(&state).unwrap_err().to_string();
        assert!(error.contains("`sequence_encoder.mu.0.bias` twice"), "{error}");
    }
}
