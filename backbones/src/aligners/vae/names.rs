//! Names under which official checkpoints hold the networks: one file a network, called by initials.

use szar_core::NamedTensors;

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
pub fn canonical(state: &NamedTensors) -> NamedTensors {
    let own = state.iter().filter_map(|(name, tensor)| {
        let (network, key) = name.split_once('.').unwrap_or((name, ""));
        if ["classifier", "clasifier"].contains(&network) {
            return None;
        }
        let initials = network.trim_end_matches(|c: char| c.is_ascii_digit());
        let initials = initials
            .strip_suffix("_trip")
            .unwrap_or(initials)
            .trim_end_matches('_');
        let full = FILES.iter().find(|(file, _)| *file == initials);
        let network = full.map_or(network, |(_, full)| full);
        let name = if key.is_empty() {
            name.clone()
        } else {
            format!("{network}.{key}")
        };
        Some((name, tensor.shallow_clone()))
    });
    own.collect()
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
        let names: Vec<_> = canonical(&state).into_keys().collect();
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
}
