//! Storages and tensors that contradict each other, and archives of other things.

use tch::Tensor;
use zip::CompressionMethod;

use super::writer::{Entry, floats, legacy, nested, state_dict, whole, zip, zip_as};
use super::{read, refusal};

fn one(entry: Entry) -> Vec<u8> {
    let pickle = state_dict(&[entry]);
    let values = floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    zip(&[("a/data.pkl", &pickle), ("a/data/0", &values)])
}

fn view<'a>(offset: i64, shape: &'a [i64], strides: &'a [i64]) -> Entry<'a> {
    Entry {
        offset,
        shape,
        strides,
        ..whole("w", "0", &[6])
    }
}

#[test]
fn what_is_written_is_read_in_both_formats() {
    let pickle = state_dict(&[whole("a", "x", &[2]), whole("b", "y", &[1])]);
    let zipped = zip(&[
        ("any name/data.pkl", &pickle),
        ("any name/data/y", &floats(&[7.0])),
        ("any name/data/x", &floats(&[1.0, 2.0])),
    ]);
    let bare = zip(&[
        ("data.pkl", &pickle),
        ("data/y", &floats(&[7.0])),
        ("data/x", &floats(&[1.0, 2.0])),
    ]);
    let old = legacy(&pickle, &[("y", &[7.0]), ("x", &[1.0, 2.0])]);
    for bytes in [zipped, bare, old] {
        let found = read(&bytes).expect("tensors");
        assert!(found["a"].equal(&Tensor::from_slice(&[1.0f32, 2.0])));
        assert!(found["b"].equal(&Tensor::from_slice(&[7.0f32])));
    }
}

#[test]
fn big_endian_numbers_are_turned_round() {
    let pickle = state_dict(&[whole("a", "0", &[2])]);
    let big: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|v| v.to_be_bytes()).collect();
    let file = |order: &[u8]| {
        zip(&[
            ("a/data.pkl", &pickle),
            ("a/byteorder", order),
            ("a/data/0", &big),
        ])
    };
    let found = read(&file(b"big")).expect("tensors");
    assert!(found["a"].equal(&Tensor::from_slice(&[1.5f32, -2.0])));
    assert!(refusal(&file(b"odd")).contains("a/byteorder: is neither"));
}

#[test]
fn strides_and_offsets_are_followed_within_the_storage() {
    let found = read(&one(view(1, &[2, 2], &[1, 3]))).expect("a tensor");
    assert!(found["w"].equal(&Tensor::from_slice(&[1.0f32, 4.0, 2.0, 5.0]).reshape([2, 2])));
    let empty = read(&one(view(6, &[0, 3], &[3, 1]))).expect("a tensor");
    assert_eq!(empty["w"].size(), [0, 3]);
    assert_eq!(
        read(&one(view(5, &[], &[]))).expect("a tensor")["w"].size(),
        [0i64; 0]
    );
}

#[test]
fn tensors_beyond_their_storage_are_refused() {
    const FAR: i64 = i64::MAX;
    let cases: [(Entry, &str); 10] = [
        (view(0, &[7], &[1]), "its storage has 6 elements"),
        (view(6, &[1], &[1]), "its storage has 6 elements"),
        (view(-1, &[1], &[1]), "a negative number"),
        (view(0, &[-1], &[1]), "a negative number"),
        (view(3, &[2], &[-1]), "a negative number"),
        (view(0, &[2, 2], &[1]), "not a tensor"),
        (view(0, &[1; 65], &[1; 65]), "not a tensor"),
        (view(0, &[FAR, FAR], &[0, 0]), "too large"),
        (view(FAR, &[FAR], &[FAR]), "too large"),
        (view(0, &[1 << 40], &[0]), "repeats the numbers"),
    ];
    for (entry, why) in cases {
        let error = refusal(&one(entry));
        assert!(
            error.starts_with("tensor `w`: ") && error.contains(why),
            "{error}"
        );
    }
}

#[test]
fn storages_must_be_as_large_as_they_say() {
    let pickle = state_dict(&[whole("w", "0", &[6])]);
    let file = |values: &[f32]| zip(&[("a/data.pkl", &pickle), ("a/data/0", &floats(values))]);
    let error = refusal(&file(&[0.0; 5]));
    assert!(
        error.contains("storage `a/data/0` has 20 bytes, expected 24"),
        "{error}"
    );
    assert!(refusal(&file(&[0.0; 7])).contains("has 28 bytes"));
    let missing = zip(&[("a/data.pkl", &pickle)]);
    assert!(refusal(&missing).contains("storage `a/data/0` is missing"));
    let huge = [Entry {
        numel: i64::MAX,
        ..whole("w", "0", &[1])
    }];
    let huge = state_dict(&huge);
    assert!(refusal(&zip(&[("a/data.pkl", &huge)])).contains("a storage of 9223372036854775807 elements"));
    assert!(
        refusal(&legacy(&huge, &[("0", &[1.0])])).contains("has 1 elements, expected 9223372036854775807")
    );
    assert!(refusal(&legacy(&pickle, &[])).contains("storage `0` is not in the file"));
    assert!(refusal(&legacy(&pickle, &[("0", &[0.0; 6]), ("0", &[0.0; 6])])).contains("stands twice"));
    assert!(refusal(&legacy(&pickle, &[("1", &[0.0; 6])])).contains("no tensor names it"));
}

#[test]
fn one_storage_under_two_types_is_refused() {
    let two = [
        whole("a", "0", &[2]),
        Entry {
            class: "IntStorage",
            ..whole("b", "0", &[2])
        },
    ];
    let file = zip(&[
        ("a/data.pkl", &state_dict(&two)),
        ("a/data/0", &floats(&[0.0, 1.0])),
    ]);
    assert!(refusal(&file).contains("tensor `b`: storage `0` is named in two ways"));
}

#[test]
fn compressed_archives_are_refused_before_they_are_unpacked() {
    let zeros = vec![0u8; 4 << 20];
    let shape = [1i64 << 20];
    let pickle = state_dict(&[whole("w", "0", &shape)]);
    let file = zip_as(
        CompressionMethod::Deflated,
        &[("a/data.pkl", &pickle), ("a/data/0", &zeros)],
    );
    assert!(refusal(&file).contains("a/data.pkl: is compressed or damaged"));
}

#[test]
fn other_files_are_called_what_they_are() {
    let script = zip(&[("m/data.pkl", b"N."), ("m/constants.pkl", b"N.")]);
    assert!(refusal(&script).contains("is a TorchScript module"));
    assert!(refusal(&zip(&[("x.txt", b"")])).contains("without `data.pkl`"));
    assert!(refusal(&zip(&[("a/data.pkl", b"N."), ("b/data.pkl", b"N.")])).contains("several `data.pkl`"));
    assert!(refusal(b"version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
    assert!(refusal(b"<!DOCTYPE html>").contains("web page"));
    assert!(refusal(b"").contains("is empty"));
    assert!(refusal(b"hello").contains("neither a zip archive nor a pickle"));
    assert!(refusal(b"\x80\x02}q\x00.").contains("a pickle of something else"));
    let mut tar = vec![0u8; 512];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(refusal(&tar).contains("is a tar archive; unpack it"));
}

#[test]
fn the_state_dict_is_found_or_asked_for() {
    let (a, b) = ([whole("a", "0", &[1])], [whole("b", "0", &[1])]);
    let file = |pickle: &[u8]| zip(&[("a/data.pkl", pickle), ("a/data/0", &floats(&[1.0]))]);
    let names = |pickle: &[u8]| -> Vec<String> {
        let found = read(&file(pickle)).expect("a state_dict");
        found.into_keys().collect()
    };
    assert_eq!(names(&nested(&[("revise_state_dict", &a)])), ["a"]);
    assert_eq!(names(&nested(&[("ema", &a), ("model", &b)])), ["b"]);
    assert_eq!(names(&nested(&[("net", &a), ("state_dict", &b)])), ["b"]);
    let error = refusal(&file(&nested(&[("npm_state_dict", &a), ("vpm_state_dict", &b)])));
    assert!(
        error.contains("several state_dicts, under `npm_state_dict`, `vpm_state_dict`"),
        "{error}"
    );
    assert!(refusal(&file(b"\x80\x02}.")).contains("an empty dict"));
    assert!(refusal(&file(b"\x80\x02].")).contains("holds a list, expected a state_dict"));
    let epoch = refusal(&file(b"}Vepoch\nI3\ns."));
    assert!(
        epoch.contains("holds no state_dict") && epoch.contains("`epoch` (a number)"),
        "{epoch}"
    );
    let half = refusal(&file(b"}Vstate_dict\n}Vlr\nI3\nss."));
    assert!(half.contains("`state_dict` holds a number under `lr`"), "{half}");
}
