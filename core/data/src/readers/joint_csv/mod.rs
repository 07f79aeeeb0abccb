//! `joint-csv`: your own recordings as CSV tables.
//!
//! - `form: long`: a row a joint, `sample,frame,person,joint,x,y,z` (`class` and `subject` beside them, or in a file:
//!   `class_from: {file: labels.csv}`). The joint is a name of the layout or its number from 0.
//! - `form: wide`: a row a frame, the columns called by `joint_columns`, such as `head_x`.
//!
//! Without a column `sample` a file is one sample, called by its path below `root` without the ending. Rows of one
//! sample stand together. A joint without a row, or with empty cells, counts as not tracked. Opening reads names and
//! classes; the joints of a sample are read when it is asked for.

mod index;
mod table;

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use szar_core::{
    BuildContext, ComponentInfo, ComponentKind, Dataset, DatasetConfig, DatasetInfo, Error, FilePath,
    Problems, Result, SkeletonLayout,
};

use super::axes::Axes;
use super::labelling::{self, ClassFrom, Label, Protocol};
use super::on_demand::OnDemand;
use super::recorded::SplitSource;
use super::walk::{self, Found};
use super::{files, layout_choice};
use crate::layouts;
use crate::splits::{self, SplitConfig};

/// How a table is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CsvForm {
    /// A row a joint.
    #[default]
    Long,
    /// A row a frame.
    Wide,
}

/// Names of the columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CsvColumns {
    /// Name of the sample; without such a column a file is one sample. Default: `sample`.
    pub sample: String,
    /// Number of the frame; a wide table does without. Default: `frame`.
    pub frame: String,
    /// Person, any text or number; without such a column there is one. Long tables alone. Default: `person`.
    pub person: String,
    /// Name or number of the joint. Long tables alone. Default: `joint`.
    pub joint: String,
    /// First coordinate. Long tables alone. Default: `x`.
    pub x: String,
    /// Second coordinate. Long tables alone. Default: `y`.
    pub y: String,
    /// Third coordinate; empty for data of two dimensions. Long tables alone. Default: `z`.
    pub z: String,
    /// Class of the sample. Default: `class`.
    pub class: String,
    /// Subject of the sample; can be missing. Default: `subject`.
    pub subject: String,
}

impl Default for CsvColumns {
    fn default() -> Self {
        let names = [
            "sample", "frame", "person", "joint", "x", "y", "z", "class", "subject",
        ];
        let [sample, frame, person, joint, x, y, z, class, subject] = names.map(str::to_owned);
        Self {
            sample,
            frame,
            person,
            joint,
            x,
            y,
            z,
            class,
            subject,
        }
    }
}

/// Options of the `joint-csv` dataset.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JointCsvConfig {
    /// Folder with the `.csv` files, at any depth, or one file. No default.
    pub root: FilePath,
    /// How a table is laid out. Default: `long`.
    pub form: CsvForm,
    /// Names of the columns. Default: `sample`, `frame`, `person`, `joint`, `x`, `y`, `z`, `class`, `subject`.
    pub columns: CsvColumns,
    /// Names of the joints' columns in a wide table, with `{joint}`, `{axis}` (x, y, z) and, for more than one person,
    /// `{person}` (from 0). Default: `{joint}_{axis}`.
    pub joint_columns: String,
    /// A wide table has no z columns: z is 0. Default: no.
    pub flat: bool,
    /// What parts the cells; one ASCII character. Default: `,`.
    pub delimiter: char,
    /// Persons at most, 1 to 8. Default: 1.
    pub persons: usize,
    /// Name of a known skeleton layout. Default: none; it or `layout_file` must be given.
    pub layout: Option<String>,
    /// Description of another skeleton (YAML or JSON). Default: none.
    pub layout_file: Option<FilePath>,
    /// What tells the class of a sample. Default: the column `class`.
    pub class_from: Option<ClassFrom>,
    /// Class list: a line a class, its label, or label, tab and name. Default: `classes.txt` in `root`, else the
    /// labels there are, in order.
    pub classes: Option<FilePath>,
    /// Which samples train and which test. Default: every fifth of a class tests.
    pub protocol: Protocol,
    /// Metres in a unit of length of the tables, above 0. Default: 1.
    pub metres_per_unit: f64,
    /// Axes of the tables. Default: `y-up`.
    pub axes: Axes,
    /// Frames per second. Default: 30.
    pub fps: f32,
    /// Seen and unseen classes; the dataset's key in a split file is the folder's name. No default.
    pub split: SplitConfig,
}

impl Default for JointCsvConfig {
    fn default() -> Self {
        Self {
            root: FilePath::default(),
            form: CsvForm::Long,
            columns: CsvColumns::default(),
            joint_columns: "{joint}_{axis}".into(),
            flat: false,
            delimiter: ',',
            persons: 1,
            layout: None,
            layout_file: None,
            class_from: None,
            classes: None,
            protocol: Protocol::default(),
            metres_per_unit: 1.0,
            axes: Axes::YUp,
            fps: 30.0,
            split: SplitConfig::default(),
        }
    }
}

#[typetag::serde(name = "joint-csv")]
impl DatasetConfig for JointCsvConfig {
    fn validate(&self, problems: &mut Problems) {
        files::check_root(self.root.as_ref(), problems);
        problems.scoped("split", |p| self.split.validate(p));
        layout_choice::validate(self.layout.as_deref(), self.layout_file.as_ref(), problems);
        if let Some(from) = &self.class_from {
            from.validate(problems);
        }
        problems.scoped("protocol", |p| self.protocol.validate(p));
        labelling::check_metres(self.metres_per_unit, problems);
        labelling::check_fps(self.fps, problems);
        labelling::check_persons(self.persons, problems);
        problems.check(
            self.delimiter.is_ascii() && self.delimiter != '"',
            "delimiter",
            || {
                format!(
                    "must be one ASCII character other than `\"`, got `{}`",
                    self.delimiter
                )
            },
        );
        let has = |part: &str| self.joint_columns.contains(part);
        let complete = has("{joint}") && has("{axis}") && (self.persons == 1 || has("{person}"));
        problems.check(self.form == CsvForm::Long || complete, "joint_columns", || {
            "must contain `{joint}` and `{axis}`, and `{person}` for more than one person".into()
        });
    }

    fn layout(&self) -> Option<(Arc<SkeletonLayout>, i64)> {
        let layout = layouts::by_name(self.layout.as_deref()?).ok()?;
        Some((layout, self.persons as i64))
    }

    fn build(&self, _: &BuildContext) -> Result<Box<dyn Dataset>> {
        Ok(Box::new(self.open()?))
    }
}

inventory::submit! {
    ComponentInfo::new::<JointCsvConfig>(
        ComponentKind::Dataset,
        "joint-csv",
        "Your own recordings as CSV tables, a row a joint or a row a frame.",
        "",
    )
}

impl JointCsvConfig {
    pub(crate) fn open(&self) -> Result<OnDemand> {
        let root: &Path = self.root.as_ref();
        let layout = layout_choice::resolve(self.layout.as_deref(), self.layout_file.as_ref())?;
        let class_file = labelling::class_file(root, self.classes.as_ref());
        let tables = self.tables(root)?;
        let (mut found, mut own, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for table in &tables {
            for entry in index::entries(self, &layout, table)? {
                found.push(Found {
                    name: entry.name,
                    path: table.path.clone(),
                });
                own.push(Label {
                    class: entry.class.unwrap_or_default(),
                    subject: entry.subject,
                });
                places.push(entry.place);
            }
        }
        let labels = match &self.class_from {
            Some(from) => labelling::labels(&found, from)?,
            None => own,
        };
        let (classes, samples) = labelling::samples(&found, &labels, class_file.as_deref(), &self.protocol)?;
        let name = labelling::dataset_name(root);
        let info = DatasetInfo {
            name: name.clone(),
            layout: Arc::clone(&layout),
            classes,
            persons: self.persons,
            synthetic: None,
        };
        let split = SplitSource {
            config: self.split.clone(),
            file: splits::nearest_file(root),
            dataset: name,
        };
        let options = self.clone();
        let read =
            Box::new(move |path: &Path, sample: usize| table::read(&options, &layout, path, &places[sample]));
        let paths = found.into_iter().map(|f| f.path).collect();
        OnDemand::new(info, samples, paths, split, read)
    }

    /// The tables: those below a folder but the label file, or the one file.
    fn tables(&self, root: &Path) -> Result<Vec<Found>> {
        if root.is_file() {
            let name = root
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let path = root.to_owned();
            return Ok(vec![Found { name, path }]);
        }
        let mut tables = walk::files(root, &["csv"], "tables `*.csv`")?;
        if let Some(ClassFrom::File(labels)) = &self.class_from {
            tables.retain(|t| t.path != labels.0);
        }
        if tables.is_empty() {
            return Err(Error::format(root, None, "holds no table beside the label file"));
        }
        Ok(tables)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
