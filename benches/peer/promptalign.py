"""PromptAlign on one sample, written from the paper's formulas with PyTorch's autograd and AdamW, in double precision.

`python promptalign.py > adapters/src/promptalign/recorded.json` writes a small input, options and the adapted logits;
the tests of szar-adapters hold theirs against them."""

import json
import math

import torch

V, N, T, J, C, D = 12, 6, 2, 3, 4, 5
SCALE = 8.0


def rounded(*shape):
    """Random values that survive the way through single precision and few digits."""
    return (torch.randn(*shape, dtype=torch.float64) * 1000).round() / 1000


def logits_of(maps, texts, projection):
    pooled = maps.mean(dim=(2, 3)) @ projection.T
    pooled = pooled / pooled.norm(dim=1, keepdim=True)
    texts = texts[:, 0] / texts[:, 0].norm(dim=1, keepdim=True)
    return SCALE * pooled @ texts.T


def moved(texts, residual):
    new = texts + residual
    return new / new.norm(dim=-1, keepdim=True) * texts.norm(dim=-1, keepdim=True)


def run(options, views, texts, projection, mean, variance):
    prompt = torch.zeros(1 if options["shared"] else C, 1, D, dtype=torch.float64)
    channel = torch.zeros(N, dtype=torch.float64)
    tuned = []
    if options["parameters"] in ("both", "text"):
        tuned.append(prompt.requires_grad_())
    if options["parameters"] in ("both", "visual"):
        tuned.append(channel.requires_grad_())
    optimiser = torch.optim.AdamW(tuned, lr=options["lr"], weight_decay=options["weight_decay"])
    order = None
    for _ in range(options["steps"]):
        maps = views + channel[None, :, None, None]
        z = options["logit_scale"] * logits_of(maps, moved(texts, prompt), projection)
        posterior = z.softmax(1)
        if order is None:
            order = (-(posterior * posterior.log()).sum(1)).argsort()
        count = lambda share: max(1, math.floor(share * V))
        loss = torch.zeros((), dtype=torch.float64)
        if options["entropy"]:
            average = posterior[order[: count(options["select_share"])]].mean(0)
            loss = loss - (average * average.log()).sum()
        tokens = maps.mean(2).permute(0, 2, 1)[order[: count(options["align_share"])]]  # [n, J, N]
        found = tokens.mean(0), tokens.var(0, unbiased=False)
        apart = [(a - b).abs() for a, b in zip(found, (mean, variance))]
        if options["distance"] == "mean":
            loss = loss + options["beta"] * sum(0.5 * a.mean() for a in apart)
        else:
            loss = loss + options["beta"] * sum(a.sum() for a in apart)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return logits_of(views[:1] + channel[None, :, None, None], moved(texts, prompt), projection)[0]


def main():
    torch.manual_seed(3)
    views = rounded(1, N, T, J) + 0.5 * rounded(V, N, T, J)
    views = (views * 1000).round() / 1000
    texts, projection = rounded(C, 1, D), rounded(D, N)
    mean, variance = 0.5 * rounded(J, N), rounded(J, N).abs()
    base = dict(parameters="both", shared=True, steps=1, lr=0.02, weight_decay=0.01, select_share=0.34,
                align_share=0.34, beta=1.0, distance="mean", entropy=True, logit_scale=1.0)
    changes = [{}, {"steps": 4}, {"shared": False, "steps": 2}, {"parameters": "text", "beta": 0.0, "steps": 3},
               {"parameters": "visual", "distance": "sum", "beta": 0.3, "steps": 3},
               {"entropy": False, "align_share": 1.0, "steps": 5, "beta": 100.0},
               {"select_share": 0.01, "align_share": 0.7, "logit_scale": 0.3, "lr": 0.1, "weight_decay": 0.5, "steps": 2}]
    array = lambda x: {"shape": list(x.shape), "values": [round(v, 6) for v in x.flatten().tolist()]}
    cases = []
    for change in changes:
        options = {**base, **change}
        logits = run(options, views, texts, projection, mean, variance)
        cases.append({"options": options, "logits": [round(v, 8) for v in logits.tolist()]})
    print(json.dumps({"scale": SCALE, "views": array(views), "anchors": array(texts), "projection": array(projection),
                      "mean": array(mean), "variance": array(variance), "cases": cases}))


if __name__ == "__main__":
    main()
