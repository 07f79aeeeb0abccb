//! Classes that legs and trunk tell apart.

use super::super::pose::Channel::{Elevation, Flex, Knee, Lean, Nod, Travel};
use super::super::primitives::{
    Track,
    Who::{Both, Lead, Other},
    arm, arm_swing, bend, crouch, head, lean, leap, lift_leg, spread_leg, steps, swing,
};
use super::super::shape::Shape::{self, Beat, Enter, Hold, Leave};
use super::{Action, BEAT, HELD, again, hold, once};

pub(super) fn legs(name: &'static str) -> Action {
    match name {
        "kick forward" => again(
            name,
            (1.0, 1.6),
            (1.0, 2.0),
            &[
                lift_leg(Lead, 45.0, 75.0, Beat { at: 0.42, half: 0.4 }),
                lift_leg(Lead, 80.0, 8.0, Beat { at: 0.55, half: 0.25 }),
                bend(-12.0, Beat { at: 0.55, half: 0.35 }),
                arm(Other, [50.0, 20.0, 0.8, 30.0], BEAT),
            ],
        ),
        "kick sideways" => again(
            name,
            (1.0, 1.6),
            (1.0, 2.0),
            &[
                lift_leg(Lead, 40.0, 75.0, Beat { at: 0.42, half: 0.4 }),
                lift_leg(Lead, 12.0, 8.0, Beat { at: 0.55, half: 0.25 }),
                spread_leg(Lead, 62.0, Beat { at: 0.55, half: 0.35 }),
                lean(Other, 24.0, Beat { at: 0.55, half: 0.35 }),
                arm(Other, [50.0, 60.0, 0.8, 40.0], BEAT),
            ],
        ),
        "lunge" => again(
            name,
            (1.4, 2.2),
            (1.0, 2.0),
            &[
                lift_leg(Lead, 74.0, 78.0, Beat { at: 0.5, half: 0.46 }),
                vec![
                    Track::to(Flex, Other, -26.0, Beat { at: 0.5, half: 0.46 }),
                    Track::to(Knee, Other, 42.0, Beat { at: 0.5, half: 0.46 }),
                ],
                bend(8.0, BEAT),
            ],
        ),
        "squat" => again(
            name,
            (1.3, 2.2),
            (1.0, 2.0),
            &[
                crouch(88.0, 104.0, BEAT),
                bend(34.0, BEAT),
                arm(Both, [78.0, 8.0, 0.93, 25.0], BEAT),
            ],
        ),
        _ => again(
            name,
            (0.9, 1.3),
            (1.0, 3.0),
            &[
                crouch(48.0, 78.0, Beat { at: 0.28, half: 0.26 }),
                crouch(22.0, 40.0, Beat { at: 0.8, half: 0.16 }),
                bend(28.0, Beat { at: 0.28, half: 0.26 }),
                leap(0.26, Beat { at: 0.58, half: 0.17 }),
                arm(Both, [34.0, 130.0, 0.93, 15.0], Beat { at: 0.2, half: 0.27 }),
                arm(Both, [105.0, 25.0, 0.9, 25.0], Beat { at: 0.56, half: 0.28 }),
            ],
        ),
    }
}

pub(super) fn stepping(name: &'static str) -> Action {
    let held = hold(0.1, 0.9, 1.0);
    match name {
        "walk" => again(
            name,
            (0.95, 1.3),
            (1.5, 2.4),
            &[steps(0.0, 21.0, 42.0, 0.85), arm_swing(24.0, 22.0, 0.93)],
        ),
        "run" => again(
            name,
            (0.6, 0.85),
            (2.2, 3.4),
            &[
                steps(12.0, 33.0, 82.0, 0.75),
                arm(Both, [42.0, 50.0, 0.66, 20.0], held),
                arm_swing(66.0, 40.0, 0.64),
                bend(14.0, held),
                leap(0.07, Beat { at: 0.2, half: 0.16 }),
                leap(0.07, Beat { at: 0.7, half: 0.16 }),
            ],
        ),
        "march" => again(
            name,
            (0.95, 1.35),
            (1.6, 2.6),
            &[
                lift_leg(Lead, 76.0, 84.0, Beat { at: 0.25, half: 0.24 }),
                lift_leg(Other, 76.0, 84.0, Beat { at: 0.75, half: 0.24 }),
                arm_swing(56.0, 34.0, 0.95),
                vec![Track::by(Travel, Both, 0.25, Shape::Advance)],
            ],
        ),
        "hop on one leg" => again(
            name,
            (0.55, 0.85),
            (2.0, 4.0),
            &[
                lift_leg(Other, 22.0, 78.0, hold(0.12, 0.88, 1.0)),
                vec![
                    Track::to(Flex, Lead, 28.0, Beat { at: 0.2, half: 0.28 }),
                    Track::to(Knee, Lead, 46.0, Beat { at: 0.2, half: 0.28 }),
                ],
                leap(0.13, Beat { at: 0.62, half: 0.26 }),
                arm(Both, [42.0, 80.0, 0.82, 35.0], held),
                swing(Elevation, Both, 12.0, 0.4),
            ],
        ),
        _ => again(
            name,
            (0.8, 1.2),
            (2.0, 3.0),
            &[
                arm(Both, [162.0, 88.0, 0.95, 50.0], BEAT),
                spread_leg(Both, 26.0, BEAT),
                leap(0.09, Beat { at: 0.28, half: 0.18 }),
                leap(0.09, Beat { at: 0.76, half: 0.18 }),
                crouch(10.0, 22.0, Beat { at: 0.03, half: 0.16 }),
                crouch(10.0, 22.0, Beat { at: 0.52, half: 0.16 }),
            ],
        ),
    }
}

pub(super) fn trunk(name: &'static str) -> Action {
    let thighs = [46.0, 10.0, 0.78, 30.0];
    match name {
        "sit down" => once(
            name,
            1.4,
            2.4,
            &[
                crouch(86.0, 88.0, Enter { from: 0.15, to: 0.75 }),
                bend(38.0, hold(0.42, 0.55, 0.9)),
                arm(Both, thighs, Enter { from: 0.25, to: 0.8 }),
            ],
        ),
        "stand up" => once(
            name,
            1.4,
            2.4,
            &[
                crouch(86.0, 88.0, Leave { from: 0.28, to: 0.85 }),
                bend(38.0, hold(0.38, 0.5, 0.85)),
                arm(Both, thighs, Leave { from: 0.2, to: 0.75 }),
            ],
        ),
        "bow" => once(
            name,
            1.5,
            2.6,
            &[
                bend(66.0, HELD),
                head(Nod, Both, 16.0, HELD),
                arm(Both, [26.0, 20.0, 0.95, 15.0], HELD),
            ],
        ),
        "bend sideways" => again(
            name,
            (1.6, 2.4),
            (1.0, 1.0),
            &[
                swing(Lean, Lead, 34.0, 0.0),
                arm(
                    Other,
                    [158.0, 62.0, 0.85, 50.0],
                    Hold {
                        rise: 0.2,
                        fall: 0.38,
                        end: 0.55,
                    },
                ),
                arm(Lead, [158.0, 62.0, 0.85, 50.0], Beat { at: 0.75, half: 0.26 }),
            ],
        ),
        _ => once(
            name,
            1.5,
            2.6,
            &[
                bend(74.0, hold(0.42, 0.52, 0.95)),
                crouch(52.0, 66.0, hold(0.42, 0.52, 0.92)),
                arm(Lead, [70.0, 4.0, 0.97, 15.0], hold(0.36, 0.55, 0.85)),
                arm(Lead, [62.0, 2.0, 0.6, 20.0], Enter { from: 0.55, to: 0.9 }),
            ],
        ),
    }
}
