"""Test-time prompt tuning of a residual on the texts in plain PyTorch, with autograd and torch.optim.AdamW, sample by
sample as the published code goes, for encoded views: the yardstick of benches/tpt.rs. `tpt` takes one step on the
surest tenth of the views; `diff_tpt` four steps on the surest of those most like the sample. Names are
`tpt/step/per_class_C24_B64`."""

import re

import torch
import torch.nn.functional as F

from turns import serve

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


def make(name):
    method, residual, batch = re.fullmatch(r"(\w+)/step/(\w+)_C24_B(\d+)", name).groups()
    texts = F.normalize(torch.randn(CLASSES, WIDTH), dim=-1)
    views = F.normalize(torch.randn(int(batch), VIEWS, WIDTH), dim=-1)
    tuner = Tuner(texts, residual == "shared", *METHODS[method])
    return lambda: len(tuner.step(views))


if __name__ == "__main__":
    serve(make)
