#!/usr/bin/env python3
"""Outputs of torchvision's MobileNetV2 in double, for tests/models/mobilenet_v2_test.cpp.

    mobilenet_v2.py          # prints six values of every row of the paper's table, for both ways of padding

Parameters and the image come from fill.py, by name: a convolution's weight is uniform with bound 1.3 sqrt(3 / fan_in); of a norm
weight and variance lie in [0.5, 1.5), bias and mean in [-0.2, 0.2). Value j of a map with n elements is element
(2 j + 1) n / 12, rounded down, in NHWC order.
"""
import math

import numpy as np
import torch
import torchvision

from fill import fill

ROWS = [0, 1, 3, 6, 10, 13, 16, 17, 18]  # the last feature of each


def parameter(name, shape, of_norm):
    last = name.rsplit(".", 1)[1]
    if not of_norm:
        bound = 1.3 * math.sqrt(3 / math.prod(shape[1:]))
        return fill(name, shape, -bound, bound)
    return fill(name, shape, 0.5, 1.5) if last in ("weight", "running_var") else fill(name, shape, -0.2, 0.2)


def model(width=1.0, same_padding=False):
    net = torchvision.models.mobilenet_v2(width_mult=width).double().eval()
    state = net.state_dict()
    for name, value in state.items():
        if name.startswith("features.") and not name.endswith("num_batches_tracked"):
            of_norm = name.rsplit(".", 1)[0] + ".running_var" in state
            value.copy_(torch.from_numpy(parameter(name, tuple(value.shape), of_norm)))
    if same_padding:
        for conv in net.modules():
            if isinstance(conv, torch.nn.Conv2d) and conv.stride == (2, 2):
                conv.padding = (0, 0)
                conv.register_forward_pre_hook(lambda _, x: torch.nn.functional.pad(x[0], (0, 1, 0, 1)))
    return net


if __name__ == "__main__":
    with torch.no_grad():
        for same_padding in (False, True):
            print("// same_padding:", same_padding)
            net = model(same_padding=same_padding)
            x = torch.from_numpy(fill("image", (1, 3, 64, 96), -2, 2)).double()
            for i, feature in enumerate(net.features):
                x = feature(x)
                if i in ROWS:
                    y = x.permute(0, 2, 3, 1).reshape(-1).numpy()
                    picked = [y[(2 * j + 1) * y.size // 12] for j in range(6)]
                    print("{" + ", ".join(f"{v:.9g}" for v in picked) + f"}},  // std {y.std():.3g}, largest {y.max():.3g}")
        for width in (0.35, 0.5, 1.0, 1.4):
            net = torchvision.models.mobilenet_v2(width_mult=width)
            print("//", width, sum(p.numel() for p in net.features.parameters()), len(net.state_dict()))
