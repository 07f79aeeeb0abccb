//! The tables of a plugin, read as far as their sizes reach.
//!
//! A plugin that was built for an earlier minor version has smaller tables. Each is copied into one of this version whose
//! further fields are null, so that nothing behind a table's end is ever read.

use std::ffi::c_void;
use std::mem::{MaybeUninit, offset_of};

use szar_plugin_abi::{
    self as abi, Adapter, AdapterSnapshot, Aligner, Components, Dataset, Encoder, Object, Plugin, Str,
};

/// A table that begins with its size.
///
/// # Safety
/// Up to [`Self::LEAST`] bytes the fields are the size, and pointers to data or functions that must not be null; everything
/// behind may be null.
unsafe trait Table: Sized + 'static {
    /// Bytes that it had in the first minor version of this major one.
    const LEAST: usize;
}

macro_rules! tables {
    ($($table:ty: $least:expr),* $(,)?) => {$(
        // SAFETY: the fields of the type, in their order, are as the trait says.
        unsafe impl Table for $table {
            const LEAST: usize = $least;
        }
    )*};
}

tables! {
    Components: size_of::<Components>(),
    Object: size_of::<Object>(),
    Adapter: offset_of!(Adapter, rescore),
    AdapterSnapshot: size_of::<AdapterSnapshot>(),
    Aligner: size_of::<Aligner>(),
    Encoder: size_of::<Encoder>(),
    Dataset: size_of::<Dataset>(),
}

const WORD: usize = size_of::<usize>();

/// The table behind a pointer, kept for ever; `None` for null, for one that is too small, and for one that lacks a function.
///
/// # Safety
/// The pointer is null, or one to as many readable bytes as the first word says, laid out as `T`.
unsafe fn read<T: Table>(table: *const T) -> Option<&'static T> {
    if table.is_null() || !table.is_aligned() {
        return None;
    }
    // SAFETY: every table has a size.
    let size = unsafe { table.cast::<usize>().read() };
    if size < T::LEAST {
        return None;
    }
    let words = T::LEAST / WORD;
    // SAFETY: within the size that was just read; all of these are words, see `Table`.
    if (1..words).any(|word| unsafe { table.cast::<usize>().add(word).read() } == 0) {
        return None;
    }
    let mut own = MaybeUninit::<T>::zeroed();
    // SAFETY: no more than either side has; what must not be null was looked at above, the rest may be.
    let own = unsafe {
        own.as_mut_ptr()
            .cast::<u8>()
            .copy_from_nonoverlapping(table.cast::<u8>(), size.min(size_of::<T>()));
        own.assume_init()
    };
    Some(Box::leak(Box::new(own)))
}

/// The smallest table of a plugin that can be understood.
const PLUGIN: usize = offset_of!(Plugin, extension) + WORD;

/// What can be said of a plugin's own table before anything in it is used.
pub(crate) enum Head {
    /// Of this major version and large enough.
    Fits(&'static Plugin),
    /// For another version of the boundary.
    Major(u32),
    /// Bytes that it has, too few.
    Small(usize),
    /// A function is null.
    Hollow,
}

/// Bytes that a plugin's own table must have.
pub(crate) fn least() -> usize {
    PLUGIN
}

/// Looks at a plugin's own table.
///
/// # Safety
/// The pointer is one to as many readable bytes as the first word says, and to four words at least.
pub(crate) unsafe fn head(plugin: *const Plugin) -> Head {
    // SAFETY: promised by the caller.
    let (size, major) = unsafe {
        (
            (&raw const (*plugin).size).read(),
            (&raw const (*plugin).major).read(),
        )
    };
    if size < offset_of!(Plugin, name) {
        return Head::Small(size);
    }
    if major != abi::MAJOR {
        return Head::Major(major);
    }
    if size < PLUGIN {
        return Head::Small(size);
    }
    let word = |at: usize| {
        // SAFETY: inside the size.
        unsafe { plugin.cast::<u8>().add(at).cast::<usize>().read() }
    };
    if word(offset_of!(Plugin, start)) == 0 || word(offset_of!(Plugin, extension)) == 0 {
        return Head::Hollow;
    }
    // SAFETY: static, large enough, and its functions are there.
    unsafe { plugin.as_ref() }.map_or(Head::Hollow, Head::Fits)
}

/// All tables of a plugin that szar knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    pub components: Option<(&'static Components, &'static Object)>,
    pub dataset: Option<(&'static Dataset, &'static Object)>,
    pub encoder: Option<(&'static Encoder, &'static Object)>,
    pub aligner: Option<(&'static Aligner, &'static Object)>,
    pub adapter: Option<(&'static Adapter, &'static Object)>,
    pub snapshot: Option<&'static AdapterSnapshot>,
    pub object: Option<&'static Object>,
}

impl Tables {
    /// Asks for each of them, once.
    pub fn of(plugin: &'static Plugin) -> Self {
        /// # Safety
        /// The id names the type.
        unsafe fn ask<T: Table>(plugin: &'static Plugin, id: &str) -> Option<&'static T> {
            // SAFETY: promised by the caller; tables are static.
            unsafe { read((plugin.extension)(Str::new(id)).cast::<c_void>().cast::<T>()) }
        }
        // SAFETY: null or a static table.
        let object = |object: *const Object| unsafe { read(object) };
        // SAFETY: each id names its type.
        unsafe {
            Self {
                components: ask::<Components>(plugin, abi::COMPONENTS)
                    .and_then(|t| Some((t, object(t.config)?))),
                dataset: ask::<Dataset>(plugin, abi::DATASET).and_then(|t| Some((t, object(t.object)?))),
                encoder: ask::<Encoder>(plugin, abi::ENCODER).and_then(|t| Some((t, object(t.object)?))),
                aligner: ask::<Aligner>(plugin, abi::ALIGNER).and_then(|t| Some((t, object(t.object)?))),
                adapter: ask::<Adapter>(plugin, abi::ADAPTER).and_then(|t| Some((t, object(t.object)?))),
                snapshot: ask(plugin, abi::ADAPTER_SNAPSHOT),
                object: ask(plugin, abi::OBJECT),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" fn drop(_: *mut c_void) {}

    #[test]
    fn a_shorter_table_is_read_to_its_end_and_no_further() {
        // What an adapter's table was before `rescore`; what follows in memory belongs to somebody else.
        let whole = [size_of::<usize>() * 3, 8, drop as *const () as usize, usize::MAX];
        // SAFETY: as many readable bytes as it says.
        let adapter = unsafe { read(whole.as_ptr().cast::<Adapter>()) }.unwrap();
        assert!(adapter.rescore.is_none());
        assert_eq!(adapter.step as *const () as usize, drop as *const () as usize);
    }

    #[test]
    fn null_small_and_hollow_tables_are_none() {
        let table = |words: [usize; 3]| {
            // SAFETY: no more is read than the first word says.
            unsafe { read(words.as_ptr().cast::<Object>()) }.is_some()
        };
        let function = drop as *const () as usize;
        assert!(table([24, function, function]));
        assert!(!table([16, function, function]));
        assert!(!table([0, function, function]));
        assert!(!table([24, function, 0]));
        // SAFETY: null is allowed.
        assert!(unsafe { read(std::ptr::null::<Object>()) }.is_none());
    }
}
