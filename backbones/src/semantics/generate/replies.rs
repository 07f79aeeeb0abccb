//! Replies on disk, so that a run that was stopped goes on, and a second one asks nothing.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use szar_core::{Result, checkpoint};

use super::config::Endpoint;
use super::tasks::ROLE;
use crate::semantics::hash;

/// Replies below `<cache>/replies/`, each under the hash of all that decides it.
#[derive(Clone, Debug)]
pub(super) struct Replies {
    folder: PathBuf,
    /// Address, model and temperature.
    asked: Value,
}

impl Replies {
    pub(super) fn new(cache: &Path, endpoint: &Endpoint) -> Self {
        let url = endpoint.url.trim_end_matches('/');
        Self {
            folder: cache.join("replies"),
            asked: json!([url, endpoint.model, endpoint.temperature, ROLE]),
        }
    }

    /// The reply to a question, if it is there and whole.
    pub(super) fn read(&self, question: &str, schema: &Value) -> Option<Value> {
        let text = std::fs::read_to_string(self.place(question, schema)).ok()?;
        let mut entry: Value = serde_json::from_str(&text).ok()?;
        entry.get_mut("reply").map(Value::take)
    }

    /// Keeps a reply.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn keep(&self, question: &str, schema: &Value, reply: &Value) -> Result<()> {
        let entry = json!({"asked": self.asked, "question": question, "reply": reply});
        checkpoint::write_atomically(&self.place(question, schema), entry.to_string().as_bytes())
    }

    fn place(&self, question: &str, schema: &Value) -> PathBuf {
        let key = json!([self.asked, question, schema]).to_string();
        let name = hash::hex(&hash::digest(key.as_bytes()));
        self.folder.join(&name[..2]).join(format!("{}.json", &name[2..]))
    }
}
