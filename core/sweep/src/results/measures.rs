//! What is measured of a run, by name.

use szar_core::{Error, Result};
use szar_runner::report::{Generalised, GzslReport, Report, ZslReport};

/// A number of a report.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Name in YAML and in the columns of files.
    pub name: &'static str,
    /// Words for the head of a table.
    pub title: &'static str,
    /// Is more better? `None` where neither is.
    pub more_is_better: Option<bool>,
    of: fn(&Report) -> Option<f64>,
}

impl Measure {
    /// Its value, where the run has it.
    pub fn of(&self, report: &Report) -> Option<f64> {
        (self.of)(report).filter(|v| v.is_finite())
    }
}

/// Everything that is measured; accuracies in percent. `adapted` is what counts: where there is no adapter, the same as without.
pub const ALL: [Measure; 24] = [
    up("class_mean", "class mean", |r| Some(zsl(r)?.before.class_mean)),
    up("class_mean_adapted", "class mean, adapted", |r| {
        let zsl = zsl(r)?;
        Some(zsl.after.as_ref().unwrap_or(&zsl.before).class_mean)
    }),
    up("class_mean_gain", "gain in class mean", |r| {
        let zsl = zsl(r)?;
        Some(zsl.after.as_ref().unwrap_or(&zsl.before).class_mean - zsl.before.class_mean)
    }),
    up("top1", "top-1", |r| Some(zsl(r)?.before.top1)),
    up("top1_adapted", "top-1, adapted", |r| {
        let zsl = zsl(r)?;
        Some(zsl.after.as_ref().unwrap_or(&zsl.before).top1)
    }),
    up("top1_gain", "gain in top-1", |r| {
        let zsl = zsl(r)?;
        Some(zsl.after.as_ref().unwrap_or(&zsl.before).top1 - zsl.before.top1)
    }),
    up("harmonic_mean", "harmonic mean", |r| {
        Some(before(r)?.class_mean.harmonic_mean)
    }),
    up("harmonic_mean_adapted", "harmonic mean, adapted", |r| {
        Some(after(r)?.class_mean.harmonic_mean)
    }),
    up("seen", "seen", |r| Some(before(r)?.class_mean.seen)),
    up("seen_adapted", "seen, adapted", |r| {
        Some(after(r)?.class_mean.seen)
    }),
    up("unseen", "unseen", |r| Some(before(r)?.class_mean.unseen)),
    up("unseen_adapted", "unseen, adapted", |r| {
        Some(after(r)?.class_mean.unseen)
    }),
    up("harmonic_mean_top1", "harmonic mean of top-1", |r| {
        Some(before(r)?.top1.harmonic_mean)
    }),
    up(
        "harmonic_mean_top1_adapted",
        "harmonic mean of top-1, adapted",
        |r| Some(after(r)?.top1.harmonic_mean),
    ),
    up("seen_top1", "seen top-1", |r| Some(before(r)?.top1.seen)),
    up("seen_top1_adapted", "seen top-1, adapted", |r| {
        Some(after(r)?.top1.seen)
    }),
    up("unseen_top1", "unseen top-1", |r| Some(before(r)?.top1.unseen)),
    up("unseen_top1_adapted", "unseen top-1, adapted", |r| {
        Some(after(r)?.top1.unseen)
    }),
    up("gate_auc", "gate AUC", |r| Some(gzsl(r)?.gate_auc)),
    up("encoder_top1", "seen test top-1", |r| r.encoder.test_top1),
    plain("chance", "chance", |r| Some(zsl(r)?.chance)),
    up("adapted_per_second", "samples adapted per second", |r| {
        let stage = r.performance.iter().find(|s| s.name == "zsl adaptation")?;
        Some(stage.samples_per_second)
    }),
    down("aligner_training_seconds", "aligner training, s", |r| {
        let stage = r.performance.iter().find(|s| s.name == "aligner training")?;
        (!stage.reused).then_some(stage.seconds)
    }),
    down("peak_memory_mib", "peak memory, MiB", |r| {
        r.performance.iter().map(|s| s.peak_memory_mib).reduce(f64::max)
    }),
];

const fn up(name: &'static str, title: &'static str, of: fn(&Report) -> Option<f64>) -> Measure {
    measure(name, title, Some(true), of)
}

const fn down(name: &'static str, title: &'static str, of: fn(&Report) -> Option<f64>) -> Measure {
    measure(name, title, Some(false), of)
}

const fn plain(name: &'static str, title: &'static str, of: fn(&Report) -> Option<f64>) -> Measure {
    measure(name, title, None, of)
}

const fn measure(
    name: &'static str,
    title: &'static str,
    more_is_better: Option<bool>,
    of: fn(&Report) -> Option<f64>,
) -> Measure {
    Measure {
        name,
        title,
        more_is_better,
        of,
    }
}

fn zsl(report: &Report) -> Option<&ZslReport> {
    report.zsl.as_ref()
}

fn gzsl(report: &Report) -> Option<&GzslReport> {
    report.gzsl.as_ref()
}

fn before(report: &Report) -> Option<&Generalised> {
    Some(&gzsl(report)?.before)
}

fn after(report: &Report) -> Option<&Generalised> {
    let gzsl = gzsl(report)?;
    Some(gzsl.after.as_ref().unwrap_or(&gzsl.before))
}

/// The measure of this name.
///
/// # Errors
/// [`Error::Unknown`] with the nearest name.
pub fn find(name: &str) -> Result<&'static Measure> {
    let found = ALL.iter().find(|m| m.name == name);
    found.ok_or_else(|| Error::unknown("measure", name, ALL.iter().map(|m| m.name)))
}
