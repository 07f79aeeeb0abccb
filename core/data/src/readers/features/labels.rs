//! Class numbers in a `.npy` file, with or without the samples' names.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use szar_core::{Error, Result};

use crate::readers::npy::{Header, items, parse_header};
use crate::readers::text::short;

/// Largest file that is read: 1 GiB.
const MAX_BYTES: u64 = 1 << 30;

/// What a label file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Labels {
    /// One a sample, where the file has them.
    pub(super) names: Option<Vec<String>>,
    pub(super) classes: Vec<i64>,
}

/// Reads whole numbers `[n]`, or names and numbers as text `[2, n]`, which is what NumPy makes of the pair `(names, labels)`.
///
/// # Errors
/// When the file is missing, cut short, pickled, or holds anything else.
pub(super) fn read(path: &Path) -> Result<Labels> {
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES).read_to_end(&mut bytes);
    read.map_err(|e| Error::read(path, e))?;
    parse(&bytes).map_err(|why| Error::format(path, None, why))
}

fn parse(bytes: &[u8]) -> Result<Labels, String> {
    let header = parse_header(bytes)?;
    let data = &bytes[header.data..];
    match (header.kind.as_str(), header.shape.as_slice()) {
        ("|O", _) => Err(
            "holds pickled Python objects, which are never read; save the labels alone, as an array of whole numbers"
                .into(),
        ),
        (kind, [2, count]) if kind.starts_with("<U") => named(&header, data, *count),
        (_, [_]) => Ok(Labels {
            names: None,
            classes: whole(numbers(&header.kind, data)?, &header)?,
        }),
        (_, shape) => Err(format!(
            "has shape {shape:?}, expected [n] whole numbers, or [2, n] texts: names and numbers"
        )),
    }
}

fn numbers(kind: &str, data: &[u8]) -> Result<Vec<i64>, String> {
    Ok(match kind {
        "<i8" => items(data, i64::from_le_bytes),
        "<i4" => items(data, |b| i64::from(i32::from_le_bytes(b))),
        "<i2" => items(data, |b| i64::from(i16::from_le_bytes(b))),
        "<u4" => items(data, |b| i64::from(u32::from_le_bytes(b))),
        "<u2" => items(data, |b| i64::from(u16::from_le_bytes(b))),
        "|i1" => items(data, |b: [u8; 1]| i64::from(b[0] as i8)),
        "|u1" => items(data, |b: [u8; 1]| i64::from(b[0])),
        other => {
            return Err(format!(
                "has element type `{other}`, expected whole numbers such as `<i8`"
            ));
        }
    })
}

/// Texts are of fixed length, UTF-32, filled up with zeros.
fn named(header: &Header, data: &[u8], count: usize) -> Result<Labels, String> {
    let letters: usize = header.kind[2..].parse().unwrap_or(0);
    let size = letters.checked_mul(4).filter(|size| *size > 0);
    let size = size.ok_or_else(|| format!("has element type `{}`", header.kind))?;
    let texts = data
        .chunks_exact(size)
        .map(text)
        .collect::<Result<Vec<String>, _>>()?;
    let mut names = whole(texts, header)?;
    let labels = names.split_off(count);
    let label = |(at, text): (usize, &String)| {
        text.parse()
            .map_err(|_| format!("label {at} is `{}`, expected a whole number", short(text)))
    };
    let classes = labels.iter().enumerate().map(label).collect::<Result<_, _>>()?;
    Ok(Labels {
        names: Some(names),
        classes,
    })
}

fn text(bytes: &[u8]) -> Result<String, String> {
    let letters = items(bytes, u32::from_le_bytes).into_iter();
    let letters = letters.take_while(|letter| *letter != 0).map(char::from_u32);
    letters
        .collect::<Option<String>>()
        .ok_or_else(|| "holds a letter that is none".into())
}

/// As many items as the header says.
fn whole<T>(mut items: Vec<T>, header: &Header) -> Result<Vec<T>, String> {
    let count = header.shape.iter().try_fold(1usize, |all, n| all.checked_mul(*n));
    match count {
        Some(count) if count <= items.len() => {
            items.truncate(count);
            Ok(items)
        }
        _ => Err(format!(
            "has shape {:?} but holds {} values; is the file cut short?",
            header.shape,
            items.len()
        )),
    }
}
