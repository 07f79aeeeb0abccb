//! Makes a file of vectors for descriptions, to be shipped beside a pipeline: `szar embed`.
//!
//! With it, a pipeline on those descriptions needs no text encoder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use szar_core::{Error, Result, TextEncoder};

use super::descriptions::file::DescriptionFile;
use super::descriptions::prompt::Templates;
use super::vectors::Shipped;

/// What [`embed_file`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Distinct texts.
    pub texts: usize,
    /// d.
    pub width: i64,
}

/// Encodes every text of the `descriptions` (JSON files, see [`DescriptionFile`]) inside its template, each distinct
/// text once, and writes the vectors to `out`. `model` is the name of the encoder's model for readers of the file.
///
/// # Errors
/// When a file is wrong or empty, a text is empty or cannot be encoded, or `out` cannot be written.
pub fn embed_file(
    descriptions: &[PathBuf],
    templates: &Templates,
    encoder: &mut dyn TextEncoder,
    model: &str,
    out: &Path,
) -> Result<Embedded> {
    let mut texts = BTreeSet::new();
    for path in descriptions {
        let file = DescriptionFile::load(path)?;
        for (class, granularity, text) in file.texts() {
            if text.trim().is_empty() {
                let at = format!("class `{class}`, `{granularity}`");
                return Err(Error::format(path, at, "is empty"));
            }
            texts.insert(templates.fill(granularity, class, text));
        }
    }
    if texts.is_empty() {
        return Err(Error::Input("the descriptions hold no text".into()));
    }
    let list: Vec<String> = texts.iter().cloned().collect();
    let values = encoder.encode(&list)?;
    let sources: Vec<_> = descriptions
        .iter()
        .filter_map(|path| path.file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let provenance = [
        ("model", model.to_owned()),
        ("made_by", format!("szar {} embed", env!("CARGO_PKG_VERSION"))),
        ("sources", sources.join(", ")),
        ("templates", describe(templates)),
        ("date", date(SystemTime::now())),
    ];
    Shipped::save(out, &texts, &values, &encoder.fingerprint(), &provenance)?;
    Ok(Embedded {
        texts: texts.len(),
        width: encoder.width(),
    })
}

/// The templates in a line.
fn describe(templates: &Templates) -> String {
    let own = templates
        .own
        .iter()
        .map(|(g, template)| format!("; {g}: {template}"));
    format!("{:?}", templates.prompt).to_lowercase() + &own.collect::<String>()
}

/// `2026-01-31`, in universal time.
fn date(now: SystemTime) -> String {
    let days = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() / 86_400);
    let (mut year, mut rest) = (1970, days);
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    while rest >= 365 + u64::from(leap(year)) {
        rest -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_follow_the_calendar() {
        let of = |days: u64| date(UNIX_EPOCH + Duration::from_secs(days * 86_400 + 5));
        assert_eq!(of(0), "1970-01-01");
        assert_eq!(of(59), "1970-03-01"); // 31 + 28
        assert_eq!(of(11_016), "2000-02-29"); // 30 · 365 + 7 leap days + 59
        assert_eq!(of(11_322), "2000-12-31");
    }
}
