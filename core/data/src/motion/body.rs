//! Forward kinematics: from a posture to the 25 joints of the Kinect v2 (`ntu25`).
//!
//! Segment lengths are shares of the stature after Drillis & Contini, "Body segment parameters", 1966; shoulder and
//! hip joints stand closer together, as the Kinect places them.

use rand::{Rng, RngExt};

use super::pose::{Channel, Pose, Side};
use super::space::{UP, Vec3, across, add, cos, posture, scale, sin, sub, turn, unit};

/// V.
pub(super) const JOINTS: usize = 25;
/// The joints that a sensor tracks worst: hands, their tips and thumbs, feet.
pub(super) const EXTREMITIES: [usize; 8] = [7, 11, 15, 19, 21, 22, 23, 24];

// Joint 0 is the base of the spine, where limbs are first built.
const SPINE_MID: usize = 1;
const NECK: usize = 2;
const HEAD: usize = 3;
const CHEST: usize = 20;

/// Joint numbers of one arm: shoulder, elbow, wrist, hand, tip, thumb.
fn arm_joints(side: Side) -> [usize; 6] {
    match side {
        Side::Left => [4, 5, 6, 7, 21, 22],
        Side::Right => [8, 9, 10, 11, 23, 24],
    }
}

/// Joint numbers of one leg: hip, knee, ankle, foot.
fn leg_joints(side: Side) -> [usize; 4] {
    match side {
        Side::Left => [12, 13, 14, 15],
        Side::Right => [16, 17, 18, 19],
    }
}

/// Segment lengths in metres.
#[derive(Clone, Debug)]
pub(super) struct Body {
    lower_spine: f64,
    upper_spine: f64,
    neck: f64,
    head: f64,
    shoulder: f64,
    hip: f64,
    upper_arm: f64,
    forearm: f64,
    palm: f64,
    fingers: f64,
    thigh: f64,
    shank: f64,
    foot: f64,
    sole: f64,
}

impl Body {
    /// A body of this stature in metres; `vary` draws a factor near 1 for each group of segments.
    fn of_stature(stature: f64, mut vary: impl FnMut(f64) -> f64) -> Self {
        let h = stature;
        let (trunk, width, arm, leg) = (vary(0.04), vary(0.09), vary(0.05), vary(0.05));
        Self {
            lower_spine: 0.150 * h * trunk,
            upper_spine: 0.130 * h * trunk,
            neck: 0.045 * h,
            head: 0.080 * h,
            shoulder: 0.105 * h * width,
            hip: 0.048 * h * width,
            upper_arm: 0.172 * h * arm,
            forearm: 0.146 * h * arm,
            palm: 0.045 * h * arm,
            fingers: 0.048 * h * arm,
            thigh: 0.245 * h * leg,
            shank: 0.246 * h * leg,
            foot: 0.075 * h,
            sole: 0.039 * h,
        }
    }

    /// Draws a person; `variation` 0 gives the average body.
    pub(super) fn draw(rng: &mut impl Rng, variation: f64) -> Self {
        let mut within = |half: f64| 1.0 + variation * half * rng.random_range(-1.0..1.0);
        let stature = 1.72 * within(0.13);
        Self::of_stature(stature, within)
    }

    /// Joints of a posture in metres, `[V][xyz]`: the person looks along −z, its rest position is the origin of the
    /// floor, and bone lengths don't depend on the posture.
    pub(super) fn solve(&self, pose: &Pose) -> [Vec3; JOINTS] {
        let mut joints = [[0.0; 3]; JOINTS];
        self.trunk(pose, &mut joints);
        for side in Side::BOTH {
            self.arm(pose, side, &mut joints);
            self.leg(pose, side, &mut joints);
        }
        let root = self.root(pose, &joints);
        joints.map(|joint| add(joint, root))
    }

    fn trunk(&self, pose: &Pose, joints: &mut [Vec3; JOINTS]) {
        let frame = |share| trunk_frame(pose, share);
        joints[SPINE_MID] = scale(turn(&frame(0.5), UP), self.lower_spine);
        joints[CHEST] = add(joints[SPINE_MID], scale(turn(&frame(0.85), UP), self.upper_spine));
        let chest = frame(1.0);
        joints[NECK] = add(joints[CHEST], scale(turn(&chest, UP), self.neck));
        let face = posture(
            pose.axial(Channel::Nod),
            pose.axial(Channel::Tilt),
            pose.axial(Channel::Look),
        );
        // The middle of the head lies ahead of the neck, which is what makes nods and turns visible.
        let head = scale([0.0, 0.93, -0.37], self.head);
        joints[HEAD] = add(joints[NECK], turn(&chest, turn(&face, head)));
        for side in Side::BOTH {
            let shoulder = [side.sign() * self.shoulder, -0.1 * self.shoulder, 0.0];
            joints[arm_joints(side)[0]] = add(joints[CHEST], turn(&chest, shoulder));
            let hip = [side.sign() * self.hip, -0.6 * self.hip, 0.0];
            joints[leg_joints(side)[0]] = turn(&frame(0.3), hip);
        }
    }

    fn arm(&self, pose: &Pose, side: Side, joints: &mut [Vec3; JOINTS]) {
        let [shoulder, elbow, wrist, hand, tip, thumb] = arm_joints(side);
        let chest = trunk_frame(pose, 1.0);
        let out = side.sign();
        let get = |channel| pose.get(channel, side);
        let (level, azimuth) = (sin(get(Channel::Elevation)), get(Channel::Azimuth));
        let towards = [
            out * level * sin(azimuth),
            -cos(get(Channel::Elevation)),
            -level * cos(azimuth),
        ];
        // At swivel 0 the elbow hangs below a hand held ahead, and lies behind a hanging arm.
        let (s, c) = (sin(get(Channel::Swivel)), cos(get(Channel::Swivel)));
        let held_ahead = (-towards[2]).max(0.0);
        let pole = [out * (s + 0.15), -c * held_ahead, c * (1.0 - 0.6 * held_ahead)];
        let span = get(Channel::Reach).clamp(0.25, 0.998) * (self.upper_arm + self.forearm);
        let bend = two_bones(self.upper_arm, self.forearm, span);
        let knuckle = across(pole, towards);
        let elbow_at = add(scale(towards, bend.along), scale(knuckle, bend.aside));
        joints[elbow] = add(joints[shoulder], turn(&chest, elbow_at));
        joints[wrist] = add(joints[shoulder], turn(&chest, scale(towards, span)));
        let forearm = unit(sub(scale(towards, span), elbow_at));
        let bent = get(Channel::Wrist);
        let inward = across([-out, 0.0, -0.6], forearm);
        let palm = add(scale(forearm, cos(bent)), scale(inward, sin(bent)));
        let pointing = add(scale(palm, 0.6), scale(across(inward, palm), 0.8));
        joints[hand] = add(joints[wrist], turn(&chest, scale(palm, self.palm)));
        joints[tip] = add(joints[hand], turn(&chest, scale(palm, self.fingers)));
        joints[thumb] = add(joints[hand], turn(&chest, scale(pointing, 0.8 * self.fingers)));
    }

    fn leg(&self, pose: &Pose, side: Side, joints: &mut [Vec3; JOINTS]) {
        let [hip, knee, ankle, foot] = leg_joints(side);
        let get = |channel| pose.get(channel, side);
        let (flex, spread) = (get(Channel::Flex), get(Channel::Abduct));
        let bone = |angle: f64| {
            [
                side.sign() * sin(spread),
                -cos(spread) * cos(angle),
                -cos(spread) * sin(angle),
            ]
        };
        let shin = flex - get(Channel::Knee);
        joints[knee] = add(joints[hip], scale(bone(flex), self.thigh));
        joints[ankle] = add(joints[knee], scale(bone(shin), self.shank));
        // A planted foot lies flat; a free one follows the shin half way.
        let free = 1.0 - get(Channel::Plant).clamp(0.0, 1.0);
        let down = 22.0 + get(Channel::Toe) - 0.5 * free * shin;
        let ahead = [side.sign() * 0.12, -sin(down), -cos(down)];
        joints[foot] = add(joints[ankle], scale(unit(ahead), self.foot));
    }

    /// Where the pelvis is, so that the lowest foot stands on the floor and planted feet stay in place.
    fn root(&self, pose: &Pose, joints: &[Vec3; JOINTS]) -> Vec3 {
        let ankles = Side::BOTH.map(|side| (side, joints[leg_joints(side)[2]]));
        let floor = ankles[0].1[1].min(ankles[1].1[1]) - self.sole;
        let mut root = [
            0.0,
            pose.axial(Channel::Lift) - floor,
            -pose.axial(Channel::Travel),
        ];
        let firm = ankles.map(|(side, _)| pose.get(Channel::Plant, side).clamp(0.0, 1.0));
        let total = (firm[0] + firm[1]).max(1.0);
        for ((side, ankle), firm) in ankles.into_iter().zip(firm) {
            root[0] -= firm / total * (ankle[0] - side.sign() * 1.6 * self.hip);
            root[2] -= firm / total * ankle[2];
        }
        root
    }
}

fn trunk_frame(pose: &Pose, share: f64) -> [Vec3; 3] {
    posture(
        share * pose.axial(Channel::Bend),
        share * pose.axial(Channel::Lean),
        share * pose.axial(Channel::Twist),
    )
}

struct Elbow {
    along: f64,
    aside: f64,
}

/// Where the joint between two bones lies when their ends are `span` apart.
fn two_bones(first: f64, second: f64, span: f64) -> Elbow {
    let along = (span * span + first * first - second * second) / (2.0 * span);
    let along = along.clamp(-first, first);
    Elbow {
        along,
        aside: (first * first - along * along).sqrt(),
    }
}
