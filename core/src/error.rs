//! What can go wrong, with the place, what was expected and what was found.

use std::path::{Path, PathBuf};

use crate::problems::Problems;

/// The result of anything in szar that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything a user, a file, a component or the machine can get wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tensor of the wrong shape where data enters a component.
    #[error("`{what}` has shape {got:?}, expected {want}")]
    Shape {
        /// Name of the tensor in the caller's words.
        what: String,
        /// Its shape.
        got: Vec<i64>,
        /// The shape that was expected, `_` for any size.
        want: String,
    },
    /// A file that is there but not as it should be.
    #[error("{}: {why}", Place { path, at })]
    Format {
        /// The file.
        path: PathBuf,
        /// Line, array or field inside it; `line:column` (`14:12`) follows the path as editors like it.
        at: Option<String>,
        /// What was expected and what was found.
        why: String,
    },
    /// The operating system refused to read or write something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`, `create`.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A name that nothing here bears.
    #[error("unknown {kind} `{name}`{}", suggestion(name, known))]
    Unknown {
        /// Kind of thing: class, split, layout, joint.
        kind: String,
        /// The name given.
        name: String,
        /// All names there are.
        known: Vec<String>,
    },
    /// Something a component needs was not given, or a state lacks an entry.
    #[error("missing {0}")]
    Missing(String),
    /// Mistakes in a configuration, all at once.
    #[error("{0}")]
    Config(Problems),
    /// Input that fits its format but not its purpose.
    #[error("{0}")]
    Input(String),
    /// The request is sound but not possible here (no CUDA device, say).
    #[error("{0}")]
    Unavailable(String),
    /// The user asked to stop; what was reached has been saved.
    #[error("stopped; run the same command again to resume")]
    Cancelled,
    /// A component of a plugin failed, or gave back what it must not.
    #[error("plugin `{plugin}`, {component}, {call}: {why}")]
    Plugin {
        /// Name of the plugin.
        plugin: String,
        /// Kind and name of the component.
        component: String,
        /// What it was asked to do.
        call: String,
        /// What it said, or what is wrong with its answer.
        why: String,
    },
    /// libtorch refused an operation.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] tch::TchError),
    /// Context around another error.
    #[error("{context}: {source}")]
    Context {
        /// What was being done.
        context: String,
        /// Why it failed.
        #[source]
        source: Box<Error>,
    },
}

struct Place<'a> {
    path: &'a Path,
    at: &'a Option<String>,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())?;
        match self.at {
            Some(at) if is_line_and_column(at) => write!(f, ":{at}"),
            Some(at) => write!(f, ", {at}"),
            None => Ok(()),
        }
    }
}

/// `14:12`, which editors find behind a file name when only a colon is between.
fn is_line_and_column(at: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    at.split_once(':')
        .is_some_and(|(line, column)| number(line) && number(column))
}

/// `; did you mean ...` for a near name, else the names there are.
fn suggestion(name: &str, known: &[String]) -> String {
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if known.is_empty() => "; there is none".into(),
        None => {
            let shown: Vec<_> = known.iter().take(20).map(String::as_str).collect();
            let rest = if known.len() > 20 { ", ..." } else { "" };
            format!("; known: {}{rest}", shown.join(", "))
        }
    }
}

/// The known name nearest to a mistyped one, if any is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(&lower, &k.to_lowercase()), k))
        .filter(|(distance, k)| *distance <= (k.chars().count().max(lower.chars().count()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}

impl Error {
    /// A file whose content is wrong; `at` says where inside it.
    pub fn format(path: impl AsRef<Path>, at: impl Into<Option<String>>, why: impl Into<String>) -> Self {
        Self::Format {
            path: path.as_ref().to_owned(),
            at: at.into(),
            why: why.into(),
        }
    }

    /// A failed read.
    pub fn read(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io {
            action: "read",
            path: path.as_ref().to_owned(),
            source,
        }
    }

    /// A failed write.
    pub fn write(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io {
            action: "write",
            path: path.as_ref().to_owned(),
            source,
        }
    }

    /// An unknown name among `known` ones.
    pub fn unknown<S: Into<String>>(kind: &str, name: &str, known: impl IntoIterator<Item = S>) -> Self {
        Self::Unknown {
            kind: kind.into(),
            name: name.into(),
            known: known.into_iter().map(Into::into).collect(),
        }
    }

    /// Puts what was being done in front of this error.
    pub fn context(self, context: impl Into<String>) -> Self {
        match self {
            Self::Cancelled => Self::Cancelled,
            source => Self::Context {
                context: context.into(),
                source: Box::new(source),
            },
        }
    }

    /// True when the user's input (configuration, files, names) is at fault: exit code 2 instead of 1.
    pub fn is_input(&self) -> bool {
        match self {
            Self::Format { .. } | Self::Unknown { .. } | Self::Config(_) | Self::Input(_) => true,
            Self::Unavailable(_) => true,
            Self::Io { action, .. } => *action == "read",
            Self::Context { source, .. } => source.is_input(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_suggests_the_nearest_one() {
        let error = Error::unknown("adapter", "skeleton-cach", ["tent", "skeleton-cache"]);
        assert_eq!(
            error.to_string(),
            "unknown adapter `skeleton-cach`; did you mean `skeleton-cache`?"
        );
    }

    #[test]
    fn a_far_name_lists_what_there_is() {
        let error = Error::unknown("layout", "zebra", ["ntu25", "kinect20"]);
        assert_eq!(
            error.to_string(),
            "unknown layout `zebra`; known: ntu25, kinect20"
        );
    }
}
