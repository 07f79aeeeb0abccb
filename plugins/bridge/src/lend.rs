//! Anchors and skeletons: a tensor beside a description that hardly ever changes. The description crosses as JSON under a
//! number, and is read once per number.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use szar_core::{ClassList, Error, Granularity, Result, SemanticAnchors, SkeletonBatch, SkeletonLayout};
use szar_plugin_abi::{self as abi, Str};
use tch::{Device, Kind};

use crate::tensor;

/// Descriptions that are remembered; the pipelines of one thread use a few.
const REMEMBERED: usize = 16;

/// What stands beside the values of anchors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Names {
    /// C classes.
    pub classes: ClassList,
    /// G texts of each.
    pub granularities: Vec<Granularity>,
}

/// Both ways of one kind of description, for this thread.
struct Book<T> {
    sent: Vec<(T, u64, Rc<str>)>,
    known: Vec<(u64, T)>,
}

impl<T: Clone + Serialize + for<'de> Deserialize<'de>> Book<T> {
    const fn new() -> Self {
        Self {
            sent: Vec::new(),
            known: Vec::new(),
        }
    }

    /// Number and text of a description.
    fn send(&mut self, same: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> Result<(u64, Rc<str>)> {
        if let Some((_, token, text)) = self.sent.iter().rev().find(|(known, ..)| same(known)) {
            return Ok((*token, Rc::clone(text)));
        }
        let value = make();
        let text = serde_json::to_string(&value).map_err(|e| Error::Input(format!("as JSON: {e}")))?;
        // Several sides give numbers, so a number is that of the text, not of a counter.
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let (token, text) = (hasher.finish(), Rc::from(text.as_str()));
        if self.sent.len() == REMEMBERED {
            self.sent.remove(0);
        }
        self.sent.push((value, token, Rc::clone(&text)));
        Ok((token, text))
    }

    /// The description of a number, read from the text where it is new.
    fn read(&mut self, token: u64, text: Str) -> Result<&T> {
        let at = self.known.iter().position(|(known, _)| *known == token);
        let at = match at {
            Some(at) => at,
            None => {
                // SAFETY: texts are readable for the duration of the call, which this is part of.
                let text = unsafe { text.get() }.ok_or_else(|| Error::Input("a text is not UTF-8".into()))?;
                let value = serde_json::from_str(text)
                    .map_err(|e| Error::Input(format!("a description cannot be read: {e}")))?;
                if self.known.len() == REMEMBERED {
                    self.known.remove(0);
                }
                self.known.push((token, value));
                self.known.len() - 1
            }
        };
        Ok(&self.known[at].1)
    }
}

thread_local! {
    static NAMES: RefCell<Book<Names>> = const { RefCell::new(Book::new()) };
    static LAYOUTS: RefCell<Book<Arc<SkeletonLayout>>> = const { RefCell::new(Book::new()) };
}

/// Anchors for the duration of a call.
#[derive(Debug)]
pub struct Lent<'a> {
    table: abi::Anchors,
    _text: Rc<str>,
    _anchors: &'a SemanticAnchors,
}

impl<'a> Lent<'a> {
    /// Lends anchors.
    ///
    /// # Errors
    /// When the names cannot be written as JSON.
    pub fn anchors(anchors: &'a SemanticAnchors) -> Result<Self> {
        let same = |names: &Names| {
            (names.classes.is_copy_of(&anchors.classes) || names.classes == anchors.classes)
                && names.granularities == anchors.granularities
        };
        let make = || Names {
            classes: anchors.classes.clone(),
            granularities: anchors.granularities.clone(),
        };
        let (token, text) = NAMES.with_borrow_mut(|book| book.send(same, make))?;
        Ok(Self {
            table: abi::Anchors {
                size: size_of::<abi::Anchors>(),
                values: tensor::lend(&anchors.values),
                token,
                described: Str::new(&text),
            },
            _text: text,
            _anchors: anchors,
        })
    }

    /// The table.
    pub fn table(&self) -> *const abi::Anchors {
        &raw const self.table
    }
}

/// Anchors that were lent.
///
/// # Safety
/// The table is null or valid for the duration of the call.
pub unsafe fn anchors(table: *const abi::Anchors) -> Result<SemanticAnchors> {
    // SAFETY: promised by the caller.
    let table = unsafe { table.as_ref() }.ok_or_else(|| Error::Missing("anchors".into()))?;
    // SAFETY: as above.
    let values = unsafe { tensor::borrow(table.values) };
    let values = values.ok_or_else(|| Error::Missing("values of anchors".into()))?;
    let names = NAMES.with_borrow_mut(|book| book.read(table.token, table.described).cloned())?;
    SemanticAnchors::new(values, names.granularities, names.classes)
}

/// Skeletons for the duration of a call.
#[derive(Debug)]
pub struct LentSkeletons<'a> {
    table: abi::Skeletons,
    _text: Rc<str>,
    _batch: &'a SkeletonBatch,
}

impl<'a> LentSkeletons<'a> {
    /// Lends a batch.
    ///
    /// # Errors
    /// When the layout cannot be written as JSON.
    pub fn new(batch: &'a SkeletonBatch) -> Result<Self> {
        let same =
            |layout: &Arc<SkeletonLayout>| Arc::ptr_eq(layout, &batch.layout) || **layout == *batch.layout;
        let make = || Arc::clone(&batch.layout);
        let (token, text) = LAYOUTS.with_borrow_mut(|book| book.send(same, make))?;
        Ok(Self {
            table: abi::Skeletons {
                size: size_of::<abi::Skeletons>(),
                joints: tensor::lend(&batch.joints),
                frames: tensor::lend(&batch.frames),
                present: batch.present.as_ptr().cast(), // a bool is one byte, 0 or 1
                present_len: batch.present.len(),
                token,
                layout: Str::new(&text),
            },
            _text: text,
            _batch: batch,
        })
    }

    /// The table.
    pub fn table(&self) -> *const abi::Skeletons {
        &raw const self.table
    }
}

/// Skeletons that were lent.
///
/// # Safety
/// The table is null or valid for the duration of the call.
pub unsafe fn skeletons(table: *const abi::Skeletons) -> Result<SkeletonBatch> {
    let missing = |what: &str| Error::Missing(format!("{what} of a batch of skeletons"));
    // SAFETY: promised by the caller.
    let table = unsafe { table.as_ref() }.ok_or_else(|| Error::Missing("skeletons".into()))?;
    // SAFETY: as above; each is null or valid.
    let (joints, frames) = unsafe { (tensor::borrow(table.joints), tensor::borrow(table.frames)) };
    let (joints, frames) = (
        joints.ok_or_else(|| missing("joints"))?,
        frames.ok_or_else(|| missing("frames"))?,
    );
    let [batch, _, _, _, persons] =
        szar_core::shape::sizes("joints", &joints, [None, None, None, None, None])?;
    szar_core::shape::expect("frames", &frames, [Some(batch)])?;
    let count = usize::try_from(batch * persons).unwrap_or(0);
    if table.present_len != count || (count > 0 && table.present.is_null()) {
        return Err(Error::Input(format!(
            "{} marks of who is present, expected {count}",
            table.present_len
        )));
    }
    let present = match count {
        0 => Vec::new(),
        // SAFETY: `present_len` readable bytes, as the table says.
        _ => unsafe { std::slice::from_raw_parts(table.present, count) }
            .iter()
            .map(|byte| *byte != 0)
            .collect(),
    };
    let layout = LAYOUTS.with_borrow_mut(|book| book.read(table.token, table.layout).cloned())?;
    if frames.kind() != Kind::Int64 || (frames.device() != Device::Cpu && frames.device() != joints.device())
    {
        return Err(Error::Input(
            "frames must be whole numbers on the CPU or beside the joints".into(),
        ));
    }
    Ok(SkeletonBatch {
        joints,
        frames,
        present,
        layout,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Tensor, kind::FLOAT_CPU};

    #[test]
    fn anchors_come_back_and_equal_names_get_one_number() {
        let classes = ClassList::numbered(["walk", "wave"]).unwrap();
        let make = || {
            SemanticAnchors::new(
                Tensor::rand([2, 1, 3], FLOAT_CPU),
                vec![Granularity::GLOBAL],
                classes.clone(),
            )
            .unwrap()
        };
        let (first, second) = (make(), make());
        let (a, b) = (Lent::anchors(&first).unwrap(), Lent::anchors(&second).unwrap());
        assert_eq!(a.table.token, b.table.token);
        // SAFETY: the table lives here.
        let back = unsafe { anchors(b.table()) }.unwrap();
        assert!(back.values.equal(&second.values));
        assert_eq!(
            (back.classes, back.granularities),
            (second.classes.clone(), second.granularities.clone())
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        // SAFETY: null is allowed.
        let error = unsafe { anchors(std::ptr::null()) }.unwrap_err();
        assert_eq!(error.to_string(), "missing anchors");
    }
}
