//! Damaged files: an error or tensors, never a panic, and nothing larger than the file allows.

use proptest::prelude::*;
use tch::Tensor;

use super::super::super::pickle::unpickle;
use super::writer::{floats, legacy, state_dict, whole, zip};
use super::{fixture, read};

/// Reads, and checks that what came out is in proportion to what went in.
fn survive(bytes: &[u8]) {
    let Ok(tensors) = read(bytes) else { return };
    let size = |t: &Tensor| t.numel() * t.kind().elt_size_in_bytes();
    let total: usize = tensors.values().map(size).sum();
    assert!(total <= 16 * bytes.len(), "{total} of {}", bytes.len());
}

fn mutate(mut bytes: Vec<u8>, changes: &[(usize, u8)], cut: usize) -> Vec<u8> {
    let length = bytes.len();
    for (at, value) in changes {
        bytes[at % length] = *value;
    }
    // One file in four is cut short.
    if cut.is_multiple_of(4) {
        bytes.truncate(cut / 4 % length);
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(usize, u8)>> {
    prop::collection::vec((any::<usize>(), any::<u8>()), 1..6)
}

fn pickle() -> Vec<u8> {
    state_dict(&[whole("a", "0", &[2]), whole("b", "1", &[1])])
}

proptest! {
    #[test]
    fn random_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        survive(&bytes);
        let _ = unpickle(&bytes, 0);
    }

    #[test]
    fn random_opcodes_are_survived(codes in prop::collection::vec(
        prop::sample::select(b"(.012NKJMX}]deatuslq\x80h)Rb\x85\x86\x87\x88\x93\x94\x8aQcI\n\x00\x01\x02\x03".to_vec()),
        0..200,
    )) {
        let _ = unpickle(&codes, 0);
    }

    #[test]
    fn damaged_real_files_are_survived(
        file in prop::sample::select(vec![
            "kinds.pt", "kinds_legacy.pt", "training_legacy.pth.tar", "lightning.ckpt", "evil_legacy.pt",
        ]),
        changes in changes(),
        cut in any::<usize>(),
    ) {
        survive(&mutate(fixture(file), &changes, cut));
    }

    // In an archive the checksums catch most changes: here they are those of the changed pickle.
    #[test]
    fn damaged_pickles_in_whole_files_are_survived(changes in changes(), cut in any::<usize>()) {
        let pickle = mutate(pickle(), &changes, cut);
        survive(&zip(&[
            ("a/data.pkl", &pickle),
            ("a/data/0", &floats(&[1.0, 2.0])),
            ("a/data/1", &floats(&[3.0])),
        ]));
        survive(&legacy(&pickle, &[("0", &[1.0, 2.0]), ("1", &[3.0])]));
    }
}
