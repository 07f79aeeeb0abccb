//! Which samples a table holds, and where.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use csv::{Position, Reader, StringRecord};
use szar_core::{Error, Result, SkeletonLayout};

use super::super::walk::Found;
use super::{CsvForm, JointCsvConfig};

/// Rows of one sample.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The first row; `None` for the start of the table.
    pub(super) start: Option<Position>,
    /// How many; `None` for all.
    pub(super) rows: Option<u64>,
}

/// One sample of a table.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) class: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) place: Place,
}

/// Columns by number.
pub(super) struct Plan {
    sample: Option<usize>,
    class: Option<usize>,
    subject: Option<usize>,
    pub(super) body: Body,
}

/// Columns of the joints.
pub(super) enum Body {
    Long {
        frame: usize,
        person: Option<usize>,
        joint: usize,
        axes: [Option<usize>; 3],
    },
    /// x, y, z of every joint of every person.
    Wide {
        frame: Option<usize>,
        cells: Vec<[Option<usize>; 3]>,
    },
}

impl Plan {
    fn new(
        options: &JointCsvConfig,
        layout: &SkeletonLayout,
        path: &Path,
        header: &StringRecord,
    ) -> Result<Self> {
        let column = |name: &str| {
            header
                .iter()
                .position(|h| h.trim_start_matches('\u{feff}') == name)
        };
        let need = |name: &str| {
            let known = header.iter().map(|h| h.trim_start_matches('\u{feff}'));
            column(name)
                .ok_or_else(|| Error::unknown("column", name, known).context(path.display().to_string()))
        };
        let names = &options.columns;
        let body = match options.form {
            CsvForm::Long => Body::Long {
                frame: need(&names.frame)?,
                person: column(&names.person),
                joint: need(&names.joint)?,
                axes: [
                    Some(need(&names.x)?),
                    Some(need(&names.y)?),
                    if names.z.is_empty() {
                        None
                    } else {
                        Some(need(&names.z)?)
                    },
                ],
            },
            CsvForm::Wide => {
                let mut cells = Vec::new();
                for person in 0..options.persons {
                    for joint in &layout.joints {
                        let name = |axis: &str| {
                            let name = options.joint_columns.replace("{axis}", axis);
                            name.replace("{person}", &person.to_string())
                                .replace("{joint}", joint)
                        };
                        let z = if options.flat {
                            None
                        } else {
                            Some(need(&name("z"))?)
                        };
                        cells.push([Some(need(&name("x"))?), Some(need(&name("y"))?), z]);
                    }
                }
                Body::Wide {
                    frame: column(&names.frame),
                    cells,
                }
            }
        };
        Ok(Self {
            sample: column(&names.sample),
            class: match options.class_from {
                None => Some(need(&names.class)?),
                Some(_) => None,
            },
            subject: column(&names.subject),
            body,
        })
    }
}

/// Opens a table and reads its header.
pub(super) fn open(
    options: &JointCsvConfig,
    layout: &SkeletonLayout,
    path: &Path,
) -> Result<(Reader<File>, Plan)> {
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    let delimiter = u8::try_from(options.delimiter).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .from_reader(file);
    let header = reader.headers().map_err(|e| bad(path, &e))?;
    let plan = Plan::new(options, layout, path, header)?;
    Ok((reader, plan))
}

pub(super) fn bad(path: &Path, error: &csv::Error) -> Error {
    Error::format(path, None, error.to_string())
}

/// `line 3`.
pub(super) fn line(record: &StringRecord) -> Option<String> {
    record.position().map(|p| format!("line {}", p.line()))
}

/// The samples of a table, in its order.
///
/// # Errors
/// When a column is missing, the rows of a sample stand apart, or its class changes.
pub(super) fn entries(
    options: &JointCsvConfig,
    layout: &SkeletonLayout,
    table: &Found,
) -> Result<Vec<Entry>> {
    let path = &table.path;
    let (mut reader, plan) = open(options, layout, path)?;
    let mut record = StringRecord::new();
    let (mut entries, mut seen): (Vec<Entry>, BTreeSet<String>) = (Vec::new(), BTreeSet::new());
    while reader.read_record(&mut record).map_err(|e| bad(path, &e))? {
        let field = |column: Option<usize>| column.and_then(|c| record.get(c)).filter(|f| !f.is_empty());
        let wrong = |why: String| Error::format(path, line(&record), why);
        let class = match (plan.class, field(plan.class)) {
            (Some(_), None) => {
                return Err(wrong(format!(
                    "column `{}` is empty, expected a class",
                    options.columns.class
                )));
            }
            (_, class) => class,
        };
        let name = match plan.sample {
            None => table.name.as_str(),
            Some(column) => field(Some(column))
                .ok_or_else(|| wrong("expected the name of a sample, found nothing".into()))?,
        };
        match entries.last_mut() {
            Some(last) if last.name == name => {
                if last.class.as_deref() != class {
                    let (one, two) = (
                        last.class.as_deref().unwrap_or_default(),
                        class.unwrap_or_default(),
                    );
                    return Err(wrong(format!(
                        "sample `{name}` has the classes `{one}` and `{two}`"
                    )));
                }
                last.place.rows = last.place.rows.map(|rows| rows + 1);
            }
            _ if !seen.insert(name.to_owned()) => {
                return Err(wrong(format!(
                    "sample `{name}` comes again after another, expected its rows together"
                )));
            }
            _ => {
                let place = Place {
                    start: record.position().cloned(),
                    rows: Some(1),
                };
                entries.push(Entry {
                    name: name.to_owned(),
                    class: class.map(str::to_owned),
                    subject: field(plan.subject).map(str::to_owned),
                    place,
                });
            }
        }
        if plan.sample.is_none() {
            // One sample: its first row tells the class, the others are read with the joints.
            entries[0].place = Place {
                start: None,
                rows: None,
            };
            break;
        }
    }
    if entries.is_empty() {
        return Err(Error::format(path, None, "has no row below the header"));
    }
    Ok(entries)
}
