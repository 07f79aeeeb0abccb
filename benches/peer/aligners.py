"""The aligners in plain PyTorch, the way one would write them from the papers: the yardstick of benches/aligners.rs.

Names are `METHOD/train/B64` (a training step on B of the samples) and `METHOD/score/C60_B64` (logits of B samples for C
candidates). Sizes are those of the constants; features are pooled, or a map of FRAMES x JOINTS where the method wants one."""

import re

import torch
import torch.nn.functional as F
from torch import nn

from turns import serve

SAMPLES, SEEN, CHANNELS, WIDTH, FRAMES, JOINTS = 2048, 50, 256, 384, 16, 25
PARTS = [[2, 3, 4, 8, 20], [4, 5, 6, 7, 8, 9, 10, 11, 21, 22, 23, 24], [0, 1, 4, 8, 12, 16, 20], [0, *range(12, 20)]]


def unit(x):
    return F.normalize(x, dim=-1)



class Pooled:
    """A method on pooled features with one text a class."""

    def __init__(self, batch):
        self.features = torch.rand(SAMPLES, CHANNELS)
        self.labels = torch.randint(SEEN, (SAMPLES,))
        self.text = unit(torch.randn(SEEN, WIDTH))
        self.batch = batch
        self.order = torch.randperm(SAMPLES)
        self.at = 0

    def rows(self):
        if self.at + self.batch > SAMPLES:
            self.order, self.at = torch.randperm(SAMPLES), 0
        rows = self.order[self.at : self.at + self.batch]
        self.at += self.batch
        return rows

    def train(self):
        rows = self.rows()
        loss = self.loss(self.features[rows], self.labels[rows])
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        loss.backward()
        for optimiser in self.optimisers:
            optimiser.step()
        return len(rows)


class Devise(Pooled):
    def __init__(self, batch):
        super().__init__(batch)
        self.net = nn.Linear(CHANNELS, WIDTH)
        self.optimisers = [torch.optim.Adam(self.net.parameters(), 1e-4)]

    def loss(self, x, y):
        scores = self.net(x) @ self.text.T
        own = scores.gather(1, y[:, None])
        violations = (0.1 - own + scores).clamp_min(0)
        return violations.masked_fill(F.one_hot(y, SEEN).bool(), 0).sum(1).mean()

    def score(self, x, text):
        return self.net(x) @ text.T


def coder(*sizes, last):
    layers = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers) if last else nn.Sequential(*layers[:-1])


class Revise(Pooled):
    def __init__(self, batch):
        super().__init__(batch)
        self.v_in, self.v_out = coder(CHANNELS, 100, last=True), coder(100, CHANNELS, last=True)
        self.t_in = nn.Sequential(nn.Linear(WIDTH, 100), nn.ReLU())
        self.t_out = nn.Sequential(nn.Linear(100, WIDTH), nn.ReLU())
        self.v_map = nn.Sequential(nn.Linear(100, 50), nn.Tanh())
        self.t_map = nn.Sequential(nn.Linear(100, 50), nn.Tanh())
        visual = nn.ModuleList([self.v_in, self.v_out, self.v_map])
        text = nn.ModuleList([self.t_in, self.t_out, self.t_map])
        self.optimisers = [
            torch.optim.Adam(visual.parameters(), 1e-4),
            torch.optim.Adam(text.parameters(), 1e-4, weight_decay=1e-3),
        ]

    def loss(self, x, y):
        x = torch.log1p(x)
        h, own = self.v_in(x), self.text[y]
        g = self.t_in(own)
        v, t = self.v_map(h), self.t_map(g)
        with torch.no_grad():
            every = self.t_map(self.t_in(self.text))
        kernel = lambda a, b: torch.exp(-32 * torch.cdist(a, b).square())
        mmd = (kernel(h, h) + kernel(g, g) - kernel(h, g) - kernel(g, h)).mean()
        rank = (v @ every.T - (v * t).sum(1, keepdim=True) + 0.3).clamp_min(0).sum() / len(x)
        return F.mse_loss(self.v_out(h), x) + F.mse_loss(self.t_out(g), own) + mmd + rank

    def score(self, x, text):
        return self.v_map(self.v_in(torch.log1p(x))) @ self.t_map(self.t_in(text)).T


class Jpose(Pooled):
    def __init__(self, batch):
        super().__init__(batch)
        net = lambda a, b: nn.Sequential(nn.Linear(a, b), nn.Tanh())
        text = lambda: nn.Sequential(nn.Linear(WIDTH, 50), nn.Tanh())
        self.visual = nn.ModuleList([net(CHANNELS, 50), net(CHANNELS, 50), net(100, 50)])
        self.texts = nn.ModuleList([text(), text(), net(100, 50)])
        self.words = [unit(torch.randn(SEEN, WIDTH)) for _ in range(2)]
        self.groups = [torch.randint(20, (SEEN,)) for _ in range(2)]
        self.optimisers = [
            torch.optim.Adam([*self.visual[i].parameters(), *self.texts[i].parameters()], 1e-4, weight_decay=d)
            for i, d in enumerate([0.0, 0.0, 1e-3])
        ]

    def embed(self, x, words):
        v = [unit(self.visual[i](unit(x))) for i in range(2)]
        t = [unit(self.texts[i](w)) for i, w in enumerate(words)]
        v.append(unit(self.visual[2](unit(torch.cat(v, 1)))))
        t.append(unit(self.texts[2](unit(torch.cat(t, 1)))))
        return v, t

    @staticmethod
    def triplet(v, group):
        similarity = v @ v.T
        positives, negatives = [], []
        for g in group.unique():  # as published: a loop over the groups of the batch
            inside = (group == g).nonzero()[:, 0]
            outside = (group != g).nonzero()[:, 0]
            for i in inside:
                positives.append(inside[similarity[i, inside].argmin()])
                negatives.append(outside[similarity[i, outside].argmax()])
        p, n = torch.stack(positives), torch.stack(negatives)
        return (v @ v[n].T - v @ v[p].T + 0.1).clamp_min(0).sum() / len(v)

    def loss(self, x, y):
        v, t = self.embed(x, self.words)
        total = sum(
            (v[i] @ t[i].detach().T - (v[i] * t[i][y]).sum(1, keepdim=True) + 0.3).clamp_min(0).sum() / len(x)
            for i in range(3)
        )
        return total + 0.01 * sum(self.triplet(v[i], self.groups[i][y]) for i in range(2))

    def score(self, x, words):
        v, t = self.embed(x, [words, words])
        return v[2] @ t[2].T


class Smie(Pooled):
    def __init__(self, batch):
        super().__init__(batch)
        self.net = coder(CHANNELS + WIDTH, 1024, 512, 1, last=False)
        self.optimisers = [torch.optim.Adam(self.net.parameters(), 1e-5)]

    def loss(self, x, y):
        x, t = F.layer_norm(x, [CHANNELS]), self.text[y]
        right = self.net(torch.cat([x, t], 1))
        wrong = self.net(torch.cat([x.roll(-1, 0), t], 1))
        return F.softplus(-right).mean() + F.softplus(wrong).mean()

    def score(self, x, text):
        x = F.layer_norm(x, [CHANNELS])
        b, c = len(x), len(text)
        pairs = torch.cat([x[:, None].expand(b, c, -1), text[None].expand(b, c, -1)], -1)
        return -F.softplus(-self.net(pairs.flatten(0, 1))).view(b, c)


class Coder(nn.Module):
    def __init__(self, inputs, latent):
        super().__init__()
        self.mu, self.logvar = nn.Linear(inputs, latent), nn.Linear(inputs, latent)

    def forward(self, x):
        return self.mu(x), self.logvar(x)


def draw(mu, logvar):
    return mu + torch.exp(0.5 * logvar) * torch.randn(len(mu), 1)


def divergence(mu, logvar):
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1).mean()


def decoder(latent, outputs):
    return nn.Sequential(nn.Linear(latent, outputs), nn.ReLU())


class Vae(Pooled):
    """CADA-VAE; scoring is the latent classifier, which is trained for the candidates once and not counted."""

    latent = 100

    def __init__(self, batch):
        super().__init__(batch)
        n = self.latent
        self.nets = nn.ModuleList([Coder(CHANNELS, n), decoder(n, CHANNELS), Coder(WIDTH, n), decoder(n, WIDTH)])
        self.optimisers = [torch.optim.Adam(self.nets.parameters(), 1e-4)]
        self.classifier = nn.Sequential(nn.Linear(n, 60), nn.ReLU())

    def loss(self, x, y):
        es, ds, et, dt = self.nets
        t = self.text[y]
        (ms, ls), (mt, lt) = es(x), et(t)
        zs, zt = draw(ms, ls), draw(mt, lt)
        own = F.mse_loss(ds(zs), x) + F.mse_loss(dt(zt), t)
        cross = F.mse_loss(ds(zt), x) + F.mse_loss(dt(zs), t)
        return own + 0.01 * divergence(ms, ls) + 0.01 * divergence(mt, lt) + cross

    def score(self, x, _):
        return self.classifier(self.nets[0].mu(x))


class Synse(Vae):
    def __init__(self, batch):
        super().__init__(batch)
        n = self.latent
        self.words = [unit(torch.randn(SEEN, WIDTH)) for _ in range(2)]
        word = lambda: [Coder(WIDTH, n // 2), decoder(n // 2, WIDTH)]
        self.nets = nn.ModuleList([Coder(CHANNELS, n), decoder(n, CHANNELS), *word(), *word()])
        self.optimisers = [torch.optim.Adam(self.nets.parameters(), 1e-4)]

    def loss(self, x, y):
        es, ds, en, dn, ev, dv = self.nets
        noun, verb = (w[y] for w in self.words)
        (ms, ls), (mn, ln), (mv, lv) = es(x), en(noun), ev(verb)
        zs, zn, zv = draw(ms, ls), draw(mn, ln), draw(mv, lv)
        half = self.latent // 2
        own = F.mse_loss(ds(zs), x) + F.mse_loss(dn(zn), noun) + F.mse_loss(dv(zv), verb)
        cross = F.mse_loss(dn(zs[:, :half]), noun) + F.mse_loss(dv(zs[:, half:]), verb)
        cross = cross + F.mse_loss(ds(torch.cat([zn, zv], 1)), x)
        return own + cross + 0.01 * (divergence(ms, ls) + divergence(mn, ln) + divergence(mv, lv))


class SaDvae(Pooled):
    latent, style, every = 160, 8, 5

    def __init__(self, batch):
        super().__init__(batch)
        both = self.latent + self.style
        self.nets = nn.ModuleList(
            [Coder(CHANNELS, both), decoder(both, CHANNELS), Coder(WIDTH, self.latent), decoder(self.latent, WIDTH)]
        )
        self.judge = nn.Sequential(nn.Linear(both, both // 4), nn.ReLU(), nn.Linear(both // 4, 1), nn.Sigmoid())
        self.main, self.other = (torch.optim.Adam(m.parameters(), 3.4e-5) for m in (self.nets, self.judge))
        self.classifier = nn.Sequential(nn.Linear(self.latent, 60), nn.ReLU())
        self.steps = 0

    def latents(self, x, t):
        es, _, et, _ = self.nets
        (m, l), (mt, lt) = es(x), et(t)
        n = self.latent
        z, w, y = draw(m[:, :n], l[:, :n]), draw(m[:, n:], l[:, n:]), draw(mt, lt)
        return z, w, y, (m, l, mt, lt)

    def discriminate(self, x, t):
        with torch.no_grad():
            z, w, y, _ = self.latents(x, t)
        loss = 0
        for a in (z, y):
            real = self.judge(torch.cat([a, w], 1))
            mixed = torch.cat([a[torch.randperm(len(a))], w[torch.randperm(len(w))]], 1)
            fake = self.judge(mixed)
            loss = loss + F.binary_cross_entropy(real, torch.ones_like(real)) + F.binary_cross_entropy(fake, torch.zeros_like(fake))
        self.other.zero_grad()
        (0.01 * loss / 4).backward()
        self.other.step()

    def train(self):
        rows = self.rows()
        x, t = self.features[rows], self.text[self.labels[rows]]
        if self.steps % self.every == 0:
            self.discriminate(x, t)
        self.steps += 1
        _, ds, _, dt = self.nets
        z, w, y, (m, l, mt, lt) = self.latents(x, t)
        zw = torch.cat([z, w], 1)
        loss = F.mse_loss(ds(zw), x) + F.mse_loss(dt(y), t) + 0.01 * divergence(m, l) + 0.01 * divergence(mt, lt)
        loss = loss + F.mse_loss(ds(torch.cat([y, w], 1)), x) + F.mse_loss(dt(z), t) + 0.01 * self.judge(zw).mean()
        self.main.zero_grad()
        loss.backward()
        self.main.step()
        return len(rows)

    def score(self, x, _):
        return self.classifier(self.nets[0].mu(x)[:, : self.latent])


class Map(Pooled):
    """A method on the map `[B, N, T', V']`."""

    def __init__(self, batch):
        super().__init__(batch)
        self.features = torch.randn(512, CHANNELS, FRAMES, JOINTS)
        self.labels = torch.randint(SEEN, (512,))
        self.texts = unit(torch.randn(SEEN, 8, WIDTH))

    def rows(self):
        return torch.randperm(512)[: self.batch]


class Star(Map):
    prompts, hidden, out = 16, 128, 100

    def __init__(self, batch):
        super().__init__(batch)
        p, d = self.prompts, WIDTH
        make = lambda f: nn.ModuleList([f() for _ in PARTS])
        self.net = nn.Module()
        self.net.attention = make(lambda: nn.MultiheadAttention(d, 4, kdim=CHANNELS, vdim=CHANNELS, batch_first=True))
        self.net.mapping = make(lambda: nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, d)))
        self.net.prompts = nn.ParameterList([nn.Parameter(torch.randn(p, d)) for _ in PARTS])
        self.net.w = nn.ParameterList([nn.Parameter(torch.randn(d, d) / d) for _ in PARTS])
        head = lambda: nn.Sequential(nn.Linear(d, self.hidden), nn.ReLU(), nn.Linear(self.hidden, p))
        self.net.label, self.net.parts = head(), make(head)
        self.net.part_prompts = nn.ParameterList([nn.Parameter(torch.randn(SEEN, d)) for _ in PARTS])
        self.optimisers = [torch.optim.SGD(self.net.parameters(), 0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)]

    def visual(self, x):
        parts = []
        for i, joints in enumerate(PARTS):
            nodes = x[:, :, :, joints].flatten(2).transpose(1, 2)
            query = self.net.prompts[i].expand(len(x), -1, -1)
            seen, _ = self.net.attention[i](query, nodes, nodes)
            seen = self.net.mapping[i](seen)
            parts.append(torch.einsum("iv,vf,nif->ni", self.net.prompts[i], self.net.w[i], seen))
        return torch.stack(parts, 1)

    def loss(self, x, y):
        parts = self.visual(x)
        label = self.net.label(self.texts[:, 7])
        cosine = lambda a, b: unit(a) @ unit(b).T
        pick = lambda s: -(s.softmax(1).gather(1, y[:, None]) + 1e-12).log().mean()
        total = 0.1 * pick(cosine(parts.sum(1), label))
        for i in range(len(PARTS)):
            text = self.net.parts[i](self.texts[:, i] + self.net.part_prompts[i])
            total = total + pick(cosine(parts[:, i], text)) / len(PARTS)
            total = total - 0.1 * (text @ label.T).log_softmax(1).diagonal().mean() / len(PARTS)
        return total

    def score(self, x, texts):
        return unit(self.visual(x).sum(1)) @ unit(self.net.label(texts[:, 7])).T


class Neuron(Map):
    prototypes = 80
    temporal = [[4], [4, 5], [4, 5, 6]]
    spatial = [[7], [7, 0, 1, 2, 3], [0, 1, 2, 3]]

    def __init__(self, batch):
        super().__init__(batch)
        two = lambda: nn.Sequential(nn.Linear(CHANNELS, CHANNELS), nn.ReLU(), nn.Linear(CHANNELS, CHANNELS), nn.ReLU())
        net = self.net = nn.Module()
        net.space, net.time = nn.Embedding(self.prototypes, CHANNELS), nn.Embedding(self.prototypes, CHANNELS)
        net.update_s, net.update_t, net.memory, net.recall = (nn.ModuleList([two() for _ in range(3)]) for _ in range(4))
        net.project_s, net.project_t = (nn.Sequential(nn.Linear(CHANNELS, WIDTH), nn.ReLU()) for _ in range(2))
        self.optimisers = [torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)]

    def logits(self, x, texts):
        net, b = self.net, len(x)
        space, time = x.mean(2).transpose(1, 2), x.mean(3).transpose(1, 2)
        out = []
        p = net.space.weight.expand(b, -1, -1)
        for r in range(3):
            s = space @ p.transpose(1, 2)
            rank = s.softmax(2).argsort(2).argsort(2)
            a = (s * torch.where(rank < 20 * r, 1e-12, 1.0)).softmax(1)
            p = net.update_s[r](a.transpose(1, 2) @ space)
            out.append(self.compare(net.project_s(p.mean(1)), texts[:, self.spatial[r]]))
        p = net.time.weight.expand(b, -1, -1)
        for r, frames in enumerate((5, 10, 16)):
            f = time[:, :frames]
            a = (f @ p.transpose(1, 2)).softmax(1)
            c = a.transpose(1, 2) @ f
            p = net.recall[r](c).sigmoid() * p + net.memory[r](c).sigmoid() * net.update_t[r](c)
            out.append(self.compare(net.project_t(p.mean(1)), texts[:, self.temporal[r]]))
        return out

    @staticmethod
    def compare(v, texts):
        return 0.1 * torch.einsum("nd,cgd->ncg", unit(v), texts).mean(2)

    def loss(self, x, y):
        return sum(F.cross_entropy(logits, y) for logits in self.logits(x, self.texts)) / 6

    def score(self, x, texts):
        out = self.logits(x, texts)
        return (out[2].softmax(1) + out[5].softmax(1)) / 2


class Purls(Map):
    """Fixed parts and phases; eight slots in one head."""

    def __init__(self, batch):
        super().__init__(batch)
        n, d = 8 * CHANNELS, 8 * WIDTH
        self.net = nn.Sequential(
            nn.BatchNorm1d(n), nn.Dropout(0.5), nn.Linear(n, 1024), nn.SiLU(),
            nn.BatchNorm1d(1024), nn.Dropout(0.5), nn.Linear(1024, d), nn.Tanh(),
        )
        self.tmps = nn.Parameter(torch.full((8,), 2.66))
        self.optimisers = [torch.optim.Adam([*self.net.parameters(), self.tmps], 1e-4)]
        # The slots of the training samples are made once, as one would.
        self.slots = self.pool(self.features)

    @staticmethod
    def pool(x):
        parts = [x[:, :, :, j].mean((2, 3)) for j in PARTS]
        thirds = [t.mean((2, 3)) for t in x.split([5, 5, 6], 2)]
        return unit(torch.stack([*parts, *thirds, x.mean((2, 3))], 1))

    def train(self):
        rows = self.rows()
        v = self.net(self.slots[rows].flatten(1)).view(len(rows), 8, WIDTH)
        t = self.texts[self.labels[rows]]
        logits = torch.einsum("bld,cld->lbc", v, t) * self.tmps[:, None, None]
        target = torch.arange(len(rows))
        loss = sum(F.cross_entropy(s, target) + F.cross_entropy(s.T, target) for s in logits)
        self.optimisers[0].zero_grad()
        loss.backward()
        self.optimisers[0].step()
        return len(rows)

    def score(self, x, texts):
        v = self.net.eval()(self.pool(x).flatten(1)).view(len(x), 8, WIDTH)
        return v[:, 7] @ texts[:, 7].T


METHODS = {
    "devise": Devise, "revise": Revise, "jpose": Jpose, "smie": Smie, "cada-vae": Vae, "synse": Synse,
    "sa-dvae": SaDvae, "star": Star, "neuron": Neuron, "purls": Purls,
}


def make(name):
    method, what, sizes = re.fullmatch(r"([\w-]+)/(\w+)/(\w+)", name).groups()
    size = {part[0]: int(part[1:]) for part in sizes.split("_")}
    model = METHODS[method](size["B"])
    if what == "train":
        return model.train
    on_map = isinstance(model, Map)
    form = (CHANNELS, FRAMES, JOINTS) if on_map else (CHANNELS,)
    x = torch.rand(size["B"], *form)
    texts = unit(torch.randn(size["C"], 8, WIDTH) if on_map else torch.randn(size["C"], WIDTH))

    @torch.inference_mode()
    def work():
        return len(model.score(x, texts))

    return work


serve(make)
