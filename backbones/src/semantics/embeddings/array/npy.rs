//! A NumPy array of floats.
//!
//! Format: the magic `\x93NUMPY`, two bytes of version, the header's length (two bytes in version 1, else four),
//! the header (a Python dict with `descr`, `fortran_order` and `shape`), then the values.

use std::io::Read;

use tch::{Kind, Tensor};

/// Longest header that is believed, in bytes; NumPy's own limit.
const LONGEST_HEADER: usize = 10_000;

struct Header {
    kind: Kind,
    big_endian: bool,
    fortran: bool,
    shape: Vec<i64>,
}

/// The values in C order, or what is wrong with them.
pub(super) fn read(reader: &mut impl Read) -> Result<Tensor, String> {
    let header = parse(&header_text(reader)?)?;
    let size = header.kind.elt_size_in_bytes();
    let count = header
        .shape
        .iter()
        .try_fold(size, |n, d| usize::try_from(*d).ok()?.checked_mul(n));
    let count = count.ok_or_else(|| format!("has the impossible shape {:?}", header.shape))?;
    let mut bytes = Vec::new();
    reader
        .take(count as u64)
        .read_to_end(&mut bytes)
        .map_err(|e| e.to_string())?;
    if bytes.len() < count {
        return Err(format!(
            "is cut short: shape {:?} needs {count} bytes, found {}",
            header.shape,
            bytes.len()
        ));
    }
    if header.big_endian {
        bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    if !header.fortran {
        return Ok(Tensor::from_data_size(&bytes, &header.shape, header.kind));
    }
    let backwards: Vec<i64> = header.shape.iter().rev().copied().collect();
    let axes: Vec<i64> = (0..backwards.len() as i64).rev().collect();
    Ok(Tensor::from_data_size(&bytes, &backwards, header.kind)
        .permute(axes)
        .contiguous())
}

fn header_text(reader: &mut impl Read) -> Result<String, String> {
    let mut fill = |n: usize| {
        let mut bytes = vec![0u8; n];
        reader
            .read_exact(&mut bytes)
            .map(|()| bytes)
            .map_err(|_| "is not a whole NumPy array".to_owned())
    };
    let start = fill(8)?;
    if !start.starts_with(b"\x93NUMPY") {
        return Err("is not a NumPy array".into());
    }
    let length = fill(if start[6] == 1 { 2 } else { 4 })?;
    let length = length.iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte));
    if length > LONGEST_HEADER {
        return Err(format!(
            "has a header of {length} bytes, at most {LONGEST_HEADER} are believed"
        ));
    }
    String::from_utf8(fill(length)?).map_err(|_| "has a header that is not text".into())
}

/// What follows `'key':` in the header.
fn value<'a>(header: &'a str, key: &str) -> Result<&'a str, String> {
    let after = header
        .split_once(&format!("'{key}':"))
        .map(|(_, rest)| rest.trim_start());
    after.ok_or_else(|| format!("has a header without `{key}`"))
}

fn parse(header: &str) -> Result<Header, String> {
    let descr = value(header, "descr")?;
    let quoted = descr
        .strip_prefix('\'')
        .and_then(|rest| rest.split_once('\''))
        .map(|(name, _)| name);
    let dtype = quoted.ok_or("holds records, expected floats")?;
    let kind = match dtype.trim_start_matches(['<', '>', '=', '|']) {
        "f2" => Kind::Half,
        "f4" => Kind::Float,
        "f8" => Kind::Double,
        "O" => return Err("holds pickled Python objects, which are never loaded; save it as floats".into()),
        _ => return Err(format!("holds `{dtype}`, expected floats of 2, 4 or 8 bytes")),
    };
    let shape = value(header, "shape")?;
    let inner = shape
        .strip_prefix('(')
        .and_then(|rest| rest.split_once(')'))
        .map(|(inner, _)| inner);
    let sizes = inner
        .unwrap_or("?")
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty());
    let shape: Result<Vec<i64>, _> = sizes.map(|size| size.trim_end_matches('L').parse()).collect();
    Ok(Header {
        kind,
        big_endian: dtype.starts_with('>'),
        fortran: value(header, "fortran_order")?.starts_with("True"),
        shape: shape.map_err(|_| "has a header whose `shape` is not a tuple of numbers")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(header: &str, values: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(values);
        bytes
    }

    fn numbers(header: &str, values: &[u8]) -> Result<Vec<f64>, String> {
        let tensor = read(&mut array(header, values).as_slice())?;
        Ok(Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap())
    }

    #[test]
    fn every_float_is_read() {
        let header =
            |descr: &str| format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (2,), }}\n");
        let pair = |bytes: [[u8; 8]; 2], n: usize| [&bytes[0][8 - n..], &bytes[1][8 - n..]].concat();
        let le = |x: f64| x.to_le_bytes();
        assert_eq!(
            numbers(&header("<f8"), &pair([le(1.5), le(-2.0)], 8)).unwrap(),
            [1.5, -2.0]
        );
        let be = [1.5f32.to_be_bytes(), (-2.0f32).to_be_bytes()].concat();
        assert_eq!(numbers(&header(">f4"), &be).unwrap(), [1.5, -2.0]);
        assert_eq!(
            numbers(&header("<f2"), &[0x00, 0x3e, 0x00, 0xc0]).unwrap(),
            [1.5, -2.0]
        );
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let refuse = |descr: &str, shape: &str| {
            let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}");
            numbers(&header, &[0; 16]).unwrap_err()
        };
        assert!(refuse("'|O'", "(2,)").contains("pickled"));
        assert!(refuse("'<i8'", "(2,)").contains("holds `<i8`, expected floats"));
        assert!(refuse("[('x', '<f4')]", "(2,)").contains("records"));
        assert!(refuse("'<f4'", "(2, 3)").contains("is cut short"));
        assert!(refuse("'<f4'", "(4611686018427387904, 16)").contains("impossible shape"));
        assert!(refuse("'<f4'", "(-1,)").contains("impossible shape"));
        assert!(refuse("'<f4'", "2").contains("not a tuple"));
        assert_eq!(numbers("{}", &[]).unwrap_err(), "has a header without `descr`");
        assert_eq!(
            read(&mut &b"\x93NUMPY\x01\x00\xff"[..]).unwrap_err(),
            "is not a whole NumPy array"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_an_error_or_an_array(header in "\\PC{0,80}", tail in proptest::collection::vec(0u8.., 0..40)) {
            let _ = read(&mut array(&header, &tail).as_slice());
            let _ = read(&mut tail.as_slice());
        }
    }
}
