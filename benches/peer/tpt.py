"""Test-time prompt tuning of a residual on the texts in plain PyTorch, with autograd and torch.optim.AdamW, sample by
sample as the published code goes, for encoded views: the yardstick of benches/tpt.rs. `tpt` takes one step on the
surest tenth of the views; `diff_tpt` four steps on the surest of those most like the sample. Prints
`name samples-per-millisecond`, one CPU thread."""

import time

import torch
import torch.nn.functional as F

CLASSES, WIDTH, VIEWS, SCALE, LR = 24, 512, 64, 20.0, 0.005


def entropy(logits):
    return -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)


def confident(logits, share):
    return entropy(logits).argsort()[: int(share * len(logits))]


def similar_then_confident(logits):
    near = F.cosine_similarity(logits[1:], logits[:1]).argsort(descending=True)
    pool = torch.cat([torch.zeros(1, dtype=torch.int64), near[: int(0.8 * (len(logits) - 1))] + 1])
    return pool[confident(logits[pool], 0.3)]


def marginal_entropy(logits):
    mean = logits.log_softmax(-1).logsumexp(0) - torch.tensor(float(len(logits))).log()
    mean = mean.clamp_min(torch.finfo(mean.dtype).min)
    return -(mean * mean.exp()).sum()


class Tuner:
    def __init__(self, texts, shared, steps, select):
        self.texts, self.steps, self.select = texts, steps, select
        self.residual = torch.zeros(1 if shared else len(texts), WIDTH, requires_grad=True)

    def logits(self, views):
        return SCALE * views @ F.normalize(self.texts + self.residual, dim=-1).T

    def step(self, batch):
        out = []
        for views in batch:
            with torch.no_grad():
                self.residual.zero_()
            optimiser = torch.optim.AdamW([self.residual], lr=LR)
            kept = None
            for _ in range(self.steps):
                logits = self.logits(views if kept is None else views[kept])
                if kept is None:
                    kept = self.select(logits.detach())
                    logits = logits[kept]
                optimiser.zero_grad()
                marginal_entropy(logits).backward()
                optimiser.step()
            with torch.no_grad():
                out.append(self.logits(views[:1]))
        return torch.cat(out)


METHODS = {
    "tpt": (1, lambda logits: confident(logits, 0.1)),
    "diff_tpt": (4, similar_then_confident),
}


def main():
    torch.set_num_threads(1)
    torch.manual_seed(7)
    samples = 64
    texts = F.normalize(torch.randn(CLASSES, WIDTH), dim=-1)
    views = F.normalize(torch.randn(samples, VIEWS, WIDTH), dim=-1)
    for name, (steps, select) in METHODS.items():
        for residual in ("shared", "per_class"):
            tuner = Tuner(texts, residual == "shared", steps, select)
            tuner.step(views[:8])
            for batch in (1, 64):
                rounds = []
                for _ in range(3):
                    start = time.perf_counter()
                    for part in views.split(batch):
                        tuner.step(part)
                    rounds.append(samples / (time.perf_counter() - start) / 1e3)
                print(f"{name}/step/{residual}_C{CLASSES}_B{batch} {sorted(rounds)[1]:.4f}", flush=True)


if __name__ == "__main__":
    main()
