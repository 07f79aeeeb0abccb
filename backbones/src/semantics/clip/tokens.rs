//! CLIP's tokens: a Hugging Face `tokenizer.json`, or byte-pair encoding over `vocab.json` and `merges.txt`.

use std::path::{Path, PathBuf};

use szar_core::{Error, Result};
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence, replace::ReplacePattern};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as Steps;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, Model, SplitDelimiterBehavior, Tokenizer};

use crate::semantics::bert::tokens::Tokens;

/// Stands before every text.
const START: &str = "<|startoftext|>";
/// Stands behind every text; its state stands for the text.
const END: &str = "<|endoftext|>";
/// What is one word: contractions, runs of letters, single digits, runs of anything else.
const WORD: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Reads the tokens of a model folder; texts are cut to `max_length`, start and end included.
///
/// # Errors
/// When the files are missing, or one is not what it should be.
pub fn load(folder: &Path, max_length: usize) -> Result<Tokens> {
    let json = folder.join("tokenizer.json");
    if json.is_file() {
        let read = Tokenizer::from_file(&json).map_err(|e| Error::format(&json, None, e.to_string()))?;
        return Tokens::with(read, json, max_length);
    }
    let [vocabulary, merges] = files(folder);
    for path in [&vocabulary, &merges] {
        // Opened here for an error that names the file.
        std::fs::File::open(path).map_err(|e| {
            Error::read(path, e).context(format!("no `tokenizer.json` in {}", folder.display()))
        })?;
    }
    let tokenizer = byte_pairs(&vocabulary, &merges).map_err(|e| e.into_error(&vocabulary, &merges))?;
    Tokens::with(tokenizer, vocabulary, max_length)
}

/// The two files that stand in for `tokenizer.json`.
pub fn files(folder: &Path) -> [PathBuf; 2] {
    ["vocab.json", "merges.txt"].map(|name| folder.join(name))
}

/// What is wrong with the two files.
enum Flaw {
    Pair(tokenizers::Error),
    NoToken(&'static str),
}

impl From<tokenizers::Error> for Flaw {
    fn from(source: tokenizers::Error) -> Self {
        Self::Pair(source)
    }
}

impl Flaw {
    fn into_error(self, vocabulary: &Path, merges: &Path) -> Error {
        match self {
            Self::Pair(source) => Error::format(
                vocabulary,
                None,
                format!(
                    "does not read as a vocabulary with {}: {source}",
                    merges.display()
                ),
            ),
            Self::NoToken(token) => Error::format(vocabulary, None, format!("holds no token `{token}`")),
        }
    }
}

fn byte_pairs(vocabulary: &Path, merges: &Path) -> Result<Tokenizer, Flaw> {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let model = BPE::from_file(&path(vocabulary), &path(merges))
        .unk_token(END.into())
        .end_of_word_suffix("</w>".into())
        .build()?;
    let special = |token: &'static str| {
        let id = model.token_to_id(token).ok_or(Flaw::NoToken(token))?;
        Ok::<_, Flaw>((token.to_owned(), id))
    };
    let (start, end) = (special(START)?, special(END)?);
    let spaces = Replace::new(ReplacePattern::Regex(r"\s+".into()), " ")?;
    let words = SplitPattern::Regex(WORD.into());
    let words = Split::new(words, SplitDelimiterBehavior::Removed, true)?;
    let bytes = ByteLevel::new(false, true, true);
    let around = RobertaProcessing::new(end, start)
        .trim_offsets(false)
        .add_prefix_space(false);
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_normalizer(Some(Sequence::new(vec![
        NFC.into(),
        spaces.into(),
        Lowercase.into(),
    ])))?;
    tokenizer.with_pre_tokenizer(Some(Steps::new(vec![words.into(), bytes.into()])));
    tokenizer.with_post_processor(Some(around));
    tokenizer.add_special_tokens([START, END].map(|token| AddedToken::from(token, true)))?;
    Ok(tokenizer)
}
