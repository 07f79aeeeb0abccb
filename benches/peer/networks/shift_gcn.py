"""Shift-GCN: channels change joints and frames, so that products over channels see neighbours."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from .common import JOINTS, TenBlocks, down, residual


def joint_shift(channels, direction):
    """For channel j of joint i, joint-major: where channel j of joint i + direction * j lies."""
    i, j = torch.arange(JOINTS)[:, None], torch.arange(channels)[None]
    return ((i + direction * j) % JOINTS * channels + j).flatten()


class Spatial(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.Linear_weight = nn.Parameter(torch.randn(cin, cout) / cout**0.5)
        self.Linear_bias = nn.Parameter(torch.zeros(1, 1, cout))
        self.Feature_Mask = nn.Parameter(torch.zeros(1, JOINTS, cin))
        self.register_buffer("shift_in", joint_shift(cin, 1))
        self.register_buffer("shift_out", joint_shift(cout, -1))
        self.bn = nn.BatchNorm1d(JOINTS * cout)
        self.down = down(cin, cout)

    def forward(self, x):
        n, c, t, v = x.shape
        y = x.permute(0, 2, 3, 1).reshape(n * t, v * c).index_select(1, self.shift_in).view(n * t, v, c)
        y = (y * (self.Feature_Mask.tanh() + 1)) @ self.Linear_weight + self.Linear_bias
        y = self.bn(y.view(n * t, -1).index_select(1, self.shift_out))
        y = y.view(n, t, v, -1).permute(0, 3, 1, 2)
        return F.relu(y + self.down(x), inplace=True)


class FrameShift(nn.Module):
    """Every channel is read at a learned place between two frames, zeros outside."""

    def __init__(self, channels, stride):
        super().__init__()
        self.register_buffer("xpos", torch.zeros(channels))
        self.ypos = nn.Parameter(torch.empty(channels).uniform_(-1, 1))
        self.stride = stride

    def forward(self, x):
        n, c, t, v = x.shape
        place = self.ypos if self.stride == 1 else self.ypos + 0.5
        before = place.detach().floor()
        share = (place - before)[:, None, None]
        reach = int(before.abs().max()) + 2
        rows = F.pad(x, (0, 0, reach, reach)).flatten(1, 2)
        first = torch.arange(c) * (t + 2 * reach) + reach + before.long()
        at = (first[:, None] + torch.arange(0, t // self.stride * self.stride, self.stride)).flatten()
        read = lambda at: rows.index_select(1, at).view(n, c, -1, v)
        return read(at) * (1 - share) + read(at + 1) * share


class Temporal(nn.Module):
    def __init__(self, c, stride):
        super().__init__()
        self.bn, self.bn2 = nn.BatchNorm2d(c), nn.BatchNorm2d(c)
        self.shift_in, self.shift_out = FrameShift(c, 1), FrameShift(c, stride)
        self.temporal_linear = nn.Conv2d(c, c, 1)

    def forward(self, x):
        y = F.relu(self.temporal_linear(self.shift_in(self.bn(x))), inplace=True)
        return self.bn2(self.shift_out(y))


class Block(nn.Module):
    def __init__(self, cin, cout, stride, first):
        super().__init__()
        self.gcn1, self.tcn1 = Spatial(cin, cout), Temporal(cout, stride)
        self.residual = residual(cin, cout, stride, first)

    def forward(self, x):
        return F.relu(self.tcn1(self.gcn1(x)) + self.residual(x), inplace=True)


class ShiftGcn(TenBlocks):
    def after_backward(self):
        """The gradient of a place in time is its sign, as published."""
        for module in self.modules():
            if isinstance(module, FrameShift):
                grad = module.ypos.grad
                grad.copy_(0.01 * grad.sign() + 1e-4 * (grad == 0))


def make(base):
    return ShiftGcn(Block, base)
