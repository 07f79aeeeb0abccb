"""CTR-GCN: a graph of its own for every channel; convolutions over frames in four branches."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from .common import Conv, TenBlocks, down, residual, spatial_graph


class Subset(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        r = 8 if cin in (3, 9) else max(cin // 8, 1)
        self.conv1, self.conv2 = nn.Conv2d(cin, r, 1), nn.Conv2d(cin, r, 1)
        self.conv3, self.conv4 = nn.Conv2d(cin, cout, 1), nn.Conv2d(r, cout, 1)

    def forward(self, x, graph, alpha):
        to, of = self.conv1(x).mean(2), self.conv2(x).mean(2)
        difference = torch.tanh(to.unsqueeze(3) - of.unsqueeze(2))
        refined = self.conv4(difference) * alpha + graph
        return torch.einsum("ncuv,nctv->nctu", refined, self.conv3(x))


class Spatial(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.PA = nn.Parameter(spatial_graph())
        self.alpha = nn.Parameter(torch.zeros(1))
        self.convs = nn.ModuleList(Subset(cin, cout) for _ in range(3))
        self.bn = nn.BatchNorm2d(cout)
        nn.init.constant_(self.bn.weight, 1e-6)
        self.down = down(cin, cout)

    def forward(self, x):
        y = sum(conv(x, graph, self.alpha) for conv, graph in zip(self.convs, self.PA))
        return F.relu(self.bn(y) + self.down(x), inplace=True)


class Temporal(nn.Module):
    def __init__(self, c, stride):
        super().__init__()
        w = c // 4
        start = lambda s=1: [nn.Conv2d(c, w, 1, (s, 1)), nn.BatchNorm2d(w)]
        relu = lambda: nn.ReLU(inplace=True)
        self.branches = nn.ModuleList([
            *(nn.Sequential(*start(), relu(), Conv(w, w, 5, stride, d)) for d in (1, 2)),
            nn.Sequential(*start(), relu(), nn.MaxPool2d((3, 1), (stride, 1), (1, 0)), nn.BatchNorm2d(w)),
            nn.Sequential(*start(stride)),
        ])

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


class Block(nn.Module):
    def __init__(self, cin, cout, stride, first):
        super().__init__()
        self.gcn1, self.tcn1 = Spatial(cin, cout), Temporal(cout, stride)
        self.residual = residual(cin, cout, stride, first)

    def forward(self, x):
        return F.relu(self.tcn1(self.gcn1(x)) + self.residual(x), inplace=True)


def make(base):
    return TenBlocks(Block, base)
