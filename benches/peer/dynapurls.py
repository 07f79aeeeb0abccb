"""DynaPURLS (Algorithm 1) and PURLS attention in plain PyTorch, the way one would write them from the papers and with the
modules of the released code: the yardstick of benches/dynapurls.rs. Names are `dynapurls/step/dot1_C24`,
`dynapurls/step/dot8_C24`, `dynapurls/step/purls_C12` and `purls/score/C24_B64`."""

import math
import re

import torch
import torch.nn.functional as F
from torch import nn

from turns import serve

CAPACITY, WIDTH, TEXTS, CHANNELS, NODES = 16, 512, 8, 256, 75
HIDDEN, HEADS, KEY = 1024, 2, 150


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear_q = nn.Linear(WIDTH, HEADS * KEY, bias=False)
        self.linear_k = nn.Linear(CHANNELS, HEADS * KEY, bias=False)

    def forward(self, text, nodes):
        """Slots `[n, L, N]` from texts `[n, L, d]` and nodes `[n, P, N]`."""
        query = self.linear_q(text).unflatten(-1, (HEADS, KEY)).transpose(1, 2)
        key = self.linear_k(nodes).unflatten(-1, (HEADS, KEY)).transpose(1, 2)
        scores = (query @ key.transpose(2, 3) / math.sqrt(KEY)).mean(1)
        return scores.softmax(-1) @ nodes


class Purls(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = Attention()
        self.skel_encoder = nn.Sequential(
            nn.BatchNorm1d(TEXTS * CHANNELS),
            nn.Dropout(0.5),
            nn.Linear(TEXTS * CHANNELS, HIDDEN),
            nn.SiLU(),
            nn.Identity(),
            nn.BatchNorm1d(HIDDEN),
            nn.Dropout(0.5),
            nn.Linear(HIDDEN, TEXTS * WIDTH),
            nn.Tanh(),
        )
        self.eval().requires_grad_(False)

    def forward(self, text, nodes):
        slots = self.attention(text, nodes)
        return self.skel_encoder(slots.flatten(1)).unflatten(1, (TEXTS, WIDTH))

    def score(self, nodes, anchors):
        """`[n, C]`: every class judged on what its own texts ask for."""
        columns = []
        for text in anchors:
            vectors = self(text.expand(len(nodes), -1, -1), nodes)
            columns.append(vectors[:, -1] @ text[-1])
        return torch.stack(columns, 1)


class Dot:
    """Vectors `[n, G d]` against all texts of a class side by side."""

    def score(self, rows, anchors):
        return 30.0 / anchors.shape[1] * rows @ anchors.flatten(1).T


class DynaPurls:
    """One sample at a time: predict, remember, one step of Adam on a class-balanced batch of what is remembered."""

    def __init__(self, model, anchors, expected):
        self.model, self.base = model, anchors
        self.scale = nn.Parameter(torch.ones_like(anchors))
        self.shift = nn.Parameter(torch.zeros_like(anchors))
        self.optimiser = torch.optim.Adam([self.scale, self.shift], lr=0.01)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, expected, eta_min=0.001)
        self.bank = [[] for _ in anchors]  # (confidence, features)

    def anchors(self):
        return F.normalize(self.scale * self.base + self.shift, dim=-1)

    def remember(self, features, label, confidence):
        block = self.bank[label]
        if len(block) < CAPACITY:
            block.append((confidence, features))
            return
        least = min(range(len(block)), key=lambda i: block[i][0])
        if confidence > block[least][0]:
            block[least] = (confidence, features)

    def batch(self):
        held = [(label, block) for label, block in enumerate(self.bank) if block]
        count = min(len(block) for _, block in held)
        features, labels = [], []
        for label, block in held:
            best = sorted(block, key=lambda entry: -entry[0])[:count]
            features += [entry[1] for entry in best]
            labels += [label] * count
        return torch.stack(features), torch.tensor(labels)

    def step(self, features):
        with torch.no_grad():
            logits = self.model.score(features[None], self.anchors())[0]
            confidence, label = logits.softmax(0).max(0)
        if confidence > 0.1:
            self.remember(features, int(label), float(confidence))
        rows, labels = self.batch()
        loss = F.cross_entropy(self.model.score(rows, self.anchors()), labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.schedule.step()
        return logits


def adapt(model, anchors, row):
    adapter = DynaPurls(model, anchors, 1_000_000)
    for label in range(len(anchors)):
        for _ in range(CAPACITY):
            adapter.remember(row(label), label, 0.2 + 0.7 * float(torch.rand(())))
    samples = [row(label % len(anchors)) for label in range(64)]
    at = 0

    def work():
        nonlocal at
        at = (at + 1) % len(samples)
        adapter.step(samples[at])
        return 1

    return work


def make(name):
    def nodes(*shape):
        return F.normalize(torch.randn(*shape, NODES, CHANNELS), dim=-1)

    if match := re.fullmatch(r"purls/score/C(\d+)_B(\d+)", name):
        classes, batch = map(int, match.groups())
        model, anchors = Purls(), F.normalize(torch.randn(classes, TEXTS, WIDTH), dim=-1)
        seen = nodes(batch)

        @torch.inference_mode()
        def work():
            return len(model.score(seen, anchors))

        return work
    kind, classes = re.fullmatch(r"dynapurls/step/(\w+)_C(\d+)", name).groups()
    texts = 1 if kind == "dot1" else TEXTS
    anchors = F.normalize(torch.randn(int(classes), texts, WIDTH), dim=-1)
    if kind == "purls":
        return adapt(Purls(), anchors, lambda label: nodes())
    return adapt(Dot(), anchors, lambda label: (anchors[label] * 0.25 + F.normalize(torch.randn(texts, WIDTH), dim=-1)).flatten())


if __name__ == "__main__":
    serve(make)
