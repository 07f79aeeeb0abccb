//! Lines of answers, and their times at the end.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;
use szar_core::{ClassList, Result};
use szar_runner::predict::{Answer, Prediction, Times};

use crate::output::Output;

/// Widest name that columns are aligned to.
const WIDEST: usize = 40;

/// Prints answers.
pub struct Show<'a> {
    output: &'a Output,
    classes: Vec<String>,
    top: usize,
    /// Characters of the columns of names and of classes.
    widths: [usize; 2],
    times: Vec<Times>,
}

#[derive(Serialize)]
struct Class<'a> {
    class: &'a str,
    probability: f64,
}

/// Milliseconds.
#[derive(Serialize)]
struct Latency {
    encode: f64,
    score: f64,
    adapt: Option<f64>,
    total: f64,
}

/// A line with `--json`.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    frames: Option<[u64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<[f64; 2]>,
    /// Empty when nobody was tracked.
    predictions: Vec<Class<'a>>,
    latency_ms: Option<Latency>,
}

impl<'a> Show<'a> {
    /// For these classes; `names` are those of the sequences, as far as they are known.
    pub fn new<'b>(
        output: &'a Output,
        classes: &ClassList,
        top: usize,
        names: impl Iterator<Item = &'b str>,
    ) -> Self {
        Self {
            output,
            widths: [widest(names), widest(classes.names().iter().map(String::as_str))],
            classes: classes.names().to_vec(),
            top,
            times: Vec::new(),
        }
    }

    /// A line for a sequence.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sequence(&mut self, name: &str, prediction: &Prediction) -> Result<()> {
        self.line(name, None, None, Some(prediction))
    }

    /// A line for a window of a stream.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn window(&mut self, answer: &Answer) -> Result<()> {
        let frames = [answer.window.first, answer.window.last];
        let name = format!("frames {}-{}", frames[0], frames[1]);
        self.line(&name, Some(frames), answer.time, answer.prediction.as_ref())
    }

    fn line(
        &mut self,
        name: &str,
        frames: Option<[u64; 2]>,
        time: Option<[f64; 2]>,
        prediction: Option<&Prediction>,
    ) -> Result<()> {
        self.times.extend(prediction.map(|p| p.times));
        let top = prediction.map(|p| p.top(self.top)).unwrap_or_default();
        if !self.output.json {
            return self.output.result(&self.text(name, &top, prediction));
        }
        let class = |(column, probability): &(usize, f64)| Class {
            class: &self.classes[*column],
            probability: *probability,
        };
        let line = Line {
            name,
            frames,
            time,
            predictions: top.iter().map(class).collect(),
            latency_ms: prediction.map(|p| Latency::of(&p.times)),
        };
        let text = serde_json::to_string(&line).map_err(|e| szar_core::Error::Input(e.to_string()))?;
        self.output.result(&text)
    }

    fn text(&self, name: &str, top: &[(usize, f64)], prediction: Option<&Prediction>) -> String {
        let [names, classes] = self.widths;
        let mut text = format!("{name:<names$}");
        let Some(prediction) = prediction else {
            text.push_str("  nobody was tracked");
            return text;
        };
        for (column, probability) in top {
            let _ = write!(text, "  {:<classes$} {probability:.3}", self.classes[*column]);
        }
        let times = Latency::of(&prediction.times);
        let _ = write!(text, "  encode {:.2}, score {:.2}", times.encode, times.score);
        if let Some(adapt) = times.adapt {
            let _ = write!(text, ", adapt {adapt:.2}");
        }
        text.push_str(" ms");
        text
    }

    /// Mean and 95th percentile of the times, on stderr.
    pub fn finish(&self, what: &str) {
        let count = self.times.len();
        let part = |name: &str, of: &dyn Fn(&Times) -> Option<Duration>| {
            let values: Vec<f64> = self
                .times
                .iter()
                .filter_map(|t| of(t).map(milliseconds))
                .collect();
            summary(values).map(|(mean, late)| format!("{name} {mean:.2} ({late:.2})"))
        };
        let parts: Vec<String> = [
            part("encode", &|t| Some(t.encode)),
            part("score", &|t| Some(t.score)),
            part("adapt", &|t| t.adapt),
            part("the rest", &|t| Some(t.rest())),
            part("all", &|t| Some(t.total)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let mut text = format!("{count} {what} answered");
        if !parts.is_empty() {
            let _ = write!(text, "; ms, mean (95th percentile): {}", parts.join(", "));
        }
        self.output.say(&text);
    }
}

impl Latency {
    fn of(times: &Times) -> Self {
        Self {
            encode: milliseconds(times.encode),
            score: milliseconds(times.score),
            adapt: times.adapt.map(milliseconds),
            total: milliseconds(times.total),
        }
    }
}

/// Characters of the longest name, as far as columns are aligned.
fn widest<'b>(names: impl Iterator<Item = &'b str>) -> usize {
    let longest = names.map(|name| name.chars().count()).max();
    longest.unwrap_or(0).min(WIDEST)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Mean and 95th percentile: the smallest value that at least 95 of 100 do not exceed.
fn summary(mut values: Vec<f64>) -> Option<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let count = values.len();
    let late = values.get((count * 95).div_ceil(100).checked_sub(1)?)?;
    Some((values.iter().sum::<f64>() / count as f64, *late))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_95th_percentile_is_a_value_that_was_there() {
        let values = |n: u32| (1..=n).rev().map(f64::from).collect::<Vec<_>>();
        assert_eq!(summary(values(100)), Some((50.5, 95.0)));
        assert_eq!(summary(values(20)), Some((10.5, 19.0)));
        assert_eq!(summary(values(1)), Some((1.0, 1.0)));
        assert_eq!(summary(Vec::new()), None);
    }
}
