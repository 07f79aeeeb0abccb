//! From the text of a reply to a value that fits.

use jsonschema::Validator;
use serde_json::Value;

use super::tasks::Task;

/// How far weights may be from summing to 1; the reader of priors normalises what is within.
const SUM_TOLERANCE: f64 = 0.02;

/// Mistakes of a reply that are told.
const TOLD: usize = 5;

/// The JSON object of a reply, bare or fenced, judged; or what is wrong with it, in words for the model too.
pub(super) fn read(task: Task, schema: &Validator, text: &str) -> Result<Value, String> {
    let value: Value =
        serde_json::from_str(unwrapped(text)).map_err(|e| format!("the reply is no JSON object: {e}"))?;
    judge(task, schema, &value)?;
    Ok(tidy(value))
}

/// What is wrong with a value.
pub(super) fn judge(task: Task, schema: &Validator, value: &Value) -> Result<(), String> {
    let tell = |e: jsonschema::ValidationError| {
        let at = e.instance_path().to_string();
        let at = if at.is_empty() {
            "the reply".to_owned()
        } else {
            format!("`{}`", at.trim_start_matches('/'))
        };
        let why: String = e.masked().to_string().chars().take(200).collect();
        format!("{at}: {why}")
    };
    let wrong: Vec<String> = schema.iter_errors(value).take(TOLD).map(tell).collect();
    if !wrong.is_empty() {
        return Err(wrong.join("; "));
    }
    if task == Task::Prior {
        for group in ["spatial", "temporal"] {
            let numbers = value[group]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_f64);
            let sum: f64 = numbers.sum();
            if (sum - 1.0).abs() > SUM_TOLERANCE {
                return Err(format!("`{group}` sums to {sum:.3}, expected 1"));
            }
        }
    }
    Ok(())
}

/// Without a thinking aloud in front and a code fence around.
fn unwrapped(text: &str) -> &str {
    let text = text.trim();
    let text = match text
        .strip_prefix("<think>")
        .and_then(|rest| rest.split_once("</think>"))
    {
        Some((_, after)) => after.trim(),
        None => text,
    };
    let Some(fenced) = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```")) else {
        return text;
    };
    fenced
        .strip_prefix("json")
        .or(fenced.strip_prefix("JSON"))
        .unwrap_or(fenced)
        .trim()
}

/// Texts in one line without blanks around them.
fn tidy(value: Value) -> Value {
    match value {
        Value::String(text) => text.split_whitespace().collect::<Vec<_>>().join(" ").into(),
        Value::Array(list) => list.into_iter().map(tidy).collect(),
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k, tidy(v))).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(task: Task, text: &str) -> Result<Value, String> {
        super::read(task, &jsonschema::validator_for(&task.schema()).unwrap(), text)
    }

    #[test]
    fn a_fence_is_taken_off() {
        let want = serde_json::json!({"global": "walk on"});
        for text in [
            "{\"global\": \"walk on\"}",
            "```json\n{\"global\": \" walk\\n on\"}\n```",
            " ``` {\"global\": \"walk on\"}``` \n",
            "<think>{hm}</think>\n{\"global\": \"walk on\"}",
        ] {
            assert_eq!(read(Task::Global, text).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (task, text, why) in [
            (Task::Global, "I walk.", "no JSON object"),
            (Task::Global, "{\"global\": \"wal", "no JSON object"),
            (Task::Global, "```", "no JSON object"),
            (Task::Global, "[]", "the reply"),
            (Task::Global, "{\"globl\": \"x\"}", "global"),
            (Task::Global, "{\"global\": \" \"}", "`global`"),
            (
                Task::Parts,
                "{\"head\": 1, \"hands\": \"\", \"torso\": \"t\", \"legs\": \"l\"}",
                "`head`",
            ),
            (
                Task::Prior,
                r#"{"spatial": [1, 0, 0], "temporal": [1, 0, 0], "gamma": 0.5}"#,
                "`spatial`",
            ),
            (
                Task::Prior,
                r#"{"spatial": [0.5, 0, 0, 0.6], "temporal": [1, 0, 0], "gamma": 0.5}"#,
                "sums to 1.100",
            ),
            (
                Task::Prior,
                r#"{"spatial": [1, 0, 0, 0], "temporal": [1, 0, 0], "gamma": 1.5}"#,
                "`gamma`",
            ),
        ] {
            let error = read(task, text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn every_schema_is_one() {
        use Task::{Global, Neuron, Parts, Phases, Prior, Star, Words};
        for task in [Global, Parts, Phases, Words, Star, Neuron, Prior] {
            assert!(jsonschema::meta::is_valid(&task.schema()), "{task:?}");
            assert!(read(task, "{}").is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_reply_is_a_value_or_an_error(text in ".{0,60}") {
            let _ = read(Task::Global, &text);
            let _ = read(Task::Prior, &format!("```{text}```"));
        }
    }
}
