//! The part of a run up to the features, which are kept for whoever needs them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use szar_core::checkpoint::write_atomically;
use szar_core::config::Resolved;
use szar_core::{Error, Result};

use super::training::Course;
use super::{RunOptions, Session, folder};
use crate::data::{Data, Part};
use crate::features::{FeatureStore, Form, Origin, Wanted, finite};
use crate::rundir::RunDir;

/// An entry of the feature store.
#[derive(Debug, Serialize)]
pub struct Extracted {
    /// Its folder.
    pub folder: PathBuf,
    /// What it holds.
    pub form: Form,
    /// Size of its files.
    pub bytes: u64,
    /// Were the features kept by an earlier run?
    pub kept: bool,
    /// Time for reading or computing the features, seconds.
    pub seconds: f64,
    /// Folder of the run, with the encoder's weights.
    pub run: PathBuf,
}

/// A line of `samples.csv`.
#[derive(Serialize)]
struct Line<'a> {
    row: usize,
    part: &'static str,
    class: i64,
    class_name: &'a str,
    sample: &'a str,
}

/// Reads the data, trains or loads the encoder as [`super::run`] does, and keeps the features of all samples; with the
/// map unless `pooled`. Beside them stands `samples.csv`: which sample each row is.
///
/// # Errors
/// As [`super::run`].
pub fn extract(resolved: &Resolved, options: &RunOptions, pooled: bool) -> Result<Extracted> {
    let root = folder(resolved, options);
    let dir = RunDir::open(&root, resolved, options.fresh)?;
    let mut session = Session::new(resolved, options, &dir)?;
    let data = session.read()?;
    data.skeletons()?;
    let course = Course::of_run(&data);
    let mut encoder = session.build_encoder(&course)?;
    session.train_encoder(encoder.as_mut(), &course)?;
    let started = Instant::now();
    let extraction = session.extraction(encoder.as_ref(), &course, options.progress)?;
    let store = FeatureStore::new(session.feature_folder());
    let (key, mut form) = session.feature_entry(&extraction, &course)?;
    form.map = (!pooled).then_some(session.pipeline.features.precision);
    let layout = extraction.store.layout();
    let origin = store.keep(&key, &form, layout, &extraction)?;
    let seconds = started.elapsed().as_secs_f64();
    // A map that is not finite has a mean that is not.
    let (features, _) = store.obtain(&key, &form, Wanted::Pooled, layout, &extraction)?;
    finite(&features, course.learned())?;
    let entry = store.folder_of(&key);
    write_samples(&entry, &data)?;
    Ok(Extracted {
        bytes: size(&entry)?,
        folder: entry,
        form,
        kept: origin == Origin::Kept,
        seconds,
        run: root,
    })
}

fn write_samples(entry: &Path, data: &Data) -> Result<()> {
    let path = entry.join("samples.csv");
    let mut csv = csv::Writer::from_writer(Vec::new());
    let parts = [
        (Part::Train, "train"),
        (Part::Validation, "validation"),
        (Part::SeenTest, "seen test"),
        (Part::UnseenTest, "unseen test"),
    ];
    let classes = &data.dataset.info().classes;
    for (part, name) in parts {
        for (row, sample) in data.rows(part).zip(data.samples(part)) {
            let info = &data.dataset.samples()[*sample];
            let line = Line {
                row,
                part: name,
                class: info.class.0,
                class_name: classes.name(info.class).unwrap_or_default(),
                sample: &info.name,
            };
            csv.serialize(line)
                .map_err(|e| Error::format(&path, None, e.to_string()))?;
        }
    }
    let bytes = csv
        .into_inner()
        .map_err(|e| Error::format(&path, None, e.to_string()))?;
    write_atomically(&path, &bytes)
}

/// Bytes of the files in a folder.
fn size(folder: &Path) -> Result<u64> {
    let read = |e| Error::read(folder, e);
    let mut total = 0;
    for entry in std::fs::read_dir(folder).map_err(read)? {
        total += entry.and_then(|e| e.metadata()).map_err(read)?.len();
    }
    Ok(total)
}
