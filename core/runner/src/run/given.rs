//! Weights that a pipeline brings: they are used on sequences prepared as those they were trained on, or not at all.

use serde_json::Value;
use szar_core::{EncoderConfig, NamedTensors, Result, checkpoint};
use tch::Device;

use super::Session;

impl Session<'_> {
    /// Asks the files of the encoder's weights, before any sequence is read.
    ///
    /// # Errors
    /// When a file is damaged, names another preparation than the pipeline's, or none while the pipeline names none either.
    pub(super) fn given(&self) -> Result<()> {
        let wanted = self.resolved.value.get("preprocess").unwrap_or(&Value::Null);
        judge(self.pipeline.encoder.as_ref(), wanted)
    }
}

/// Asks the files of an encoder and of its members.
fn judge(encoder: &dyn EncoderConfig, wanted: &Value) -> Result<()> {
    if let Some(path) = encoder.weights() {
        let weights = checkpoint::read_weights(path, &NamedTensors::new(), Device::Cpu)?;
        weights.expect_prepared(path, encoder.prepared(), wanted)?;
    }
    let members = encoder.members();
    members.into_iter().try_for_each(|member| judge(member, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use szar_core::host;

    fn encoder(options: Value) -> Box<dyn EncoderConfig> {
        serde_json::from_value(options).unwrap()
    }

    /// What is wrong with the quickstart, so changed.
    fn wrong(changes: &[&str]) -> String {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/quickstart.yaml");
        let changes: Vec<String> = changes.iter().map(|text| (*text).to_owned()).collect();
        let loaded = szar_core::config::load(std::path::Path::new(file), &changes);
        loaded.map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn another_preparation_than_the_pipelines_is_refused_by_the_options_alone() {
        const WEIGHTS: &str = "encoder.weights=net.pt";
        let silent = wrong(&[WEIGHTS]);
        assert!(
            silent.contains("net.pt` holds weights that do not say how the sequences were prepared"),
            "{silent}"
        );
        assert!(silent.contains("`encoder.weights`"), "{silent}");
        let other = wrong(&[WEIGHTS, "encoder.prepared=stgcn"]);
        let expected = "trained on sequences prepared by `stgcn`, this pipeline prepares them by `standard`";
        assert!(
            other.contains(expected) && other.contains("`preprocess: {type: stgcn}`"),
            "{other}"
        );
        let unknown = wrong(&[WEIGHTS, "encoder.prepared=stgnc"]);
        assert!(
            unknown.contains("`stgnc`") && unknown.contains("`stgcn`"),
            "{unknown}"
        );
        let nothing = wrong(&["encoder.prepared=standard"]);
        assert!(nothing.contains("and there are none"), "{nothing}");
        let member = "encoder={type: ensemble, members: [{type: st-gcn, weights: net.pt, prepared: agcn}]}";
        let member = wrong(&[member]);
        assert!(member.contains("`encoder.members[0].prepared`"), "{member}");
        for fine in [
            &[WEIGHTS, "encoder.prepared=standard"][..],
            &["encoder.weights=net.safetensors"],
        ] {
            assert_eq!(wrong(fine), "", "{fine:?}");
        }
    }

    #[test]
    fn weights_of_an_encoder_and_its_members_must_name_their_preparation() {
        let folder = tempfile::tempdir().unwrap();
        let tensors = NamedTensors::from([("fc.bias".to_owned(), host::tensor(&[1.0], &[1]))]);
        let file = |name: &str, about: &[(String, String)]| {
            let path = folder.path().join(name);
            checkpoint::save(&path, &tensors, about).unwrap();
            path
        };
        let silent = file("silent.safetensors", &[]);
        let said = ("preprocess".into(), r#"{"type": "stgcn"}"#.into());
        let says = file("says.safetensors", &[said]);
        let (stgcn, agcn) = (
            serde_json::json!({"type": "stgcn"}),
            serde_json::json!({"type": "agcn"}),
        );
        let member = |weights: &std::path::Path, prepared: Option<&str>| {
            let options = serde_json::json!({"type": "st-gcn", "weights": weights, "prepared": prepared});
            let ensemble = serde_json::json!({"type": "ensemble", "members": [options.clone()]});
            [encoder(options), encoder(ensemble)]
        };
        for config in member(&silent, None) {
            let error = judge(config.as_ref(), &stgcn).unwrap_err().to_string();
            let expected =
                "silent.safetensors: holds weights that do not say how the sequences were prepared";
            assert!(
                error.contains(expected) && error.contains("(`prepared:`, a type of `preprocess`)"),
                "{error}"
            );
        }
        for config in member(&silent, Some("stgcn")).iter().chain(&member(&says, None)) {
            judge(config.as_ref(), &stgcn).unwrap();
        }
        // What the file says counts, whatever the pipeline says of it.
        for config in member(&says, Some("agcn")) {
            let error = judge(config.as_ref(), &agcn).unwrap_err().to_string();
            assert!(
                error.contains("`preprocess.type` was \"stgcn\" and is \"agcn\""),
                "{error}"
            );
        }
    }
}
