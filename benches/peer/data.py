"""Raw NTU recordings read the way it is usually done in Python: line by line, into numpy arrays."""

import sys

import numpy as np
import turns

BODY = ("id", "cliped_edges", "left_confidence", "left_state", "right_confidence", "right_state", "restricted", "lean_x", "lean_y", "tracking")


def read(path):
    """Frames, each a list of bodies: its ten fields, and its joints as an array [25, 12]."""
    with open(path) as file:
        frames = []
        for _ in range(int(file.readline())):
            bodies = []
            for _ in range(int(file.readline())):
                body = dict(zip(BODY, file.readline().split()))
                joints = [
                    [float(number) for number in file.readline().split()] for _ in range(int(file.readline()))
                ]
                body["joints"] = np.array(joints, dtype=np.float32)
                bodies.append(body)
            frames.append(bodies)
    return frames


def make(name):
    path = f"{sys.argv[1]}/{name.split('/')[-1]}.skeleton"

    def work():
        assert read(path)
        return 1

    return work


if __name__ == "__main__":
    turns.serve(make)
