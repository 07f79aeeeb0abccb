"""ST-GCN in plain PyTorch, as its equations read: the yardstick of benches/st_gcn.rs.

Reads lines `train|encode f32|bf16 BATCH STEPS` and answers each with the seconds that a step took. Arguments:
device, CPU threads.
"""

import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

FRAMES, JOINTS, CLASSES = 48, 15, 48
# input, output channels and stride of the ten blocks
PLAN = [(3, 16, 1), (16, 16, 1), (16, 16, 1), (16, 16, 1), (16, 32, 2),
        (32, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 256, 1)]


class Block(nn.Module):
    def __init__(self, cin, cout, stride, partitions, first):
        super().__init__()
        self.partitions = partitions
        self.spatial = nn.Conv2d(cin, partitions * cout, 1)
        self.temporal = nn.Sequential(
            nn.BatchNorm2d(cout), nn.ReLU(inplace=True),
            nn.Conv2d(cout, cout, (9, 1), (stride, 1), (4, 0)),
            nn.BatchNorm2d(cout), nn.Dropout(0.0 if first else 0.2, inplace=True))
        if first:
            self.residual = None
        elif cin == cout and stride == 1:
            self.residual = nn.Identity()
        else:
            self.residual = nn.Sequential(nn.Conv2d(cin, cout, 1, (stride, 1)), nn.BatchNorm2d(cout))

    def forward(self, x, edges):
        y = self.spatial(x)
        n, c, t, v = y.shape
        y = torch.einsum("nkctv,kvw->nctw", y.view(n, self.partitions, c // self.partitions, t, v), edges)
        y = self.temporal(y.contiguous())
        if self.residual is not None:
            y = y + self.residual(x)
        return F.relu(y, inplace=True)


class StGcn(nn.Module):
    def __init__(self):
        super().__init__()
        graph = torch.rand(3, JOINTS, JOINTS)
        self.register_buffer("graph", graph / graph.sum((0, 1)))
        self.norm = nn.BatchNorm1d(3 * JOINTS)
        self.blocks = nn.ModuleList(Block(*sizes, 3, i == 0) for i, sizes in enumerate(PLAN))
        self.importance = nn.ParameterList(nn.Parameter(torch.ones_like(graph)) for _ in PLAN)
        self.head = nn.Linear(PLAN[-1][1], CLASSES)

    def features(self, x):
        n, c, t, v, m = x.shape
        x = x.permute(0, 4, 3, 1, 2).reshape(n * m, v * c, t)
        x = self.norm(x).view(n * m, v, c, t).permute(0, 2, 3, 1).contiguous()
        for block, importance in zip(self.blocks, self.importance):
            x = block(x, self.graph * importance)
        return x.view(n, m, *x.shape[1:]).mean(1)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


def main():
    device, threads = torch.device(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = StGcn().to(device)
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.01)

    def train(x, y):
        optimiser.zero_grad()
        F.cross_entropy(net(x), y, label_smoothing=0.1).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()

    def train_bf16(x, y):
        optimiser.zero_grad()
        with torch.autocast(device.type, torch.bfloat16):
            loss = F.cross_entropy(net(x), y, label_smoothing=0.1)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()

    def encode(x, bf16):
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            features = net.features(x)
            net.head(features.mean((2, 3)))

    for line in sys.stdin:
        what, kind, batch, steps = line.split()
        batch, steps = int(batch), int(steps)
        net.train(what == "train")
        x = torch.randn(batch, 3, FRAMES, JOINTS, 1, device=device)
        y = torch.randint(CLASSES, (batch,), device=device)
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            if what == "encode":
                encode(x, kind == "bf16")
            elif kind == "bf16":
                train_bf16(x, y)
            else:
                train(x, y)
        if device.type == "cuda":
            torch.cuda.synchronize()
        print((time.perf_counter() - start) / steps, flush=True)


main()
