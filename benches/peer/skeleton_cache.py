"""Skeleton-Cache in plain PyTorch, sample by sample, the way one would write it from the paper's equations: the
yardstick of benches/skeleton_cache.rs. Prints `name samples-per-millisecond`, one CPU thread."""

import time

import torch
import torch.nn.functional as F

CLASSES, CAPACITY, SLOTS, WIDTH = 24, 8, 8, 256
ALPHA, BETA = 5.0, 3.0


class SkeletonCache:
    """Predicts first, then stores by the zero-shot answer; a batch is taken sample by sample."""

    def __init__(self, weights):
        self.weights = weights  # [C, D]
        self.keys = torch.zeros(CLASSES, CAPACITY, SLOTS, WIDTH)
        self.entropies = torch.zeros(CLASSES, CAPACITY)
        self.counts = [0] * CLASSES

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


def main():
    torch.set_num_threads(1)
    torch.manual_seed(7)
    samples = 1024
    descriptors = torch.rand(samples, SLOTS, WIDTH)
    logits = torch.randn(samples, CLASSES) * 3
    with torch.inference_mode():
        for batch in (1, 8, 64):
            cache = SkeletonCache(torch.full((CLASSES, SLOTS), 1 / SLOTS))
            cache.step(descriptors, logits)
            steps = list(zip(descriptors.split(batch), logits.split(batch)))
            rounds = []
            for _ in range(3):
                start = time.perf_counter()
                for part in steps:
                    cache.step(*part)
                rounds.append(samples / (time.perf_counter() - start) / 1e3)
            print(f"skeleton_cache/step/C{CLASSES}_B{batch} {sorted(rounds)[1]:.4f}", flush=True)


if __name__ == "__main__":
    main()
