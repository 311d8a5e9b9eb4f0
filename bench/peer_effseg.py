"""EffSeg (ResNet-50, FPN, FQDet, its mask head) in plain PyTorch for bench/peer.py, in the formulations of its authors: index convolution
as gather and matrix product. The convolutional body is traced and optimised, the rest runs eagerly.

Weights are random; RoIs and matches are those of bench/effseg.cpp.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

import peer_models
from peer_fqdet import C, Body, Detector, detector_loss, predictions

STRIDES = (4, 8, 16, 32)


def mlp(inputs, hidden, outputs):
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class Sps:
    """Index map [R, S, S]; of the active cells RoI, place (x, y), level and picture."""

    def __init__(self, ids, roi, place, level, image):
        self.ids, self.roi, self.place, self.level, self.image = ids, roi, place, level, image

    def refined(self, kept, active, passive):
        """Keeps these active cells, the others become passive; the grids double."""
        n, rest = int(kept.sum()), torch.arange(len(kept))
        new = torch.empty(len(active) + len(passive), dtype=torch.long)
        new[rest[kept]] = torch.arange(n)
        new[len(active):] = n + torch.arange(len(passive))
        new[rest[~kept]] = n + len(passive) + torch.arange(len(active) - n)
        ids = new[self.ids].repeat_interleave(2, 1).repeat_interleave(2, 2)
        side = torch.arange(ids.shape[1]) % 2
        ids = torch.where(ids < n, 4 * ids + 2 * side[:, None] + side, ids + 3 * n)
        place = (2 * self.place[kept, None] + torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]])).view(-1, 2)
        four = [x[kept].repeat_interleave(4) for x in (self.roi, self.level, self.image)]
        grids = Sps(ids, four[0], place, (four[1] - 1).clamp(min=0), four[2])
        return grids, active[kept], torch.cat([passive, active[~kept]])

    def neighbours(self, dilation, rows):
        """[N_A, 9]; `rows` where a position is outside."""
        size, steps = self.ids.shape[1], torch.arange(-1, 2) * dilation
        offsets = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).view(9, 2)
        at = self.place[:, None] + offsets
        inside = ((at >= 0) & (at < size)).all(-1)
        at = at.clamp(0, size - 1)
        return torch.where(inside, self.ids[self.roi[:, None], at[..., 1], at[..., 0]], rows)


class IndexConv(nn.Module):
    def __init__(self, width, dilation):
        super().__init__()
        self.linear, self.dilation = nn.Linear(9 * width, width), dilation

    def forward(self, grids, active, passive):
        rows = torch.cat([active, passive, active.new_zeros(1, active.shape[1])])
        ids = grids.neighbours(self.dilation, len(rows) - 1)
        return self.linear(rows.index_select(0, ids.flatten()).view(len(active), -1))


class Sfm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.last = nn.Linear(width, width), mlp(width, width, width)
        self.convs = nn.ModuleList(IndexConv(width, d) for d in (1, 3, 5))

    def forward(self, grids, active, passive):
        x = F.relu(self.first(active))
        return F.relu(self.last(sum(F.relu(conv(grids, x, passive)) for conv in self.convs)))

    def on_maps(self, x):
        maps = F.relu(self.first(x)).permute(0, 3, 1, 2)  # in channels_last
        weights = [conv.linear.weight.view(len(conv.linear.weight), 3, 3, -1).permute(0, 3, 1, 2) for conv in self.convs]
        y = sum(F.relu(F.conv2d(maps, w, conv.linear.bias, padding=conv.dilation, dilation=conv.dilation))
                for w, conv in zip(weights, self.convs))
        return F.relu(self.last(y.permute(0, 2, 3, 1)))


def levels_of(boxes):
    return torch.floor(torch.log2((boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt() / 56 + 1e-6)).clamp(0, 3).long()


def align(maps, boxes, image, size):
    from torchvision.ops import roi_align
    level, out = levels_of(boxes), maps[0].new_zeros(len(boxes), maps[0].shape[1], size, size)
    for l, stride in enumerate(STRIDES):
        mine = (level == l).nonzero()[:, 0]
        if len(mine):
            rows = torch.cat([image[mine, None].to(boxes.dtype), boxes[mine]], 1)
            out = out.index_put((mine,), roi_align(maps[l], rows, size, 1 / stride, -1, True))
    return out


def sampled(maps, level, image, at):
    """The maps [B, c, h, w] of the levels at parts (x, y) of the picture -> [P, c]."""
    out = at.new_zeros(len(at), maps[0].shape[1])
    for l in range(4):
        for b in range(len(maps[0])):
            mine = ((level == l) & (image == b)).nonzero()[:, 0]
            if len(mine):
                found = F.grid_sample(maps[l][b:b + 1], 2 * at[mine][None, None] - 1, align_corners=False)
                out = out.index_put((mine,), found[0, :, 0].t())
    return out


class Head(nn.Module):
    def __init__(self, dense=False, refinements=10000):
        super().__init__()
        self.dense, self.refinements = dense, refinements
        self.query, self.fuse = nn.Linear(C, C), nn.Sequential(nn.Conv2d(2 * C, C, 1), nn.ReLU(), nn.Conv2d(C, C, 1))
        self.fcn = nn.Sequential(*[layer for _ in range(4) for layer in (nn.Conv2d(C, C, 3, padding=1), nn.ReLU())])
        widths = [C >> s for s in range(4)]
        self.seg, self.ref = (nn.ModuleList(mlp(w, w, 1) for w in widths) for _ in range(2))
        widths.pop()
        self.child, self.child_out = (nn.ModuleList(nn.Linear(w, out * w) for w in widths) for out in (4, 1))
        self.key = nn.ModuleList(nn.Conv2d(C, w, 1) for w in widths) if dense else None
        self.fuse_key = nn.ModuleList(mlp(2 * w if dense else w + C, w, w) for w in widths)
        self.transition = nn.ModuleList(nn.Linear(w, w // 2) for w in widths)
        self.process = nn.ModuleList(Sfm(w // 2) for w in widths)
        t = (torch.arange(14) + 0.5)[:, None] / 14 * 2 * math.pi / 10000 ** (4 * torch.arange(C // 4) / C)
        wave = torch.cat([t.sin(), t.cos()], 1)
        self.register_buffer("position", torch.cat([wave.expand(14, -1, -1), wave[:, None].expand(-1, 14, -1)], 2).permute(2, 0, 1))

    def first_stage(self, maps, boxes, image, queries):
        x = align(maps, boxes.detach(), image, 14) + self.position
        q = F.relu(self.query(queries))[:, :, None, None].expand_as(x)
        return self.fcn((x + self.fuse(torch.cat([q, x], 1))).contiguous(memory_format=torch.channels_last))

    def forward(self, maps, boxes, image, queries, width, height):
        """Of each stage: RoI and place of its active cells, logits of both branches."""
        x = self.first_stage(maps, boxes, image, queries).permute(0, 2, 3, 1)
        count = len(boxes)
        r, y, xx = torch.meshgrid(torch.arange(count), torch.arange(14), torch.arange(14), indexing="ij")
        grids = Sps(torch.arange(count * 196).view(count, 14, 14), r.flatten(), torch.stack([xx, y], -1).view(-1, 2),
                    levels_of(boxes.detach()).repeat_interleave(196), image.repeat_interleave(196))
        active, passive = x.reshape(-1, C), x.new_zeros(0, C)
        extent = torch.tensor([width, height])
        corner, sides = boxes[:, :2] / extent, (boxes[:, 2:] - boxes[:, :2]) / extent
        found = []
        for s in range(4):
            ref = self.ref[s](active)[:, 0]
            found.append((grids.roi, grids.place, self.seg[s](active)[:, 0], ref))
            if s == 3:
                return found
            kept = torch.ones(len(active), dtype=torch.bool)
            if len(active) > self.refinements:
                kept = torch.zeros_like(kept).scatter_(0, ref.detach().topk(self.refinements).indices, True)
            grids, active, passive = grids.refined(kept, active, passive)
            hidden = F.relu(self.child[s](active)).view(len(active) * 4, -1)
            active = active.repeat_interleave(4, 0) + self.child_out[s](hidden)
            at = corner[grids.roi] + (grids.place + 0.5) / grids.ids.shape[1] * sides[grids.roi]
            active = active + self.fuse_key[s](torch.cat([active, sampled(maps, grids.level, grids.image, at)], 1))
            active, passive = F.relu(self.transition[s](active)), F.relu(self.transition[s](passive))
            active = self.process[s](grids, active, passive)

    def dense_logits(self, maps, boxes, image, queries, width, height):
        """The logits [R, S, S] of the last stage, where every cell of every stage is computed on maps [R, S, S, F]."""
        x = self.first_stage(maps, boxes, image, queries).permute(0, 2, 3, 1)
        level, extent = levels_of(boxes), torch.tensor([width, height])
        corner, sides = boxes[:, :2] / extent, (boxes[:, 2:] - boxes[:, :2]) / extent
        for s in range(4):
            seg = self.seg[s](x)[..., 0], self.ref[s](x)
            if s == 3:
                return seg[0]
            n, size, f = len(x), 2 * x.shape[1], x.shape[3]
            step = self.child_out[s](F.relu(self.child[s](x)).view(n, size // 2, size // 2, 2, 2, f))
            x = (x[:, :, :, None, None] + step).permute(0, 1, 3, 2, 4, 5).reshape(n, size, size, f)
            level = (level - 1).clamp(min=0)
            cell = (torch.arange(size) + 0.5) / size
            place = torch.stack(torch.meshgrid(cell, cell, indexing="xy"), -1)
            at = (corner[:, None, None] + place * sides[:, None, None]).view(-1, 2)
            keys = sampled([self.key[s](m) for m in maps], level.repeat_interleave(size * size), image.repeat_interleave(size * size), at)
            x = x + self.fuse_key[s](torch.cat([x, keys.view(n, size, size, f)], 3))
            x = self.process[s].on_maps(F.relu(self.transition[s](x)))

    def masks(self, *inputs):
        """Probabilities [R, 1, 112, 112]."""
        if self.dense:
            return self.dense_logits(*inputs).sigmoid()[:, None]
        found = self(*inputs)
        mask = found[0][2].view(-1, 1, 14, 14)
        for roi, place, seg, _ in found[1:]:
            mask = F.interpolate(mask, scale_factor=2, mode="bilinear", align_corners=False)
            mask[roi, 0, place[:, 1], place[:, 0]] = seg
        return mask.sigmoid()


def rois(count, width, height):
    n = torch.arange(1, count + 1, dtype=torch.float64)
    side = 32 * 2 ** (4 * (n * 0.6180340 % 1))
    x, y = (n * 0.7548777 % 1) * (width - side), (n * 0.5698403 % 1) * (height - side)
    return torch.stack([x, y, x + side, y + side], 1).float()


def paste(probabilities, boxes, size):
    """Into the picture [R, H, W], and the mean of what is above 1/2."""
    height, width = size
    x0, y0, x1, y1 = boxes.unbind(1)
    u = ((torch.arange(width) + 0.5) - x0[:, None]) / (x1 - x0)[:, None] * 2 - 1
    v = ((torch.arange(height) + 0.5) - y0[:, None]) / (y1 - y0)[:, None] * 2 - 1
    grid = torch.stack([u[:, None].expand(-1, height, -1), v[:, :, None].expand(-1, -1, width)], 3)
    p = F.grid_sample(probabilities, grid, align_corners=False)[:, 0]
    masks = p > 0.5
    return masks, (p * masks).flatten(1).sum(1) / (masks.flatten(1).sum(1) + 1e-6)


def effseg(height=800, width=1333, original=(480, 800), count=60):
    def make(memory_format):
        x = torch.randn(1, 3, height, width).to(memory_format=memory_format)
        detector, head, boxes = Detector().eval(), Head().eval(), rois(count, width, height)
        with torch.no_grad():
            body = torch.jit.optimize_for_inference(torch.jit.trace(Body().eval().to(memory_format=memory_format), x))

        def call():
            with torch.inference_mode():
                maps = body(x)
                out = detector(maps, width, height)
                predictions(out)
                p = head.masks(maps, boxes, torch.zeros(count, dtype=torch.long), out["queries"][0, :count], width, height)
                masks, _ = paste(p, boxes, (height, width))
                for mask in masks:  # one after the other: floats of all would not fit
                    F.interpolate(mask[None, None].float(), size=original, mode="bilinear", align_corners=False) > 0
        return call
    return {"channels_last": lambda: make(torch.channels_last), "NCHW": lambda: make(torch.contiguous_format)}


def effseg_head(count, dense=False, height=800, width=1333):
    def make(memory_format):
        head, boxes, maps = Head(dense).eval().to(memory_format=memory_format), rois(count, width, height), []
        for stride in STRIDES:
            h, w, coarse = -(-height // stride), -(-width // stride), max(1, 32 // stride)
            noise = 2 * torch.rand(1, C, h // coarse, w // coarse) - 1
            maps.append(F.interpolate(noise, size=(h, w), mode="bilinear", align_corners=False).contiguous(memory_format=memory_format))
        queries, image = torch.rand(count, C), torch.zeros(count, dtype=torch.long)

        def call():
            with torch.inference_mode():
                head.masks(maps, boxes, image, queries, width, height)
        return call
    return {"NCHW": lambda: make(torch.contiguous_format), "channels_last": lambda: make(torch.channels_last)}


def head_loss(found, masks, boxes, objects):
    from torchvision.ops import roi_align
    total, rows = 0, torch.cat([objects[:, None].float(), boxes.detach()], 1)
    for s, (roi, place, seg, ref) in enumerate(found):
        cover = roi_align(masks[:, None], rows, 14 << s, 1.0, -1, True)[roi, 0, place[:, 1], place[:, 0]]
        part = ((cover > 1e-5) & (cover < 1 - 1e-5)).float()
        total = total + (0.25, 0.375, 0.375, 0.5)[s] * F.binary_cross_entropy_with_logits(seg, (cover > 0.5).float())
        total = total + 0.25 * F.binary_cross_entropy_with_logits(ref, part)
    return len(boxes) * total


def effseg_step(height=400, width=600, batch=2, objects=5, matched=40):
    def make(memory_format):
        body, detector, head = Body().train().to(memory_format=memory_format), Detector(), Head()
        for frozen in (body.backbone.stem, body.backbone.stages[0]):
            frozen.requires_grad_(False)
        parameters = [p for part in (body, detector, head) for p in part.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=1e-4)
        x = torch.randn(batch, 3, height, width).to(memory_format=memory_format)
        truth, masks = [], torch.zeros(batch * objects, height, width)
        side = min(height, width) // 3
        for t in range(batch * objects):
            top, left = int(torch.randint(height - side, ())), int(torch.randint(width - side, ()))
            masks[t, top:top + side, left:left + side] = 1
            truth.append(torch.tensor([left, top, left + side, top + side]).float())
        truth = torch.stack(truth).view(batch, objects, 4)
        image = torch.arange(batch).repeat_interleave(matched)
        query = torch.arange(matched).repeat(batch)
        object_of = image * objects + query % objects

        def step():
            optimizer.zero_grad(set_to_none=True)
            maps = body(x)
            out = detector(maps, width, height)
            boxes = out["boxes"][image, query]
            found = head(maps, boxes, image, out["queries"][image, query], width, height)
            (detector_loss(out, truth) + head_loss(found, masks, boxes, object_of)).backward()
            optimizer.step()
        return step
    return peer_models.training(make)


def mask_rcnn(height=800, width=1333):
    """torchvision's, with all its steps but the resizing of the picture; no threshold, so that it finds 100 objects."""
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    def make(memory_format):
        model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=81, min_size=height, max_size=width, box_score_thresh=0.0)
        model, x = model.eval().to(memory_format=memory_format), torch.rand(3, height, width)

        def call():
            with torch.inference_mode():
                model([x])
        return call
    return {"NCHW": lambda: make(torch.contiguous_format), "channels_last": lambda: make(torch.channels_last)}
