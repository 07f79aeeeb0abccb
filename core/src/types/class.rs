//! Classes: their ids in the dataset, their columns in the logits, and which are seen.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Number of a class in its dataset. Never a position in the logits: that is a [`Column`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClassId(pub i64);

impl fmt::Display for ClassId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Position of a candidate class in the logits, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Column(pub usize);

/// Classes in ascending id, so that the order of the columns never depends on a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassList {
    ids: Arc<[ClassId]>,
    names: Arc<[String]>,
}

impl ClassList {
    /// Sorts the classes by id.
    ///
    /// # Errors
    /// [`Error::Input`] when an id or a name occurs twice.
    pub fn new(classes: impl IntoIterator<Item = (ClassId, String)>) -> Result<Self> {
        let mut classes: Vec<_> = classes.into_iter().collect();
        classes.sort();
        let twice = |a: &str| Error::Input(format!("class {a} is listed twice"));
        if let Some(pair) = classes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(twice(&pair[0].0.to_string()));
        }
        let (ids, names): (Vec<_>, Vec<String>) = classes.into_iter().unzip();
        let mut sorted: Vec<_> = names.iter().collect();
        sorted.sort();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(twice(&format!("`{}`", pair[0])));
        }
        Ok(Self {
            ids: ids.into(),
            names: names.into(),
        })
    }

    /// Classes numbered from 0 in the order of their names.
    ///
    /// # Errors
    /// [`Error::Input`] when a name occurs twice.
    pub fn numbered<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Result<Self> {
        Self::new((0..).map(ClassId).zip(names.into_iter().map(Into::into)))
    }

    /// How many classes there are; C.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Is it a copy of this very list, so that a comparison can be saved? Equal lists need not be.
    pub fn is_copy_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ids, &other.ids) && Arc::ptr_eq(&self.names, &other.names)
    }

    /// True when there is no class.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Ids by column.
    pub fn ids(&self) -> &[ClassId] {
        &self.ids
    }

    /// Names by column.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Id and name by column.
    pub fn iter(&self) -> impl Iterator<Item = (ClassId, &str)> {
        self.ids
            .iter()
            .copied()
            .zip(self.names.iter().map(String::as_str))
    }

    /// Column of a class, if it is among these.
    pub fn column(&self, id: ClassId) -> Option<Column> {
        self.ids.binary_search(&id).ok().map(Column)
    }

    /// Name of a class, if it is among these.
    pub fn name(&self, id: ClassId) -> Option<&str> {
        self.column(id).map(|c| self.names[c.0].as_str())
    }

    /// Id of the class with this name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the nearest name.
    pub fn by_name(&self, name: &str) -> Result<ClassId> {
        let at = self.names.iter().position(|n| n == name);
        at.map(|i| self.ids[i])
            .ok_or_else(|| Error::unknown("class", name, self.names.iter().cloned()))
    }

    /// The classes with these ids.
    ///
    /// # Errors
    /// [`Error::Unknown`] when an id is not among these classes, [`Error::Input`] when one is given twice.
    pub fn subset(&self, ids: &[ClassId]) -> Result<Self> {
        let known = || {
            let last = self.ids.last().map_or(0, |id| id.0);
            vec![format!("{} classes, numbers up to {last}", self.len())]
        };
        let pick = |id: &ClassId| {
            let name = self.name(*id).map(str::to_owned);
            name.map(|n| (*id, n))
                .ok_or_else(|| Error::unknown("class number", &id.to_string(), known()))
        };
        Self::new(ids.iter().map(pick).collect::<Result<Vec<_>>>()?)
    }
}

/// Which classes are trained on and which are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassSplit {
    name: String,
    seen: ClassList,
    unseen: ClassList,
}

impl ClassSplit {
    /// A split of (some of) `all` classes.
    ///
    /// # Errors
    /// When a class is unknown, listed twice, on both sides, or a side is empty.
    pub fn new(name: &str, all: &ClassList, seen: &[ClassId], unseen: &[ClassId]) -> Result<Self> {
        if let Some(both) = seen.iter().find(|id| unseen.contains(id)) {
            return Err(Error::Input(format!(
                "split `{name}`: class {both} is both seen and unseen"
            )));
        }
        let side = |ids: &[ClassId], what: &str| {
            if ids.is_empty() {
                return Err(Error::Input(format!("split `{name}` has no {what} class")));
            }
            all.subset(ids)
                .map_err(|e| e.context(format!("split `{name}`, {what} classes")))
        };
        Ok(Self {
            name: name.into(),
            seen: side(seen, "seen")?,
            unseen: side(unseen, "unseen")?,
        })
    }

    /// Name of the split, `58_10_seed0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Classes that may be trained on.
    pub fn seen(&self) -> &ClassList {
        &self.seen
    }

    /// Classes known in words only.
    pub fn unseen(&self) -> &ClassList {
        &self.unseen
    }

    /// Seen and unseen classes, ascending.
    pub fn all(&self) -> ClassList {
        let mut both: Vec<_> = self
            .seen
            .iter()
            .chain(self.unseen.iter())
            .map(|(i, n)| (i, n.to_owned()))
            .collect();
        both.sort();
        let (ids, names): (Vec<_>, Vec<_>) = both.into_iter().unzip();
        ClassList {
            ids: ids.into(),
            names: names.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> ClassList {
        ClassList::numbered(["walk", "wave", "kick"]).unwrap()
    }

    #[test]
    fn columns_follow_ascending_ids_whatever_the_order_given() {
        let list = three().subset(&[ClassId(2), ClassId(0)]).unwrap();
        assert_eq!(list.names(), ["walk", "kick"]);
        assert_eq!(list.column(ClassId(2)), Some(Column(1)));
        assert_eq!(list.column(ClassId(1)), None);
    }

    #[test]
    fn a_split_refuses_a_class_on_both_sides() {
        let error = ClassSplit::new("s", &three(), &[ClassId(0), ClassId(1)], &[ClassId(1)]).unwrap_err();
        assert_eq!(error.to_string(), "split `s`: class 1 is both seen and unseen");
    }

    #[test]
    fn a_split_refuses_a_class_that_is_not_there() {
        let error = ClassSplit::new("s", &three(), &[ClassId(0)], &[ClassId(9)]).unwrap_err();
        assert!(error.to_string().contains("unknown class number `9`"), "{error}");
    }
}
