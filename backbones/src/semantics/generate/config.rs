//! Options of the generation.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::Problems;

use super::tasks::{Style, Task};

/// Options of `szar semantics generate`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GenerateConfig {
    /// Whom to ask.
    pub endpoint: Endpoint,
    /// What to ask for the file of descriptions. Default: global, parts, phases, the eight texts of PURLS.
    pub texts: Vec<Task>,
    /// How much the answers say. Default: `short`, as PURLS.
    pub style: Style,
    /// Questions that stand in for those of `style`; `{name}` is the class. No default.
    pub questions: BTreeMap<Task, String>,
    /// Requests under way at once, 1 to 64. Default: 4, ours.
    pub concurrency: usize,
    /// Requests for one answer before it is given up, 1 to 20. Default: 5, ours.
    pub attempts: u32,
    /// Seconds before the second request for an answer; doubled each time, a minute at most. An endpoint that names a
    /// time is heeded instead, two minutes at most. Default: 1, ours.
    pub backoff_secs: f64,
}

/// A chat endpoint that speaks the protocol of OpenAI.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Endpoint {
    /// Base address; `/chat/completions` is put behind it. Default: that of OpenAI.
    pub url: String,
    /// Name of the model. No default.
    pub model: String,
    /// Sampling temperature, 0 to 2; `null` leaves it to the endpoint. Default: 0, as in the appendix of
    /// Skeleton-Cache.
    pub temperature: Option<f64>,
    /// Environment variable that holds the key; empty for an endpoint that asks for none. The key is neither shown nor
    /// stored. Default: `OPENAI_API_KEY`.
    pub key_variable: String,
    /// Seconds until a request is given up. Default: 120, ours.
    pub timeout_secs: f64,
    /// Ask the endpoint itself for JSON (`response_format`), where it knows that. Default: false.
    pub json_mode: bool,
}

impl Default for GenerateConfig {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::default(),
            texts: vec![Task::Global, Task::Parts, Task::Phases],
            style: Style::default(),
            questions: BTreeMap::new(),
            concurrency: 4,
            attempts: 5,
            backoff_secs: 1.0,
        }
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            url: "https://api.openai.com/v1".into(),
            model: String::new(),
            temperature: Some(0.0),
            key_variable: "OPENAI_API_KEY".into(),
            timeout_secs: 120.0,
            json_mode: false,
        }
    }
}

impl GenerateConfig {
    /// Judges the options alone; touches nothing.
    pub fn validate(&self, problems: &mut Problems) {
        problems.scoped("endpoint", |problems| self.endpoint.validate(problems));
        problems.check(!self.texts.contains(&Task::Prior), "texts", || {
            "names `prior`, which is no text; the file of weights asks for it (`--prior FILE`)".into()
        });
        let twice = (1..self.texts.len()).find(|i| self.texts[..*i].contains(&self.texts[*i]));
        if let Some(i) = twice {
            problems.add("texts", format!("names `{}` twice", self.texts[i].as_str()));
        }
        problems.scoped("questions", |problems| {
            for (task, question) in &self.questions {
                problems.check(question.contains("{name}"), task.as_str(), || {
                    "lacks `{name}`, so all classes would get the same question".into()
                });
            }
        });
        problems.check((1..=64).contains(&self.concurrency), "concurrency", || {
            format!("must be between 1 and 64, got {}", self.concurrency)
        });
        problems.check((1..=20).contains(&self.attempts), "attempts", || {
            format!("must be between 1 and 20, got {}", self.attempts)
        });
        problems.check((0.0..=60.0).contains(&self.backoff_secs), "backoff_secs", || {
            format!("must be between 0 and 60, got {}", self.backoff_secs)
        });
    }

    /// The question about a class, filled in one pass, so that braces in a name mean nothing.
    pub(super) fn question(&self, task: Task, name: &str) -> String {
        let own = self.questions.get(&task).map(String::as_str);
        own.unwrap_or_else(|| task.question(self.style))
            .split("{name}")
            .collect::<Vec<_>>()
            .join(name)
    }
}

impl Endpoint {
    fn validate(&self, problems: &mut Problems) {
        let rest = ["https://", "http://"]
            .iter()
            .find_map(|s| self.url.strip_prefix(s));
        let host = rest.map(|rest| rest.split('/').next().unwrap_or_default());
        problems.check(host.is_some_and(|h| !h.is_empty()), "url", || {
            format!(
                "must begin with `https://` or `http://` and a host, got `{}`",
                self.url
            )
        });
        problems.check(host.is_none_or(|h| !h.contains('@')), "url", || {
            "holds a user or password; a key belongs in the variable that `key_variable` names".into()
        });
        problems.check(!self.url.contains(['?', '#', ' ']), "url", || {
            "must be a base address without a query, a fragment or blanks".into()
        });
        problems.check(!self.model.trim().is_empty(), "model", || "no model given".into());
        problems.check(
            self.temperature.is_none_or(|t| (0.0..=2.0).contains(&t)),
            "temperature",
            || {
                format!(
                    "must be between 0 and 2, got {}",
                    self.temperature.unwrap_or_default()
                )
            },
        );
        problems.check(
            (0.01..=3600.0).contains(&self.timeout_secs),
            "timeout_secs",
            || format!("must be between 0.01 and 3600, got {}", self.timeout_secs),
        );
    }
}
