"""FQDet on ResNet-50 and FPN in plain PyTorch, the paper's form, for bench/peer_effseg.py: deformable attention by grid_sample."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

import peer_models

HEADS, C, CLASSES, QUERIES = 8, 256, 80, 300


class Body(nn.Module):
    """ResNet-50 and FPN: P2 .. P7."""

    def __init__(self):
        super().__init__()
        self.backbone = peer_models.ResNet50(peer_models.FrozenNorm)
        self.laterals = nn.ModuleList(nn.Conv2d(w, C, 1) for w in (256, 512, 1024, 2048))
        self.outputs = nn.ModuleList(nn.Conv2d(C, C, 3, padding=1) for _ in range(4))
        self.coarse = nn.ModuleList(nn.Conv2d(C, C, 3, 2, 1) for _ in range(2))

    def forward(self, x):
        x = [lateral(c) for lateral, c in zip(self.laterals, self.backbone(x))]
        for i in (2, 1, 0):
            x[i] = x[i] + F.interpolate(x[i + 1], size=x[i].shape[-2:], mode="nearest")
        y = [conv(m) for conv, m in zip(self.outputs, x)]
        y.append(self.coarse[0](x[3]))
        y.append(self.coarse[1](F.relu(y[-1])))
        return tuple(y)


class PreAct(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(inputs), nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.linear(F.relu(self.norm(x)))


class GroupPreAct(nn.Sequential):
    def __init__(self, inputs, outputs, kernel=1):
        super().__init__(nn.GroupNorm(8, inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))


class DeformableAttention(nn.Module):
    def __init__(self, levels):
        super().__init__()
        self.levels = levels
        self.offsets, self.weights = nn.Linear(C, HEADS * levels * 2), nn.Linear(C, HEADS * levels)
        self.value, self.out = nn.Linear(C, C), nn.Linear(C, C)

    def forward(self, q, reference, tokens, shapes):
        b, n, _ = q.shape
        offsets = self.offsets(q).view(b, n, HEADS, self.levels, 2)
        weights = self.weights(q).view(b, n, HEADS, self.levels).softmax(-1)
        at = 2 * (reference[:, :, None, None, :2] + offsets * 0.5 * reference[:, :, None, None, 2:]) - 1
        values = self.value(tokens).split([h * w for h, w in shapes], 1)
        samples = []
        for l, (h, w) in enumerate(shapes):
            value = values[l].transpose(1, 2).reshape(b * HEADS, C // HEADS, h, w)
            grid = at[:, :, :, l].transpose(1, 2).reshape(b * HEADS, n, 1, 2)
            samples.append(F.grid_sample(value, grid, align_corners=False)[..., 0])
        weights = weights.transpose(1, 2).reshape(b * HEADS, 1, n, self.levels)
        return self.out((torch.stack(samples, -1) * weights).sum(-1).view(b, C, n).transpose(1, 2))


class DecoderLayer(nn.Module):
    def __init__(self, levels, hidden=1024):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(C) for _ in range(3))
        self.deform, self.mha = DeformableAttention(levels), nn.MultiheadAttention(C, HEADS, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(C, hidden), nn.ReLU(), nn.Linear(hidden, C))

    def forward(self, q, encoding, reference, tokens, shapes):
        q = q + self.deform(self.norms[0](q) + encoding, reference, tokens, shapes)
        v = self.norms[1](q)
        q = q + self.mha(v + encoding, v + encoding, v, need_weights=False)[0]
        return q + self.mlp(self.norms[2](q))


def anchors_of(shapes):
    """Centre form [A, 4]."""
    all_anchors = []
    for l, (h, w) in enumerate(shapes, 2):
        side = [4 * 2 ** (l + j / 3) for j in range(3)]
        sizes = torch.tensor([[s / math.sqrt(r), s * math.sqrt(r)] for s in side for r in (0.5, 1, 2)])
        y, x = torch.meshgrid((torch.arange(h) + 0.5) * 2 ** l, (torch.arange(w) + 0.5) * 2 ** l, indexing="ij")
        centres = torch.stack([x, y], -1).view(-1, 1, 2).expand(-1, 9, -1)
        all_anchors.append(torch.cat([centres, sizes.expand(h * w, -1, -1)], 2).view(-1, 4))
    return torch.cat(all_anchors)


def corners(boxes):
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


class Detector(nn.Module):
    """FQDet's head, the paper's form."""

    def __init__(self, levels=6):
        super().__init__()
        self.first = GroupPreAct(C, C)
        self.bottleneck = nn.Sequential(GroupPreAct(C, C // 4), GroupPreAct(C // 4, C // 4, 3), GroupPreAct(C // 4, C))
        self.selection = nn.Sequential(nn.ReLU(), nn.Conv2d(C, 9, 1))
        self.kinds = nn.ModuleList(PreAct(C, C) for _ in range(9))
        self.encode, self.encode_more = nn.Linear(4, C), PreAct(C, C)
        self.layers = nn.ModuleList(DecoderLayer(levels) for _ in range(6))

        def tower(outputs):
            return nn.ModuleList([PreAct(C, C), PreAct(C, C), nn.Linear(C, outputs)])
        self.classes, self.deltas = tower(CLASSES + 1), tower(4)

    def forward(self, maps, width, height):
        logits = []
        for m in maps:
            x = self.first(m)
            logits.append(self.selection(x + self.bottleneck(x)).permute(0, 2, 3, 1).flatten(1))
        logits = torch.cat(logits, 1)
        shapes = [m.shape[-2:] for m in maps]
        tokens = torch.cat([m.flatten(2).transpose(1, 2) for m in maps], 1)
        anchors = anchors_of(shapes)
        selected = logits.detach().topk(QUERIES, 1).indices
        rows = torch.gather(tokens, 1, (selected // 9)[..., None].expand(-1, -1, C))
        q = torch.zeros_like(rows)
        for kind, module in enumerate(self.kinds):
            mine = selected % 9 == kind
            q = q.masked_scatter(mine[..., None], module(rows[mine]))
        prior = anchors[selected]
        reference = prior / torch.tensor([width, height, width, height])
        encoding = self.encode(reference)
        encoding = encoding + self.encode_more(encoding)
        for layer in self.layers:
            q = layer(q, encoding, reference, tokens, shapes)

        def read(tower):
            x = tower[0](q)
            return tower[2](x + tower[1](x))
        deltas = read(self.deltas)
        boxes = torch.cat([prior[..., :2] + deltas[..., :2] * prior[..., 2:], prior[..., 2:] * deltas[..., 2:].clamp(max=62.5).exp()], -1)
        return {"selection": logits, "anchors": anchors, "prior": prior, "queries": q, "classes": read(self.classes), "deltas": deltas,
                "boxes": corners(boxes)}


def predictions(out):
    """Of one picture: the queries of the 100 best pairs of query and class."""
    from torchvision.ops import batched_nms
    scores, pair = out["classes"][0, :, :-1].sigmoid().flatten().topk(1000)
    query = pair // CLASSES
    return query[batched_nms(out["boxes"][0, query], scores, pair % CLASSES, 0.5)[:100]]


def focal(x, y):
    p = x.sigmoid()
    loss = F.binary_cross_entropy_with_logits(x, y, reduction="none")
    return ((0.25 * y + 0.75 * (1 - y)) * loss * (1 - (p * y + (1 - p) * (1 - y))) ** 2).sum()


def detector_loss(out, truth):
    """Focal losses of selection and classes; matching by the IoU of the anchors. The few terms of matched queries are left out."""
    chosen = torch.zeros_like(out["selection"])
    anchors = corners(out["anchors"])
    for b, boxes in enumerate(truth):
        inside = (torch.min(anchors[:, None, 2:], boxes[:, 2:]) - torch.max(anchors[:, None, :2], boxes[:, :2])).clamp(min=0).prod(2)
        area = (anchors[:, 2:] - anchors[:, :2]).prod(1)[:, None] + (boxes[:, 2:] - boxes[:, :2]).prod(1) - inside
        chosen[b, (inside / area).topk(15, 0).indices[:5].flatten()] = 1
    classes = torch.zeros_like(out["classes"])
    classes[..., -1] = 1
    return focal(out["selection"], chosen) + focal(out["classes"], classes)
