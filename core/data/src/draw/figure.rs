//! From joints to lines and dots: the one projection behind all pictures.

use szar_core::{Error, Result, Sequence, SkeletonLayout};

use super::colour::{SIDES, Side, tone};
use super::scene::{Item, Point};

/// A sequence that fits its layout.
pub(super) struct Poses<'a> {
    sequence: &'a Sequence,
    layout: &'a SkeletonLayout,
    /// By joint.
    sides: Vec<Side>,
}

impl<'a> Poses<'a> {
    /// Checks the shape.
    ///
    /// # Errors
    /// [`Error::Input`] when values, frames, persons and joints do not fit, or a bone names no joint.
    pub fn new(sequence: &'a Sequence, layout: &'a SkeletonLayout) -> Result<Self> {
        layout.validate()?;
        let Sequence { frames, persons, .. } = *sequence;
        let expected = persons.checked_mul(layout.len() * 3);
        if expected.and_then(|one| one.checked_mul(frames)) != Some(sequence.joints.len()) {
            return Err(Error::Input(format!(
                "has {} numbers, expected {frames} frames of {persons} persons of {} joints",
                sequence.joints.len(),
                layout.len()
            )));
        }
        let mut sides = vec![Side::Centre; layout.len()];
        for &(left, right) in &layout.mirror {
            (sides[left], sides[right]) = (Side::Left, Side::Right);
        }
        Ok(Self {
            sequence,
            layout,
            sides,
        })
    }

    /// x and y of a joint, metres; nothing when it is untracked or not finite.
    fn joint(&self, frame: usize, person: usize, joint: usize) -> Option<[f64; 2]> {
        let at = ((frame * self.sequence.persons + person) * self.layout.len() + joint) * 3;
        let [x, y, z] = *self.sequence.joints.get(at..at + 3)? else {
            return None;
        };
        let there = x.is_finite() && y.is_finite() && (x != 0.0 || y != 0.0 || z != 0.0);
        there.then(|| [f64::from(x), f64::from(y)])
    }

    /// Where the joints of the first person come to lie.
    pub fn places(&self, frame: usize, view: &View) -> Vec<Option<Point>> {
        let point = |joint| self.joint(frame, 0, joint).map(|at| view.point(at, 0.0));
        (0..self.layout.len()).map(point).collect()
    }

    /// The joints of a person that can be drawn.
    fn body(&self, frame: usize, person: usize) -> impl Iterator<Item = [f64; 2]> {
        (0..self.layout.len()).filter_map(move |joint| self.joint(frame, person, joint))
    }

    /// All joints of a frame that can be drawn.
    fn joints(&self, frame: usize) -> impl Iterator<Item = [f64; 2]> {
        (0..self.sequence.persons).flat_map(move |person| self.body(frame, person))
    }

    /// Frames with something to draw.
    pub fn frames(&self) -> Vec<usize> {
        let all = 0..self.sequence.frames;
        all.filter(|frame| self.joints(*frame).next().is_some()).collect()
    }

    /// Is anybody there besides the first person?
    pub fn has_others(&self) -> bool {
        let frames = 0..self.sequence.frames;
        let persons = 1..self.sequence.persons;
        frames
            .flat_map(|f| persons.clone().map(move |p| (f, p)))
            .any(|(f, p)| self.body(f, p).next().is_some())
    }

    /// Median x of the first person who is there: where the body is, whatever an arm does.
    pub fn place(&self, frame: usize) -> f64 {
        let bodies = (0..self.sequence.persons).map(|p| self.body(frame, p).map(|[x, _]| x).collect());
        let mut first: Vec<f64> = bodies
            .into_iter()
            .find(|b: &Vec<_>| !b.is_empty())
            .unwrap_or_default();
        first.sort_by(f64::total_cmp);
        first.get(first.len() / 2).copied().unwrap_or(0.0)
    }

    /// Adds the persons of a frame, the first on top.
    pub fn draw(&self, frame: usize, view: &View, place: f64, items: &mut Vec<Item>) {
        for person in (0..self.sequence.persons).rev() {
            let point = |joint: usize| self.joint(frame, person, joint).map(|at| view.point(at, place));
            for side in SIDES {
                self.bones(side, &point, view, person == 0, items);
            }
            for side in SIDES {
                let of_side = (0..self.layout.len()).filter(|joint| self.sides[*joint] == side);
                let at: Vec<Point> = of_side.filter_map(point).collect();
                if !at.is_empty() {
                    let (colour, radius) = (tone(person == 0, side), view.radius());
                    items.push(Item::Dots { colour, radius, at });
                }
            }
        }
    }

    fn bones(
        &self,
        side: Side,
        point: &impl Fn(usize) -> Option<Point>,
        view: &View,
        first: bool,
        items: &mut Vec<Item>,
    ) {
        let side_of = |(child, parent): (usize, usize)| match self.sides[child] {
            Side::Centre => self.sides[parent],
            sided => sided,
        };
        let bones = self.layout.bones.iter().filter(|bone| side_of(**bone) == side);
        let lines: Vec<_> = bones
            .filter_map(|(child, parent)| Some([point(*child)?, point(*parent)?]))
            .collect();
        if !lines.is_empty() {
            items.push(Item::Lines {
                colour: tone(first, side),
                width: view.line(),
                lines,
            });
        }
    }
}

/// A rectangle of the picture, pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// Metres to pixels of one cell: one scale for all frames that it was fitted to.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    cell: Cell,
    /// Pixels a metre.
    scale: f64,
    /// Height that comes to the middle of the cell, metres.
    middle: f64,
    /// What is left of a frame's place comes this much to the right of the middle, metres.
    shift: f64,
}

impl View {
    /// The largest scale at which these frames fit, each with its place (metres, x) in the same column of the cell.
    pub fn fit(cell: Cell, poses: &Poses, frames: &[(usize, f64)]) -> Self {
        let mut low = [f64::INFINITY; 2];
        let mut high = [f64::NEG_INFINITY; 2];
        for (frame, place) in frames {
            for [x, y] in poses.joints(*frame) {
                for (axis, value) in [x - place, y].into_iter().enumerate() {
                    low[axis] = low[axis].min(value);
                    high[axis] = high[axis].max(value);
                }
            }
        }
        let size = |axis: usize| (high[axis] - low[axis]).max(1e-6);
        let mut view = Self {
            cell,
            scale: 1.0,
            middle: f64::midpoint(low[1], high[1]),
            shift: f64::midpoint(low[0], high[0]),
        };
        let margin = 2.0 * (f64::from(view.radius()) + 0.04 * cell.height.min(cell.width));
        view.scale = ((cell.width - margin) / size(0)).min((cell.height - margin) / size(1));
        view
    }

    /// The same view in another cell of the same size.
    pub fn moved(self, x: f64, y: f64) -> Self {
        let cell = Cell { x, y, ..self.cell };
        Self { cell, ..self }
    }

    /// Where a joint comes to lie.
    pub fn point(&self, [x, y]: [f64; 2], place: f64) -> Point {
        let Cell {
            x: left,
            y: top,
            width,
            height,
        } = self.cell;
        Point {
            x: (left + width / 2.0 + (x - place - self.shift) * self.scale) as f32,
            y: (top + height / 2.0 - (y - self.middle) * self.scale) as f32,
        }
    }

    /// Width of a bone, pixels.
    fn line(&self) -> f32 {
        (self.cell.height / 48.0).max(1.0) as f32
    }

    /// Radius of a joint, pixels.
    fn radius(&self) -> f32 {
        self.line() * 0.95
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts;
    use crate::toy::standing;

    const CELL: Cell = Cell {
        x: 100.0,
        y: 50.0,
        width: 80.0,
        height: 90.0,
    };

    /// Every point of the items, with how far it paints around itself.
    fn points(items: &[Item]) -> Vec<(Point, f32)> {
        let of = |item: &Item| match item {
            Item::Lines { width, lines, .. } => lines.iter().flatten().map(|p| (*p, width / 2.0)).collect(),
            Item::Dots { radius, at, .. } => at.iter().map(|p| (*p, *radius)).collect(),
            Item::Text { .. } => Vec::new(),
        };
        items.iter().flat_map(of).collect()
    }

    fn drawn(sequence: &Sequence, layout: &SkeletonLayout) -> Vec<Item> {
        let poses = Poses::new(sequence, layout).unwrap();
        let frames: Vec<_> = poses.frames().into_iter().map(|f| (f, poses.place(f))).collect();
        let view = View::fit(CELL, &poses, &frames);
        let mut items = Vec::new();
        for (frame, place) in frames {
            poses.draw(frame, &view, place, &mut items);
        }
        items
    }

    #[test]
    fn right_is_right_and_up_is_up() {
        let layout = layouts::by_name("common15").unwrap();
        let sequence = standing(1, 0.0);
        let poses = Poses::new(&sequence, &layout).unwrap();
        let view = View::fit(CELL, &poses, &[(0, 0.0)]);
        let at = |name: &str| {
            let joint = layout.joint(name).unwrap();
            view.point(poses.joint(0, 0, joint).unwrap(), 0.0)
        };
        assert!(at("hand_left").x > at("hand_right").x + 10.0); // the toy's left is at +x
        assert!(at("head").y < at("foot_left").y - 60.0);
        let middle = f32::midpoint(at("head").y, at("foot_left").y);
        assert!((middle - 95.0).abs() < 1e-3 && (at("torso").x - 140.0).abs() < 1e-3);
    }

    #[test]
    fn everything_is_inside_its_cell() {
        for layout in layouts::all() {
            for spread in [1.0e-3, 1.0, 1.0e6] {
                let value = |i: usize| (((i * 7919) % 1013) as f32 / 506.0 - 0.9) * spread;
                let sequence = Sequence {
                    joints: (0..12 * layout.len() * 3).map(value).collect(),
                    frames: 6,
                    persons: 2,
                    fps: 30.0,
                };
                for (p, around) in points(&drawn(&sequence, &layout)) {
                    assert!(
                        p.x - around >= 100.0 && p.x + around <= 180.0,
                        "{p:?} {}",
                        layout.name
                    );
                    assert!(
                        p.y - around >= 50.0 && p.y + around <= 140.0,
                        "{p:?} {}",
                        layout.name
                    );
                }
            }
        }
    }

    #[test]
    fn limbs_have_their_tones_and_joints_that_are_not_there_no_line() {
        let layout = layouts::by_name("common15").unwrap();
        let mut sequence = standing(1, 0.0);
        let hand = layout.joint("hand_left").unwrap();
        sequence.joints[hand * 3..hand * 3 + 3].fill(0.0);
        sequence.joints[0] = f32::NAN; // the head
        let items = drawn(&sequence, &layout);
        let count = |side: Side| {
            let of = |item: &Item| match item {
                Item::Lines { colour, lines, .. } if *colour == tone(true, side) => lines.len(),
                _ => 0,
            };
            items.iter().map(of).sum::<usize>()
        };
        // Left: shoulder, elbow (not the hand), hip, knee, foot; right: all six; centre: torso to neck.
        assert_eq!([Side::Left, Side::Right, Side::Centre].map(count), [5, 6, 1]);
        let dots: usize = points(&items).len() - 2 * 12;
        assert_eq!(dots, 13);
    }

    #[test]
    fn a_sequence_of_another_skeleton_is_refused() {
        let layout = layouts::by_name("ntu25").unwrap();
        let error = Poses::new(&standing(2, 0.0), &layout).err().unwrap();
        assert!(
            error
                .to_string()
                .contains("has 90 numbers, expected 2 frames of 1 persons of 25")
        );
    }

    #[test]
    fn a_single_point_is_drawn_in_the_middle() {
        let layout = layouts::by_name("common15").unwrap();
        let sequence = Sequence {
            joints: [1.0, 1.0, 1.0].repeat(15),
            frames: 1,
            persons: 1,
            fps: 30.0,
        };
        let at = points(&drawn(&sequence, &layout));
        assert!(
            at.iter()
                .all(|(p, _)| (p.x - 140.0).abs() < 1e-3 && (p.y - 95.0).abs() < 1e-3)
        );
    }
}
