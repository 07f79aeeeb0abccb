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

/// A `.npy` array of this element type, shape and bytes.
pub(crate) fn npy(kind: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|n| format!("{n},")).collect();
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({sizes}), }}\n");
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

/// A 32-bit float array.
pub(crate) fn floats(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    npy("<f4", shape, &bytes)
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
