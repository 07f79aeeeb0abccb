//! Writes what `torch.save` writes: pickles in protocol 2, zip archives and the older format.

use std::io::{Cursor, Write};

use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime};

/// A tensor: name, storage key, elements of the storage, offset, shape, strides.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) class: &'a str,
    pub(crate) key: &'a str,
    pub(crate) numel: i64,
    pub(crate) offset: i64,
    pub(crate) shape: &'a [i64],
    pub(crate) strides: &'a [i64],
}

/// A whole storage of float32 as a tensor.
pub(crate) fn whole<'a>(name: &'a str, key: &'a str, shape: &'a [i64; 1]) -> Entry<'a> {
    Entry {
        name,
        class: "FloatStorage",
        key,
        numel: shape[0],
        offset: 0,
        shape,
        strides: &[1],
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

fn number(out: &mut Vec<u8>, number: i64) {
    out.extend([0x8a, 8]);
    out.extend(number.to_le_bytes());
}

fn numbers(out: &mut Vec<u8>, list: &[i64]) {
    out.push(b'(');
    list.iter().for_each(|n| number(out, *n));
    out.push(b't');
}

/// The opcodes of one tensor.
pub(crate) fn tensor(out: &mut Vec<u8>, entry: &Entry) {
    out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    text(out, "storage");
    out.extend(format!("ctorch\n{}\n", entry.class).bytes());
    text(out, entry.key);
    text(out, "cpu");
    number(out, entry.numel);
    out.extend(b"tQ");
    number(out, entry.offset);
    numbers(out, entry.shape);
    numbers(out, entry.strides);
    out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
}

/// The opcodes of a dict of tensors, without the end of the pickle.
pub(crate) fn dict(out: &mut Vec<u8>, entries: &[Entry]) {
    out.extend(b"}(");
    for entry in entries {
        text(out, entry.name);
        tensor(out, entry);
    }
    out.push(b'u');
}

/// A pickle of a dict of tensors.
pub(crate) fn state_dict(entries: &[Entry]) -> Vec<u8> {
    let mut out = b"\x80\x02".to_vec();
    dict(&mut out, entries);
    out.push(b'.');
    out
}

/// A pickle of dicts of tensors under names.
pub(crate) fn nested(dicts: &[(&str, &[Entry])]) -> Vec<u8> {
    let mut out = b"\x80\x02}(".to_vec();
    for (name, entries) in dicts {
        text(&mut out, name);
        dict(&mut out, entries);
    }
    out.extend(b"u.");
    out
}

/// A zip archive of entries as they are.
pub(crate) fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    zip_as(CompressionMethod::Stored, entries)
}

pub(crate) fn zip_as(method: CompressionMethod, entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(method)
        .last_modified_time(DateTime::default());
    for (name, bytes) in entries {
        zip.start_file(*name, options).expect("an entry");
        zip.write_all(bytes).expect("its bytes");
    }
    zip.finish().expect("an archive").into_inner()
}

/// The older format around a pickle.
pub(crate) fn legacy(object: &[u8], storages: &[(&str, &[f32])]) -> Vec<u8> {
    let mut out =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    out.extend(object);
    out.extend(b"\x80\x02](");
    storages.iter().for_each(|(key, _)| text(&mut out, key));
    out.extend(b"e.");
    for (_, values) in storages {
        out.extend((values.len() as u64).to_le_bytes());
        out.extend(floats(values));
    }
    out
}

/// Little-endian bytes.
pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
