//! Classes that arms and head tell apart.

use super::super::pose::Channel::{Azimuth, Elevation, Nod, Tilt, Twist, Wrist};
use super::super::primitives::{
    Who::{Both, Lead, Other},
    arm, bend, guard, head, lift_leg, swing, twist,
};
use super::super::shape::Shape::Beat;
use super::{Action, BEAT, HELD, again, hold, once};

pub(super) fn gesture(name: &'static str) -> Action {
    let waved = [140.0, 72.0, 0.74, 55.0];
    let raised = [168.0, 45.0, 0.96, 40.0];
    let held = hold(0.22, 0.8, 1.0);
    match name {
        "wave one hand" => again(
            name,
            (0.5, 0.85),
            (2.0, 5.0),
            &[
                arm(Lead, waved, held),
                swing(Elevation, Lead, 20.0, 0.0),
                swing(Wrist, Lead, 15.0, 0.1),
            ],
        ),
        "wave both hands" => again(
            name,
            (0.5, 0.85),
            (2.0, 5.0),
            &[
                arm(Both, waved, held),
                swing(Elevation, Both, 20.0, 0.0),
                swing(Wrist, Both, 15.0, 0.1),
            ],
        ),
        "raise one arm" => once(name, 1.4, 2.6, &[arm(Lead, raised, HELD)]),
        "raise both arms" => once(name, 1.4, 2.6, &[arm(Both, raised, HELD)]),
        _ => again(
            name,
            (0.7, 1.1),
            (2.0, 4.0),
            &[
                arm(Both, [92.0, 75.0, 0.95, 45.0], hold(0.2, 0.82, 1.0)),
                swing(Elevation, Both, 30.0, 0.0),
                swing(Azimuth, Both, 30.0, 0.25),
            ],
        ),
    }
}

pub(super) fn near_head(name: &'static str) -> Action {
    match name {
        "drink" => once(
            name,
            1.5,
            2.6,
            &[
                arm(Lead, [122.0, -45.0, 0.5, 30.0], HELD),
                head(Nod, Both, -18.0, hold(0.45, 0.65, 0.85)),
            ],
        ),
        "phone call" => once(
            name,
            1.6,
            2.8,
            &[
                arm(Lead, [146.0, -50.0, 0.46, 70.0], hold(0.3, 0.9, 1.05)),
                head(Tilt, Lead, 12.0, hold(0.4, 0.9, 1.1)),
            ],
        ),
        "salute" => once(
            name,
            1.2,
            2.2,
            &[arm(Lead, [150.0, -15.0, 0.56, 85.0], hold(0.22, 0.72, 0.95))],
        ),
        "nod" => again(
            name,
            (0.5, 0.9),
            (2.0, 4.0),
            &[head(Nod, Both, 34.0, BEAT), bend(4.0, BEAT)],
        ),
        _ => again(
            name,
            (0.4, 0.7),
            (3.0, 6.0),
            &[
                arm(Both, [74.0, -6.0, 0.64, 35.0], hold(0.18, 0.84, 1.0)),
                swing(Azimuth, Both, 24.0, 0.0),
            ],
        ),
    }
}

pub(super) fn forceful(name: &'static str) -> Action {
    let chest = [98.0, 15.0, 0.42, 45.0];
    let out = [90.0, 2.0, 0.97, 35.0];
    let hit = [93.0, -14.0, 0.98, 30.0];
    match name {
        "punch" => again(
            name,
            (0.9, 1.3),
            (2.0, 2.0),
            &[
                guard(hold(0.15, 0.88, 1.0)),
                arm(Lead, hit, Beat { at: 0.25, half: 0.22 }),
                arm(Other, hit, Beat { at: 0.75, half: 0.22 }),
                swing(Twist, Other, 14.0, 0.0),
                bend(10.0, HELD),
            ],
        ),
        "throw" => once(
            name,
            1.3,
            2.0,
            &[
                arm(Lead, [132.0, 118.0, 0.66, 75.0], hold(0.3, 0.62, 0.95)),
                arm(Lead, [98.0, -8.0, 0.98, 30.0], hold(0.55, 0.62, 1.0)),
                arm(Lead, [48.0, -28.0, 0.92, 20.0], hold(0.72, 0.78, 1.0)),
                twist(Lead, 28.0, hold(0.3, 0.4, 0.55)),
                twist(Other, 26.0, hold(0.6, 0.7, 1.0)),
                bend(16.0, hold(0.6, 0.75, 1.0)),
                lift_leg(Other, 26.0, 18.0, hold(0.45, 0.75, 1.0)),
            ],
        ),
        "push" => once(
            name,
            1.3,
            2.2,
            &[
                arm(Both, chest, hold(0.28, 0.85, 1.0)),
                arm(Both, out, hold(0.55, 0.72, 0.95)),
                bend(14.0, hold(0.55, 0.72, 1.0)),
            ],
        ),
        "pull" => once(
            name,
            1.3,
            2.2,
            &[
                arm(Both, out, hold(0.28, 0.85, 1.0)),
                arm(Both, [72.0, 25.0, 0.42, 40.0], hold(0.62, 0.78, 1.0)),
                bend(10.0, hold(0.3, 0.4, 0.6)),
                bend(-10.0, hold(0.62, 0.78, 1.0)),
            ],
        ),
        _ => again(
            name,
            (0.9, 1.5),
            (1.0, 3.0),
            &[
                arm(Both, [76.0, 30.0, 0.5, 75.0], hold(0.2, 0.85, 1.0)),
                swing(Twist, Lead, 42.0, 0.0),
            ],
        ),
    }
}
