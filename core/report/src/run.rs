//! A finished run as its folder tells it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use szar_core::Result;
use szar_runner::Report;
use szar_runner::record::Record;

use crate::answers::{self, Answers};

/// All that a page is made from.
#[derive(Debug)]
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// What was measured.
    pub report: Report,
    /// The resolved configuration as YAML, where the folder has it.
    pub configuration: Option<String>,
    /// The answers by setting; empty where the folder has none.
    pub answers: BTreeMap<String, Answers>,
    /// What was kept for pictures.
    pub record: Option<Record>,
    /// What is missing or odd, in sentences.
    pub notes: Vec<String>,
}

impl Run {
    /// Reads a run's `report.json` and what lies beside it.
    ///
    /// # Errors
    /// When the report is damaged or of a szar whose reports were others.
    pub fn read(file: &Path) -> Result<Self> {
        let folder = file.parent().unwrap_or(Path::new(".")).to_owned();
        let report = szar_runner::report::read(file)?;
        let mut notes = Vec::new();
        if report.provenance.szar != env!("CARGO_PKG_VERSION") {
            notes.push(format!(
                "The run is of szar {}, this page of szar {}.",
                report.provenance.szar,
                env!("CARGO_PKG_VERSION")
            ));
        }
        let path = folder.join("predictions.csv");
        let answers = if path.is_file() {
            answers::read(&path)?
        } else {
            notes.push("The folder has no predictions.csv: no curves over the stream and no tests.".into());
            BTreeMap::new()
        };
        let record = Record::read(&folder).unwrap_or_else(|error| {
            notes.push(format!("The record of the run cannot be used: {error}"));
            None
        });
        let configuration = std::fs::read_to_string(folder.join("config.yaml")).ok();
        Ok(Self {
            folder,
            report,
            configuration,
            answers,
            record,
            notes,
        })
    }

    /// Name for tables: that of the pipeline, of the folder where several have the same.
    pub fn folder_name(&self) -> String {
        let name = self.folder.file_name().map(|n| n.to_string_lossy().into_owned());
        name.unwrap_or_else(|| self.folder.display().to_string())
    }
}
