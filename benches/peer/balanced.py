"""An independent version of szar's `balance` and of the balanced presets of `skeleton-cache` and `dynapurls`: plain numpy in
double precision, one sample at a time.

    python3 benches/peer/balanced.py > adapters/src/balance/recorded.json

writes a small random stream (numbers from a fixed generator) and what the three make of it.
"""
import json

import numpy as np


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


class Balance:
    def __init__(self, classes):
        self.n, self.spread = 0, 0.0
        self.mass, self.last = np.zeros(classes), np.zeros(classes)
        self.across, self.own = 0.0, 0.0

    def __call__(self, z, scale=None):
        n, count = self.n, len(z)
        self.spread += np.std(z if scale is None else scale)
        self.sigma = self.spread / (n + 1) + 1e-12
        u = (z - z.mean()) / self.sigma
        tau = 1.0
        if n >= 2:
            square = ((self.mass / n) ** 2).sum()
            rho = (self.across / (n - 1) - square) / (self.own / n - square + 1e-9) * n / (n + 10)
            tau = min(max(1 - 3 * rho, 0.0), 1.0)
        self.correction = tau * np.clip(np.log(count * (self.mass + 1) / (n + count)), -1, 1)
        p = softmax(u)
        self.across += (p * self.last).sum() if n else 0.0
        self.own += (p * p).sum()
        self.mass, self.last, self.n = self.mass + p, p, n + 1
        return u - self.correction


def cache(logits, descriptors, capacity):
    classes = logits.shape[1]
    balance, blocks, out = Balance(classes), [[] for _ in range(classes)], []
    for z, q in zip(logits, descriptors):
        b = balance(z)
        key = q / np.linalg.norm(q, axis=1, keepdims=True)
        entries = [e for block in blocks for e in block]
        vote = np.zeros(classes)
        if entries:
            a = np.array([np.exp(-30 * (1 - (key * k).sum(1))).mean() for k, _, _ in entries])
            mean = sum(w * value for w, (_, value, _) in zip(a, entries)) / a.sum()
            vote = len(entries) / (len(entries) + classes) * mean
        out.append(b + vote)
        p = softmax(b)
        entropy, block = -(p * np.log(p)).sum(), blocks[int(b.argmax())]
        if len(block) < capacity:
            block.append((key, b, entropy))
        else:
            worst = int(np.argmax([e[2] for e in block]))
            if entropy < block[worst][2]:
                block[worst] = (key, b, entropy)
    return np.array(out)


def refine(vectors, anchors, scale, capacity, every):
    """`vectors` [n, D], `anchors` [C, D]; logits are scale * vectors . anchors."""
    classes = len(anchors)
    length = np.linalg.norm(anchors, axis=1, keepdims=True)
    rms = np.sqrt((anchors**2).mean())
    values = [np.ones_like(anchors), np.zeros_like(anchors)]
    first, second = [np.zeros_like(anchors)] * 2, [np.zeros_like(anchors)] * 2
    text, bank, balance, out, updates = anchors, [[] for _ in range(classes)], Balance(classes), [], 0
    for i, v in enumerate(vectors):
        static = scale * anchors @ v
        out.append(balance(scale * text @ v, static))
        sigma, correction = balance.sigma, balance.correction
        teacher = (static - static.mean()) / sigma - correction
        confidence, target = softmax(teacher).max(), softmax(2 * teacher)
        block = bank[int(teacher.argmax())]
        if len(block) < capacity:
            block.append((confidence, v, target))
        else:
            least = int(np.argmin([e[0] for e in block]))
            if confidence > block[least][0]:
                block[least] = (confidence, v, target)
        if (i + 1) % every or sum(map(len, bank)) < 2:
            continue
        full = [block for block in bank if block]
        moved = values[0] * anchors + values[1]
        norm = np.linalg.norm(moved, axis=1, keepdims=True)
        unit = moved / norm
        gradient = np.zeros_like(anchors)
        for block in full:
            for _, x, target in block:
                p = softmax(scale * (unit * length) @ x / sigma - correction)
                gradient += np.outer(p - target, x) * scale / sigma / (len(block) * len(full))
        down = (gradient - (gradient * unit).sum(1, keepdims=True) * unit) / norm * length
        updates += 1
        for j, (g, lr) in enumerate(((down * anchors, 0.003), (down, 0.003 * rms))):
            first[j] = 0.9 * first[j] + 0.1 * g
            second[j] = 0.999 * second[j] + 0.001 * g * g
            root = np.sqrt(second[j] / (1 - 0.999**updates))
            values[j] = values[j] - lr * (first[j] / (1 - 0.9**updates)) / (root + 1e-12)
        values = [values[0] - 0.1 * (values[0] - 1), values[1] - 0.1 * values[1]]
        moved = values[0] * anchors + values[1]
        text = moved / np.linalg.norm(moved, axis=1, keepdims=True) * length
    return np.array(out), values


def main():
    rng = np.random.default_rng(7)
    n, classes, slots, width, text = 60, 5, 3, 6, 8
    labels = rng.integers(0, classes, n)
    centres = rng.normal(size=(classes, slots, width))
    descriptors = (centres[labels] + rng.normal(size=(n, slots, width))).round(4)
    anchors = rng.normal(size=(classes, text))
    anchors = (anchors / np.linalg.norm(anchors, axis=1, keepdims=True)).round(4)
    vectors = (anchors[labels] * 0.5 + rng.normal(size=(n, text)) * 0.4 + anchors[0] * 0.3).round(4)
    logits = (vectors @ anchors.T * 3).round(4)
    balance = Balance(classes)
    refined, values = refine(vectors, anchors, 3.0, 4, 8)
    print(json.dumps({
        "classes": classes, "logits": logits.tolist(), "descriptors": descriptors.tolist(),
        "vectors": vectors.tolist(), "anchors": anchors.tolist(),
        "balanced": np.array([balance(z) for z in logits]).round(7).tolist(),
        "cache_4": cache(logits, descriptors, 4).round(7).tolist(),
        "cache_32": cache(logits, descriptors, 32).round(7).tolist(),
        "refined": refined.round(7).tolist(),
        "scale": values[0].round(7).tolist(), "shift": values[1].round(7).tolist(),
    }))


if __name__ == "__main__":
    main()
