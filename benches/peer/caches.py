"""TDA, T3A and AdaNPC in plain PyTorch, the way one would write them from the papers' descriptions: the yardstick of
benches/caches.rs. Names are `tda/step/C24_D512_B64`."""

import math
import re

import torch
import torch.nn.functional as F

from turns import serve

CLASSES, WIDTH, SAMPLES, SCALE = 24, 512, 2048, 30.0


def entropy(posterior):
    return -(posterior * posterior.clamp_min(1e-12).log()).sum(-1)


class Tda:
    """Two caches of entries sorted by entropy; updates first; a batch is taken sample by sample."""

    def __init__(self, texts):
        self.positive = [[] for _ in range(CLASSES)]
        self.negative = [[] for _ in range(CLASSES)]

    @staticmethod
    def update(entries, entry, capacity):
        if len(entries) < capacity:
            entries.append(entry)
        elif entry[0] < entries[-1][0]:
            entries[-1] = entry
        else:
            return
        entries.sort(key=lambda e: e[0])

    @staticmethod
    def affinity(query, entries, beta):
        keys = torch.stack([e[1] for e in entries])
        return torch.exp(-beta * (1 - keys @ query))

    def step(self, features, logits):
        out = []
        for query, base in zip(F.normalize(features, dim=1), logits):
            posterior = base.softmax(0)
            label = int(posterior.argmax())
            h = float(entropy(posterior))
            self.update(self.positive[label], (h, query, label), 3)
            if 0.2 < h / math.log2(CLASSES) < 0.5:
                mask = ((posterior > 0.03) & (posterior < 1.0)).float()
                self.update(self.negative[label], (h, query, mask), 2)
            answer = base.clone()
            entries = [e for block in self.positive for e in block]
            labels = torch.tensor([e[2] for e in entries])
            answer.index_add_(0, labels, 2.0 * self.affinity(query, entries, 5.0))
            entries = [e for block in self.negative for e in block]
            if entries:
                masks = torch.stack([e[2] for e in entries])
                answer -= 0.117 * self.affinity(query, entries, 1.0) @ masks
            out.append(answer)
        return torch.stack(out)


class T3a:
    """Adds the batch to the supports, keeps the 20 surest of each class, answers with their mean directions."""

    def __init__(self, texts):
        logits = SCALE * SCALE * texts @ texts.T
        self.supports = texts
        self.labels = logits.argmax(1)
        self.entropies = entropy(logits.softmax(1))

    def step(self, features, logits):
        self.supports = torch.cat([self.supports, features])
        self.labels = torch.cat([self.labels, logits.argmax(1)])
        self.entropies = torch.cat([self.entropies, entropy(logits.softmax(1))])
        keep = []
        for label in range(CLASSES):
            own = (self.labels == label).nonzero().squeeze(1)
            keep.append(own[self.entropies[own].argsort()[:20]])
        keep = torch.cat(keep)
        self.supports, self.labels = self.supports[keep], self.labels[keep]
        self.entropies = self.entropies[keep]
        one_hot = F.one_hot(self.labels, CLASSES).float()
        weights = F.normalize(one_hot.T @ F.normalize(self.supports, dim=1), dim=1)
        return features @ weights.T


class AdaNpc:
    """Lets the nearest 100 vote; a class remembers its newest 16 samples."""

    def __init__(self, texts):
        self.memory = torch.zeros(CLASSES * 17, WIDTH)
        self.memory[:CLASSES] = F.normalize(texts, dim=1)
        self.labels = torch.zeros(CLASSES * 17, dtype=torch.long)
        self.labels[:CLASSES] = torch.arange(CLASSES)
        self.count = CLASSES
        self.rows = [[] for _ in range(CLASSES)]

    def step(self, features, logits):
        queries = F.normalize(features, dim=1)
        similarities = queries @ self.memory[: self.count].T
        values, index = similarities.topk(min(100, self.count), dim=1)
        weights = (values / 0.1).softmax(1)
        votes = torch.zeros(len(queries), CLASSES).scatter_add_(1, self.labels[index], weights)
        votes = (votes + 1e-5).clamp(max=1)
        confidence, labels = votes.max(1)
        for i in (confidence >= 0.1).nonzero().squeeze(1).tolist():
            label = int(labels[i])
            if len(self.rows[label]) < 16:
                row = self.count
                self.count += 1
            else:
                row = self.rows[label].pop(0)
            self.rows[label].append(row)
            self.memory[row] = queries[i]
            self.labels[row] = label
        return votes.log()


def make(name):
    method, batch = re.fullmatch(r"(\w+)/step/C24_D512_B(\d+)", name).groups()
    texts = F.normalize(torch.randn(CLASSES, WIDTH), dim=1)
    truth = torch.randint(CLASSES, (SAMPLES,))
    features = F.normalize(texts[truth] * 0.25 + F.normalize(torch.randn(SAMPLES, WIDTH), dim=1), dim=1)
    logits = SCALE * features @ texts.T
    steps = list(zip(features.split(int(batch)), logits.split(int(batch))))

    @torch.inference_mode()
    def stream():
        for part in steps:
            adapter.step(*part)
        return SAMPLES

    with torch.inference_mode():
        adapter = {"tda": Tda, "t3a": T3a, "adanpc": AdaNpc}[method](texts)
    return stream


if __name__ == "__main__":
    serve(make)
