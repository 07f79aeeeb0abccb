use proptest::prelude::*;

use super::super::asf;
use super::*;

pub(in super::super) const ASF: &str = ":version 1.10
:units
  length 0.0254
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name arm
    direction 1 0 0
    length 2
    axis 0 0 0 XYZ
    dof rz
    limits (-90 90)
  end
  begin
    id 2
    name hand
    direction 1 0 0
    length 1
    axis 0 0 90 XYZ
    dof ry rx
  end
  begin
    name tip
    direction 0 1 0
    length 0.5
    axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root arm
    arm hand
    hand tip
  end
";

pub(in super::super) const AMC: &[u8] = b"# written by M\xfcller
:FULLY-SPECIFIED
:DEGREES
1
root 0 1 0 0 0 0
arm 0
hand 0 0
2
root 0 1 0 0 0 0
arm 90
hand 0 90
";

fn read(asf: &str, amc: &[u8]) -> Result<Vec<Vector>> {
    let skeleton = asf::parse(Path::new("a.asf"), asf.as_bytes())?;
    positions(Path::new("a.amc"), amc, &skeleton, 1)
}

#[test]
fn angles_turn_into_positions() {
    let found = read(ASF, AMC).unwrap();
    let first = [[0.0, 1.0, 0.0], [2.0, 1.0, 0.0], [3.0, 1.0, 0.0], [3.0, 1.5, 0.0]];
    // The arm goes up; the hand's x is the world's y, so before the arm's turn it swings its end from x to -z.
    let second = [
        [0.0, 1.0, 0.0],
        [0.0, 3.0, 0.0],
        [0.0, 3.0, -1.0],
        [-0.5, 3.0, -1.0],
    ];
    for (found, want) in found.iter().zip(first.iter().chain(&second)) {
        assert!(
            found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12),
            "{found:?} {want:?}"
        );
    }
    assert_eq!(found.len(), 8);
}

#[test]
fn mistakes_in_the_skeleton_are_named() {
    let says = |from: &str, to: &str, part: &str| {
        assert!(ASF.contains(from));
        let text = read(&ASF.replacen(from, to, 1), AMC).unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    };
    says("length 0.0254", "length 0", "line 3: expected a length above 0");
    says(
        "direction 1 0 0",
        "direction 1 0",
        "line 14: expected a number, found ``",
    );
    says(
        "direction 1 0 0",
        "direction 1 NaN 0",
        "line 14: expected a number, found `NaN`",
    );
    says(
        "axis 0 0 0 XYZ",
        "axis 0 0 0 XXZ",
        "expected an order of axes such as `XYZ`, found `XXZ`",
    );
    says("dof rz", "dof l", "expected rx, ry, rz once each, found `l`");
    says("    length 2\n", "", "bone `arm` has no length");
    says("name hand", "name arm", "has two bones of one name");
    says("hand tip", "tip hand", "bone `hand` hangs on two others");
    says("root arm", "hand arm", "bone `arm` does not hang on the root");
    says("arm hand", "arm hnd", "`:hierarchy` names the bone `hnd`");
    says("arm hand\n", "\n", "bone `hand` is not in `:hierarchy`");
    says("position 0 0 0", "position 0 1 0", "only 0 0 0 is read");
    says(":bonedata", ":other", "or no bones in `:bonedata`");
    let cut = &ASF[..ASF.find("    name tip").unwrap()];
    assert!(
        read(cut, AMC)
            .unwrap_err()
            .to_string()
            .contains("ends within a bone")
    );
    assert!(read("", AMC).unwrap_err().to_string().contains("no `:root`"));
}

#[test]
fn mistakes_in_the_motion_are_named_with_their_line() {
    let says = |amc: &[u8], part: &str| {
        let text = read(ASF, amc).unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    };
    says(b"", "has no frame");
    says(
        b"root 0 0 0 0 0 0\n",
        "line 1: expected the number of a frame, found `root`",
    );
    says(
        &AMC[..AMC.len() - 10],
        "line 8: this frame lacks `hand`; is the file cut short?",
    );
    says(b"1\narm 0 1\n", "line 2: expected 1 numbers for `arm`, found 2");
    says(b"1\narm inf\n", "line 2: expected a number, found `inf`");
    says(b"1\narm 0\narm 0\n", "`arm` is given twice in its frame");
    says(b"1\nleg 0\n", "the skeleton has no bone `leg`");
    says(
        b"1\nroot 0 0 0 0 0 0\narm 0\nhand 0 0\n3\n",
        "line 5: frame 3 follows frame 1",
    );
}

proptest! {
    #[test]
    fn garbled_files_never_panic(cut in 0usize..700, at in 0usize..700, byte: u8, other in 0usize..140) {
        let mut skeleton = ASF.as_bytes().to_vec();
        if let Some(b) = skeleton.get_mut(at) { *b = byte; }
        skeleton.truncate(cut);
        let _ = asf::parse(Path::new("a.asf"), &skeleton);
        let good = asf::parse(Path::new("a.asf"), ASF.as_bytes()).unwrap();
        let mut motion = AMC.to_vec();
        if let Some(b) = motion.get_mut(other) { *b = byte; }
        motion.truncate(cut);
        let _ = positions(Path::new("a.amc"), &motion, &good, 1);
    }
}
