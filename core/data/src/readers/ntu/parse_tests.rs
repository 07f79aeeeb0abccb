use proptest::prelude::*;

use super::*;
use crate::readers::ntu::test_files::{Body, file};

fn read(text: impl AsRef<[u8]>) -> Result<Raw> {
    parse(Path::new("a.skeleton"), text.as_ref())
}

fn message(text: impl AsRef<[u8]>) -> String {
    read(text).unwrap_err().to_string()
}

fn body(id: u64, start: f32) -> Body {
    (id, std::array::from_fn(|j| [start + j as f32, -0.5, 1.0e-3]))
}

fn sample() -> String {
    file(&[
        vec![body(72_057_594_037_931_101, 0.0)],
        vec![],
        vec![
            body(72_057_594_037_931_102, 1.0),
            body(72_057_594_037_931_101, 2.0),
        ],
    ])
}

#[test]
fn frames_bodies_ids_and_joints_are_kept() {
    let raw = read(sample()).unwrap();
    assert_eq!((raw.frames(), raw.bodies()), (3, 3));
    assert_eq!([0, 1, 2].map(|f| raw.frame(f)), [0..1, 1..1, 1..3]);
    // The two ids are one apart, which a double cannot tell.
    assert_eq!([0, 1, 2].map(|b| raw.id(b) - 72_057_594_037_931_100), [1, 2, 1]);
    assert_eq!(raw.joints(1)[24], [25.0, -0.5, 0.001]);
}

#[test]
fn either_line_end_reads_the_same() {
    let crlf = sample();
    assert_eq!(read(crlf.replace("\r\n", "\n")).unwrap(), read(&crlf).unwrap());
    assert_eq!(
        read(format!("{crlf}\r\n\n")).unwrap(),
        read(crlf.trim_end()).unwrap()
    );
}

#[test]
fn a_recording_may_have_no_frame() {
    assert_eq!(read("0\r\n").unwrap().frames(), 0);
}

#[test]
fn a_file_that_ends_early_is_refused_with_the_line() {
    assert_eq!(
        message(""),
        "a.skeleton, line 1: the file ends, expected the number of frames"
    );
    let cut: Vec<_> = sample().lines().take(32).map(str::to_owned).collect();
    assert_eq!(
        message(cut.join("\n")),
        "a.skeleton, line 33: the file ends, expected 25, the number of joints of body 0 of frame 2"
    );
    let one = file(&[vec![]]).replacen('1', "1000000000", 1);
    assert!(message(one).ends_with("line 3: the file ends, expected the number of bodies of frame 1"));
}

#[test]
fn a_file_that_goes_on_is_refused() {
    assert_eq!(
        message("1\n0\n0\n"),
        "a.skeleton, line 3: expected nothing after the 1 frames that line 1 announces, found `0`"
    );
}

#[test]
fn wrong_counts_are_refused() {
    assert!(message("-1\n").ends_with("line 1: expected the number of frames, found `-1`"));
    assert!(message("1e3\n").contains("found `1e3`"));
    assert!(message("99999999999999999999\n").contains("found `99999999999999999999`"));
    let twenty = sample().replacen("\r\n25\r\n", "\r\n20\r\n", 1);
    assert!(
        message(twenty)
            .ends_with("line 4: expected 25, the number of joints of body 0 of frame 0, found `20`")
    );
    let fields = sample().replacen(" 0 0 0 0 2\r\n", " 0 0 0 2\r\n", 1);
    assert!(message(fields).ends_with("(11 fields)"));
}

#[test]
fn what_is_no_finite_number_is_refused() {
    for bad in ["nan", "inf", "-Infinity", "1e60", "0x3", "1,5", "--1", "1.0.0"] {
        let text = sample().replacen("-0.5", bad, 1);
        let text = message(text);
        assert!(
            text.contains("line 5: expected three finite coordinates"),
            "{bad}: {text}"
        );
    }
    // The fields that are not kept may be anything printable: the originals have `NaN` there.
    assert!(read(sample().replacen(" 0 0 0 0 2\r\n", " 0 NaN 0 0 2\r\n", 1)).is_ok());
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let mut bytes = sample().into_bytes();
    let at = bytes.len() - 5;
    bytes[at] = 0xff;
    let text = message(bytes);
    assert!(text.ends_with("found bytes that are no ASCII text"), "{text}");
    assert!(
        text.contains("line 85: expected three finite coordinates"),
        "{text}"
    );
}

proptest! {
    #[test]
    fn mutated_files_never_panic_nor_grow(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        keep in any::<bool>(),
    ) {
        let mut bytes = sample().into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if !keep {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(raw) = read(&bytes) {
            prop_assert!(raw.heap() <= 8 * bytes.len() + 256);
        }
    }

    #[test]
    fn lines_of_numbers_never_panic_nor_grow(numbers in prop::collection::vec(0u64..30, 0..200)) {
        let text: String = numbers.iter().map(|n| format!("{n}\n")).collect();
        if let Ok(raw) = read(&text) {
            prop_assert!(raw.heap() <= 8 * text.len() + 256);
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(bytes);
    }
}
