//! Real datasets for tests, where they are at hand.

use std::path::{Path, PathBuf};

use szar_core::Dataset;

use super::SkeletonNpzConfig;
use super::recorded::Recorded;

/// `<workspace>/../shared/data/<set>` or `$SZAR_DATA/<set>`; `None` and a line on stderr where it is absent.
pub(crate) fn real(set: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("SZAR_DATA")
        .map_or(beside, PathBuf::from)
        .join(set);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no dataset at {} (set SZAR_DATA)", folder.display());
    None
}

/// Opens a set in the neutral format.
pub(crate) fn neutral(folder: &Path) -> Recorded {
    let config = SkeletonNpzConfig {
        root: folder.into(),
        ..Default::default()
    };
    config.open().unwrap()
}

/// Holds what a reader of original files gave against the same set in the neutral format.
pub(crate) fn assert_same(got: &Recorded, want: &Recorded) {
    assert_eq!(got.samples, want.samples);
    assert_eq!(got.flags, want.flags);
    assert_eq!(got.info.classes, want.info.classes);
    assert_eq!(got.info.layout.joints, want.info.layout.joints);
    for sample in 0..want.samples.len() {
        assert_eq!(
            got.load(sample).unwrap(),
            want.load(sample).unwrap(),
            "{}",
            want.samples[sample].name
        );
    }
}
