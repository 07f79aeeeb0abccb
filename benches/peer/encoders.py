"""The skeleton encoders in plain PyTorch, each as its equations read: the yardstick of benches/encoders.rs.

Names are `ENCODER/infer|train/CASE_BATCH`: `dense` (everybody there), `ntu` (85 % of the samples have one person; all places
are computed, as in published code) or `wide` (the paper's width). `--check FOLDER` instead reads weights, inputs and logits of
szar and prints the number of parameters and the largest differences over the largest value; it fails where they are not the
same network."""

import json
import re
import struct
import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from networks import agcn, ctr_gcn, dgnn, msg3d, posec3d, shift_gcn
from networks.common import CLASSES, JOINTS, PERSONS
from turns import serve

FRAMES = 64
# Network, default width, the paper's width.
ENCODERS = {
    "ctr-gcn": (ctr_gcn.make, 16, 64), "agcn": (agcn.agcn, 16, 64), "aagcn": (agcn.aagcn, 16, 64),
    "shift-gcn": (shift_gcn.make, 16, 64), "dgnn": (dgnn.make, 16, 64), "posec3d": (posec3d.make, 8, 32),
    "msg3d": (msg3d.make, 24, 96),
}


def network(encoder, wide):
    make, *widths = ENCODERS[encoder]
    return make(widths[wide])


def make(name):
    encoder, what, case, batch = re.fullmatch(r"([\w-]+)/(\w+)/(\w+)/B(\d+)", name).groups()
    batch = int(batch)
    net = network(encoder, case == "wide")
    x = torch.randn(batch, 3, FRAMES, JOINTS, PERSONS)
    if case == "ntu":
        x[[i for i in range(batch) if i % 7 != 3], ..., 1] = 0

    @torch.inference_mode()
    def infer():
        net(x)
        return batch

    if what == "infer":
        net.eval()
        return infer
    labels = torch.randint(CLASSES, (batch,))
    optimiser = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9, nesterov=True, weight_decay=1e-4)

    def train():
        optimiser.zero_grad()
        F.cross_entropy(net(x)[1], labels).backward()
        net.after_backward()
        optimiser.step()
        return batch

    return train


def tensors(path):
    """Of a safetensors file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    kinds = {"F32": torch.float32, "I64": torch.int64}
    out = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            start, end = (8 + length + at for at in entry["data_offsets"])
            flat = torch.frombuffer(bytearray(data[start:end]), dtype=kinds[entry["dtype"]])
            out[name] = flat.view(entry["shape"])
    return out


def compare(path):
    encoder, width = path.stem.split(".")
    net, given = network(encoder, width == "wide"), tensors(path)
    net.load_state_dict({k.removeprefix("state."): v for k, v in given.items() if k.startswith("state.")})
    parameters = sum(p.numel() for p in net.parameters())
    line, same = f"{encoder:<10} {width:<8} parameters {parameters}", parameters == int(given["parameters"])
    if not same:
        line += f", szar {int(given['parameters'])}"
    with torch.no_grad():
        net.eval()
        pairs = dict(zip(("features", "logits"), net(given["input"])))
        net.train()
        if "training" in given:
            pairs["training"] = net(given["input"])[1]
    for what, theirs in pairs.items():
        difference, scale = (given[what] - theirs).abs().max().item(), theirs.abs().max().item()
        line += f"  {what} {difference / scale:.1e}"
        same = same and difference < 1e-3 * scale
    print(line, "" if same else "DIFFERS")
    return same


if sys.argv[1:2] == ["--check"]:
    torch.set_num_threads(1)
    results = [compare(path) for path in sorted(Path(sys.argv[2]).glob("*.safetensors"))]
    sys.exit(0 if results and all(results) else 1)
serve(make)
