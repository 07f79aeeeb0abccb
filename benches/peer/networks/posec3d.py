"""PoseC3D: heat maps of the joints, SlowOnly over them; features are its map of cells."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from .common import CLASSES, JOINTS

CLIP, SIZE, SIGMA, DROPOUT = 16, 24, 0.6, 0.2


def clip(joints, draw):
    """A frame from each of CLIP equal parts, its middle one or any: `[B, 3, CLIP, V, M]`. Needs as many frames."""
    b, c, t, v, m = joints.shape
    edges = torch.arange(CLIP + 1) * t // CLIP
    width = edges[1:] - edges[:-1]
    at = (torch.rand(b, CLIP) * width).long() if draw else ((width - 1) // 2).expand(b, -1)
    at = (edges[:-1] + torch.minimum(at, width - 1)).view(b, 1, CLIP, 1, 1)
    return joints.gather(2, at.expand(b, c, CLIP, v, m))


def spot(place):
    """A Gaussian around every place along one axis, 0 beyond three sigma: `[.., SIZE]`."""
    away = torch.arange(SIZE) - place.unsqueeze(-1)
    return torch.exp(-away.square() / (2 * SIGMA**2)) * (away.abs() <= 3 * SIGMA)


def heat(joints):
    """`[B, V, T, H, W]`: the picture is a square 1.25 times as wide as all joints that were tracked."""
    tracked = (joints != 0).any(1)
    x, y = joints[:, 0], joints[:, 1]
    least = lambda a: torch.where(tracked, a, torch.inf).amin((1, 2, 3), keepdim=True)
    most = lambda a: torch.where(tracked, a, -torch.inf).amax((1, 2, 3), keepdim=True)
    (left, right), (bottom, top) = ((least(a), most(a)) for a in (x, y))
    side = torch.maximum(right - left, top - bottom).clamp_min(0.01) * 1.25
    across = (x - (left + right - side) / 2) / side * SIZE
    downwards = ((bottom + top + side) / 2 - y) / side * SIZE
    rows, columns = spot(downwards) * tracked.unsqueeze(-1), spot(across)
    return (rows.unsqueeze(-1) * columns.unsqueeze(-2)).amax(3).transpose(1, 2)


class Unit(nn.Module):
    def __init__(self, cin, cout, kernel, stride=(1, 1, 1)):
        super().__init__()
        self.conv = nn.Conv3d(cin, cout, kernel, stride, tuple(k // 2 for k in kernel), bias=False)
        self.bn = nn.BatchNorm3d(cout)

    def forward(self, x):
        return self.bn(self.conv(x))


class Bottleneck(nn.Module):
    def __init__(self, cin, width, stride, inflated, first):
        super().__init__()
        self.conv1 = Unit(cin, width, (3 if inflated else 1, 1, 1))
        self.conv2 = Unit(width, width, (1, 3, 3), stride)
        self.conv3 = Unit(width, 4 * width, (1, 1, 1))
        self.downsample = Unit(cin, 4 * width, (1, 1, 1), stride) if first else None

    def forward(self, x):
        y = F.relu(self.conv2(F.relu(self.conv1(x), inplace=True)), inplace=True)
        past = x if self.downsample is None else self.downsample(x)
        return F.relu(self.conv3(y) + past, inplace=True)


class Backbone(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.conv1 = Unit(JOINTS, base, (1, 7, 7))
        cin = base
        for stage, (blocks, inflated, time) in enumerate([(4, False, 1), (6, True, 1), (3, True, 2)]):
            width, made = base * 2**stage, []
            for b in range(blocks):
                made.append(Bottleneck(cin, width, (time, 2, 2) if b == 0 else (1, 1, 1), inflated, b == 0))
                cin = 4 * width
            setattr(self, f"layer{stage + 1}", nn.Sequential(*made))

    def forward(self, x):
        x = F.max_pool3d(F.relu(self.conv1(x), inplace=True), (1, 3, 3), 1, (0, 1, 1))
        return self.layer3(self.layer2(self.layer1(x)))


class Head(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.fc_cls = nn.Linear(features, CLASSES)

    def forward(self, x):
        return self.fc_cls(F.dropout(x.mean((2, 3, 4)), DROPOUT, self.training))


class PoseC3d(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.backbone, self.cls_head = Backbone(base), Head(16 * base)

    def forward(self, joints):
        cells = self.backbone(heat(clip(joints, self.training)))
        return cells.flatten(3), self.cls_head(cells)

    def after_backward(self):
        pass


def make(base):
    return PoseC3d(base)
