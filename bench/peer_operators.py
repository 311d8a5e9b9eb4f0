"""Single operators of PyTorch, torchvision and SciPy for bench/peer.py.

Each function takes the arguments of a request and returns {name of a way to do it: function that makes the inputs and returns the call}.
"""
import torch
import torch.nn as nn
import torch.nn.functional as F


def no_grad(call):
    def run():
        with torch.no_grad():
            call()
    return run


def frozen(module, x):
    return torch.jit.optimize_for_inference(torch.jit.trace(module.eval(), x))


def gradients_of(forward, inputs):
    """The call that goes back once through forward(*inputs), to all inputs that want a gradient."""
    y = forward(*inputs)
    gy = torch.rand_like(y)
    wanted = [x for x in inputs if x.requires_grad]
    return lambda: torch.autograd.grad(y, wanted, gy, retain_graph=True)


def forward_or_backward(what, forward, inputs):
    if what == "forward":
        return no_grad(lambda: forward(*inputs))
    for x in inputs:
        if x.is_floating_point():
            x.requires_grad_()
    return gradients_of(forward, inputs)


def linear(M, N, K):
    def eager():
        x, w = torch.rand(M, K), torch.rand(N, K)
        return no_grad(lambda: F.linear(x, w))

    def prepacked():
        x = torch.rand(M, K)
        with torch.no_grad():
            module = frozen(nn.Sequential(nn.Linear(K, N, bias=False)), x)
        return no_grad(lambda: module(x))
    return {"eager": eager, "frozen": prepacked}


def matmul(a, b, transposed):
    def eager():
        x, y = torch.rand(a), torch.rand(b)
        x, y = (x.t(), y) if transposed == "first" else (x, y.t())
        return no_grad(lambda: torch.matmul(x, y))
    return {"eager": eager}


def conv2d(batch, channels, out, size, kernel, stride, groups, what):
    formats = {"channels_last": torch.channels_last, "NCHW": torch.contiguous_format}

    def parts(memory_format):
        conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups).to(memory_format=memory_format)
        return conv, torch.rand(batch, channels, size, size).to(memory_format=memory_format)

    def eager(memory_format):
        conv, x = parts(memory_format)
        return no_grad(lambda: F.relu_(conv(x)))

    def optimised(memory_format):
        conv, x = parts(memory_format)
        with torch.no_grad():
            module = frozen(nn.Sequential(conv, nn.ReLU()), x)
        return no_grad(lambda: module(x))

    def gradient(memory_format):
        conv, x = parts(memory_format)
        with torch.no_grad():
            gy = torch.rand_like(conv(x))
        wanted = [what == "input gradient", what == "weight gradient", False]
        return no_grad(lambda: torch.ops.aten.convolution_backward(gy, x, conv.weight, None, [stride] * 2, [kernel // 2] * 2, [1, 1], False,
                                                                   [0, 0], groups, wanted))
    if what != "forward":
        return {name: lambda f=f: gradient(f) for name, f in formats.items()}
    ways = {"eager " + name: lambda f=f: eager(f) for name, f in formats.items()}
    ways.update({"optimised " + name: lambda f=f: optimised(f) for name, f in formats.items()})
    return ways


def deform_conv2d(what):
    from torchvision.ops import deform_conv2d as deform

    def eager():
        inputs = [torch.rand(1, 256, 80, 80), torch.rand(1, 18, 80, 80) * 2 - 1, torch.rand(256, 256, 3, 3), torch.rand(1, 9, 80, 80)]
        return forward_or_backward(what, lambda x, offset, w, mask: deform(x, offset, w, None, 1, 1, 1, mask), inputs)
    return {"torchvision": eager}


def roi_align(size, what):
    from torchvision.ops import roi_align as align

    def eager():
        x = torch.rand(1, 256, 160, 160)
        corner, extent = torch.rand(1000, 2) * 500, torch.rand(1000, 2) * 120 + 16
        boxes = torch.cat([torch.zeros(1000, 1), corner, corner + extent], 1)
        if what == "forward":
            return no_grad(lambda: align(x, boxes, size, 0.25, 2, True))
        x.requires_grad_()
        return gradients_of(lambda x: align(x, boxes, size, 0.25, 2, True), [x])
    return {"torchvision": eager}


def msda(what, queries=8500, heads=8, channels=256, points=4):
    """Multi-scale deformable attention as Deformable DETR's reference in PyTorch: one grid_sample per level."""
    sizes, width = [(80, 80), (40, 40), (20, 20), (10, 10)], channels // heads

    def attend(value, places, weights):  # [1, pixels, heads, width], [1, Q, heads, levels, points, 2], [1, Q, heads, levels, points]
        sampled, first = [], 0
        for level, (h, w) in enumerate(sizes):
            x = value[:, first:first + h * w].flatten(2).transpose(1, 2).reshape(heads, width, h, w)
            first += h * w
            grid = (2 * places[:, :, :, level] - 1).transpose(1, 2).flatten(0, 1)
            sampled.append(F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False))
        weights = weights.transpose(1, 2).reshape(heads, 1, queries, len(sizes) * points)
        return (torch.stack(sampled, -2).flatten(-2) * weights).sum(-1).view(1, channels, queries).transpose(1, 2)

    def eager():
        pixels = sum(h * w for h, w in sizes)
        weights = torch.rand(1, queries, heads, len(sizes) * points).softmax(-1).view(1, queries, heads, len(sizes), points)
        inputs = [torch.rand(1, pixels, heads, width), torch.rand(1, queries, heads, len(sizes), points, 2), weights]
        return forward_or_backward(what, attend, inputs)
    return {"grid_sample": eager}


def sps_structure(regions, size, keep, contours):
    """Index map, cells (region, x, y) by id and number of passive rows: each stage keeps `keep` cells, drawn at random or the nearest to
    the contour of a disc in each region, and doubles the grids."""
    side, index_map, active, passive = 14, torch.arange(regions * 14 * 14).view(regions, 14, 14), regions * 14 * 14, 0
    discs = torch.rand(regions, 3) * torch.tensor([0.2, 0.2, 0.15]) + torch.tensor([0.4, 0.4, 0.25])

    def cells():
        place = (index_map.flatten() < active).nonzero()[:, 0]
        return place[index_map.flatten()[place].argsort()]

    def distances():
        x, y = ((cells() // step % side + 0.5) / side for step in (1, side))
        disc = discs[cells() // (side * side)]
        return (torch.hypot(x - disc[:, 0], y - disc[:, 1]) - disc[:, 2]).abs()
    while side < size:
        kept = torch.zeros(active, dtype=torch.bool)
        kept[(distances().argsort() if contours else torch.randperm(active))[:keep]] = True
        ids = torch.empty(active + passive, dtype=torch.long)
        ids[active:] = keep + torch.arange(passive)
        ids[:active][kept] = torch.arange(keep)
        ids[:active][~kept] = keep + passive + torch.arange(active - keep)
        index_map = ids[index_map].repeat_interleave(2, 1).repeat_interleave(2, 2)
        side, passive, active = 2 * side, passive + active - keep, 4 * keep
        child = 2 * (torch.arange(side) % 2)[:, None] + torch.arange(side) % 2
        index_map = torch.where(index_map < keep, 4 * index_map + child, index_map + active - keep)
    place = cells()
    return index_map, place // (size * size), torch.stack([place % size, place // size % size], 1), passive


def sps_conv(features, dilation, what, contours=False, cells=40000, regions=60, size=112):
    """The 3x3 convolution over active cells as EffSeg's reference does it: neighbours gathered into rows of 9 F, one matrix product."""
    def eager():
        index_map, region, position, passive = sps_structure(regions, size, cells // 4, contours)
        taps = torch.tensor([(j * dilation, i * dilation) for i in (-1, 0, 1) for j in (-1, 0, 1)])

        def convolve(active, passives, weight, bias):
            near = position[:, None, :] + taps
            inside = ((near >= 0) & (near < size)).all(-1)
            clamped = near.clamp(0, size - 1)
            ids = index_map[region[:, None], clamped[..., 1], clamped[..., 0]]
            ids = torch.where(inside, ids, cells + passive)
            rows = torch.cat([active, passives, active.new_zeros(1, features)], 0)
            return F.linear(rows[ids].reshape(cells, -1), weight, bias)
        inputs = [torch.rand(cells, features), torch.rand(passive, features), torch.rand(features, 9 * features), torch.rand(features)]
        return forward_or_backward(what, convolve, inputs)
    return {"gather": eager}


def mask_upsampling():
    def eager(memory_format):
        masks = torch.rand(1, 100, 160, 160).logit().to(memory_format=memory_format)
        return no_grad(lambda: F.interpolate(masks.sigmoid(), size=(640, 640), mode="bilinear", align_corners=False) > 0.45)
    return {"NCHW": lambda: eager(torch.contiguous_format), "channels_last": lambda: eager(torch.channels_last)}


def normalize_pad():
    """As Detectron2: each picture normalised, then copied into a batch of zeros."""
    def eager():
        image = torch.randint(0, 256, (3, 608, 811), dtype=torch.uint8)
        mean, std = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1), torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)

        def call():
            batch = torch.zeros(8, 3, 608, 832)
            for place in batch:
                place[:, :, :811].copy_((image - mean) / std)
            return batch
        return no_grad(call)
    return {"NCHW": eager}


def nms(boxes):
    from torchvision.ops import nms as suppress

    def eager():
        corner, extent = torch.rand(boxes, 2) * 600, torch.rand(boxes, 2) * 100 + 10
        scores, corners = torch.rand(boxes), torch.cat([corner, corner + extent], 1)
        return lambda: suppress(corners, scores, 0.5)
    return {"torchvision": eager}


def assignment(rows, columns):
    from scipy.optimize import linear_sum_assignment

    def eager():
        cost = torch.rand(rows, columns, dtype=torch.float64).numpy()  # float64: what SciPy computes in, so that it need not convert
        return lambda: linear_sum_assignment(cost)
    return {"scipy": eager}
