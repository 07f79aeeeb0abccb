"""2s-AGCN and AAGCN: the graph follows from how alike joints are; AAGCN adds attention over joints, frames and channels."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from .common import JOINTS, Conv, TenBlocks, down, residual, spatial_graph


class Spatial(nn.Module):
    def __init__(self, cin, cout, attentive):
        super().__init__()
        graph, width = spatial_graph(), max(cout // 4, 1)
        self.attentive = attentive
        if attentive:
            self.PA, self.alpha = nn.Parameter(graph), nn.Parameter(torch.zeros(1))
            self.conv_sa, self.conv_ta = nn.Conv1d(cout, 1, JOINTS, padding=JOINTS // 2), nn.Conv1d(cout, 1, 9, padding=4)
            self.fc1c, self.fc2c = nn.Linear(cout, cout // 2), nn.Linear(cout // 2, cout)
        else:
            self.PA = nn.Parameter(torch.full_like(graph, 1e-6))
            self.register_buffer("graph", graph, persistent=False)
        convs = lambda c: nn.ModuleList(nn.Conv2d(cin, c, 1) for _ in range(3))
        self.conv_a, self.conv_b, self.conv_d = convs(width), convs(width), convs(cout)
        self.bn = nn.BatchNorm2d(cout)
        nn.init.constant_(self.bn.weight, 1e-6)
        self.down = down(cin, cout)

    def forward(self, x):
        n, c, t, v = x.shape
        y = 0
        for i in range(3):
            a = self.conv_a[i](x).permute(0, 3, 1, 2).reshape(n, v, -1)
            b = self.conv_b[i](x).view(n, -1, v)
            alike = a @ b / a.shape[2]
            if self.attentive:
                graph = self.PA[i] + self.alpha * torch.tanh(alike)
            else:
                graph = alike.softmax(1) + self.graph[i] + self.PA[i]
            y = y + self.conv_d[i]((x.reshape(n, c * t, v) @ graph).view(n, c, t, v))
        y = F.relu(self.bn(y) + self.down(x), inplace=True)
        return self.attend(y) if self.attentive else y

    def attend(self, y):
        joints = self.conv_sa(y.mean(2)).sigmoid()
        y = y * joints.unsqueeze(2) + y
        frames = self.conv_ta(y.mean(3)).sigmoid()
        y = y * frames.unsqueeze(3) + y
        channels = self.fc2c(F.relu(self.fc1c(y.mean((2, 3))))).sigmoid()
        return y * channels[:, :, None, None] + y


class Block(nn.Module):
    attentive = False

    def __init__(self, cin, cout, stride, first):
        super().__init__()
        self.gcn1, self.tcn1 = Spatial(cin, cout, self.attentive), Conv(cout, cout, 9, stride)
        self.residual = residual(cin, cout, stride, first)

    def forward(self, x):
        return F.relu(self.tcn1(self.gcn1(x)) + self.residual(x), inplace=True)


class Attentive(Block):
    attentive = True


def agcn(base):
    return TenBlocks(Block, base)


def aagcn(base):
    return TenBlocks(Attentive, base)
