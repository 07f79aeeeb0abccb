//! Classes and split of features, whose files hold numbers alone.

use std::path::Path;

use szar_core::{ClassId, ClassList, ClassSplit, FilePath, Problems, Result};

use crate::readers::text;
use crate::splits::{self, SplitConfig, published};

/// Judges the options `set`, `classes` and `split`.
pub(crate) fn validate(set: &str, classes: Option<&FilePath>, split: &SplitConfig, problems: &mut Problems) {
    problems.scoped("split", |p| split.validate(p));
    if classes.is_none()
        && let Err(unknown) = published::classes(set)
    {
        problems.add_with_hint(
            "set",
            unknown.to_string(),
            "name the classes of another set in a file: `classes`",
        );
    }
}

/// The classes of a file, or the published ones of a set, numbered from 0.
///
/// # Errors
/// When the file is missing or wrong, or nothing is published under the name.
pub(crate) fn list(set: &str, classes: Option<&FilePath>) -> Result<ClassList> {
    match classes {
        Some(file) => ClassList::numbered(text::lines(file.as_ref())?),
        None => published::classes(set),
    }
}

/// All classes, numbered from 0, and which of them are seen.
///
/// # Errors
/// When the class list or the split is missing or wrong.
pub(super) fn resolve(
    root: &Path,
    set: &str,
    classes: Option<&FilePath>,
    split: &SplitConfig,
) -> Result<(ClassList, ClassSplit)> {
    let classes = list(set, classes)?;
    let split = split.resolve(&splits::nearest_file(root), set, &classes)?;
    Ok((classes, split))
}

/// What the labels of a part must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Seen classes alone.
    Seen,
    /// Unseen classes alone.
    Unseen,
    /// Any.
    Both,
}

impl Side {
    /// What is wrong with a sample of this class here.
    pub(super) fn refuses(self, class: ClassId, classes: &ClassList, split: &ClassSplit) -> Option<String> {
        let Some(name) = classes.name(class) else {
            return Some(format!(
                "is {class}, expected 0 to {}",
                classes.len().saturating_sub(1)
            ));
        };
        let of = |list: &ClassList| list.column(class).is_some();
        let (wrong, is) = match self {
            Self::Seen => (!of(split.seen()), "no seen class"),
            Self::Unseen => (!of(split.unseen()), "no unseen class"),
            Self::Both => (false, ""),
        };
        let split = split.name();
        wrong.then(|| {
            format!("is {class} (`{name}`), {is} of split `{split}`; is it the split of these files?")
        })
    }
}
