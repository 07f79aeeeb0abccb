//! Asks all questions, some at a time.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jsonschema::Validator;
use serde_json::Value;
use szar_core::{Cancel, ClassList, Error, Progress, Result};

use super::chat::{Chat, Trouble};
use super::config::GenerateConfig;
use super::replies::Replies;
use super::reply;
use super::tasks::Task;

/// Questions in a row that may fail for the endpoint's sake before no other is asked.
const OUTAGES: usize = 3;

/// Longest pause between two requests of ours, and longest that an endpoint may ask for.
const LONGEST: Duration = Duration::from_secs(60);
const LONGEST_ASKED: Duration = Duration::from_secs(120);

/// The answers, class by class, a task each.
pub(super) struct Done {
    pub(super) answers: Vec<Result<Value, String>>,
    pub(super) requests: usize,
    pub(super) cached: usize,
}

impl Done {
    /// Classes with an answer missing, and why.
    pub(super) fn failed(&self, classes: &ClassList, tasks: &[Task]) -> Vec<(String, String)> {
        let of_class = |(name, answers): (&String, &[Result<Value, String>])| {
            let first = tasks
                .iter()
                .zip(answers)
                .find_map(|(t, a)| Some((t, a.as_ref().err()?)))?;
            Some((name.clone(), format!("{}: {}", first.0.as_str(), first.1)))
        };
        let names = classes.names().iter();
        names
            .zip(self.answers.chunks(tasks.len()))
            .filter_map(of_class)
            .collect()
    }
}

/// A task with what its answers must be.
struct Form {
    task: Task,
    schema: Value,
    validator: Validator,
}

struct Work<'a> {
    config: &'a GenerateConfig,
    classes: &'a ClassList,
    forms: Vec<Form>,
    chat: Chat<'a>,
    replies: Replies,
    cancel: &'a Cancel,
    /// Next question to ask.
    next: AtomicUsize,
    requests: AtomicUsize,
    cached: AtomicUsize,
    /// Questions in a row that failed for the endpoint's sake.
    outages: AtomicUsize,
    /// Why no more questions are asked.
    given_up: Mutex<Option<String>>,
}

/// Asks about every class.
///
/// # Errors
/// When the key is missing or a schema is none. What the endpoint gets wrong is in the answers.
pub(super) fn run(
    config: &GenerateConfig,
    classes: &ClassList,
    tasks: &[Task],
    cache: &Path,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Done> {
    let form = |task: &Task| {
        let schema = task.schema();
        let validator = jsonschema::validator_for(&schema).map_err(|e| Error::Input(e.to_string()))?;
        Ok(Form {
            task: *task,
            schema,
            validator,
        })
    };
    let work = Work {
        config,
        classes,
        forms: tasks.iter().map(form).collect::<Result<Vec<_>>>()?,
        chat: Chat::open(&config.endpoint)?,
        replies: Replies::new(cache, &config.endpoint),
        cancel,
        next: AtomicUsize::new(0),
        requests: AtomicUsize::new(0),
        cached: AtomicUsize::new(0),
        outages: AtomicUsize::new(0),
        given_up: Mutex::new(None),
    };
    let total = classes.len() * tasks.len();
    let answers = Mutex::new(vec![None; total]);
    let finished = AtomicUsize::new(0);
    progress.begin("asking", total as u64);
    std::thread::scope(|scope| {
        for _ in 0..config.concurrency.min(total) {
            scope.spawn(|| {
                while let Some((n, answer)) = work.answer_next(total) {
                    if let Ok(mut answers) = answers.lock() {
                        answers[n] = Some(answer);
                    }
                    progress.advance(finished.fetch_add(1, Ordering::Relaxed) as u64 + 1, "");
                }
            });
        }
    });
    progress.end();
    let why = work.given_up.lock().ok().and_then(|why| why.clone());
    let unasked = || {
        Err(why
            .as_ref()
            .map_or("not asked".into(), |why| format!("not asked, since {why}")))
    };
    let answers = answers.into_inner().unwrap_or_default();
    Ok(Done {
        answers: answers.into_iter().map(|a| a.unwrap_or_else(unasked)).collect(),
        requests: work.requests.into_inner(),
        cached: work.cached.into_inner(),
    })
}

impl Work<'_> {
    /// Number and answer of the next question, until there is none or something stops the work.
    fn answer_next(&self, total: usize) -> Option<(usize, Result<Value, String>)> {
        let stop = self.cancel.requested() || self.given_up.lock().is_ok_and(|why| why.is_some());
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        if stop || n >= total {
            return None;
        }
        let form = &self.forms[n % self.forms.len()];
        let name = &self.classes.names()[n / self.forms.len()];
        let answer = self.answer(form, name);
        match &answer {
            Err(Trouble::Fatal(why)) => self.give_up(why.clone()),
            Err(Trouble::Outage(why, _)) => {
                if self.outages.fetch_add(1, Ordering::Relaxed) + 1 >= OUTAGES {
                    self.give_up(format!("{OUTAGES} questions in a row failed: {why}"));
                }
            }
            _ => self.outages.store(0, Ordering::Relaxed),
        }
        Some((n, answer.map_err(Trouble::into_text)))
    }

    fn give_up(&self, reason: String) {
        if let Ok(mut why) = self.given_up.lock() {
            why.get_or_insert(reason);
        }
    }

    /// The answer to one question, from the cache or after some requests.
    fn answer(&self, form: &Form, name: &str) -> Result<Value, Trouble> {
        let question = format!(
            "{}\n\nReply with one JSON object that fits this JSON schema, without any other text:\n{}",
            self.config.question(form.task, name),
            form.schema
        );
        let kept = self.replies.read(&question, &form.schema);
        if let Some(reply) = kept.filter(|r| reply::judge(form.task, &form.validator, r).is_ok()) {
            self.cached.fetch_add(1, Ordering::Relaxed);
            return Ok(reply);
        }
        let mut refused = None;
        let mut attempt = 1;
        loop {
            let text = match &refused {
                None => question.clone(),
                Some(why) => format!("{question}\n\nAn earlier reply was refused: {why}"),
            };
            self.requests.fetch_add(1, Ordering::Relaxed);
            let answer = self.chat.ask(&text).and_then(|text| {
                let read = reply::read(form.task, &form.validator, &text);
                read.map_err(|why| {
                    refused = Some(why.clone());
                    Trouble::Nonsense(why)
                })
            });
            let trouble = match answer {
                Ok(reply) => {
                    if let Err(error) = self.replies.keep(&question, &form.schema, &reply) {
                        tracing::warn!(%error, "a reply is not kept, so that a run that stops must ask again");
                    }
                    return Ok(reply);
                }
                Err(trouble @ (Trouble::Fatal(_) | Trouble::Refused(_))) => return Err(trouble),
                Err(trouble) => trouble,
            };
            tracing::info!(
                class = name,
                task = form.task.as_str(),
                attempt,
                trouble = trouble.text(),
                "no answer"
            );
            if attempt >= self.config.attempts || !self.pause(attempt, &trouble) {
                return Err(trouble.after(attempt));
            }
            attempt += 1;
        }
    }

    /// Waits before the next attempt; false when stopped meanwhile.
    fn pause(&self, attempt: u32, trouble: &Trouble) -> bool {
        let doubled = self.config.backoff_secs * f64::from(attempt - 1).exp2();
        let ours = Duration::from_secs_f64(doubled.min(LONGEST.as_secs_f64()));
        let wait = match trouble {
            Trouble::Outage(_, Some(asked)) => (*asked).min(LONGEST_ASKED),
            _ => ours,
        };
        let end = Instant::now() + wait;
        while !self.cancel.requested() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        false
    }
}

impl Trouble {
    fn text(&self) -> &str {
        match self {
            Self::Outage(why, _) | Self::Nonsense(why) | Self::Refused(why) | Self::Fatal(why) => why,
        }
    }

    fn into_text(self) -> String {
        self.text().to_owned()
    }

    /// Says how often it was tried.
    fn after(self, attempts: u32) -> Self {
        let told = |why: String| {
            if attempts == 1 {
                why
            } else {
                format!("{why} ({attempts} attempts)")
            }
        };
        match self {
            Self::Outage(why, wait) => Self::Outage(told(why), wait),
            Self::Nonsense(why) => Self::Nonsense(told(why)),
            other => other,
        }
    }
}
