//! Sequences at hand, without a dataset: one that moves, one moment of one.

use szar_core::{Error, Result, Sequence, SkeletonLayout};

use super::animation::Animation;
use super::figure::{Cell, Poses, View};
use super::scene::{Point, Scene};

/// One moment of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Still {
    /// The picture.
    pub scene: Scene,
    /// Where the joints of the first person lie in it; nothing for those that are not drawn.
    pub joints: Vec<Option<Point>>,
}

/// Every frame of a sequence in a square of `side` pixels, at its own speed, on one scale and without words.
///
/// # Errors
/// When the sequence does not fit the layout, or has no joint to draw.
pub fn motion(sequence: &Sequence, layout: &SkeletonLayout, side: u32, title: &str) -> Result<Animation> {
    let (poses, visible) = seen(sequence, layout)?;
    let view = view(&poses, &visible, side);
    let fps = if sequence.fps > 0.0 {
        f64::from(sequence.fps)
    } else {
        30.0
    };
    let delay = (100.0 / fps).round().clamp(1.0, 100.0) as u16;
    let scenes = (0..sequence.frames).map(|frame| scene(&poses, frame, &view, side, title));
    Ok(Animation {
        scenes: scenes.collect(),
        delays: vec![delay; sequence.frames],
    })
}

/// One frame of a sequence, on the scale that all of its frames share.
///
/// # Errors
/// As [`motion`].
pub fn still(
    sequence: &Sequence,
    layout: &SkeletonLayout,
    frame: usize,
    side: u32,
    title: &str,
) -> Result<Still> {
    let (poses, visible) = seen(sequence, layout)?;
    let view = view(&poses, &visible, side);
    Ok(Still {
        scene: scene(&poses, frame, &view, side, title),
        joints: poses.places(frame, &view),
    })
}

fn seen<'a>(sequence: &'a Sequence, layout: &'a SkeletonLayout) -> Result<(Poses<'a>, Vec<usize>)> {
    let poses = Poses::new(sequence, layout)?;
    let visible = poses.frames();
    if visible.is_empty() {
        return Err(Error::Input("has no tracked joint to draw".into()));
    }
    Ok((poses, visible))
}

fn view(poses: &Poses, visible: &[usize], side: u32) -> View {
    let side = f64::from(side);
    let cell = Cell {
        x: 0.0,
        y: 0.0,
        width: side,
        height: side,
    };
    let fixed: Vec<_> = visible.iter().map(|frame| (*frame, 0.0)).collect();
    View::fit(cell, poses, &fixed)
}

fn scene(poses: &Poses, frame: usize, view: &View, side: u32, title: &str) -> Scene {
    let mut items = Vec::new();
    poses.draw(frame, view, 0.0, &mut items);
    Scene {
        width: side,
        height: side,
        title: super::label::clean(title),
        items,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts;
    use crate::toy::standing;

    #[test]
    fn a_motion_is_one_document_that_moves() {
        let layout = layouts::by_name("common15").unwrap();
        let mut sequence = standing(3, 0.0);
        sequence.joints[15 * 3..2 * 15 * 3].fill(0.0); // nobody in the second frame
        let svg = motion(&sequence, &layout, 100, "a <b>").unwrap().to_svg();
        assert!(svg.contains("<title>a &lt;b&gt;</title>"), "{svg}");
        assert!(svg.contains("repeatCount=\"indefinite\"") && svg.contains("calcMode=\"discrete\""));
        let values = svg.split("values=\"").nth(1).unwrap().split('"').next().unwrap();
        let frames: Vec<&str> = values.split(';').collect();
        assert_eq!((frames.len(), frames[1]), (3, "M0 0"));
    }

    #[test]
    fn a_still_knows_where_its_joints_are() {
        let layout = layouts::by_name("common15").unwrap();
        let still = still(&standing(2, 0.0), &layout, 1, 100, "t").unwrap();
        let at = |name: &str| still.joints[layout.joint(name).unwrap()].unwrap();
        assert!(at("head").y < at("foot_left").y - 60.0);
        let nobody = Sequence {
            joints: vec![0.0; 45],
            frames: 1,
            persons: 1,
            fps: 30.0,
        };
        assert!(motion(&nobody, &layout, 100, "t").is_err());
    }
}
