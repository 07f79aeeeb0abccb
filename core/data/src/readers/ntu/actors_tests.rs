use std::path::Path;

use super::*;
use crate::readers::ntu::parse::parse;
use crate::readers::ntu::test_files::{Body, file};

/// A body of height 2.4 that stands at `x` and is `width` wide.
fn body(id: u64, x: f32, width: f32) -> Body {
    let joint = |j: usize| [x + width * j as f32 / 24.0, j as f32 / 10.0, 3.0];
    (id, std::array::from_fn(joint))
}

fn empty(id: u64) -> Body {
    (id, [[0.0; 3]; JOINTS])
}

fn tracks(frames: &[Vec<Body>]) -> Tracks {
    Tracks::new(&parse(Path::new("a"), file(frames).as_bytes()).unwrap())
}

/// First joint's x of an actor in every frame.
fn path(persons: &Persons, actor: usize) -> Vec<f32> {
    (0..persons.frames())
        .map(|frame| persons.row(frame, actor)[0][0])
        .collect()
}

fn loose() -> Denoising {
    Denoising {
        length: 0,
        ..Denoising::default()
    }
}

#[test]
fn a_single_body_slides_together_when_it_leaves_and_returns() {
    let there = |x| vec![body(7, x, 0.1)];
    let all = tracks(&[there(1.0), vec![], there(2.0), vec![], there(3.0)]);
    assert_eq!((all.frames, all.dropped.as_slice()), (3, [1, 3].as_slice()));
    assert_eq!(path(&all.actors(&loose()), 0), [1.0, 2.0, 3.0]);
    // Away while another is there: its third frame slides into the second's place, the other's interval touches
    // its own in one frame, which is no overlap, and the last frame is left empty.
    let all = tracks(&[there(1.0), vec![body(8, 9.0, 0.1)], there(3.0)]);
    let out = all.actors(&loose());
    assert_eq!((path(&out, 0), path(&out, 1)), (vec![1.0, 9.0], vec![0.0; 2]));
}

#[test]
fn bodies_that_follow_each_other_are_one_actor() {
    let one = |id, x| vec![body(id, x, 0.1)];
    let all = tracks(&[one(1, 1.0), one(1, 2.0), one(2, 3.0), one(2, 4.0)]);
    let out = all.actors(&loose());
    assert_eq!(
        (path(&out, 0), path(&out, 1)),
        (vec![1.0, 2.0, 3.0, 4.0], vec![0.0; 4])
    );
}

#[test]
fn the_one_that_moves_most_is_the_first_actor_and_a_third_is_left_out() {
    let frame = |t: f32| vec![body(1, 5.0, 0.1), body(2, t, 0.1), body(3, 7.0 + 0.1 * t, 0.1)];
    let out = tracks(&[frame(0.0), frame(2.0), frame(4.0)]).actors(&loose());
    assert_eq!(path(&out, 0), [0.0, 2.0, 4.0]);
    assert_eq!(path(&out, 1), [7.0, 7.2, 7.4]);
}

#[test]
fn short_and_wide_bodies_are_noise_but_one_is_left() {
    let both = vec![body(1, 1.0, 0.1), body(2, 5.0, 3.0)];
    let out = tracks(&vec![both.clone(); 12]).actors(&Denoising::default());
    assert_eq!((out.persons, out.frames()), (1, 12));
    let mut frames = vec![vec![body(1, 1.0, 3.0)]; 12];
    frames[0].push(body(2, 5.0, 0.1));
    let out = tracks(&frames).actors(&Denoising::default());
    assert_eq!((out.persons, path(&out, 0)[0]), (1, 1.0));
    // Eleven frames are too few, but not when nobody has more.
    let out = tracks(&vec![vec![body(1, 1.0, 0.1), body(2, 5.0, 0.1)]; 11]).actors(&Denoising::default());
    assert_eq!(out.persons, 2);
}

#[test]
fn empty_frames_go_when_there_were_two_bodies() {
    let frames = [
        vec![body(1, 1.0, 0.1), body(2, 5.0, 0.1)],
        vec![empty(1), empty(2)],
        vec![body(1, 2.0, 0.1)],
    ];
    assert_eq!(tracks(&frames).actors(&loose()).frames(), 2);
    let frames = [vec![body(1, 1.0, 0.1)], vec![empty(1)]];
    assert_eq!(tracks(&frames).actors(&loose()).frames(), 2);
}

#[test]
fn an_id_given_twice_in_a_frame_does_not_run_over_the_end() {
    let out = tracks(&[vec![body(1, 1.0, 0.1), body(1, 2.0, 0.1)]]).actors(&loose());
    assert_eq!(path(&out, 0), [1.0]);
    assert_eq!(tracks(&[vec![]]).actors(&loose()).frames(), 0);
}
