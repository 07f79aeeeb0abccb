"""What the encoders share: NTU's 25 joints, the graph over their bones, ten blocks between the norm of the input and a
classifier."""

import torch
import torch.nn as nn

JOINTS, PERSONS, CLASSES = 25, 2, 55

# (child, parent), from the Kinect v2's joints.
BONES = [(0, 1), (1, 20), (2, 20), (3, 2), (4, 20), (5, 4), (6, 5), (7, 6), (8, 20), (9, 8), (10, 9), (11, 10), (12, 0),
         (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18), (21, 22), (22, 7), (23, 24), (24, 11)]


def spatial_graph():
    """Identity, child to parent and parent to child, `[3, V, V]`; columns sum to 1 where they have entries."""
    inward = torch.zeros(JOINTS, JOINTS)
    for child, parent in BONES:
        inward[parent, child] = 1
    normalised = [a / a.sum(0, keepdim=True).clamp_min(1) for a in (inward, inward.T)]
    return torch.stack([torch.eye(JOINTS), *normalised])


class Conv(nn.Module):
    """Convolution over frames, padded, with its normalisation."""

    def __init__(self, cin, cout, kernel, stride, dilation=1):
        super().__init__()
        pad = dilation * (kernel - 1) // 2
        self.conv = nn.Conv2d(cin, cout, (kernel, 1), (stride, 1), (pad, 0), (dilation, 1))
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x):
        return self.bn(self.conv(x))


class Nothing(nn.Module):
    def forward(self, x):
        return 0


def residual(cin, cout, stride, first):
    if first:
        return Nothing()
    return nn.Identity() if cin == cout and stride == 1 else Conv(cin, cout, 1, stride)


def down(cin, cout):
    return nn.Identity() if cin == cout else nn.Sequential(nn.Conv2d(cin, cout, 1), nn.BatchNorm2d(cout))


def plan(base):
    """Input, output channels and stride of ten blocks."""
    widths = [base] * 4 + [2 * base] * 3 + [4 * base] * 3
    inputs = [3, *widths[:-1]]
    return [(a, b, 2 if i in (4, 7) else 1) for i, (a, b) in enumerate(zip(inputs, widths))]


def persons(x, norm):
    """Samples `[B, 3, T, V, M]` as persons `[B M, 3, T, V]`, every place, joint and coordinate normalised apart."""
    b, c, t, v, m = x.shape
    x = norm(x.permute(0, 4, 3, 1, 2).reshape(b, m * v * c, t))
    return x.view(b, m, v, c, t).permute(0, 1, 3, 4, 2).reshape(b * m, c, t, v)


class TenBlocks(nn.Module):
    def __init__(self, block, base):
        super().__init__()
        self.data_bn = nn.BatchNorm1d(PERSONS * JOINTS * 3)
        for i, sizes in enumerate(plan(base)):
            setattr(self, f"l{i + 1}", block(*sizes, i == 0))
        self.fc = nn.Linear(4 * base, CLASSES)

    def forward(self, x):
        """Feature map `[B, N, T', V]`, mean over persons, and logits."""
        b = len(x)
        x = persons(x, self.data_bn)
        for i in range(10):
            x = getattr(self, f"l{i + 1}")(x)
        features = x.view(b, PERSONS, *x.shape[1:]).mean(1)
        return features, self.fc(features.mean((2, 3)))

    def after_backward(self):
        pass
