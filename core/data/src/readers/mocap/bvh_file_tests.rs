use proptest::prelude::*;

use super::*;

pub(in super::super) const FILE: &str = "HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Spine
  {
    OFFSET 0 10 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 5 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.05
1 2 3 0 0 0 0 0 0
1 2 3 90 0 0
0 90 0
";

fn parse(content: &str) -> Result<(Header, Vec<Vector>)> {
    let path = Path::new("a.bvh");
    let header = parse_header(path, content)?;
    let positions = positions(path, content, &header, 1)?;
    Ok((header, positions))
}

#[test]
fn angles_turn_into_positions() {
    let (header, found) = parse(FILE).unwrap();
    assert_eq!(header.hierarchy.names, ["Hips", "Spine", "Spine_End"]);
    assert_eq!(header.hierarchy.parents, [None, Some(0), Some(1)]);
    assert_eq!(found[..3], [[1.0, 2.0, 3.0], [1.0, 12.0, 3.0], [1.0, 17.0, 3.0]]);
    // The hips turn about z, so that the spine points to -x; the spine turns about its x, so that its end, along
    // its y before, goes along its z: that of the hips.
    let want = [[1.0, 2.0, 3.0], [-9.0, 2.0, 3.0], [-9.0, 2.0, 8.0]];
    for (found, want) in found[3..].iter().zip(want) {
        assert!(
            found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12),
            "{found:?} {want:?}"
        );
    }
}

#[test]
fn mistakes_are_named_with_their_line() {
    let says = |from: &str, to: &str, part: &str| {
        assert!(FILE.contains(from));
        let text = parse(&FILE.replacen(from, to, 1)).err().map(|e| e.to_string());
        assert!(text.as_ref().is_some_and(|t| t.contains(part)), "{text:?}");
    };
    says("MOTION", "MOTIN", "line 16: expected ROOT, JOINT, End Site");
    says(
        "Frames: 2",
        "Frames: 0",
        "line 17: expected a number of frames above 0, found `0`",
    );
    says(
        "Frames: 2",
        "Frames: 3",
        "has 2 frames of 9 numbers and 0 numbers over, expected 3 frames",
    );
    says(
        "Frames: 2",
        "Frames: 99999999999999999999",
        "expected a number of frames above 0",
    );
    says(
        "Frame Time: 0.05",
        "Frame Time: nan",
        "line 18: expected the seconds of a frame, found `nan`",
    );
    says(
        "OFFSET 0 5 0",
        "OFFSET 0 5",
        "line 12: expected a number, found ``",
    );
    says(
        "OFFSET 0 10 0",
        "OFFSET 0 inf 0",
        "line 8: expected a number, found `inf`",
    );
    says("      OFFSET 0 5 0\n", "", "joint `Spine_End` has no OFFSET");
    says(
        "CHANNELS 3 Z",
        "CHANNELS 4 Z",
        "line 9: expected a channel such as `Xposition` or `Zrotation`, found ``",
    );
    says("CHANNELS 3 Z", "CHANNELS 999999999 Z", "expected 0 to 6 CHANNELS");
    says(
        "CHANNELS 3 Zrotation",
        "CHANNELS 3 Xrotation",
        "line 9: a channel is given twice",
    );
    says(
        "JOINT Spine",
        "JOINT Hips",
        "line 6: joint `Hips` has no name, or that of another",
    );
    says("JOINT Spine", "ROOT Spine", "a ROOT cannot stand here");
    says("  }\n}\nMOTION", "  }\nMOTION", "is a brace missing?");
    says("0 90 0\n", "0 90", "and 8 numbers over");
    says("0 90 0\n", "0 x 0", "line 21: expected a number, found `x`");
}

#[test]
fn nesting_without_end_is_refused() {
    let deep: String = (0..2 * MAX_JOINTS)
        .map(|i| format!("JOINT j{i}\n{{\nOFFSET 0 0 0\n"))
        .collect();
    let content = FILE.replacen("JOINT Spine", &format!("{deep}JOINT Spine"), 1);
    let text = parse_header(Path::new("a"), &content).unwrap_err().to_string();
    assert!(text.contains("has more than 512 joints"), "{text}");
}

proptest! {
    #[test]
    fn garbled_files_never_panic(cut in 0usize..500, at in 0usize..500, byte in 0u8..128, more in 0usize..500, digit in 48u8..58) {
        let mut bytes = FILE.as_bytes().to_vec();
        if let Some(b) = bytes.get_mut(at) { *b = byte; }
        if let Some(b) = bytes.get_mut(more) { *b = digit; }
        bytes.truncate(cut.max(200));
        let _ = parse(&String::from_utf8(bytes).unwrap());
    }
}
