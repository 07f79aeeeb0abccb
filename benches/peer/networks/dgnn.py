"""DGNN: joints and bones tell each other what they know along a directed graph."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from .common import BONES, CLASSES, JOINTS, PERSONS, Conv, Nothing, persons, plan


def directed_edges():
    """(source, target) from the centre outwards; hand tips hang on the hands, the centre has a loop."""
    parent = dict(BONES)
    parent[21], parent[23] = 7, 11
    return sorted((parent.get(joint, joint), joint) for joint in range(JOINTS))


EDGES = directed_edges()


def incidence():
    ends = torch.zeros(2, JOINTS, JOINTS)
    for edge, (source, target) in enumerate(EDGES):
        ends[0, source, edge] = ends[1, target, edge] = 1
    return ends / ends.sum((0, 2))[:, None] + 1e-6


class Exchange(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        source, target = incidence()
        self.source_M, self.target_M = nn.Parameter(source), nn.Parameter(target)
        self.H_v, self.H_e = nn.Linear(3 * cin, cout), nn.Linear(3 * cin, cout)
        self.bn_v, self.bn_e = nn.BatchNorm2d(cout), nn.BatchNorm2d(cout)

    def forward(self, v, e):
        s, r = self.source_M, self.target_M
        told = torch.cat([v, e @ s.T, e @ r.T], 1), torch.cat([e, v @ s, v @ r], 1)
        made = [linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) for linear, x in zip((self.H_v, self.H_e), told)]
        return F.relu(self.bn_v(made[0])), F.relu(self.bn_e(made[1]))


class Over(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.tempconv = Conv(cin, cout, 9, stride)

    def forward(self, x):
        return self.tempconv(x)


class Block(nn.Module):
    def __init__(self, cin, cout, stride, first):
        super().__init__()
        self.dgn, self.tcn = Exchange(cin, cout), Over(cout, cout, stride)
        same = cin == cout and stride == 1
        self.residual = Nothing() if first else nn.Identity() if same else Over(cin, cout, stride)

    def forward(self, v, e):
        a, b = self.dgn(v, e)
        return F.relu(self.tcn(a) + self.residual(v)), F.relu(self.tcn(b) + self.residual(e))


class Dgnn(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.data_bn_v, self.data_bn_e = (nn.BatchNorm1d(PERSONS * JOINTS * 3) for _ in range(2))
        for i, sizes in enumerate(plan(base)):
            setattr(self, f"l{i + 1}", Block(*sizes, i == 0))
        self.fc = nn.Linear(8 * base, CLASSES)
        number = {target: edge for edge, (_, target) in enumerate(EDGES)}
        self.register_buffer("edge_of", torch.tensor([number[joint] for joint in range(JOINTS)]), persistent=False)
        self.register_buffer("ends", torch.tensor(EDGES).T.contiguous(), persistent=False)

    def forward(self, x):
        b = len(x)
        bones = x.index_select(3, self.ends[1]) - x.index_select(3, self.ends[0])
        v, e = persons(x, self.data_bn_v), persons(bones, self.data_bn_e)
        for i in range(10):
            v, e = getattr(self, f"l{i + 1}")(v, e)
        x = torch.cat([v, e.index_select(3, self.edge_of)], 1)
        features = x.view(b, PERSONS, *x.shape[1:]).mean(1)
        return features, self.fc(features.mean((2, 3)))

    def after_backward(self):
        pass


def make(base):
    return Dgnn(base)
