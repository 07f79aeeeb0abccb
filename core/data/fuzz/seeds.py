"""Writes the corpus's first cases: the smallest sound file of every format, from formulas alone.

    python3 seeds.py CORPUS      # needs numpy; torch for two of the weights, xxhash for the store
"""

import json
import math
import pickle
import struct
import sys
import zlib
from pathlib import Path

import numpy as np

ROOT = Path(sys.argv[1])


def put(name, content):
    path = ROOT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def point(frame, joint, body=0):
    """A joint that is never at the origin."""
    return [round(0.1 * joint - 1.2 + body, 3), round(math.sin(frame + 0.3 * joint), 4), round(2.5 + 0.01 * frame, 3)]


def words(values):
    return " ".join(str(v) for v in values)


def ntu(bodies_by_frame):
    lines = [str(len(bodies_by_frame))]
    for frame, bodies in enumerate(bodies_by_frame):
        lines.append(str(len(bodies)))
        for body in bodies:
            lines += [f"7205759403792{body:04d} 0 1 1 1 1 0 0.02 -0.1 2", "25"]
            lines += [words(point(frame, j, body) + [277.4, 191.6, 1036.2, 519.1, 0.2, 0.03, 0.9, -0.1, 2]) for j in range(25)]
    return "\r\n".join(lines) + "\r\n"


def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(name, kind, dims, *parts):
    head = element(6, struct.pack("<II", kind, 0)) + element(5, struct.pack(f"<{len(dims)}i", *dims))
    return element(14, head + element(1, name) + b"".join(parts))


def doubles(name, array):
    return matrix(name, 6, array.shape, element(9, array.astype("<f8").tobytes(order="F")))


def mat(*variables):
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(variables)


def npy(array):
    from io import BytesIO
    out = BytesIO()
    np.save(out, array)
    return out.getvalue()


def savez(name, **arrays):
    path = ROOT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def texts():
    put("ntu-rgbd/one/S900C001P001R001A001.skeleton", ntu([[1], [1]]))
    put("ntu-rgbd/two/S900C001P001R001A050.skeleton", ntu([[1], [], [1, 2]]))
    for case in ("one", "two"):
        put(f"ntu-rgbd/{case}/missing.txt", "The following are missing\nS900C001P001R002A001\n")
    frame = lambda t, n, body=0: [v for j in range(n) for v in point(t, j, body)]
    put("pku-mmd/good/skeletons/0002-L.txt", "".join(words(frame(t, 25) + [0] * 75) + "\r\n" for t in range(4)))
    put("pku-mmd/good/labels/0002-L.txt", "51,0,2,2\r\n1,2,9,1\n")
    ucla = {"file_name": "a01_s01_e00_v01", "skeletons": [[point(t, j) for j in range(20)] for t in range(2)], "label": 1}
    put("nw-ucla/good/a01_s01_e00_v01.json", json.dumps(ucla))
    put("kinect-v2-text/good/1/movement1.txt", "".join(words(point(t, j)) + "\n" for t in range(2) for j in range(25)))
    put("kinect-v2-text/good/classes.txt", "1\tarms up\n2\tarms down\n")
    msr = "".join(words(point(t, j) + [1]) + "\n" for t in range(2) for j in range(20))
    put("msr-action3d/good/a01_s01_e01_skeleton3D.txt", msr)
    put("utkinect/good/joints_s01_e01.txt", "".join(words([t] + frame(t, 20)) + "\n" for t in (3, 5, 5, 8)))
    names = "walk sitDown standUp pickUp carry throw push pull waveHands clapHands".split()
    rows = ["s01_e01"] + [f"{n}: 3 8 " if n != "carry" else "carry: NaN NaN" for n in names]
    put("utkinect/good/actionLabel.txt", "\n".join(rows) + "\n")
    florence = "".join(words([1 + t // 2, 1, 1 + t // 2] + [1000 * v for v in frame(t, 15)]) + "\n" for t in range(4))
    put("florence3d/text/Florence_dataset_WorldCoordinates.txt", florence)
    csv_long = "sample,frame,person,joint,x,y,z,class,subject\na,7,p1,head,1,2,3,walk,4\na,7,p2,0,0.5,0,1,walk,4\na,8,p2,0,,,,walk,4\nb,0,p1,head,1,2,3,run,5\n"
    put("joint-csv/good/all.csv", csv_long)
    suit = """name: my-suit
joints: [pelvis, chest, head, arm_l, hand_l, arm_r, hand_r, leg_l, leg_r]
bones: [[chest, pelvis], [head, chest], [arm_l, chest], [hand_l, arm_l], [arm_r, chest], [hand_r, arm_r], [leg_l, pelvis], [leg_r, pelvis]]
centre: chest
spine: pelvis
shoulders: [arm_l, arm_r]
parts: {head: [head], hands: [arm_l, arm_r, hand_l, hand_r], torso: [chest, pelvis], legs: [leg_l, leg_r]}
"""
    put("joint-csv-layout/good/suit.yaml", suit)
    put("joint-csv-layout/good/all.csv", "frame,joint,x,y,z,class\n0,pelvis,0,1,0,walk\n0,head,0,1.6,0,walk\n1,2,0,1.7,0,walk\n")
    marks = [{"x": p[0], "y": p[1], "z": p[2], "visibility": 0.9} for p in (point(0, j) for j in range(33))]
    put("pose-json/good/walk/1.json", json.dumps([{"worldLandmarks": [marks], "landmarks": []}, {"worldLandmarks": []}]))
    people = {"people": [{"pose_keypoints_2d": [v for j in range(25) for v in (100 + j, 50 - j, 0.8)]}]}
    put("openpose/good/walk/a/000_keypoints.json", json.dumps(people))
    put("openpose/good/walk/a/001_keypoints.json", json.dumps({"people": []}))


def mocap():
    put("bvh/good/walk/a.bvh", """HIERARCHY
ROOT Ground
{
OFFSET 0 0 0
CHANNELS 3 Xposition Yposition Zposition
JOINT Hips { OFFSET 0 90 0 CHANNELS 1 Yrotation
JOINT Spine { OFFSET 0 20 0
JOINT Head { OFFSET 0 30 0 End Site { OFFSET 0 10 0 } }
JOINT LeftShoulder { OFFSET 20 10 0 JOINT LeftHand { OFFSET 50 0 0 } }
JOINT RightShoulder { OFFSET -20 10 0 JOINT RightHand { OFFSET -50 0 0 } }
}
JOINT LeftLeg { OFFSET 10 0 0 }
JOINT RightLeg { OFFSET -10 0 0 }
}
}
MOTION
Frames: 3
Frame Time: 0.025
0 0 0 0
0 0 0 0
100 0 0 90
""")
    bone = "  begin\n    id {}\n    name {}\n    direction {}\n    length {}\n    axis 0 0 0 XYZ\n{}  end\n"
    bones = [("spine", "0 1 0", 2, "    dof rx ry rz\n    limits (-90 90)\n      (-90 90)\n      (-90 90)\n"),
             ("head", "0 1 0", 1, ""), ("lhumerus", "1 0 0", 1, "    dof rz\n"), ("rhumerus", "-1 0 0", 1, "    dof rz\n"),
             ("lhand", "1 0 0", 1, ""), ("rhand", "-1 0 0", 1, ""), ("lfoot", "0 -1 0", 3, ""), ("rfoot", "0 -1 0", 3, "")]
    asf = ":version 1.10\n:units\n  length 0.45\n  angle deg\n:root\n  order TX TY TZ RX RY RZ\n  axis XYZ\n  position 0 0 0\n  orientation 0 0 0\n:bonedata\n"
    asf += "".join(bone.format(i + 1, *b) for i, b in enumerate(bones))
    asf += ":hierarchy\n  begin\n    root spine lfoot rfoot\n    spine head lhumerus rhumerus\n    lhumerus lhand\n    rhumerus rhand\n  end\n"
    put("asf-amc/good/HDM_bd.asf", asf)
    put("asf-amc/good/skeleton.yaml", "name: nine\njoints: [root, spine, head, lhumerus, rhumerus, lhand, rhand, lfoot, rfoot]\ncentre: spine\nspine: root\nshoulders: [lhumerus, rhumerus]\nparts: {head: [head], hands: [lhumerus, rhumerus, lhand, rhand], torso: [root, spine], legs: [lfoot, rfoot]}\n")
    frames = "".join(f"{t}\nroot 0 17 0 0 {t} 0\nspine 0 {t} 0\nlhumerus {t * 10}\nrhumerus 0\n" for t in range(1, 6))
    put("asf-amc/good/HDM_bd_walk_001_120.amc", b"# written by M\xfcller\n" + f":FULLY-SPECIFIED\n:DEGREES\n{frames}".encode())


def arrays():
    utd = np.array([[[point(t, j)[a] for t in range(2)] for a in range(3)] for j in range(20)])
    put("utd-mhad/good/a1_s1_t1_skeleton.mat", mat(doubles(b"d_skel", utd)))
    packed = zlib.compress(doubles(b"d_skel", utd))
    put("utd-mhad/packed/a27_s8_t2_skeleton.mat", mat(struct.pack("<II", 15, len(packed)) + packed))
    body = np.array([[[point(t, j)[a] for t in range(2)] for j in range(15)] for a in range(3)])
    fields = [b"original_skeletal_data", b"subject", b"action"]
    names = b"".join(f.ljust(32, b"\0") for f in fields)
    values = [doubles(b"", body), doubles(b"", np.array([[1.0]])), doubles(b"", np.array([[2.0]]))]
    struct_ = matrix(b"", 2, (1, 1), element(5, struct.pack("<i", 32)), element(1, names), *values)
    put("florence3d/matlab/skeletal_data.mat", mat(matrix(b"skeletal_data", 1, (1, 1), struct_)))
    x = np.array([[[point(t, j) for j in range(15)]] for t in range(5)], np.float32)
    one = lambda *v: np.array(v, np.int64)
    savez("skeleton-npz/good/dataset.npz", x=x, offsets=one(0, 2, 5), label=one(0, 1), subject=one(1, -1), xsub=one(0, 1), flags=one(0, 32), fps=np.array([30], np.float32))
    put("skeleton-npz/good/names.txt", "a01\na02\n")
    put("skeleton-npz/good/classes.txt", "walk\nrun\n")
    joints = "head,neck,torso,left shoulder,left elbow,left hand,right shoulder,right elbow,right hand,left hip,left knee,left foot,right hip,right knee,right foot".split(",")
    bones = [[0, 1], [1, 2], [3, 1], [4, 3], [5, 4], [6, 1], [7, 6], [8, 7], [9, 2], [10, 9], [11, 10], [12, 2], [13, 12], [14, 13]]
    put("skeleton-npz/good/joints.txt", "\n".join(joints) + "\n")
    put("skeleton-npz/good/bones.json", json.dumps(bones))
    split = {"good": {"splits": {"1_1": {"seen": [0], "unseen": ["run"]}}}, "root": {"splits": {"1_1": {"seen": [0], "unseen": ["run"]}}}}
    put("skeleton-npz/good/splits.json", json.dumps(split))
    hot = np.eye(60, dtype=np.float64)
    flat = np.zeros((2, 2, 150), np.float32)
    flat[:, :, :75] = [v for j in range(25) for v in point(1, j)]
    savez("ctr-gcn-npz/good/NTU60_CS.npz", x_train=flat, y_train=hot[:2], x_test=flat[:1], y_test=hot[5:6])
    agcn = np.ones((2, 3, 2, 25, 2), np.float32)
    for part, count in (("train", 2), ("val", 1)):
        put(f"agcn-npy/good/{part}_data_joint.npy", npy(agcn[:count]))
        labels = ([f"S00{i + 1}C001P001R001A001{part}.skeleton" for i in range(count)], list(range(count)))
        put(f"agcn-npy/good/{part}_label.pkl", pickle.dumps(labels, protocol=2 if part == "train" else 4))


def store():
    try:
        import xxhash
    except ImportError:
        return
    joints = ["hip", "chest", "left", "right"]
    parts = [{"name": n, "joints": [i]} for n, i in (("head", 1), ("hands", 2), ("torso", 1), ("legs", 0))]
    layout = dict(name="four", joints=joints, bones=[[0, 1], [2, 1], [3, 1]], centre=1, spine=0, shoulders=[2, 3], mirror=[[2, 3]], parts=parts)
    sequences = [np.array([[point(t, j, m) for m in range(p) for j in range(4)] for t in range(2)], "<f4").reshape(2, p, 4, 3) for p in (1, 2)]
    rows, start = [], 0
    for i, values in enumerate(sequences):
        checksum = struct.unpack("<q", struct.pack("<Q", xxhash.xxh3_64_intdigest(values.tobytes())))[0]
        rows.append([start, 2, values.shape[1], i, 1 - 2 * i, i, 1, checksum])
        start += values.size
    files = {"samples.i64": np.array(rows, "<i8").tobytes(), "fps.f32": np.array([30, 30], "<f4").tobytes(), "names.txt": b"a01\na02\n"}
    for name, content in files.items():
        put(f"skeleton-store/good/{name}", content)
    put("skeleton-store/good/joints.f32", b"".join(s.tobytes() for s in sequences))
    index = dict(format=1, name="good", layout=layout, classes=[[0, "walk"], [1, "run"]], persons=2, synthetic=None, samples=2, frames=4,
                 values=start, checksums=[f"{xxhash.xxh3_64_intdigest(c):016x}" for c in files.values()], source="formulas")
    put("skeleton-store/good/index.json", json.dumps(index, indent=2))


def weights():
    for protocol in (0, 2, 4):
        put(f"pickle/protocol{protocol}/labels.pkl", pickle.dumps((["a", "bc"], [3, 300]), protocol=protocol))
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, "__metadata__": {"component": "st-gcn"}}).encode()
    put("weights/safetensors/weights.safetensors", struct.pack("<Q", len(header)) + header + np.ones(4, "<f4").tobytes())
    try:
        import torch
    except ImportError:
        return
    from collections import OrderedDict
    state = OrderedDict(w=torch.ones(2, 3), b=torch.arange(3))
    (ROOT / "weights/zipped").mkdir(parents=True, exist_ok=True)
    (ROOT / "weights/legacy").mkdir(parents=True, exist_ok=True)
    torch.save(state, ROOT / "weights/zipped/weights.pt")
    torch.save(state, ROOT / "weights/legacy/weights.pt", _use_new_zipfile_serialization=False)


def configuration():
    put("config/good/pipeline.yaml", """name: a
seed: 5
base: other.yaml
dataset: {type: skeleton-npz, root: data/${name}, split: {name: 58_10_seed0}}
preprocess: {type: standard, frames: 48}
adapters: [{type: none}, &a {type: none}, *a]
evaluate: [zsl, gzsl]
""")
    put("config/good/other.yaml", "precision: f32\ntraining: {epochs: 3}\nfeatures:\n  keep: true\n")


for write in (texts, mocap, arrays, store, weights, configuration):
    write()
