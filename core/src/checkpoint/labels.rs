//! The label files that skeleton pipelines pickle: names and class numbers, read as data.
//!
//! Source: ST-GCN and 2s-AGCN (`train_label.pkl`), which dump a tuple of a list of names and a list of labels.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::pickle::{Heap, Id, Value, unpickle};
use crate::{Error, Result};

/// Largest file that is read: 1 GiB.
const MAX_BYTES: u64 = 1 << 30;

/// Names and labels of a pickle that holds a pair of two lists of the same length. Nothing in the file is run.
///
/// # Errors
/// When the file cannot be read, is no pickle of plain data, or does not hold a list of texts and a list of whole
/// numbers; the error says where.
pub fn read_labels(path: &Path) -> Result<(Vec<String>, Vec<i64>)> {
    let file = File::open(path).map_err(|e| Error::read(path, e))?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES).read_to_end(&mut bytes);
    read.map_err(|e| Error::read(path, e))?;
    let pickle = unpickle(&bytes, 0)
        .map_err(|e| Error::format(path, format!("byte {}, {}", e.byte, e.opcode), e.why))?;
    labels(&pickle.heap, pickle.root).map_err(|why| Error::format(path, None, why))
}

fn labels(heap: &Heap, root: Id) -> Result<(Vec<String>, Vec<i64>), String> {
    let list = |id: Id| heap.items(id).ok_or_else(|| heap.get(id).what());
    let &[names, labels] = list(root).map_err(|found| format!("expected two lists, found {found}"))? else {
        return Err("expected two lists, names and labels".into());
    };
    let names = list(names).map_err(|found| format!("expected a list of names, found {found}"))?;
    let labels = list(labels).map_err(|found| format!("expected a list of labels, found {found}"))?;
    if names.len() != labels.len() {
        return Err(format!("has {} names and {} labels", names.len(), labels.len()));
    }
    let name = |(at, id): (usize, &Id)| {
        let text = heap.text(*id).map(|text| text.to_string());
        text.ok_or_else(|| format!("name {at} is {}, expected a text", heap.get(*id).what()))
    };
    let label = |(at, id): (usize, &Id)| match heap.get(*id) {
        Value::Int(label) => Ok(*label),
        Value::Long(_) => Err(format!("label {at} has more than 64 bits")),
        other => Err(format!("label {at} is {}, expected a whole number", other.what())),
    };
    let names = names.iter().enumerate().map(name).collect::<Result<_, _>>()?;
    let labels = labels.iter().enumerate().map(label).collect::<Result<_, _>>()?;
    Ok((names, labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(Vec<String>, Vec<i64>)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pkl");
        std::fs::write(&path, bytes).unwrap();
        read_labels(&path)
    }

    fn message(bytes: &[u8]) -> String {
        let text = read(bytes).unwrap_err().to_string();
        text.split_once("a.pkl").unwrap().1.to_owned()
    }

    #[test]
    fn a_pair_of_lists_is_read() {
        // What Python writes for (["a", "bc"], [3, 300]) in protocols 0, 2 and 4.
        let pickles: [&[u8]; 3] = [
            b"((lp0\nVa\np1\naVbc\np2\na(lp3\nI3\naI300\natp4\n.",
            b"\x80\x02]q\x00(X\x01\x00\x00\x00aq\x01X\x02\x00\x00\x00bcq\x02e]q\x03(K\x03M,\x01e\x86q\x04.",
            b"\x80\x04\x95\x19\x00\x00\x00\x00\x00\x00\x00]\x94(\x8c\x01a\x94\x8c\x02bc\x94e]\x94(K\x03M,\x01e\x86\x94.",
        ];
        for bytes in pickles {
            let want = (vec!["a".to_owned(), "bc".to_owned()], vec![3, 300]);
            assert_eq!(read(bytes).unwrap(), want);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let refusals: [(&[u8], &str); 5] = [
            (b"I3\n.", ": expected two lists, found a number"),
            (
                b"\x80\x02]q\x00X\x01\x00\x00\x00aq\x01a]q\x02\x86q\x03.",
                ": has 1 names and 0 labels",
            ),
            (
                b"\x80\x02]q\x00X\x01\x00\x00\x00aq\x01a]q\x02X\x01\x00\x00\x00bq\x03a\x86q\x04.",
                ": label 0 is a text, expected a whole number",
            ),
            (
                b"\x80\x02]q\x00K\x01a]q\x01K\x01a\x86q\x02.",
                ": name 0 is a number, expected a text",
            ),
            (
                b"\x80\x02]q\x00X\x01\x00\x00\x00aq\x01aK\x03\x86q\x02.",
                ": expected a list of labels, found a number",
            ),
        ];
        for (bytes, want) in refusals {
            assert_eq!(message(bytes), want);
        }
        // A pickle that would run a command is refused at the name.
        let text = message(b"\x80\x02cposix\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03.");
        assert!(
            text.contains("posix.system") && text.contains("nothing of the file was run"),
            "{text}"
        );
    }
}
