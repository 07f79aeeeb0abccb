//! The answers of a run, sample by sample, and what they add up to.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use szar_core::{Error, Result};

/// Segments of a stream, at most.
const SEGMENTS: usize = 40;
/// Samples of a segment, at least; fewer say nothing.
const SEGMENT: usize = 8;

/// A line of `predictions.csv`.
#[derive(Deserialize)]
struct Line<'a> {
    setting: &'a str,
    sample: &'a str,
    class: i64,
    class_name: &'a str,
    before: i64,
    after: i64,
    entropy_before: f64,
    entropy_after: f64,
}

/// What was answered for one sample.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Name of the sample.
    pub sample: Box<str>,
    /// True class, and the answers before and after adaptation.
    pub class: i64,
    /// Without adapters.
    pub before: i64,
    /// With adapters.
    pub after: i64,
    /// Nats, before and after.
    pub entropy: [f64; 2],
}

/// A test stream, in its order.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// One per sample.
    pub all: Vec<Answer>,
    /// Names of the true classes.
    pub names: BTreeMap<i64, String>,
}

/// A part of a stream.
#[derive(Clone, Debug, Serialize)]
pub struct Segment {
    /// Samples up to its end.
    pub end: usize,
    /// Right answers, percent, before and after.
    pub top1: [f64; 2],
    /// Mean entropy, nats, before and after.
    pub entropy: [f64; 2],
}

/// Counts of (true class, answer).
#[derive(Clone, Debug)]
pub struct Confusion {
    /// Names of the classes.
    pub names: Vec<String>,
    /// By true class, answer: before and after.
    pub counts: [Vec<Vec<u64>>; 2],
}

/// Reads the streams `zsl` and `gzsl`, by name.
///
/// # Errors
/// When the file cannot be read or a line is not as a run writes it.
pub fn read(path: &Path) -> Result<BTreeMap<String, Answers>> {
    let mut streams: BTreeMap<String, Answers> = BTreeMap::new();
    let file = std::fs::File::open(path).map_err(|e| Error::read(path, e))?;
    let mut csv = csv::Reader::from_reader(std::io::BufReader::new(file));
    let bad = |line: u64, e: csv::Error| Error::format(path, Some(format!("line {line}")), e.to_string());
    let headers = csv.headers().map_err(|e| bad(1, e))?.clone();
    let mut record = csv::StringRecord::new();
    while csv.read_record(&mut record).map_err(|e| bad(0, e))? {
        let at = record.position().map_or(0, csv::Position::line);
        let line: Line = record
            .deserialize(Some(&headers))
            .map_err(|e| Error::format(path, Some(format!("line {at}")), misread(&e, &headers)))?;
        if !streams.contains_key(line.setting) {
            streams.insert(line.setting.to_owned(), Answers::default());
        }
        if let Some(stream) = streams.get_mut(line.setting) {
            stream.add(&line);
        }
    }
    Ok(streams)
}

/// What is wrong with a line, with the name of the column.
fn misread(error: &csv::Error, headers: &csv::StringRecord) -> String {
    let csv::ErrorKind::Deserialize { err, .. } = error.kind() else {
        return error.to_string();
    };
    let column = err.field().and_then(|i| headers.get(usize::try_from(i).ok()?));
    column.map_or(err.to_string(), |name| format!("`{name}`: {}", err.kind()))
}

impl Answers {
    fn add(&mut self, line: &Line) {
        self.names
            .entry(line.class)
            .or_insert_with(|| line.class_name.to_owned());
        self.all.push(Answer {
            sample: line.sample.into(),
            class: line.class,
            before: line.before,
            after: line.after,
            entropy: [line.entropy_before, line.entropy_after],
        });
    }

    /// Parts of about the same length.
    pub fn segments(&self) -> Vec<Segment> {
        let count = (self.all.len() / SEGMENT).clamp(1, SEGMENTS).min(self.all.len());
        let end = |k: usize| k * self.all.len() / count;
        (0..count)
            .map(|k| segment(&self.all[end(k)..end(k + 1)], end(k + 1)))
            .collect()
    }

    /// Counts by class; classes that were answered but never true have a number for a name.
    pub fn confusion(&self) -> Confusion {
        let mut names = self.names.clone();
        for id in self.all.iter().flat_map(|a| [a.before, a.after]) {
            names.entry(id).or_insert_with(|| format!("class {id}"));
        }
        let place: BTreeMap<i64, usize> = names.keys().copied().zip(0..).collect();
        let empty = vec![vec![0; names.len()]; names.len()];
        let mut counts = [empty.clone(), empty];
        for answer in &self.all {
            counts[0][place[&answer.class]][place[&answer.before]] += 1;
            counts[1][place[&answer.class]][place[&answer.after]] += 1;
        }
        Confusion {
            names: names.into_values().collect(),
            counts,
        }
    }
}

fn segment(answers: &[Answer], end: usize) -> Segment {
    let share = |right: fn(&Answer) -> bool| {
        100.0 * answers.iter().filter(|a| right(a)).count() as f64 / answers.len().max(1) as f64
    };
    let mean = |side: usize| {
        let finite: Vec<f64> = answers
            .iter()
            .map(|a| a.entropy[side])
            .filter(|h| h.is_finite())
            .collect();
        finite.iter().sum::<f64>() / finite.len().max(1) as f64
    };
    Segment {
        end,
        top1: [share(|a| a.before == a.class), share(|a| a.after == a.class)],
        entropy: [mean(0), mean(1)],
    }
}

impl Confusion {
    /// Recall by class, percent, before and after; nothing for classes without samples.
    pub fn recall(&self) -> Vec<Option<[f64; 2]>> {
        let of = |c: usize| {
            let total: u64 = self.counts[0][c].iter().sum();
            let part = |side: usize| 100.0 * self.counts[side][c][c] as f64 / total as f64;
            (total > 0).then(|| [part(0), part(1)])
        };
        (0..self.names.len()).map(of).collect()
    }

    /// Samples by class.
    pub fn samples(&self) -> Vec<u64> {
        self.counts[0].iter().map(|row| row.iter().sum()).collect()
    }

    /// The `most` classes with the most mistakes, in their order; all where there are no more.
    pub fn hardest(&self, most: usize) -> Self {
        let mistakes = |c: usize| -> u64 {
            let row: u64 = self.counts.iter().flat_map(|m| &m[c]).sum();
            row - self.counts[0][c][c] - self.counts[1][c][c]
        };
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        order.sort_by_key(|c| std::cmp::Reverse(mistakes(*c)));
        order.truncate(most);
        order.sort_unstable();
        let part = |m: &Vec<Vec<u64>>| {
            let row = |r: &usize| order.iter().map(|c| m[*r][*c]).collect();
            order.iter().map(row).collect()
        };
        Self {
            names: order.iter().map(|c| self.names[*c].clone()).collect(),
            counts: [part(&self.counts[0]), part(&self.counts[1])],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "setting,position,sample,class,class_name,before,after,entropy_before,entropy_after,taken_for_seen\n";

    fn parse(lines: &str) -> Result<BTreeMap<String, Answers>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("predictions.csv");
        std::fs::write(&path, format!("{HEAD}{lines}")).unwrap();
        read(&path)
    }

    #[test]
    fn answers_are_counted_by_class() {
        let lines = "zsl,0,a,3,\"sit, <down>\",3,4,1.0,NaN,\nzsl,1,b,3,\"sit, <down>\",4,3,1.0,0.5,\ngzsl,0,c,5,jump,9,5,1,1,true\n";
        let streams = parse(lines).unwrap();
        let confusion = streams["zsl"].confusion();
        assert_eq!(confusion.names, ["sit, <down>", "class 4"]);
        assert_eq!(
            confusion.counts,
            [vec![vec![1, 1], vec![0, 0]], vec![vec![1, 1], vec![0, 0]]]
        );
        assert_eq!(confusion.recall(), [Some([50.0, 50.0]), None]);
        let segments = streams["zsl"].segments();
        assert_eq!(
            (segments.len(), segments[0].top1, segments[0].entropy),
            (1, [50.0, 50.0], [1.0, 0.5])
        );
    }

    #[test]
    fn a_stream_has_few_segments_and_none_when_empty() {
        assert!(Answers::default().segments().is_empty());
        let line = |i: usize| format!("zsl,{i},s{i},1,a,1,1,0,0,\n");
        let streams = parse(&(0..1000).map(line).collect::<String>()).unwrap();
        let segments = streams["zsl"].segments();
        assert_eq!((segments.len(), segments[39].end), (40, 1000));
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = parse("zsl,0,a,1,n,1,1,1,1,\nzsl,0,a,one,n,1,1,1,1,\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 3") && error.contains("class"), "{error}");
    }

    #[test]
    fn only_the_hardest_classes_are_kept_and_in_their_order() {
        let lines = "zsl,0,a,1,x,2,2,0,0,\nzsl,1,b,2,y,2,2,0,0,\nzsl,2,c,3,z,2,3,0,0,\n";
        let hardest = parse(lines).unwrap()["zsl"].confusion().hardest(2);
        assert_eq!(hardest.names, ["x", "z"]);
    }
}
