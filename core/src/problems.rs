//! Mistakes are gathered, then reported together.

use std::fmt;
use std::path::PathBuf;

/// Where in the user's text a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a YAML file; line and column count from 1.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// On the command line, `--set` with this text.
    Override(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Override(text) => write!(f, "--set {text}"),
        }
    }
}

/// One mistake: which field, what is wrong, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field in the configuration, `adapters[0].capacity`; empty for the whole.
    pub field: String,
    /// What is wrong, with values.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where the field was written; filled in by the resolver.
    pub origin: Option<Origin>,
}

/// A list of mistakes with a current place; a `validate` adds to it and never stops at the first.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
    scope: Vec<String>,
}

impl Problems {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a problem with `field` (relative to the current scope) unless `ok`.
    pub fn check(&mut self, ok: bool, field: &str, why: impl FnOnce() -> String) {
        if !ok {
            self.add(field, why());
        }
    }

    /// Adds a problem with `field` (relative to the current scope).
    pub fn add(&mut self, field: &str, message: impl Into<String>) {
        self.push(Problem {
            field: self.path(field),
            message: message.into(),
            hint: None,
            origin: None,
        });
    }

    /// Adds a problem that comes with advice.
    pub fn add_with_hint(&mut self, field: &str, message: impl Into<String>, hint: impl Into<String>) {
        let field = self.path(field);
        self.push(Problem {
            field,
            message: message.into(),
            hint: Some(hint.into()),
            origin: None,
        });
    }

    /// Adds a finished problem, whose field is taken as it stands.
    pub fn push(&mut self, problem: Problem) {
        if !self.list.contains(&problem) {
            self.list.push(problem);
        }
    }

    /// Runs `body` with field names below `scope`.
    pub fn scoped<T>(&mut self, scope: &str, body: impl FnOnce(&mut Self) -> T) -> T {
        self.scope.push(scope.to_owned());
        let out = body(self);
        self.scope.pop();
        out
    }

    fn path(&self, field: &str) -> String {
        let mut path = String::new();
        for part in self
            .scope
            .iter()
            .map(String::as_str)
            .chain([field])
            .filter(|p| !p.is_empty())
        {
            if !path.is_empty() && !part.starts_with('[') {
                path.push('.');
            }
            path.push_str(part);
        }
        path
    }

    /// True when nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many mistakes there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The mistakes, in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// Each mistake as one paragraph, to be printed one below the other.
    pub fn paragraphs(&self) -> impl Iterator<Item = String> {
        self.list.iter().map(Problem::to_string)
    }

    /// The mistakes, to fill in their origins.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Problem> {
        self.list.iter_mut()
    }

    /// Takes over the mistakes of another list.
    pub fn append(&mut self, other: Self) {
        for problem in other.list {
            self.push(problem);
        }
    }

    /// `Ok` when empty, else all of it as one error.
    pub fn into_result(self) -> crate::Result<()> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(crate::Error::Config(self))
        }
    }
}

/// The first line of the message, the place, the rest of the message (lists of known names) and the advice:
///
/// ```text
/// unknown adapter `skeleton-cach`
///   at configs/utkinect.yaml:14:12, `adapters[0].type`
///   known adapters: none, skeleton-cache, tent
///
/// hint: did you mean `skeleton-cache`?
/// ```
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.message.lines();
        f.write_str(lines.next().unwrap_or_default())?;
        match (&self.origin, self.field.is_empty()) {
            (Some(origin), false) => write!(f, "\n  at {origin}, `{}`", self.field)?,
            (Some(origin), true) => write!(f, "\n  at {origin}")?,
            (None, false) => write!(f, "\n  at `{}`", self.field)?,
            (None, true) => {}
        }
        for line in lines {
            write!(f, "\n  {line}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.list.len() > 1 {
            write!(f, "{} problems in the configuration\n\n", self.list.len())?;
        }
        f.write_str(&self.paragraphs().collect::<Vec<_>>().join("\n\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_make_the_path_of_a_field() {
        let mut problems = Problems::new();
        problems.scoped("adapters", |p| {
            p.scoped("[0]", |p| p.add("capacity", "must be at least 1"))
        });
        assert_eq!(problems.iter().next().unwrap().field, "adapters[0].capacity");
    }

    #[test]
    fn the_first_line_stands_alone_and_the_place_follows() {
        let problem = Problem {
            field: "adapters[0].type".into(),
            message: "unknown adapter `ten`\nknown adapters: none, tent".into(),
            hint: Some("did you mean `tent`?".into()),
            origin: Some(Origin::Override("adapters.0.type=ten".into())),
        };
        assert_eq!(
            problem.to_string(),
            "unknown adapter `ten`\n  at --set adapters.0.type=ten, `adapters[0].type`\n  \
             known adapters: none, tent\n\nhint: did you mean `tent`?"
        );
    }
}
