//! Replays the recorded cases `semantics/bert-sentence`.

use szar_core::conform::{Case, Driver};
use szar_core::{Error, NamedTensors, Result};
use tch::{Device, Kind, Tensor};

use super::config::BertConfig;
use super::folder::Pooling;
use super::model::Bert;
use super::tokens::Tokens;
use super::{pad, pool, unit};

inventory::submit! {
    Driver { kind: "semantics", component: "bert-sentence", run }
}

fn run(case: &Case) -> Result<Option<NamedTensors>> {
    let weights = case.weights();
    let config = BertConfig {
        hidden_size: case.param("hidden_size")?,
        num_hidden_layers: case.param("num_hidden_layers")?,
        num_attention_heads: case.param("num_attention_heads")?,
        intermediate_size: case.param("intermediate_size")?,
        max_position_embeddings: case.param("max_position_embeddings")?,
        vocab_size: case.param("vocab_size")?,
        layer_norm_eps: case.param("layer_norm_eps")?,
        pad_token_id: case.param("pad_token_id")?,
        ..BertConfig::default()
    };
    let (ids, mask) = tokens(case, &config)?;
    let bert = Bert::new(config, &weights, Device::Cpu)
        .map_err(|why| Error::Input(format!("{}: {why}", case.name)))?;
    let hidden = tch::no_grad(|| bert.forward(&ids, &mask))?;
    let (mean, cls) = (
        pool(&hidden, &mask, Pooling::Mean),
        pool(&hidden, &mask, Pooling::Cls),
    );
    let sentence = unit(&mean);
    let weight = |name: &str| {
        let found = weights.get(name);
        found.ok_or_else(|| Error::Missing(format!("weight `{name}` of {}", case.name)))
    };
    let pooled = cls
        .linear(weight("pooler.dense.weight")?, Some(weight("pooler.dense.bias")?))
        .tanh();
    let similarity = sentence.matmul(&sentence.transpose(0, 1));
    let outputs = [
        ("last_hidden_state", hidden * mask.unsqueeze(-1)),
        ("mean_pooled", mean),
        ("sentence_embedding", sentence),
        ("cls_hidden", cls),
        ("pooler_output", pooled),
        ("similarity", similarity),
    ];
    Ok(Some(outputs.map(|(name, t)| (name.to_owned(), t)).into()))
}

/// Ids and mask of the case's sentences by its own vocabulary, which must be the recorded ones.
fn tokens(case: &Case, config: &BertConfig) -> Result<(Tensor, Tensor)> {
    let longest = usize::try_from(config.max_position_embeddings).unwrap_or(usize::MAX);
    let tokens = Tokens::load(&case.folder, longest)?;
    tokens.check_below(config.vocab_size)?;
    let file = case.folder.join("sentences.txt");
    let text = std::fs::read_to_string(&file).map_err(|e| Error::read(&file, e))?;
    let ids = text
        .lines()
        .map(|line| tokens.ids(line))
        .collect::<Result<Vec<_>>>()?;
    let (ids, mask) = pad(&ids.iter().collect::<Vec<_>>(), config.pad_token_id);
    let want = (case.input("input_ids")?, case.input("attention_mask")?);
    if ids.size() != want.0.size() || !ids.equal(&want.0) || !mask.to_kind(Kind::Int64).equal(&want.1) {
        return Err(Error::Input(format!(
            "tokens of `sentences.txt` differ from the recorded ones: {ids}, expected {}",
            want.0
        )));
    }
    Ok((ids, mask))
}

#[cfg(test)]
mod tests {
    #[test]
    fn goldens() {
        szar_core::conform::assert_goldens("semantics/bert-sentence");
    }
}
