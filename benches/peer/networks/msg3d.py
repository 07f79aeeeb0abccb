"""MS-G3D: joints meet others at each distance along the skeleton, in their frame and in windows of frames."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from .common import BONES, CLASSES, JOINTS, PERSONS, Conv, persons

GCN_SCALES, G3D_SCALES = 13, 6


def distance_graph(scales, window):
    """Joints k steps apart, normalised as `D^-1/2 A D^-1/2`, one below the other: `[scales * W V, W V]`."""
    step = torch.eye(JOINTS)
    for child, parent in BONES:
        step[child, parent] = step[parent, child] = 1
    step, eye = step.repeat(window, window), torch.eye(window * JOINTS)
    reached, parts = eye, [eye]
    for _ in range(1, scales):
        farther = (reached @ step).clamp_max(1)
        parts.append(farther - reached + eye)
        reached = farther
    root = lambda a: a.sum(1).rsqrt()
    return torch.cat([root(a)[:, None] * a * root(a)[None] for a in parts])


class Mlp(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(cin, cout, 1), nn.BatchNorm2d(cout), nn.ReLU(inplace=True))

    def forward(self, x):
        return self.layers(x)


class Aggregate(nn.Module):
    """`[n, C, T, W V]` to `[n, C', T, W V]`."""

    def __init__(self, cin, cout, scales, window):
        super().__init__()
        graph = distance_graph(scales, window)
        self.register_buffer("graph", graph, persistent=False)
        self.A_res = nn.Parameter(torch.empty_like(graph).uniform_(-1e-6, 1e-6))
        self.mlp = Mlp(scales * cin, cout)
        self.scales = scales

    def forward(self, x):
        n, c, t, u = x.shape
        told = torch.einsum("vu,nctu->nctv", self.graph + self.A_res, x)
        told = told.view(n, c, t, self.scales, u).permute(0, 3, 1, 2, 4).reshape(n, self.scales * c, t, u)
        return self.mlp(told)


class Temporal(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        w = cout // 6
        start = lambda s=1: [nn.Conv2d(cin, w, 1, (s, 1)), nn.BatchNorm2d(w)]
        relu = lambda: nn.ReLU(inplace=True)
        self.branches = nn.ModuleList([
            *(nn.Sequential(*start(), relu(), Conv(w, w, 3, stride, d)) for d in (1, 2, 3, 4)),
            nn.Sequential(*start(), relu(), nn.MaxPool2d((3, 1), (stride, 1), (1, 0)), nn.BatchNorm2d(w)),
            nn.Sequential(*start(stride)),
        ])
        self.residual = nn.Identity() if cin == cout and stride == 1 else Conv(cin, cout, 1, stride)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1) + self.residual(x)


class Window(nn.Module):
    def __init__(self, cin, inside, cout, window, stride):
        super().__init__()
        self.window, self.stride = window, stride
        # The first place is for what makes the windows, which has no parameters.
        self.gcn3d = nn.ModuleList([nn.Identity(), Aggregate(cin, inside, G3D_SCALES, window)])
        self.out_conv = nn.Conv3d(inside, cout, (1, window, 1))
        self.out_bn = nn.BatchNorm2d(cout)

    def forward(self, x):
        n, c, _, v = x.shape
        w = self.window
        x = F.unfold(x, (w, 1), padding=(w // 2, 0), stride=(self.stride, 1)).view(n, c, w, -1, v)
        x = x.transpose(2, 3).reshape(n, c, -1, w * v)
        y = self.gcn3d[1](x)
        return self.out_bn(self.out_conv(y.view(n, y.shape[1], -1, w, v)).squeeze(3))


class Windows(nn.Module):
    def __init__(self, *sizes, stride):
        super().__init__()
        self.gcn3d = nn.ModuleList(Window(*sizes, window, stride) for window in (3, 5))

    def forward(self, x):
        return self.gcn3d[0](x) + self.gcn3d[1](x)


class MsG3d(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.data_bn = nn.BatchNorm1d(PERSONS * JOINTS * 3)
        cin = 3
        for block, (cout, stride) in enumerate([(base, 1), (2 * base, 2), (4 * base, 2)], 1):
            # Channels widen at once in the first block, at the end in the others.
            inside = cout if block == 1 else cin
            near = [Aggregate(cin, inside, GCN_SCALES, 1), Temporal(inside, cout, stride), Temporal(cout, cout, 1)]
            setattr(self, f"sgcn{block}", nn.ModuleList(near))
            setattr(self, f"gcn3d{block}", Windows(cin, inside, cout, stride=stride))
            setattr(self, f"tcn{block}", Temporal(cout, cout, 1))
            cin = cout
        self.fc = nn.Linear(4 * base, CLASSES)

    def forward(self, x):
        b = len(x)
        x = persons(x, self.data_bn)
        for block in "123":
            aggregate, first, second = getattr(self, f"sgcn{block}")
            y = second(F.relu(first(aggregate(x)), inplace=True))
            y = F.relu(y + getattr(self, f"gcn3d{block}")(x), inplace=True)
            x = F.relu(getattr(self, f"tcn{block}")(y), inplace=True)
        features = x.view(b, PERSONS, *x.shape[1:]).mean(1)
        return features, self.fc(features.mean((2, 3)))

    def after_backward(self):
        pass


def make(base):
    return MsG3d(base)
