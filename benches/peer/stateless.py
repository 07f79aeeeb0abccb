"""CALIP, Tent and PromptAlign in plain PyTorch, the way one would write them from the papers: the yardstick of
benches/stateless.rs. Names are `calip/step/C24_D512_P25_B64`, `tent/step/C24_D512_B8`, `promptalign/sample/C24_D512_V64`."""

import re

import torch
import torch.nn.functional as F

from turns import serve

CLASSES, WIDTH, JOINTS, VIEWS = 24, 512, 25, 64


def calip(maps, text, base, scale=100.0, beta2=1.0, beta3=0.05):
    visual = F.normalize(maps.mean(dim=(2, 3)), dim=-1)
    nodes = F.normalize(maps.flatten(2).transpose(1, 2), dim=-1)  # [B, P, D]
    text = F.normalize(text, dim=-1)
    attention = 2 * nodes @ text.T  # [B, P, C]
    texts_view = attention.softmax(1).transpose(1, 2) @ nodes  # [B, C, D]
    looked = attention.softmax(2) @ text  # [B, P, D]
    pooled = looked.mean(1) + looked.amax(1)
    by_text = scale * (texts_view @ visual[:, :, None]).squeeze(-1)
    return base + beta2 * by_text + beta3 * scale * pooled @ text.T


class Tent(torch.nn.Module):
    def __init__(self, text, scale):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(WIDTH, track_running_stats=False)
        self.text, self.scale = text, scale
        self.optimiser = torch.optim.Adam(self.norm.parameters(), lr=1e-3)

    def forward(self, rows):
        logits = self.scale * self.norm(rows) @ self.text.T
        loss = -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return logits.detach()


def promptalign(views, text, mean, variance, scale=10.0, share=0.1, beta=100.0):
    prompt = torch.zeros(1, WIDTH, requires_grad=True)
    channel = torch.zeros(WIDTH, requires_grad=True)
    optimiser = torch.optim.AdamW([prompt, channel], lr=5e-4)

    def score(maps):
        return scale * F.normalize(maps.mean(dim=(2, 3)), dim=-1) @ F.normalize(text + prompt, dim=-1).T

    maps = views + channel[None, :, None, None]
    logits = score(maps)
    entropy = -(logits.softmax(1) * logits.log_softmax(1)).sum(1)
    chosen = entropy.argsort()[: int(share * len(views))]
    average = logits[chosen].log_softmax(1).logsumexp(0) - torch.tensor(float(len(chosen))).log()
    tokens = maps[chosen].mean(2).transpose(1, 2)  # [n, V', D]
    apart = (tokens.mean(0) - mean).abs().mean() + (tokens.var(0, unbiased=False) - variance).abs().mean()
    loss = -(average.exp() * average).sum() + beta * 0.5 * apart
    loss.backward()
    optimiser.step()
    with torch.no_grad():
        return score(views[:1] + channel[None, :, None, None])


def make(name):
    method, sizes = re.fullmatch(r"(\w+)/\w+/C24_D512_(\w+)", name).groups()
    size = {part[0]: int(part[1:]) for part in sizes.split("_")}
    text = F.normalize(torch.randn(CLASSES, WIDTH), dim=-1)
    if method == "calip":
        maps = torch.randn(size["B"], WIDTH, size["P"] // JOINTS, JOINTS)
        base = 100 * maps.mean(dim=(2, 3)) @ text.T

        @torch.inference_mode()
        def work():
            return len(calip(maps, text, base))

        return work
    if method == "tent":
        rows, model = torch.randn(size["B"], WIDTH), Tent(text, 10.0)
        return lambda: len(model(rows))
    views = torch.randn(VIEWS, WIDTH, 1, JOINTS)
    mean, variance = torch.zeros(JOINTS, WIDTH), torch.ones(JOINTS, WIDTH)
    return lambda: len(promptalign(views, text, mean, variance))


if __name__ == "__main__":
    serve(make)
