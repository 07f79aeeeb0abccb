//! A posture as a list of numbers that primitives can blend.

/// One number of a posture. Angles are in degrees, lengths in metres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// Way gone ahead.
    Travel,
    /// Height of the feet above the floor.
    Lift,
    /// Trunk bent forward.
    Bend,
    /// Trunk leant sideways.
    Lean,
    /// Trunk turned about the spine.
    Twist,
    /// Head tipped forward.
    Nod,
    /// Head tipped sideways.
    Tilt,
    /// Head turned.
    Look,
    /// Hand seen from the shoulder: 0 hanging, 90 level, 180 overhead.
    Elevation,
    /// Hand seen from the shoulder: 0 ahead, 90 outward, negative across the body.
    Azimuth,
    /// Distance of the wrist from the shoulder, 1 for a straight arm. No unit.
    Reach,
    /// Where the elbow points: 0 down and back, 90 outward.
    Swivel,
    /// Hand bent at the wrist.
    Wrist,
    /// Thigh raised ahead.
    Flex,
    /// Leg spread outward.
    Abduct,
    /// Knee bent.
    Knee,
    /// Toes pointed down.
    Toe,
    /// How firmly the foot holds its place on the floor, `0 ..= 1`. No unit.
    Plant,
}

/// Channels that exist once; the others exist for each side.
const AXIAL: usize = Channel::Look as usize + 1;
const SIDED: usize = Channel::Plant as usize + 1 - AXIAL;
const LEN: usize = AXIAL + 2 * SIDED;

/// A side of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Left, Self::Right];

    pub(super) fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    /// Sign of x on this side.
    pub(super) fn sign(self) -> f64 {
        match self {
            Self::Left => -1.0,
            Self::Right => 1.0,
        }
    }
}

impl Channel {
    /// True when the channel exists for each side.
    pub(super) fn is_sided(self) -> bool {
        self as usize >= AXIAL
    }

    /// Where the number stands; axial channels ignore the side.
    pub(super) fn index(self, side: Side) -> usize {
        let at = self as usize;
        if self.is_sided() && side == Side::Right {
            at + SIDED
        } else {
            at
        }
    }

    /// Factor that turns "towards this side" into the channel's own sign; 1 for what has no direction.
    pub(super) fn towards(self, side: Side) -> f64 {
        match self {
            Self::Lean | Self::Tilt => side.sign(),
            Self::Twist | Self::Look => -side.sign(),
            _ => 1.0,
        }
    }

    /// How much people differ in this number when they do the same thing (standard deviation); ours.
    pub(super) fn spread(self) -> f64 {
        match self {
            Self::Travel | Self::Lift | Self::Plant => 0.0,
            Self::Reach => 0.075,
            Self::Elevation | Self::Azimuth | Self::Swivel => 17.0,
            Self::Nod | Self::Tilt | Self::Look => 6.0,
            Self::Bend | Self::Lean | Self::Twist => 8.0,
            Self::Abduct => 6.0,
            Self::Flex | Self::Knee | Self::Toe | Self::Wrist => 12.0,
        }
    }
}

/// A posture: one number per channel and side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pose([f64; LEN]);

impl Pose {
    /// Standing at ease with hanging arms.
    pub(super) fn standing() -> Self {
        let mut pose = Self([0.0; LEN]);
        for side in Side::BOTH {
            pose.set(Channel::Elevation, side, 9.0);
            pose.set(Channel::Azimuth, side, 75.0);
            pose.set(Channel::Reach, side, 0.96);
            pose.set(Channel::Swivel, side, 15.0);
            pose.set(Channel::Flex, side, 2.0);
            pose.set(Channel::Knee, side, 4.0);
            pose.set(Channel::Abduct, side, 4.0);
            pose.set(Channel::Plant, side, 1.0);
        }
        pose
    }

    pub(super) fn get(&self, channel: Channel, side: Side) -> f64 {
        self.0[channel.index(side)]
    }

    /// An axial channel.
    pub(super) fn axial(&self, channel: Channel) -> f64 {
        self.get(channel, Side::Left)
    }

    pub(super) fn set(&mut self, channel: Channel, side: Side, value: f64) {
        self.0[channel.index(side)] = value;
    }

    /// Adds to a number.
    pub(super) fn shift(&mut self, channel: Channel, side: Side, by: f64) {
        self.0[channel.index(side)] += by;
    }

    /// Goes the share `weight` of the way to a target.
    pub(super) fn pull(&mut self, channel: Channel, side: Side, to: f64, weight: f64) {
        let value = &mut self.0[channel.index(side)];
        *value += weight * (to - *value);
    }
}
