//! MATLAB level 5 files as far as skeletons need them: numeric arrays, cells and structs, plain or deflated.
//!
//! Source of the format: "MAT-File Format", MathWorks, level 5. Every length is checked against what is there.

use std::io::Read;

use flate2::read::ZlibDecoder;

/// A variable or what it contains.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Column-major numbers.
    Numbers { dims: Vec<usize>, values: Vec<f64> },
    /// Cells in column-major order.
    Cells(Vec<Value>),
    /// The fields of one struct (of the first, where there is an array of them).
    Struct(Vec<(String, Value)>),
    /// Text, sparse matrices, objects: not read.
    Other,
}

impl Value {
    /// A field of a struct.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        let Self::Struct(fields) = self else { return None };
        fields.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The only number of a one-element array.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Numbers { values, .. } if values.len() == 1 => Some(values[0]),
            _ => None,
        }
    }
}

/// A reason why bytes are no MAT file.
type Fault = String;

/// Largest deflated variable that is unpacked.
const MAX_BYTES: u64 = 1 << 32;
/// Cells in structs in cells ...: deeper nesting is refused.
const MAX_DEPTH: usize = 16;

const DEFLATED: u32 = 15;
const MATRIX: u32 = 14;

/// All variables of a file, by name.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<(String, Value)>, Fault> {
    let version = bytes.get(124..128).ok_or("is too short for a MATLAB 5 file")?;
    if version != [0x00, 0x01, b'I', b'M'] {
        return Err(
            "is not a little-endian MATLAB 5 file (MATLAB 7.3 files are HDF5; save with `-v7`)".into(),
        );
    }
    let mut rest = Cursor(&bytes[128..]);
    let mut variables = Vec::new();
    while !rest.0.is_empty() {
        let (kind, data) = rest.element()?;
        match kind {
            MATRIX => variables.push(matrix(data, 0)?),
            DEFLATED => {
                let mut plain = Vec::new();
                let read = ZlibDecoder::new(data).take(MAX_BYTES).read_to_end(&mut plain);
                read.map_err(|e| format!("has a variable that cannot be unpacked: {e}"))?;
                let (kind, data) = Cursor(&plain).element()?;
                if kind == MATRIX {
                    variables.push(matrix(data, 0)?);
                }
            }
            _ => {}
        }
    }
    Ok(variables)
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (head, tail) = self.0.split_at_checked(count).ok_or("is cut short")?;
        self.0 = tail;
        Ok(head)
    }

    fn word(&mut self) -> Result<u32, Fault> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// The next data element, with its padding to 8 bytes consumed (a deflated one has none).
    fn element(&mut self) -> Result<(u32, &'a [u8]), Fault> {
        let tag = self.word()?;
        if tag >> 16 != 0 {
            let bytes = self.take(4)?;
            let length = (tag >> 16) as usize;
            let data = bytes
                .get(..length)
                .ok_or("has a small element longer than 4 bytes")?;
            return Ok((tag & 0xffff, data));
        }
        let length = self.word()? as usize;
        let data = self.take(length)?;
        if tag != DEFLATED {
            let padding = length.wrapping_neg() % 8;
            self.0 = &self.0[padding.min(self.0.len())..];
        }
        Ok((tag, data))
    }
}

fn matrix(data: &[u8], depth: usize) -> Result<(String, Value), Fault> {
    if depth > MAX_DEPTH {
        return Err("is nested too deep".into());
    }
    let mut parts = Cursor(data);
    if data.is_empty() {
        return Ok((String::new(), Value::Other)); // an empty cell
    }
    let (_, flags) = parts.element()?;
    let class = *flags.first().ok_or("has a matrix without flags")?;
    let dims = dimensions(parts.element()?.1)?;
    let (_, name) = parts.element()?;
    let name = String::from_utf8_lossy(name).into_owned();
    let value = match class {
        1 => Value::Cells(cells(&mut parts, &dims, depth)?),
        2 => Value::Struct(fields(&mut parts, depth)?),
        6..=15 => {
            let (kind, data) = parts.element()?;
            let values = numbers(kind, data)?;
            let count = dims.iter().try_fold(1usize, |all, n| all.checked_mul(*n));
            if count != Some(values.len()) {
                return Err(format!(
                    "has a matrix of size {dims:?} with {} numbers",
                    values.len()
                ));
            }
            Value::Numbers { dims, values }
        }
        _ => Value::Other,
    };
    Ok((name, value))
}

fn dimensions(data: &[u8]) -> Result<Vec<usize>, Fault> {
    let size = |b: &[u8; 4]| usize::try_from(i32::from_le_bytes(*b));
    let dims: Result<Vec<_>, _> = data.as_chunks::<4>().0.iter().map(size).collect();
    dims.map_err(|_| "has a matrix with a negative size".into())
}

fn cells(parts: &mut Cursor, dims: &[usize], depth: usize) -> Result<Vec<Value>, Fault> {
    let mut cells = Vec::new();
    while !parts.0.is_empty() {
        let (_, data) = parts.element()?;
        cells.push(matrix(data, depth + 1)?.1);
    }
    let count = dims.iter().try_fold(1usize, |all, n| all.checked_mul(*n));
    if count != Some(cells.len()) {
        return Err(format!(
            "has a cell array of size {dims:?} with {} cells",
            cells.len()
        ));
    }
    Ok(cells)
}

fn fields(parts: &mut Cursor, depth: usize) -> Result<Vec<(String, Value)>, Fault> {
    let (_, length) = parts.element()?;
    let length = dimensions(length)?.first().copied().unwrap_or(0);
    let (_, names) = parts.element()?;
    if length == 0 {
        return Err("has a struct whose field names have no length".into());
    }
    let mut fields = Vec::new();
    for name in names.chunks_exact(length) {
        let name = name.split(|b| *b == 0).next().unwrap_or_default();
        let (_, data) = parts.element()?;
        fields.push((
            String::from_utf8_lossy(name).into_owned(),
            matrix(data, depth + 1)?.1,
        ));
    }
    Ok(fields)
}

/// Numbers in any of the storage types (MATLAB shortens whole doubles to small integers).
fn numbers(kind: u32, data: &[u8]) -> Result<Vec<f64>, Fault> {
    fn each<const N: usize>(data: &[u8], decode: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        data.as_chunks::<N>().0.iter().map(|b| decode(*b)).collect()
    }
    Ok(match kind {
        1 => each(data, |b: [u8; 1]| f64::from(b[0] as i8)),
        2 => each(data, |b: [u8; 1]| f64::from(b[0])),
        3 => each(data, |b| f64::from(i16::from_le_bytes(b))),
        4 => each(data, |b| f64::from(u16::from_le_bytes(b))),
        5 => each(data, |b| f64::from(i32::from_le_bytes(b))),
        6 => each(data, |b| f64::from(u32::from_le_bytes(b))),
        7 => each(data, |b| f64::from(f32::from_le_bytes(b))),
        9 => each(data, f64::from_le_bytes),
        12 => each(data, |b| i64::from_le_bytes(b) as f64),
        13 => each(data, |b| u64::from_le_bytes(b) as f64),
        other => return Err(format!("has numbers of the unknown storage type {other}")),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn element(kind: u32, data: &[u8]) -> Vec<u8> {
        let mut out = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
        out.extend(data);
        out.resize(out.len().next_multiple_of(8), 0);
        out
    }

    /// A file with the 2 x 1 variable `a` = (1.5, 2.5).
    fn file() -> Vec<u8> {
        let dims: Vec<u8> = [2i32, 1].iter().flat_map(|v| v.to_le_bytes()).collect();
        let values: Vec<u8> = [1.5f64, 2.5].iter().flat_map(|v| v.to_le_bytes()).collect();
        let body = [
            element(6, &[6, 0, 0, 0, 0, 0, 0, 0]),
            element(5, &dims),
            element(1, b"a"),
            element(9, &values),
        ];
        let mut out = vec![b' '; 124];
        out.extend([0x00, 0x01, b'I', b'M']);
        out.extend(element(MATRIX, &body.concat()));
        out
    }

    #[test]
    fn a_numeric_variable_is_read_by_name() {
        let value = Value::Numbers {
            dims: vec![2, 1],
            values: vec![1.5, 2.5],
        };
        assert_eq!(parse(&file()).unwrap(), [("a".to_owned(), value)]);
    }

    proptest! {
        #[test]
        fn cut_and_garbled_files_never_panic(cut in 0usize..240, at in 124usize..240, byte: u8) {
            let mut bytes = file();
            if let Some(b) = bytes.get_mut(at) { *b = byte; }
            bytes.truncate(cut);
            let _ = parse(&bytes);
        }

        #[test]
        fn random_bytes_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = file()[..128].to_vec();
            bytes.extend(tail);
            let _ = parse(&bytes);
        }
    }
}
