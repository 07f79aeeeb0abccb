//! Is a file a whole dynamic library of this machine?
//!
//! The loader of the system maps what the headers of a file describe without asking whether the file is that long, and a
//! process that touches what is missing is killed by a signal. So the headers are read here first.

/// Why the file cannot be loaded; `None` when its headers agree with its length.
pub(crate) fn complaint(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some("is an empty file, expected a dynamic library".into());
    }
    match bytes {
        [0x7f, b'E', b'L', b'F', ..] if cfg!(target_os = "linux") => elf(bytes).err(),
        [0xcf, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] if cfg!(target_os = "macos") => None,
        _ => {
            Some("is no dynamic library of this system; name the .so that was built (on macOS .dylib)".into())
        }
    }
}

fn short() -> String {
    "is cut off: its headers describe more than the file holds; copy or build it again".into()
}

/// A number of `N` bytes at a place.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<u64, String> {
    let part = at
        .checked_add(N)
        .and_then(|end| bytes.get(at..end))
        .ok_or_else(short)?;
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(part);
    Ok(u64::from_le_bytes(wide))
}

/// Numbers of ELF for the machines that szar is built for.
const MACHINE: u64 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
const SHARED: u64 = 3;
const LOAD: u64 = 1;
const DYNAMIC: u64 = 2;

fn elf(bytes: &[u8]) -> Result<(), String> {
    let (class, order) = (number::<1>(bytes, 4)?, number::<1>(bytes, 5)?);
    let (kind, machine) = (number::<2>(bytes, 16)?, number::<2>(bytes, 18)?);
    if (class, order, machine) != (2, 1, MACHINE) {
        return Err(format!(
            "is built for another machine, this is {}",
            std::env::consts::ARCH
        ));
    }
    if kind != SHARED {
        return Err(
            "is no dynamic library: build it as one (`crate-type = [\"cdylib\"]`, `cc -shared -fPIC`)".into(),
        );
    }
    let (first, each, count) = (
        number::<8>(bytes, 32)?,
        number::<2>(bytes, 54)?,
        number::<2>(bytes, 56)?,
    );
    // The list of sections stands last in what linkers write, and is not loaded: it tells of a cut behind the segments.
    let (sections, size, entries) = (
        number::<8>(bytes, 40)?,
        number::<2>(bytes, 58)?,
        number::<2>(bytes, 60)?,
    );
    if sections != 0 && sections.saturating_add(size * entries) > bytes.len() as u64 {
        return Err(short());
    }
    let mut dynamic = false;
    for index in 0..count {
        let at = each
            .checked_mul(index)
            .and_then(|offset| offset.checked_add(first));
        let at = at.and_then(|at| usize::try_from(at).ok()).ok_or_else(short)?;
        let segment = number::<4>(bytes, at)?;
        let (offset, size) = (
            number::<8>(bytes, at.saturating_add(8))?,
            number::<8>(bytes, at.saturating_add(32))?,
        );
        let end = offset.checked_add(size).ok_or_else(short)?;
        if matches!(segment, LOAD | DYNAMIC) && end > bytes.len() as u64 {
            return Err(short());
        }
        dynamic |= segment == DYNAMIC;
    }
    match dynamic {
        true => Ok(()),
        false => Err("is no dynamic library: it has no dynamic section".into()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_whole_and_its_beginnings_are_not() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(complaint(&bytes), None);
        for part in [
            4,
            17,
            60,
            64,
            200,
            bytes.len() / 4,
            bytes.len() / 2,
            bytes.len() - 1,
        ] {
            let why = complaint(&bytes[..part]).unwrap();
            assert!(why.contains("cut off"), "{part}: {why}");
        }
    }

    #[test]
    fn what_is_no_library_is_told_apart() {
        assert!(complaint(b"").unwrap().contains("empty"));
        assert!(complaint(b"#!/bin/sh\n").unwrap().contains("no dynamic library"));
        let mut other = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        other[18] = 40;
        assert!(complaint(&other).unwrap().contains("another machine"));
    }
}
