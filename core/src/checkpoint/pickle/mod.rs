//! A pickle as data: a small machine that knows the opcodes of protocols 0 to 5 and a short list of names, imports
//! nothing and runs nothing. What a state_dict does not need is an error that says where it stands.
//!
//! Source of the opcodes: Python's `pickletools`; of the names, what `torch.save` writes, and NumPy for its arrays.

mod globals;
mod input;
mod machine;
mod value;

pub(super) use machine::unpickle;
pub(super) use value::{ArrayRef, Heap, Id, Storage, TensorRef, Value};

/// What one pickle holds.
#[derive(Debug)]
pub(super) struct Unpickled {
    /// All its values.
    pub(super) heap: Heap,
    /// The outermost of them.
    pub(super) root: Id,
    /// Where the next byte after it is.
    pub(super) end: usize,
}

/// Why and where a pickle was refused.
#[derive(Debug)]
pub(super) struct Refused {
    /// First byte of the opcode.
    pub(super) byte: usize,
    /// Its name.
    pub(super) opcode: String,
    /// What is wrong.
    pub(super) why: String,
}

/// Text of a file as it may stand in a message: no control characters, not too long.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 120;
    let mut shown: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().count() > MOST {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests;
