//! One request to a chat endpoint.

use std::time::Duration;

use serde_json::{Value, json};
use szar_core::{Error, Result};
use ureq::Agent;
use ureq::http::{Response, StatusCode};

use super::config::Endpoint;
use super::tasks::ROLE;

/// Largest answer that is read, bytes.
const LARGEST: u64 = 1 << 20;

/// Characters of a foreign message that are shown.
const SHOWN: usize = 300;

/// Why a request gave no reply.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The endpoint cannot be reached, is busy or ill: worth another try, after this time if it says so.
    Outage(String, Option<Duration>),
    /// An answer that makes no sense: worth another try.
    Nonsense(String),
    /// This very question is refused.
    Refused(String),
    /// No question will be answered.
    Fatal(String),
}

/// A connection to an endpoint.
pub(super) struct Chat<'a> {
    endpoint: &'a Endpoint,
    address: String,
    key: Option<String>,
    agent: Agent,
}

impl<'a> Chat<'a> {
    /// Reads the key from its variable; sends nothing yet.
    ///
    /// # Errors
    /// [`Error::Input`] when the variable is unset, empty or holds what no header can.
    pub(super) fn open(endpoint: &'a Endpoint) -> Result<Self> {
        let agent = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs_f64(endpoint.timeout_secs)))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("szar/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self {
            endpoint,
            address: format!("{}/chat/completions", endpoint.url.trim_end_matches('/')),
            key: key(endpoint)?,
            agent,
        })
    }

    /// The content of the model's reply to one question.
    pub(super) fn ask(&self, question: &str) -> Result<String, Trouble> {
        let mut body = json!({
            "model": self.endpoint.model,
            "messages": [{"role": "system", "content": ROLE}, {"role": "user", "content": question}],
        });
        if let Some(temperature) = self.endpoint.temperature {
            body["temperature"] = temperature.into();
        }
        if self.endpoint.json_mode {
            body["response_format"] = json!({"type": "json_object"});
        }
        let mut request = self
            .agent
            .post(&self.address)
            .header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = request.send(body.to_string()).map_err(|e| self.unreachable(&e))?;
        let text = response.body_mut().with_config().limit(LARGEST).read_to_string();
        let text = match text {
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                return Err(Trouble::Nonsense(format!(
                    "the answer is longer than {LARGEST} bytes"
                )));
            }
            other => other.map_err(|e| self.unreachable(&e))?,
        };
        match response.status() {
            StatusCode::OK => content(&text).map_err(|why| Trouble::Nonsense(self.shown(&why))),
            status => Err(self.failed(status, &response, &text)),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Trouble {
        let host = &self.endpoint.url;
        match error {
            ureq::Error::Timeout(_) => {
                let seconds = self.endpoint.timeout_secs;
                Trouble::Outage(
                    format!("{host} did not answer within {seconds} s (`timeout_secs`)"),
                    None,
                )
            }
            ureq::Error::BadUri(why) => Trouble::Fatal(format!("`url` {host}: {why}")),
            other => Trouble::Outage(
                format!("{host} cannot be reached: {}", self.shown(&other.to_string())),
                None,
            ),
        }
    }

    fn failed<T>(&self, status: StatusCode, response: &Response<T>, text: &str) -> Trouble {
        let said = self.shown(&message(text));
        let what = format!("{} answers {}: {said}", self.endpoint.url, status.as_u16());
        match status.as_u16() {
            429 | 503 => {
                let header = response
                    .headers()
                    .get("retry-after")
                    .and_then(|v| v.to_str().ok());
                let seconds = header.and_then(|v| v.trim().parse::<f64>().ok());
                let wait = seconds
                    .filter(|s| (0.0..=1e6).contains(s))
                    .map(Duration::from_secs_f64);
                Trouble::Outage(what, wait)
            }
            408 | 409 | 425 | 500..=599 => Trouble::Outage(what, None),
            401 | 403 => {
                let variable = &self.endpoint.key_variable;
                let which = if variable.is_empty() {
                    "no key was sent".to_owned()
                } else {
                    format!("the key is that of `{variable}`")
                };
                Trouble::Fatal(format!("{what} ({which})"))
            }
            404 | 405 => Trouble::Fatal(format!("{what} (`url` and `model` decide this)")),
            300..=399 => Trouble::Fatal(format!(
                "{what} (it moved elsewhere; requests follow no redirection)"
            )),
            _ => Trouble::Refused(what),
        }
    }

    /// A foreign text in one line, not too long, without the key.
    fn shown(&self, text: &str) -> String {
        let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        line.retain(|c| !c.is_control());
        if let Some(key) = &self.key {
            line = line.replace(key.as_str(), "***");
        }
        match line.char_indices().nth(SHOWN) {
            Some((at, _)) => format!("{}...", &line[..at]),
            None if line.is_empty() => "(nothing)".into(),
            None => line,
        }
    }
}

/// The key, where the endpoint asks for one.
fn key(endpoint: &Endpoint) -> Result<Option<String>> {
    let variable = endpoint.key_variable.trim();
    if variable.is_empty() {
        return Ok(None);
    }
    let wrong = |why: &str| {
        Err(Error::Input(format!(
            "the environment variable `{variable}` {why}; set it to the key of {}, name another (`key_variable`), or leave \
             the name empty where no key is needed",
            endpoint.url
        )))
    };
    match std::env::var(variable) {
        Ok(key) if key.trim().is_empty() => wrong("is empty"),
        Ok(key) if !key.trim().bytes().all(|b| b.is_ascii_graphic()) => {
            wrong("holds characters that no key has")
        }
        Ok(key) => Ok(Some(key.trim().to_owned())),
        Err(std::env::VarError::NotPresent) => wrong("is not set"),
        Err(std::env::VarError::NotUnicode(_)) => wrong("holds characters that no key has"),
    }
}

/// The reply inside an endpoint's answer.
fn content(text: &str) -> Result<String, String> {
    let answer: Value =
        serde_json::from_str(text).map_err(|e| format!("the answer is no JSON ({e}): {text}"))?;
    let choice = &answer["choices"][0];
    let content = choice["message"]["content"].as_str();
    match (content, choice["finish_reason"].as_str()) {
        (Some(_), Some("length")) => Err("the reply was cut off at the endpoint's limit of length".into()),
        (Some(content), _) => Ok(content.to_owned()),
        (None, _) => Err(format!(
            "the answer holds no `choices[0].message.content`: {text}"
        )),
    }
}

/// What an error's body says: `error.message`, as OpenAI has it, else all of it.
fn message(text: &str) -> String {
    let json: Option<Value> = serde_json::from_str(text).ok();
    let said = json
        .as_ref()
        .and_then(|v| v["error"]["message"].as_str().or(v["error"].as_str()));
    said.unwrap_or(text).to_owned()
}
