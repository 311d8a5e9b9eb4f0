"""FASSST, design A of docs/fassst.md, in plain PyTorch for bench/peer.py. Every picture has the same number of regions, so RoIAlign can
also be a grid_sample of its 2 x 2 points and their mean: tried where masks are found; in training it is slower.

Weights are random; a cell's box is twice as wide as the cell, as in bench/fassst.cpp.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

import peer_models

CLASSES, GRID, SIZE, WIDTH, SIDE, STRIDES = 80, 6, 416, 160, 28, (8, 16, 32)
LOG_SIDE = math.log(2)


class Rows(nn.Module):
    """MobileNetV2: outputs of rows 4, 5, 6 and 8 of its table."""

    def __init__(self):
        super().__init__()
        from torchvision.models import mobilenet_v2
        layers = mobilenet_v2().features
        self.parts = nn.ModuleList(layers[a:b] for a, b in ((0, 7), (7, 11), (11, 14), (14, 18)))

    def forward(self, x):
        rows = []
        for part in self.parts:
            x = part(x)
            rows.append(x)
        return rows


class Body(nn.Module):
    """Picture -> predictions of the cells [B, cells, 5 + K] and three levels."""

    def __init__(self):
        super().__init__()
        self.rows, layers, inputs = Rows(), [], 64
        for width, stride, padding in ((128, 1, 1), (192, 1, 1), (256, 1, 1), (384, 2, 1), (448, 1, 1), (384, 1, 1), (128, 2, 0), (256, 1, 1)):
            layers += [nn.Conv2d(inputs, width, 3, stride, padding, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            inputs = width
        last = nn.Conv2d(inputs, 5 + CLASSES, 1)
        with torch.no_grad():
            last.weight.normal_(std=0.01)
            last.bias.zero_()
            last.bias[2:4] = LOG_SIDE
        self.attention = nn.Sequential(*layers, last)
        self.laterals = nn.ModuleList(nn.Conv2d(width, WIDTH, 1) for width in (32, 96, 320))
        self.outputs = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in STRIDES)

    def forward(self, x):
        rows = self.rows(x)
        raw = self.attention(rows.pop(1)).flatten(2).transpose(1, 2)
        levels, top = [], None
        for row, lateral, output in zip(rows[::-1], reversed(self.laterals), reversed(self.outputs)):
            lateral = lateral(row)
            top = lateral if top is None else lateral + F.interpolate(top, scale_factor=2.0, mode="nearest")
            levels.append(output(top))
        return raw, levels[::-1]


class Masks(nn.Module):
    """Levels and the boxes of each picture [B, R, 4], x0 y0 x1 y1 in pixels -> logits [B R, 56, 56]."""

    def __init__(self, sampled):
        super().__init__()
        self.sampled = sampled
        self.tail = nn.Sequential(*[layer for _ in range(5) for layer in (nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(inplace=True))])
        self.deconv = nn.ConvTranspose2d(WIDTH, 1, 4, 2, 1)

    def align(self, level, boxes, stride, size):
        pictures, count, _ = boxes.shape
        if not self.sampled:
            from torchvision.ops import roi_align
            rows = torch.cat([torch.arange(pictures).repeat_interleave(count)[:, None].float(), boxes.flatten(0, 1)], 1)
            return roi_align(level, rows, size, 1 / stride, 2, True)
        place = (torch.arange(2 * size) + 0.5) / (2 * size)
        extent = stride * torch.tensor([level.shape[3], level.shape[2]])
        low, side = 2 * boxes[..., :2] / extent - 1, 2 * (boxes[..., 2:] - boxes[..., :2]) / extent
        at = low[..., None, :] + place[:, None] * side[..., None, :]  # [B, R, 2 size, 2]
        points = (pictures, count, 2 * size, 2 * size)
        grid = torch.stack([at[:, :, None, :, 0].expand(points), at[:, :, :, None, 1].expand(points)], 4)
        found = F.grid_sample(level, grid.flatten(1, 2), padding_mode="border", align_corners=False)
        found = F.avg_pool2d(found, 2).view(pictures, WIDTH, count, size, size)
        return found.transpose(1, 2).flatten(0, 1)

    def forward(self, levels, boxes):
        fused = None
        for level, stride, size in zip(levels[::-1], STRIDES[::-1], (SIDE // 4, SIDE // 2, SIDE)):
            part = self.align(level, boxes, stride, size)
            fused = part if fused is None else part + F.interpolate(fused, scale_factor=2.0, mode="bilinear", align_corners=False)
        x = F.relu(fused).contiguous(memory_format=torch.channels_last)
        return self.deconv(self.tail(x))[:, 0]


def decode(raw):
    """x0 y0 x1 y1 of every cell, as fractions of the picture."""
    cell = torch.arange(GRID, dtype=torch.float32) - 1
    corner = torch.stack(torch.meshgrid(cell, cell, indexing="ij"), -1).view(GRID * GRID, 2)
    centre = (3 * raw[..., :2].sigmoid() + corner) / GRID
    half = raw[..., 2:4].clamp(-6, 3).exp() / (2 * GRID)
    return torch.cat([centre - half, centre + half], -1)[..., [1, 0, 3, 2]]


def fassst(count, size=SIZE):
    """A picture of the input's size, from floats to the masks of the best boxes in the picture."""
    from peer_effseg import paste

    def make(memory_format, sampled):
        x = torch.randn(1, 3, size, size).to(memory_format=memory_format)
        body, masks = Body().eval().to(memory_format=memory_format), Masks(sampled).eval().to(memory_format=memory_format)
        with torch.no_grad():  # of the masks' part the trace is slower
            body = torch.jit.optimize_for_inference(torch.jit.trace(body, x))

        def call():
            with torch.inference_mode():
                raw, levels = body(x)
                score, _ = raw[..., 5:].sigmoid().max(-1)
                order = (score * raw[..., 4].sigmoid()).sort(descending=True).indices[0, :count]
                boxes = (decode(raw).clamp(0, 1) * size)[:, order]
                paste(masks(levels, boxes).sigmoid()[:, None], boxes[0], (size, size))
        return call
    formats = {"channels_last": torch.channels_last, "NCHW": torch.contiguous_format}
    return {f"{name}, {'grid_sample' if sampled else 'roi_align'}": lambda f=f, sampled=sampled: make(f, sampled)
            for name, f in formats.items() for sampled in (True, False)}


def focal(logits, y):
    p = logits.sigmoid()
    pt = p * y + (1 - p) * (1 - y)
    return ((0.25 * y + 0.75 * (1 - y)) * (1 - pt) ** 2 * F.binary_cross_entropy_with_logits(logits, y, reduction="none")).sum()


def fassst_step(batch=8, objects=5, size=SIZE):
    """The losses of design A with given cells, gradients cut at a norm, SGD with momentum."""
    from torchvision.ops import generalized_box_iou_loss, roi_align

    def make(memory_format):
        body, masks = Body().train().to(memory_format=memory_format), Masks(sampled=False).train().to(memory_format=memory_format)
        for module in body.rows.modules():
            if isinstance(module, nn.BatchNorm2d):  # statistics are frozen
                module.eval()
        parameters = [*body.parameters(), *masks.parameters()]
        optimizer = torch.optim.SGD(parameters, lr=0.005, momentum=0.9, weight_decay=5e-4)
        x = torch.randn(batch, 3, size, size).to(memory_format=memory_format)
        side = size // 3
        corner = torch.randint(size - side, (batch, objects, 2)).float()
        truth, pictures = torch.cat([corner, corner + side], -1), torch.zeros(batch * objects, 1, size, size)
        for mask, (x0, y0) in zip(pictures[:, 0], corner.view(-1, 2).int().tolist()):
            mask[y0:y0 + side, x0:x0 + side] = 1
        rows, cells = torch.arange(batch).repeat_interleave(objects), torch.arange(objects).repeat(batch) * 7
        positive, classes = torch.zeros(batch, GRID * GRID), torch.zeros(batch * objects, CLASSES)
        positive[rows, cells], classes[:, 3] = 1, 1
        count = batch * objects

        def step():
            optimizer.zero_grad(set_to_none=True)
            raw, levels = body(x)
            mine = raw[rows, cells]
            loss = 3 / count * focal(raw[..., 4], positive) + 1.25 / count * focal(mine[:, 5:], classes)
            loss = loss + 3 / count * generalized_box_iou_loss(decode(raw)[rows, cells] * size, truth.flatten(0, 1), reduction="sum")
            shift = (truth[..., 2:] - truth[..., :2]).repeat(1, 1, 2) * (0.2 * torch.rand(truth.shape) - 0.1)
            boxes = (truth + shift).clamp(0, size)
            own = torch.cat([torch.arange(count)[:, None].float(), boxes.flatten(0, 1)], 1)
            q = (roi_align(pictures, own, 2 * SIDE, 1.0, 2, True)[:, 0] >= 0.5).float()
            p = masks(levels, boxes).sigmoid()
            overlap, both = (p * q).sum((1, 2)), (p * p).sum((1, 2)) + (q * q).sum((1, 2))
            loss = loss + 5.75 * (1 - (2 * overlap + 1) / (both + 1)).mean()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 10)
            optimizer.step()
        return step
    return peer_models.training(make)
