"""Skeleton-Cache in plain PyTorch, sample by sample, the way one would write it from the paper's equations: the
yardstick of benches/skeleton_cache.rs. Names are `skeleton_cache/step/C24_B64`."""

import re

import torch
import torch.nn.functional as F

from turns import serve

CAPACITY, SLOTS, WIDTH, SAMPLES, FRESH = 8, 8, 256, 4096, 64
ALPHA, BETA = 5.0, 3.0


class SkeletonCache:
    """Predicts first, then stores by the zero-shot answer; a batch is taken sample by sample."""

    def __init__(self, weights):
        self.weights = weights  # [C, D]
        classes = len(weights)
        self.keys = torch.zeros(classes, CAPACITY, SLOTS, WIDTH)
        self.entropies = torch.zeros(classes, CAPACITY)
        self.counts = [0] * classes

    def retrieve(self, query, label):
        similarity = F.cosine_similarity(self.keys, query, dim=-1)  # [C, K, D]
        affinity = torch.exp(-BETA * (1 - similarity))
        held = torch.tensor(self.counts)
        mask = torch.arange(CAPACITY)[None, :] < held[:, None]
        per_slot = (affinity * mask[:, :, None]).sum(1)  # [C, D]
        return per_slot @ self.weights[label]

    def store(self, query, label, entropy):
        held = self.counts[label]
        if held < CAPACITY:
            place = held
            self.counts[label] += 1
        else:
            place = int(self.entropies[label].argmax())
            if entropy >= self.entropies[label, place]:
                return
        self.keys[label, place] = query
        self.entropies[label, place] = entropy

    def step(self, descriptors, logits):
        out = []
        for query, base in zip(descriptors, logits):
            posterior = base.softmax(0)
            label = int(posterior.argmax())
            entropy = -(posterior * posterior.clamp_min(1e-12).log()).sum()
            out.append(base + ALPHA * self.retrieve(query, label))
            self.store(query, label, entropy)
        return torch.stack(out)


def make(name):
    classes, batch = map(int, re.fullmatch(r"skeleton_cache/step/C(\d+)_B(\d+)", name).groups())
    descriptors = torch.rand(SAMPLES, SLOTS, WIDTH)
    logits = torch.randn(SAMPLES, classes) * 3
    cache = SkeletonCache(torch.full((classes, SLOTS), 1 / SLOTS))
    steps = list(zip(descriptors.split(batch), logits.split(batch)))
    at = 0

    @torch.inference_mode()
    def work():
        nonlocal at
        at = (at + 1) % span
        return len(cache.step(*steps[at]))

    span = len(steps)
    while min(cache.counts) < CAPACITY:
        work()
    span = FRESH // batch  # as in skeleton_cache.rs
    return work


if __name__ == "__main__":
    serve(make)
