//! From text to token ids: a Hugging Face `tokenizer.json`, or WordPiece over a `vocab.txt`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use szar_core::{Error, Result};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, Model, Tokenizer, TruncationParams};

/// Turns texts into ids with `[CLS]` in front and `[SEP]` behind, cut to a length, without padding.
#[derive(Debug)]
pub struct Tokens {
    tokenizer: Tokenizer,
    file: PathBuf,
}

/// What `tokenizer_config.json` says beside a `vocab.txt`.
#[derive(Deserialize)]
#[serde(default)]
struct WordPieceOptions {
    do_lower_case: bool,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: bool,
}

impl Default for WordPieceOptions {
    fn default() -> Self {
        Self {
            do_lower_case: true,
            strip_accents: None,
            tokenize_chinese_chars: true,
        }
    }
}

impl Tokens {
    /// Reads `tokenizer.json` of a model folder or, where there is none, `vocab.txt`. `max_length` (at least 3)
    /// counts `[CLS]` and `[SEP]`.
    ///
    /// # Errors
    /// When both files are missing, or one is not what it should be.
    pub fn load(folder: &Path, max_length: usize) -> Result<Self> {
        let json = folder.join("tokenizer.json");
        let (tokenizer, file) = if json.is_file() {
            let read = Tokenizer::from_file(&json).map_err(|e| Error::format(&json, None, e.to_string()))?;
            (read, json)
        } else {
            let vocabulary = folder.join("vocab.txt");
            (word_piece(folder, &vocabulary)?, vocabulary)
        };
        Self::with(tokenizer, file, max_length)
    }

    /// A tokenizer read from `file` that shall cut texts to `max_length` tokens, those it adds included.
    pub(in crate::semantics) fn with(
        mut tokenizer: Tokenizer,
        file: PathBuf,
        max_length: usize,
    ) -> Result<Self> {
        let cut = TruncationParams {
            max_length,
            ..Default::default()
        };
        tokenizer
            .with_truncation(Some(cut))
            .map_err(|e| Error::format(&file, None, e.to_string()))?;
        tokenizer.with_padding(None);
        Ok(Self { tokenizer, file })
    }

    /// The file the vocabulary came from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Refuses a vocabulary with ids that the network has no row for.
    ///
    /// # Errors
    /// [`Error::Format`] naming a token.
    pub fn check_below(&self, rows: i64) -> Result<()> {
        let vocabulary = self.tokenizer.get_vocab(true);
        match vocabulary.iter().max_by_key(|(_, id)| **id) {
            Some((token, id)) if i64::from(*id) >= rows => Err(Error::format(
                &self.file,
                format!("token `{token}`"),
                format!("has id {id}, but the network knows {rows} tokens (`vocab_size` of `config.json`)"),
            )),
            _ => Ok(()),
        }
    }

    /// Ids of one text.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    pub fn ids(&self, text: &str) -> Result<Vec<i64>> {
        let encoding = self.tokenizer.encode(text, true).map_err(|e| {
            Error::Input(format!(
                "cannot tokenise \"{text}\" ({}): {e}",
                self.file.display()
            ))
        })?;
        Ok(encoding.get_ids().iter().map(|id| i64::from(*id)).collect())
    }
}

fn word_piece(folder: &Path, vocabulary: &Path) -> Result<Tokenizer> {
    let wrong = |why: String| Error::format(vocabulary, None, why);
    let bytes = std::fs::read(vocabulary).map_err(|e| {
        Error::read(vocabulary, e).context(format!("no `tokenizer.json` in {}", folder.display()))
    })?;
    let options: WordPieceOptions =
        super::folder::json_if_there(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
    let lines = WordPiece::read_bytes(&bytes).map_err(|e| wrong(e.to_string()))?;
    let model = WordPiece::builder()
        .vocab(lines)
        .build()
        .map_err(|e| wrong(e.to_string()))?;
    let special = |token: &str| {
        let id = model.token_to_id(token);
        id.map(|id| (token.to_owned(), id))
            .ok_or_else(|| wrong(format!("holds no line `{token}`")))
    };
    let (start, end) = (special("[CLS]")?, special("[SEP]")?);
    let all = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let kept: Vec<_> = all.iter().filter(|t| model.token_to_id(t).is_some()).collect();
    let normalizer = BertNormalizer::new(
        true,
        options.tokenize_chinese_chars,
        options.strip_accents,
        options.do_lower_case,
    );
    special("[UNK]")?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_normalizer(Some(normalizer))
        .map_err(|e| wrong(e.to_string()))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_post_processor(Some(BertProcessing::new(end, start)));
    let added = kept.into_iter().map(|t| AddedToken::from(*t, true));
    tokenizer
        .add_special_tokens(added)
        .map_err(|e| wrong(e.to_string()))?;
    Ok(tokenizer)
}
