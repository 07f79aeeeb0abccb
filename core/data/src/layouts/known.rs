//! The known layouts as tables.

use std::sync::{Arc, OnceLock};

use szar_core::{Part, SkeletonLayout};

use super::derive::mirror_pairs;

/// One layout, as written down; everything else follows from the joint names.
struct Table {
    name: &'static str,
    joints: &'static str,
    bones: &'static [(usize, usize)],
    /// Names of centre, spine, left shoulder, right shoulder.
    anchors: [&'static str; 4],
    /// Head, hands, torso, legs.
    parts: [&'static [usize]; 4],
}

/// Kinect v1 (SDK 1). Bones as the graph of CTR-GCN for NW-UCLA.
const KINECT_V1: Table = Table {
    name: "kinect-v1-20",
    joints: "hip_center spine shoulder_center head \
             shoulder_left elbow_left wrist_left hand_left shoulder_right elbow_right wrist_right hand_right \
             hip_left knee_left ankle_left foot_left hip_right knee_right ankle_right foot_right",
    bones: &[
        (0, 1),
        (1, 2),
        (3, 2),
        (4, 2),
        (5, 4),
        (6, 5),
        (7, 6),
        (8, 2),
        (9, 8),
        (10, 9),
        (11, 10),
        (12, 0),
        (13, 12),
        (14, 13),
        (15, 14),
        (16, 0),
        (17, 16),
        (18, 17),
        (19, 18),
    ],
    anchors: ["shoulder_center", "spine", "shoulder_left", "shoulder_right"],
    parts: [
        &[2, 3, 4, 8],
        &[4, 5, 6, 7, 8, 9, 10, 11],
        &[0, 1, 2, 4, 8, 12, 16],
        &[0, 12, 13, 14, 15, 16, 17, 18, 19],
    ],
};

/// The Kinect v1 joints in the order of MSRAction3D's files.
const MSR_ORDER: &str = "shoulder_left shoulder_right shoulder_center spine hip_left hip_right hip_center \
     elbow_left elbow_right wrist_left wrist_right hand_left hand_right knee_left knee_right \
     ankle_left ankle_right foot_left foot_right head";

/// The Kinect v1 joints in the order of UTD-MHAD's files.
const UTD_ORDER: &str = "head shoulder_center spine hip_center \
     shoulder_left elbow_left wrist_left hand_left shoulder_right elbow_right wrist_right hand_right \
     hip_left knee_left ankle_left foot_left hip_right knee_right ankle_right foot_right";

/// Kinect v2, NTU RGB+D. Bones in the official inward order; parts of Skeleton-Cache and PURLS.
const NTU: Table = Table {
    name: "ntu25",
    joints: "spine_base spine_mid neck head \
             shoulder_left elbow_left wrist_left hand_left shoulder_right elbow_right wrist_right hand_right \
             hip_left knee_left ankle_left foot_left hip_right knee_right ankle_right foot_right \
             spine_shoulder hand_tip_left thumb_left hand_tip_right thumb_right",
    bones: &[
        (0, 1),
        (1, 20),
        (2, 20),
        (3, 2),
        (4, 20),
        (5, 4),
        (6, 5),
        (7, 6),
        (8, 20),
        (9, 8),
        (10, 9),
        (11, 10),
        (12, 0),
        (13, 12),
        (14, 13),
        (15, 14),
        (16, 0),
        (17, 16),
        (18, 17),
        (19, 18),
        (21, 22),
        (22, 7),
        (23, 24),
        (24, 11),
    ],
    anchors: ["spine_shoulder", "spine_mid", "shoulder_left", "shoulder_right"],
    parts: [
        &[2, 3, 4, 8, 20],
        &[4, 5, 6, 7, 8, 9, 10, 11, 21, 22, 23, 24],
        &[0, 1, 4, 8, 12, 16, 20],
        &[0, 12, 13, 14, 15, 16, 17, 18, 19],
    ],
};

/// OpenNI's fifteen joints, to which other skeletons are reduced.
const COMMON: Table = Table {
    name: "common15",
    joints: "head neck torso shoulder_left elbow_left hand_left shoulder_right elbow_right hand_right \
             hip_left knee_left foot_left hip_right knee_right foot_right",
    bones: &[
        (2, 1),
        (0, 1),
        (3, 1),
        (4, 3),
        (5, 4),
        (6, 1),
        (7, 6),
        (8, 7),
        (9, 2),
        (10, 9),
        (11, 10),
        (12, 2),
        (13, 12),
        (14, 13),
    ],
    anchors: ["neck", "torso", "shoulder_left", "shoulder_right"],
    parts: [
        &[0, 1, 3, 6],
        &[3, 4, 5, 6, 7, 8],
        &[1, 2, 3, 6, 9, 12],
        &[2, 9, 10, 11, 12, 13, 14],
    ],
};

/// OpenPose, 18 key points of COCO with a neck (Kinetics-Skeleton). Parts of PURLS.
const OPENPOSE: Table = Table {
    name: "openpose18",
    joints: "nose neck shoulder_right elbow_right wrist_right shoulder_left elbow_left wrist_left \
             hip_right knee_right ankle_right hip_left knee_left ankle_left \
             eye_right eye_left ear_right ear_left",
    bones: &[
        (4, 3),
        (3, 2),
        (7, 6),
        (6, 5),
        (13, 12),
        (12, 11),
        (10, 9),
        (9, 8),
        (11, 5),
        (8, 2),
        (5, 1),
        (2, 1),
        (0, 1),
        (15, 0),
        (14, 0),
        (17, 15),
        (16, 14),
    ],
    anchors: ["neck", "neck", "shoulder_left", "shoulder_right"],
    parts: [
        &[0, 14, 15, 16, 17],
        &[1, 2, 3, 4, 5, 6, 7],
        &[0, 1, 2, 5, 8, 11],
        &[8, 9, 10, 11, 12, 13],
    ],
};

/// COCO's 17 key points, as most image detectors give them. No joint lies on the trunk, so the nose is the centre.
const COCO: Table = Table {
    name: "coco17",
    joints: "nose eye_left eye_right ear_left ear_right \
             shoulder_left shoulder_right elbow_left elbow_right wrist_left wrist_right \
             hip_left hip_right knee_left knee_right ankle_left ankle_right",
    bones: &[
        (15, 13),
        (13, 11),
        (16, 14),
        (14, 12),
        (11, 5),
        (12, 6),
        (9, 7),
        (7, 5),
        (10, 8),
        (8, 6),
        (5, 0),
        (6, 0),
        (1, 0),
        (3, 1),
        (2, 0),
        (4, 2),
    ],
    anchors: ["nose", "nose", "shoulder_left", "shoulder_right"],
    parts: [
        &[0, 1, 2, 3, 4],
        &[5, 6, 7, 8, 9, 10],
        &[5, 6, 11, 12],
        &[11, 12, 13, 14, 15, 16],
    ],
};

/// OpenPose's body model of 25 key points.
const OPENPOSE_25: Table = Table {
    name: "openpose25",
    joints: "nose neck shoulder_right elbow_right wrist_right shoulder_left elbow_left wrist_left \
             mid_hip hip_right knee_right ankle_right hip_left knee_left ankle_left \
             eye_right eye_left ear_right ear_left \
             big_toe_left small_toe_left heel_left big_toe_right small_toe_right heel_right",
    bones: &[
        (0, 1),
        (2, 1),
        (3, 2),
        (4, 3),
        (5, 1),
        (6, 5),
        (7, 6),
        (8, 1),
        (9, 8),
        (10, 9),
        (11, 10),
        (12, 8),
        (13, 12),
        (14, 13),
        (15, 0),
        (16, 0),
        (17, 15),
        (18, 16),
        (19, 14),
        (20, 19),
        (21, 14),
        (22, 11),
        (23, 22),
        (24, 11),
    ],
    anchors: ["neck", "mid_hip", "shoulder_left", "shoulder_right"],
    parts: [
        &[0, 1, 15, 16, 17, 18],
        &[2, 3, 4, 5, 6, 7],
        &[1, 2, 5, 8, 9, 12],
        &[8, 9, 10, 11, 12, 13, 14, 19, 20, 21, 22, 23, 24],
    ],
};

/// MediaPipe Pose (BlazePose), 33 landmarks. No joint lies on the trunk, so the nose is the centre.
const MEDIAPIPE: Table = Table {
    name: "mediapipe33",
    joints: "nose eye_inner_left eye_left eye_outer_left eye_inner_right eye_right eye_outer_right \
             ear_left ear_right mouth_left mouth_right \
             shoulder_left shoulder_right elbow_left elbow_right wrist_left wrist_right \
             pinky_left pinky_right index_left index_right thumb_left thumb_right \
             hip_left hip_right knee_left knee_right ankle_left ankle_right \
             heel_left heel_right foot_index_left foot_index_right",
    bones: &[
        (1, 0),
        (2, 1),
        (3, 2),
        (7, 3),
        (4, 0),
        (5, 4),
        (6, 5),
        (8, 6),
        (9, 0),
        (10, 0),
        (11, 0),
        (12, 0),
        (13, 11),
        (15, 13),
        (17, 15),
        (19, 15),
        (21, 15),
        (14, 12),
        (16, 14),
        (18, 16),
        (20, 16),
        (22, 16),
        (23, 11),
        (25, 23),
        (27, 25),
        (29, 27),
        (31, 27),
        (24, 12),
        (26, 24),
        (28, 26),
        (30, 28),
        (32, 28),
    ],
    anchors: ["nose", "nose", "shoulder_left", "shoulder_right"],
    parts: [
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
        &[11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22],
        &[11, 12, 23, 24],
        &[23, 24, 25, 26, 27, 28, 29, 30, 31, 32],
    ],
};

/// HDM05's 31 joints: the root and the far end of every bone (`lclavicle` ends at the left shoulder).
const HDM: Table = Table {
    name: "hdm05-31",
    joints: "root lhipjoint lfemur ltibia lfoot ltoes rhipjoint rfemur rtibia rfoot rtoes \
             lowerback upperback thorax lowerneck upperneck head \
             lclavicle lhumerus lradius lwrist lhand lfingers lthumb \
             rclavicle rhumerus rradius rwrist rhand rfingers rthumb",
    bones: &[
        (1, 0),
        (6, 0),
        (0, 11),
        (2, 1),
        (3, 2),
        (4, 3),
        (5, 4),
        (7, 6),
        (8, 7),
        (9, 8),
        (10, 9),
        (11, 12),
        (12, 13),
        (14, 13),
        (17, 13),
        (24, 13),
        (15, 14),
        (16, 15),
        (18, 17),
        (19, 18),
        (20, 19),
        (21, 20),
        (23, 20),
        (22, 21),
        (25, 24),
        (26, 25),
        (27, 26),
        (28, 27),
        (30, 27),
        (29, 28),
    ],
    anchors: ["thorax", "upperback", "lclavicle", "rclavicle"],
    parts: [
        &[13, 14, 15, 16, 17, 24],
        &[17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30],
        &[0, 1, 6, 11, 12, 13, 17, 24],
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    ],
};

/// Bandai-Namco-Research-Motiondataset, 26 joints (`UpperArm` starts at the shoulder, `UpperLeg` at the hip).
const BANDAI: Table = Table {
    name: "bandai-26",
    joints: "Hips Spine Chest Neck Head Head_End Shoulder_L UpperArm_L LowerArm_L Hand_L Hand_L_End \
             Shoulder_R UpperArm_R LowerArm_R Hand_R Hand_R_End \
             UpperLeg_L LowerLeg_L Foot_L Toes_L Toes_L_End UpperLeg_R LowerLeg_R Foot_R Toes_R Toes_R_End",
    bones: &[
        (0, 1),
        (1, 2),
        (3, 2),
        (4, 3),
        (5, 4),
        (6, 2),
        (7, 6),
        (8, 7),
        (9, 8),
        (10, 9),
        (11, 2),
        (12, 11),
        (13, 12),
        (14, 13),
        (15, 14),
        (16, 0),
        (17, 16),
        (18, 17),
        (19, 18),
        (20, 19),
        (21, 0),
        (22, 21),
        (23, 22),
        (24, 23),
        (25, 24),
    ],
    anchors: ["Chest", "Spine", "UpperArm_L", "UpperArm_R"],
    parts: [
        &[2, 3, 4, 5, 7, 12],
        &[7, 8, 9, 10, 12, 13, 14, 15],
        &[0, 1, 2, 6, 7, 11, 12, 16, 21],
        &[0, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25],
    ],
};

/// All layouts, sorted by name; made once.
pub(super) fn layouts() -> &'static [Arc<SkeletonLayout>] {
    static ALL: OnceLock<Vec<Arc<SkeletonLayout>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut florence = build(&COMMON);
        florence.name = "florence15".into();
        let kinect = build(&KINECT_V1);
        let mut list = vec![
            reordered(&kinect, "msr-20", MSR_ORDER),
            reordered(&kinect, "utd-20", UTD_ORDER),
            kinect,
            florence,
        ];
        list.extend([&NTU, &COMMON, &OPENPOSE, &HDM, &BANDAI].map(build));
        list.extend([&COCO, &OPENPOSE_25, &MEDIAPIPE].map(build));
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list.into_iter().map(Arc::new).collect()
    })
}

fn names(joints: &str) -> Vec<String> {
    joints.split_whitespace().map(str::to_owned).collect()
}

fn build(table: &Table) -> SkeletonLayout {
    let joints = names(table.joints);
    let at = |name: &str| {
        let found = joints.iter().position(|j| j == name);
        found.unwrap_or_else(|| panic!("layout table `{}` has no joint `{name}`", table.name))
    };
    let [centre, spine, left, right] = table.anchors.map(at);
    SkeletonLayout {
        name: table.name.into(),
        bones: table.bones.to_vec(),
        centre,
        spine,
        shoulders: (left, right),
        mirror: mirror_pairs(&joints),
        parts: parts(table.parts.map(<[usize]>::to_vec)),
        joints,
    }
}

/// Names the four parts.
pub(super) fn parts(joints: [Vec<usize>; 4]) -> Vec<Part> {
    let names = ["head", "hands", "torso", "legs"];
    let named = |(name, joints): (&str, Vec<usize>)| Part {
        name: name.into(),
        joints,
    };
    names.into_iter().zip(joints).map(named).collect()
}

/// The same skeleton with its joints in another order.
fn reordered(from: &SkeletonLayout, name: &str, order: &str) -> SkeletonLayout {
    let joints = names(order);
    let moved: Vec<usize> = from
        .joints
        .iter()
        .map(|j| {
            joints
                .iter()
                .position(|n| n == j)
                .unwrap_or_else(|| panic!("layout `{name}` lacks `{j}`"))
        })
        .collect();
    let pair = |&(a, b): &(usize, usize)| (moved[a], moved[b]);
    let mut layout = SkeletonLayout {
        name: name.into(),
        bones: from.bones.iter().map(pair).collect(),
        centre: moved[from.centre],
        spine: moved[from.spine],
        shoulders: pair(&from.shoulders),
        mirror: mirror_pairs(&joints),
        parts: from.parts.clone(),
        joints,
    };
    for part in &mut layout.parts {
        for joint in &mut part.joints {
            *joint = moved[*joint];
        }
        part.joints.sort_unstable();
    }
    layout
}
