//! Lists of class names: a text file, one name per line, the first is class 0.

use std::path::Path;

use szar_core::{ClassList, Error, Result};

/// Reads a list; blank lines and blanks around a name mean nothing.
///
/// # Errors
/// When the file cannot be read, is not UTF-8, is empty, or names a class twice, with both lines.
pub fn read_list(path: &Path) -> Result<ClassList> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::read(path, e))?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let named: Vec<(usize, &str)> = (1..).zip(lines).filter(|(_, name)| !name.is_empty()).collect();
    if named.is_empty() {
        return Err(Error::format(
            path,
            None,
            "names no class, expected one name per line",
        ));
    }
    for (i, (line, name)) in named.iter().enumerate() {
        if let Some((first, _)) = named[..i].iter().find(|(_, n)| n == name) {
            let why = format!("class `{name}` is named twice, on lines {first} and {line}");
            return Err(Error::format(path, None, why));
        }
        if name.contains(char::is_control) {
            return Err(Error::format(
                path,
                format!("line {line}"),
                "holds a control character",
            ));
        }
    }
    ClassList::numbered(named.into_iter().map(|(_, name)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_numbered_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_list(&path).map_err(|e| e.to_string())
        };
        let list = read("\u{feff}wave\r\n\n walk <b> \n").unwrap();
        assert_eq!(list.names(), ["wave", "walk <b>"]);
        assert!(read("").unwrap_err().contains("names no class"));
        assert!(
            read("a\nb\n\na")
                .unwrap_err()
                .contains("`a` is named twice, on lines 1 and 4")
        );
        assert!(read("a\nb\tc").unwrap_err().contains("line 2"));
    }
}
