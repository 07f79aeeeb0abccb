//! Samples and anchors in a plane.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;
use szar_runner::record::Record;
use tch::{Kind, Tensor};

use super::Shown;
use crate::answers::Answers;
use crate::embed::{centred_unit, plane};
use crate::plot::{Anchor, Figure, Scale, WIDTH, shorten};
use crate::run::Run;

/// Colours and marks that can be told apart.
const KINDS: usize = 24;
/// Classes whose anchors are named beside them.
const NAMED: usize = 14;

/// Places of one figure, for the data of the page.
#[derive(Clone, Debug, Serialize)]
pub struct Space {
    /// What it shows.
    pub title: String,
    /// Positions of the samples in the stream.
    pub positions: Vec<i64>,
    /// Their places.
    pub samples: Vec<[f64; 2]>,
    /// Places of the anchors by class name, if any.
    pub anchors: BTreeMap<String, [f64; 2]>,
}

/// What a sample is in the figures.
struct Dot {
    kind: Option<usize>,
    right: [bool; 2],
}

/// Encoder features; the aligner's space before and after adaptation.
pub fn spaces(run: &Run) -> (Vec<Shown>, Vec<Space>) {
    let Some((record, answers)) = run
        .record
        .as_ref()
        .and_then(|r| Some((r, run.answers.get(&r.about.setting)?)))
    else {
        return (Vec::new(), Vec::new());
    };
    match Cloud::new(record, answers) {
        Some(cloud) => cloud.figures(),
        None => (Vec::new(), Vec::new()),
    }
}

struct Cloud<'a> {
    record: &'a Record,
    /// Those whose features are finite.
    rows: Vec<i64>,
    positions: Vec<i64>,
    dots: Vec<Dot>,
    /// Names by kind.
    kinds: Vec<String>,
}

impl<'a> Cloud<'a> {
    fn new(record: &'a Record, answers: &Answers) -> Option<Self> {
        let positions = szar_core::host::to_i64(record.tensors.get("positions")?).ok()?;
        let features = record.tensors.get("features")?;
        let finite = features.isfinite().all_dim(1, false);
        let finite = szar_core::host::to_i64(&finite).ok()?;
        let answer = |p: &i64| usize::try_from(*p).ok().and_then(|p| answers.all.get(p));
        let rows = (0i64..)
            .zip(&positions)
            .filter(|(row, p)| finite[*row as usize] == 1 && answer(p).is_some());
        let (rows, positions): (Vec<i64>, Vec<i64>) = rows.map(|(row, p)| (row, *p)).unzip();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let name = |class: i64| answers.names.get(&class).map_or("?", String::as_str);
        positions
            .iter()
            .filter_map(answer)
            .for_each(|a| *counts.entry(name(a.class)).or_default() += 1);
        let mut names: Vec<(&str, usize)> = counts.into_iter().collect();
        names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        names.truncate(KINDS);
        let in_order = record
            .about
            .classes
            .iter()
            .filter(|c| names.iter().any(|(n, _)| n == c));
        let kinds: Vec<String> = in_order.cloned().collect();
        let dot = |a: &crate::answers::Answer| Dot {
            kind: kinds.iter().position(|k| k == name(a.class)),
            right: [a.before == a.class, a.after == a.class],
        };
        let dots = positions.iter().filter_map(answer).map(dot).collect();
        Some(Self {
            record,
            rows,
            positions,
            dots,
            kinds,
        })
    }

    fn take(&self, name: &str) -> Option<Tensor> {
        let rows = self.record.tensors.get(name)?.to_kind(Kind::Float);
        Some(rows.index_select(0, &Tensor::from_slice(&self.rows)))
    }

    fn figures(&self) -> (Vec<Shown>, Vec<Space>) {
        let mut shown = Vec::new();
        let mut spaces = Vec::new();
        let of = format!(
            "t-SNE of {} of {} samples of the stream, evenly spread",
            self.rows.len(),
            self.record.about.samples
        );
        if let Some(places) = self.take("features").and_then(|f| plane(&f)) {
            let title = "Features of the encoder";
            let caption =
                format!("{of}; pooled features. Colour: true class. Hollow: wrong before adaptation.");
            self.add(
                "features",
                title,
                caption,
                &places,
                &[],
                &[],
                0,
                &mut shown,
                &mut spaces,
            );
        }
        if let (Some(visual), Some(classes)) = (self.take("visual"), self.record.tensors.get("classes")) {
            self.aligned(&of, &visual, classes, &mut shown, &mut spaces);
        }
        (shown, spaces)
    }

    /// The aligner's space: samples and anchors of both states in one t-SNE, so that the figures can be compared.
    fn aligned(
        &self,
        of: &str,
        visual: &Tensor,
        classes: &Tensor,
        shown: &mut Vec<Shown>,
        spaces: &mut Vec<Space>,
    ) {
        let moved = self.record.tensors.get("classes_after");
        let visual_after = self.take("visual_after");
        let (count, anchors) = (self.rows.len(), self.record.about.classes.len());
        let texts: Vec<&Tensor> = [Some(classes), moved].into_iter().flatten().collect();
        let texts = centred_unit(&Tensor::cat(&texts, 0));
        let mut all: Vec<Tensor> = vec![centred_unit(visual)];
        all.extend(visual_after.as_ref().map(centred_unit));
        all.push(texts);
        let Some(places) = plane(&Tensor::cat(&all, 0)) else {
            return;
        };
        let second = if visual_after.is_some() { count } else { 0 };
        let at_text = count + second;
        let caption = |state: &str| {
            format!(
                "{of}, and the anchors (diamonds), as the aligner compares them: rows of length 1 around the mean of all \
                 samples and of all anchors. Colour: true class. Hollow: wrong {state} adaptation."
            )
        };
        let before = &places[at_text..at_text + anchors];
        self.add(
            "space-before",
            "Aligned space before adaptation",
            caption("before"),
            &places[..count],
            before,
            &[],
            0,
            shown,
            spaces,
        );
        if self.dots.iter().any(|d| d.right[0] != d.right[1]) || moved.is_some() {
            let after = if moved.is_some() {
                &places[at_text + anchors..]
            } else {
                before
            };
            let samples = &places[second..second + count];
            let from = if moved.is_some() { before } else { &[] };
            let mut caption = caption("after");
            if moved.is_some() {
                caption.push_str(" Lines: how the adapter moved the anchors.");
            } else {
                caption.push_str(" The adapter moves answers, not anchors.");
            }
            self.add(
                "space-after",
                "Aligned space after adaptation",
                caption,
                samples,
                after,
                from,
                1,
                shown,
                spaces,
            );
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one figure")]
    fn add(
        &self,
        name: &str,
        title: &str,
        caption: String,
        samples: &[[f64; 2]],
        anchors: &[[f64; 2]],
        from: &[[f64; 2]],
        side: usize,
        shown: &mut Vec<Shown>,
        spaces: &mut Vec<Space>,
    ) {
        let svg = self.draw(title, samples, anchors, from, side);
        shown.push(Shown::new(name, title, caption, svg));
        let round = |p: &[f64; 2]| p.map(|v| (v * 100.0).round() / 100.0);
        spaces.push(Space {
            title: title.to_owned(),
            positions: self.positions.clone(),
            samples: samples.iter().map(round).collect(),
            anchors: self
                .record
                .about
                .classes
                .iter()
                .cloned()
                .zip(anchors.iter().map(round))
                .collect(),
        });
    }

    fn draw(
        &self,
        title: &str,
        samples: &[[f64; 2]],
        anchors: &[[f64; 2]],
        from: &[[f64; 2]],
        side: usize,
    ) -> String {
        let kind = |i: usize| format!("c{} {}", i % 8, ["round", "square", "tri"][(i / 8) % 3]);
        let entries: Vec<(String, String)> = self
            .kinds
            .iter()
            .enumerate()
            .map(|(i, name)| (format!("{} key", kind(i)), name.clone()))
            .collect();
        let entries: Vec<(String, String)> = if self.kinds.len() > KINDS / 2 {
            Vec::new()
        } else {
            entries
        };
        let lines = entries.len().div_ceil(3) as f64;
        let height = 380.0 + 17.0 * lines;
        let mut figure = Figure::new(WIDTH, height, title);
        let top = if entries.is_empty() {
            6.0
        } else {
            figure.legend(2.0, 14.0, WIDTH, &entries) + 4.0
        };
        let all = || samples.iter().chain(anchors).chain(from);
        let [x, y] = [0, 1].map(|axis| Ends::of(all().map(|p| p[axis])));
        let across = Scale::new([x.low, x.high], [14.0, WIDTH - 14.0]);
        let up = Scale::new([y.low, y.high], [height - 12.0, top + 8.0]);
        let at = |p: &[f64; 2]| [across.at(p[0]), up.at(p[1])];
        figure.rectangle([0.5, top, WIDTH - 1.0, height - top - 2.0], "panel", "");
        for i in (0..=self.kinds.len()).rev() {
            let kind_of = (i < self.kinds.len()).then_some(i);
            let own = || self.dots.iter().zip(samples).filter(|(d, _)| d.kind == kind_of);
            let class = kind_of.map_or_else(|| "other round".to_owned(), kind);
            for right in [false, true] {
                let mut data = String::new();
                for (_, place) in own().filter(|(d, _)| d.right[side] == right) {
                    mark(&mut data, at(place), (i / 8) % 3, right);
                }
                if !data.is_empty() {
                    let state = if right { "dots" } else { "rings" };
                    figure.path(data, &format!("{class} {state}"));
                }
            }
        }
        for (start, end) in from.iter().zip(anchors) {
            figure.line(at(start), at(end), "moved");
        }
        for (name, place) in self.record.about.classes.iter().zip(anchors) {
            let [x, y] = at(place);
            let class = self
                .kinds
                .iter()
                .position(|k| k == name)
                .map_or_else(|| "other".to_owned(), |i| format!("c{}", i % 8));
            figure.path(
                format!("M{x:.1} {:.1}l7 7l-7 7l-7 -7z", y - 7.0),
                &format!("{class} anchor"),
            );
            if anchors.len() <= NAMED {
                let (anchor, shift) = if x > WIDTH * 0.72 {
                    (Anchor::End, -10.0)
                } else {
                    (Anchor::Start, 10.0)
                };
                figure.text([x + shift, y + 4.0], anchor, "halo", &shorten(name, 22));
            }
        }
        figure.finish()
    }
}

/// A small mark: filled ones are lines of no length with round or square ends, hollow ones are outlines.
fn mark(data: &mut String, [x, y]: [f64; 2], shape: usize, filled: bool) {
    let _ = match (shape, filled) {
        (2, _) => write!(data, "M{x:.1} {:.1}l3 5.2h-6z", y - 3.0),
        (_, true) => write!(data, "M{x:.1} {y:.1}h0"),
        (1, false) => write!(data, "M{:.1} {:.1}h4.4v4.4h-4.4z", x - 2.2, y - 2.2),
        (_, false) => write!(
            data,
            "M{:.1} {y:.1}a2.4 2.4 0 1 0 4.8 0a2.4 2.4 0 1 0 -4.8 0",
            x - 2.4
        ),
    };
}

/// Smallest and largest, apart.
struct Ends {
    low: f64,
    high: f64,
}

impl Ends {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
            (l.min(v), h.max(v))
        });
        Self {
            low,
            high: high.max(low + 1e-9),
        }
    }
}
