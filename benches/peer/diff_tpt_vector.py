"""DiffTPT on vectors with a residual on the texts, in plain PyTorch and float64, written from the paper's rules: makes
adapters/src/diff_tpt/vector.json, which the tests of `diff-tpt` are held against. Prints nothing; takes the path."""

import json
import sys

import torch
import torch.nn.functional as F


def tune(views, texts, case):
    """One sample: views [V, d], texts [C, d]; kept views, loss before the last step, answer."""
    scale = case["scale"]
    shape = (1 if case["shared"] else len(texts), texts.shape[1])
    residual = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.AdamW([residual], lr=case["lr"], weight_decay=case["weight_decay"])

    def logits():
        return scale * views @ F.normalize(texts + residual, dim=-1).T

    with torch.no_grad():
        base = logits()
        likeness = F.cosine_similarity(base[1:], base[:1], dim=-1)
        near = likeness.argsort(descending=True)[: int(case["similar"] * (len(views) - 1))] + 1
        pool = torch.cat([torch.zeros(1, dtype=torch.int64), near])
        entropy = torch.distributions.Categorical(logits=base[pool]).entropy()
        kept = pool[entropy.argsort()[: int(case["selection"] * len(pool))]]
    for _ in range(case["steps"]):
        optimiser.zero_grad()
        mean = logits()[kept].softmax(-1).mean(0)
        loss = torch.distributions.Categorical(probs=mean).entropy()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return sorted(kept.tolist()), loss.item(), logits()[0]


def record(case, seed, samples):
    draw = torch.Generator().manual_seed(seed)
    noise = lambda *shape: torch.randn(*shape, generator=draw, dtype=torch.float64)
    texts = F.normalize(noise(case["classes"], case["width"]), dim=-1)
    labels = torch.arange(samples) % case["classes"]
    centre = 0.5 * texts[labels][:, None] + 0.5 * F.normalize(noise(samples, 1, case["width"]), dim=-1)
    views = F.normalize(centre + 0.1 * noise(samples, case["views"], case["width"]), dim=-1)
    # What is written is float32; the arithmetic starts from the same numbers.
    texts, views = (t.float().double() for t in (texts, views))
    out = [tune(v, texts, case) for v in views]
    rounded = lambda t: [float(f"{x:.9g}") for x in t.flatten().tolist()]
    return case | {
        "features": rounded(views),
        "texts": rounded(texts),
        "kept": [kept for kept, _, _ in out],
        "loss": [loss for _, loss, _ in out],
        "logits": rounded(torch.stack([answer for _, _, answer in out])),
    }


def main():
    base = {"views": 20, "classes": 5, "width": 12, "shared": True, "steps": 4, "lr": 0.005, "weight_decay": 0.01}
    base |= {"similar": 0.8, "selection": 0.3, "scale": 8.0}
    other = base | {"views": 13, "classes": 7, "width": 9, "shared": False, "steps": 3, "lr": 0.02}
    other |= {"similar": 0.5, "selection": 0.45, "scale": 5.0, "weight_decay": 0.1}
    cases = [record(base, 1, 3), record(other, 2, 3)]
    with open(sys.argv[1], "w") as file:
        json.dump(cases, file)
        file.write("\n")


if __name__ == "__main__":
    main()
