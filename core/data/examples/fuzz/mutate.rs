//! Changes to files: bytes, numbers, lines, words, and the structure of archives.

use std::io::{Cursor, Read, Write};

use rand::seq::{IndexedMutRandom, IndexedRandom};
use rand::{Rng, RngExt};
use xxhash_rust::xxh3::xxh3_64;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The files of a folder, by their path in it.
pub type Files = Vec<(String, Vec<u8>)>;

/// Longest file that is made.
const MAX_BYTES: usize = 1 << 18;

/// Numbers that readers tend to believe or to choke on.
const NUMBERS: [&str; 24] = [
    "0",
    "-1",
    "1",
    "2",
    "-0",
    "25",
    "26",
    "255",
    "256",
    "65536",
    "2147483647",
    "2147483648",
    "4294967296",
    "999999999",
    "1000000000",
    "9223372036854775807",
    "18446744073709551616",
    "1e9",
    "1e39",
    "1e-400",
    "NaN",
    "-inf",
    "0x10",
    "1_000",
];

/// The same as integers in binary files.
const INTEGERS: [i64; 14] = [
    0,
    1,
    -1,
    2,
    3,
    127,
    255,
    256,
    65_535,
    65_536,
    1_000_000_000,
    i32::MAX as i64,
    u32::MAX as i64,
    i64::MAX,
];

/// Text that parsers stumble on.
const TEXTS: [&[u8]; 16] = [
    b"\xff\xfe",
    b"\0",
    b"\xc3\x28",
    "\u{feff}".as_bytes(),
    b"[",
    b"{",
    b"\"",
    b"'",
    b"}",
    b"]",
    b"\r",
    b"\n\n",
    b",,",
    b"\t",
    b"#",
    b":",
];

/// Changes one to four things in the files; `others` lends pieces.
pub fn mutate(files: &mut Files, others: &Files, rng: &mut impl Rng) {
    for _ in 0..rng.random_range(1..=4) {
        let Some(at) = (!files.is_empty()).then(|| rng.random_range(0..files.len())) else {
            return;
        };
        if rng.random_ratio(1, 60) {
            files.remove(at);
            continue;
        }
        let bytes = &mut files[at].1;
        if !(rng.random_ratio(4, 5) && in_archive(bytes, others, rng)) {
            change(bytes, others, rng);
        }
        bytes.truncate(MAX_BYTES);
    }
    if rng.random_ratio(3, 4) {
        sign(files);
    }
}

/// Changes an entry of a zip archive, whose checksums would refuse a change from outside.
fn in_archive(bytes: &mut Vec<u8>, others: &Files, rng: &mut impl Rng) -> bool {
    let Ok(mut entries) = unpack(bytes) else {
        return false;
    };
    let Some((_, entry)) = entries.choose_mut(rng) else {
        return false;
    };
    change(entry, others, rng);
    pack(&entries).is_ok_and(|packed| {
        *bytes = packed;
        true
    })
}

fn unpack(bytes: &[u8]) -> zip::result::ZipResult<Files> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))?;
    let mut entries = Files::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        let name = entry.name()?.into_owned();
        let mut content = Vec::new();
        entry.take(MAX_BYTES as u64).read_to_end(&mut content)?;
        entries.push((name, content));
    }
    Ok(entries)
}

fn pack(entries: &Files) -> zip::result::ZipResult<Vec<u8>> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in entries {
        writer.start_file(name.as_str(), options)?;
        writer.write_all(content)?;
    }
    Ok(writer.finish()?.into_inner())
}

/// Writes the checksums of a skeleton store anew, as someone would who means harm.
fn sign(files: &mut Files) {
    let of = |name: &str| {
        let found = files.iter().find(|(n, _)| n == name);
        found.map(|(_, bytes)| format!("{:016x}", xxh3_64(bytes)))
    };
    let Some(sums) = ["samples.i64", "fps.f32", "names.txt"]
        .map(of)
        .into_iter()
        .collect::<Option<Vec<_>>>()
    else {
        return;
    };
    let Some((_, index)) = files.iter_mut().find(|(n, _)| n == "index.json") else {
        return;
    };
    if let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(index)
        && let Some(field) = value.get_mut("checksums")
    {
        *field = sums.into();
        *index = value.to_string().into_bytes();
    }
}

/// One change to the bytes of a file.
fn change(bytes: &mut Vec<u8>, others: &Files, rng: &mut impl Rng) {
    match rng.random_range(0..14) {
        0 => flip(bytes, rng),
        1 => {
            let at = place(bytes, rng);
            bytes.truncate(at);
        }
        2 => {
            let range = range(bytes, rng);
            bytes.drain(range);
        }
        3 => {
            let piece = bytes[range(bytes, rng)].to_vec();
            insert(bytes, &piece, rng);
        }
        4 => {
            let piece: Vec<u8> = (0..rng.random_range(1..16)).map(|_| rng.random()).collect();
            insert(bytes, &piece, rng);
        }
        5 => splice(bytes, others, rng),
        6 | 7 => word(bytes, |w| w.iter().any(u8::is_ascii_digit), rng),
        8 => word(bytes, |_| true, rng),
        9 => lines(bytes, rng),
        10 | 11 => integer(bytes, rng),
        12 => {
            let text = TEXTS.choose(rng).copied().unwrap_or_default();
            let times = *[1, 1, 1, 300, 20_000].choose(rng).unwrap_or(&1);
            insert(bytes, &text.repeat(times), rng);
        }
        _ => exchange(bytes, rng),
    }
}

fn place(bytes: &[u8], rng: &mut impl Rng) -> usize {
    rng.random_range(0..=bytes.len())
}

/// A piece, short more often than long.
fn range(bytes: &[u8], rng: &mut impl Rng) -> std::ops::Range<usize> {
    let start = place(bytes, rng);
    let longest = (bytes.len() - start).min(1 << rng.random_range(0..12));
    start..start + rng.random_range(0..=longest)
}

fn insert(bytes: &mut Vec<u8>, piece: &[u8], rng: &mut impl Rng) {
    let at = place(bytes, rng);
    bytes.splice(at..at, piece.iter().copied());
}

fn flip(bytes: &mut [u8], rng: &mut impl Rng) {
    if let Some(byte) = bytes.choose_mut(rng) {
        *byte ^= 1 << rng.random_range(0..8);
    }
}

/// Puts a piece of another file in the place of one of this.
fn splice(bytes: &mut Vec<u8>, others: &Files, rng: &mut impl Rng) {
    if let Some((_, other)) = others.choose(rng) {
        let piece = other[range(other, rng)].to_vec();
        bytes.splice(range(bytes, rng), piece);
    }
}

/// Puts a number, or another word of the file, in the place of a word.
fn word(bytes: &mut Vec<u8>, wanted: impl Fn(&[u8]) -> bool, rng: &mut impl Rng) {
    let inside = |b: u8| b.is_ascii_alphanumeric() || b"+-._".contains(&b);
    let mut words = Vec::new();
    let mut start = None;
    for (at, byte) in bytes.iter().copied().chain([b' ']).enumerate() {
        match (inside(byte), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                words.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    words.retain(|w| wanted(&bytes[w.clone()]));
    if let (Some(old), Some(other)) = (words.choose(rng), words.choose(rng)) {
        let new = match NUMBERS.choose(rng) {
            Some(number) if rng.random() => number.as_bytes().to_vec(),
            _ => bytes[other.clone()].to_vec(),
        };
        bytes.splice(old.clone(), new);
    }
}

/// Removes, repeats, moves or multiplies a line.
fn lines(bytes: &mut Vec<u8>, rng: &mut impl Rng) {
    let mut lines: Vec<Vec<u8>> = bytes
        .split_inclusive(|b| *b == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    if lines.is_empty() {
        return;
    }
    let (from, to) = (rng.random_range(0..lines.len()), rng.random_range(0..lines.len()));
    match rng.random_range(0..4) {
        0 => drop(lines.remove(from)),
        1 => lines.insert(to, lines[from].clone()),
        2 => lines.swap(from, to),
        _ => lines[from] = lines[from].repeat(rng.random_range(2..300)),
    }
    *bytes = lines.concat();
}

/// Writes an integer of 1, 2, 4 or 8 bytes over what is there.
fn integer(bytes: &mut [u8], rng: &mut impl Rng) {
    let value = INTEGERS.choose(rng).copied().unwrap_or(0);
    let size = 1 << rng.random_range(0..4);
    let mut written = value.to_le_bytes()[..size].to_vec();
    if rng.random_ratio(1, 4) {
        written.reverse();
    }
    if bytes.len() >= size {
        let at = rng.random_range(0..=bytes.len() - size);
        bytes[at..at + size].copy_from_slice(&written);
    }
}

/// Lets two pieces of the same length change places.
fn exchange(bytes: &mut [u8], rng: &mut impl Rng) {
    let length = rng.random_range(1..=32);
    if bytes.len() >= 2 * length {
        let first = rng.random_range(0..=bytes.len() - 2 * length);
        let second = rng.random_range(first + length..=bytes.len() - length);
        let (head, tail) = bytes.split_at_mut(second);
        head[first..first + length].swap_with_slice(&mut tail[..length]);
    }
}
