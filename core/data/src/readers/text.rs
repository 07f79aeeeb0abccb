//! Text files of datasets: lines, numbers, and places for messages.

use std::path::Path;

use szar_core::{Error, Result};

/// The whole file. A byte that is no UTF-8 is an error with its position.
pub(crate) fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|e| Error::read(path, e))?;
    decode(path, bytes)
}

/// Bytes as text.
pub(crate) fn decode(path: &Path, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|e| {
        let at = format!("byte {}", e.utf8_error().valid_up_to());
        Error::format(path, at, "is not UTF-8 text")
    })
}

/// The lines of a list file, without line ends; blank lines at the end are ignored.
///
/// # Errors
/// When the file is missing, empty, or a line is blank or given twice.
pub(crate) fn lines(path: &Path) -> Result<Vec<String>> {
    let text = read(path)?;
    let list: Vec<String> = text.trim_end().lines().map(|l| l.trim().to_owned()).collect();
    if list.is_empty() {
        return Err(Error::format(path, None, "is empty, expected one name a line"));
    }
    let mut sorted: Vec<_> = list.iter().enumerate().map(|(at, name)| (name, at)).collect();
    sorted.sort();
    if let Some((_, at)) = sorted.first().filter(|(name, _)| name.is_empty()) {
        return Err(Error::format(path, place(*at), "is blank, expected a name"));
    }
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let why = format!("`{}` was already given on line {}", pair[1].0, pair[0].1 + 1);
        return Err(Error::format(path, place(pair[1].1), why));
    }
    Ok(list)
}

/// `line 3` for index 2.
pub(crate) fn place(index: usize) -> Option<String> {
    Some(format!("line {}", index + 1))
}

/// Exactly `N` finite numbers of one line.
///
/// # Errors
/// [`Error::Format`] with the line, what was expected and what was found.
pub(crate) fn numbers<const N: usize>(path: &Path, index: usize, line: &str) -> Result<[f64; N]> {
    let mut out = [0.0; N];
    let mut found = 0;
    for word in line.split_ascii_whitespace() {
        let value = word.parse::<f64>().ok().filter(|v| v.is_finite());
        let Some(value) = value else {
            let why = format!(
                "expected {N} numbers, found `{}` as number {}",
                short(word),
                found + 1
            );
            return Err(Error::format(path, place(index), why));
        };
        if let Some(slot) = out.get_mut(found) {
            *slot = value;
        }
        found += 1;
    }
    if found != N {
        return Err(Error::format(
            path,
            place(index),
            format!("expected {N} numbers, found {found}"),
        ));
    }
    Ok(out)
}

/// The start of a word, for messages about garbage.
pub(crate) fn short(word: &str) -> String {
    let mut start: String = word.chars().take(20).collect();
    if start.len() < word.len() {
        start.push_str("...");
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_another_count_is_named() {
        let error = numbers::<3>(Path::new("a.txt"), 4, "1 2").unwrap_err();
        assert_eq!(error.to_string(), "a.txt, line 5: expected 3 numbers, found 2");
    }

    #[test]
    fn a_nan_is_no_number() {
        let error = numbers::<2>(Path::new("a.txt"), 0, "1 NaN").unwrap_err();
        assert_eq!(
            error.to_string(),
            "a.txt, line 1: expected 2 numbers, found `NaN` as number 2"
        );
    }

    #[test]
    fn a_name_given_twice_is_refused_with_both_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("classes.txt");
        std::fs::write(&path, "walk\nrun\nwalk\n").unwrap();
        let error = lines(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("line 3: `walk` was already given on line 1"),
            "{error}"
        );
    }
}
