"""Whole models in plain PyTorch for bench/peer.py: forward passes in PyTorch's fastest mode, training steps run eagerly. Two of them also in
ncnn, where it is installed.

Weights are random: time does not depend on them.
"""
import os
import subprocess
import tempfile

import torch
import torch.nn as nn
import torch.nn.functional as F


class FrozenNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.register_buffer("scale", torch.rand(channels) + 0.5)
        self.register_buffer("shift", torch.zeros(channels))

    def forward(self, x):
        return x * self.scale.view(1, -1, 1, 1) + self.shift.view(1, -1, 1, 1)


def conv_norm(inputs, outputs, kernel, stride=1, norm=FrozenNorm):
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), norm(outputs))


class Bottleneck(nn.Module):
    def __init__(self, inputs, middle, stride, norm):
        super().__init__()
        self.conv1, self.conv2 = conv_norm(inputs, middle, 1, norm=norm), conv_norm(middle, middle, 3, stride, norm)
        self.conv3 = conv_norm(middle, 4 * middle, 1, norm=norm)
        self.shortcut = conv_norm(inputs, 4 * middle, 1, stride, norm) if inputs != 4 * middle else nn.Identity()

    def forward(self, x):
        return F.relu(self.conv3(F.relu(self.conv2(F.relu(self.conv1(x))))) + self.shortcut(x))


class ResNet50(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.stem, stages, inputs = conv_norm(3, 64, 7, 2, norm), [], 64
        for middle, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            stage = []
            for block in range(blocks):
                stage.append(Bottleneck(inputs, middle, stride if block == 0 else 1, norm))
                inputs = 4 * middle
            stages.append(nn.Sequential(*stage))
        self.stages = nn.ModuleList(stages)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2, 1)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class SparseInst(nn.Module):
    def __init__(self, norm, width=256, masks=100, groups=4, classes=80, kernel=128):
        super().__init__()
        self.backbone = ResNet50(norm)
        self.laterals = nn.ModuleList(nn.Conv2d(c, width, 1) for c in (2048, 1024, 512))
        self.outputs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.bins = (1, 2, 3, 6)
        self.pyramid = nn.ModuleList(nn.Conv2d(width, width // 4, 1) for _ in self.bins)
        self.bottleneck, self.fusion = nn.Conv2d(2 * width, width, 1), nn.Conv2d(3 * width, width, 1)

        def stack():
            layers = []
            for i in range(4):
                layers += [nn.Conv2d(width + 2 * (i == 0), width, 3, padding=1), nn.ReLU()]
            return nn.Sequential(*layers)
        self.inst_convs, self.mask_convs = stack(), stack()
        self.iam, self.groups, self.masks = nn.Conv2d(width, masks * groups, 3, padding=1, groups=groups), groups, masks
        self.fc = nn.Linear(width * groups, width * groups)
        self.cls, self.kernel = nn.Linear(width * groups, classes), nn.Linear(width * groups, kernel)
        self.objectness, self.projection = nn.Linear(width * groups, 1), nn.Conv2d(width, kernel, 1)

    def forward(self, x):
        _, c3, c4, c5 = self.backbone(x)
        top = self.laterals[0](c5)
        pooled = [F.interpolate(F.relu(conv(F.adaptive_avg_pool2d(top, bins))), size=top.shape[-2:], mode="bilinear", align_corners=False)
                  for bins, conv in zip(self.bins, self.pyramid)]
        top = F.relu(self.bottleneck(torch.cat(pooled + [top], 1)))
        p5 = self.outputs[0](top)
        top = self.laterals[1](c4) + F.interpolate(top, scale_factor=2.0, mode="nearest")
        p4 = self.outputs[1](top)
        top = self.laterals[2](c3) + F.interpolate(top, scale_factor=2.0, mode="nearest")
        p3 = self.outputs[2](top)
        up = [F.interpolate(p, size=p3.shape[-2:], mode="bilinear", align_corners=False) for p in (p4, p5)]
        x = self.fusion(torch.cat([p3] + up, 1))
        b, _, h, w = x.shape
        gx = torch.linspace(-1, 1, w).view(1, 1, 1, w).expand(b, 1, h, w)
        gy = torch.linspace(-1, 1, h).view(1, 1, h, 1).expand(b, 1, h, w)
        x = torch.cat([gx, gy, x], 1)
        f = self.inst_convs(x)
        a = torch.sigmoid(self.iam(f)).flatten(2)
        a = a / a.sum(-1, keepdim=True).clamp(min=1e-6)
        z = torch.bmm(a, f.flatten(2).transpose(1, 2)).view(b, self.groups, self.masks, -1).permute(0, 2, 1, 3).reshape(b, self.masks, -1)
        z = F.relu(self.fc(z))
        m = self.projection(self.mask_convs(x))
        masks = torch.bmm(self.kernel(z), m.flatten(2)).view(b, self.masks, h, w)
        return self.cls(z), self.objectness(z), F.interpolate(masks, scale_factor=2.0, mode="bilinear", align_corners=False)


def loss(outputs, labels, targets):
    """Matching and the four losses; labels and targets are lists, one entry per image."""
    from scipy.optimize import linear_sum_assignment
    logits, objectness, masks = outputs
    count, rows = sum(len(l) for l in labels), []
    with torch.no_grad():
        for i, (label, target) in enumerate(zip(labels, targets)):
            p, t = masks[i].flatten(1).sigmoid(), target.flatten(1)
            dice = 2 * p @ t.T / ((p * p).sum(-1)[:, None] + (t * t).sum(-1)[None] + 1e-4)
            score = dice ** 0.8 * logits[i].sigmoid()[:, label] ** 0.2
            rows.append(linear_sum_assignment(score.cpu().numpy(), maximize=True))
    y, s, t, o = torch.zeros_like(logits), [], [], []
    for i, (row, column) in enumerate(rows):
        y[i, row, labels[i][column]] = 1
        s.append(masks[i, row]), t.append(targets[i][column]), o.append(objectness[i, row, 0])
    s, t, o = torch.cat(s).flatten(1), torch.cat(t).flatten(1), torch.cat(o)
    p = logits.sigmoid()
    pt = p * y + (1 - p) * (1 - y)
    ce = ((0.25 * y + 0.75 * (1 - y)) * (1 - pt) ** 2 * F.binary_cross_entropy_with_logits(logits, y, reduction="none")).sum() / count
    q = s.sigmoid()
    dice = (1 - 2 * (q * t).sum(1) / ((q * q).sum(1) + (t * t).sum(1) + 1e-4)).sum() / count
    with torch.no_grad():
        pb, tb = (q >= 0.4).float(), (t > 0.5).float()
        inter = (pb * tb).sum(1)
        iou = inter / (pb.sum(1) + tb.sum(1) - inter + 1e-6)
    return 2 * ce + 2 * dice + 5 * F.binary_cross_entropy_with_logits(s, t) + F.binary_cross_entropy_with_logits(o, iou)


def inference(model, x, after=lambda outputs: outputs):
    """The ways to run a model: traced and frozen (normalisation folded), or optimised for inference besides, in both memory formats."""
    def frozen(memory_format, optimise):
        images = x.to(memory_format=memory_format)
        with torch.no_grad():
            run = torch.jit.freeze(torch.jit.trace(model().eval().to(memory_format=memory_format), images))
            if optimise:
                run = torch.jit.optimize_for_inference(run)

        def call():
            with torch.no_grad():
                after(run(images))
        return call
    return {"frozen channels_last": lambda: frozen(torch.channels_last, False),
            "optimised channels_last": lambda: frozen(torch.channels_last, True),
            "optimised NCHW": lambda: frozen(torch.contiguous_format, True)}


def ncnn_inference(model, x):
    """The same in ncnn, converted by its own tool (normalisation and ReLU folded), in f32: with Winograd's algorithm, its default, or without."""
    import ncnn
    import pnnx
    folder = tempfile.TemporaryDirectory()
    path = os.path.join(folder.name, "model")
    with torch.no_grad():
        torch.jit.trace(model().eval(), x).save(path + ".pt")
    shape = "inputshape=[%s]f32" % ",".join(map(str, x.shape))
    subprocess.run([pnnx.EXEC_PATH, path + ".pt", shape, "fp16=0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ready(winograd):
        net = ncnn.Net()
        net.opt.num_threads, net.opt.use_winograd_convolution = torch.get_num_threads(), winograd
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
        if net.load_param(path + ".ncnn.param") != 0 or net.load_model(path + ".ncnn.bin") != 0:
            raise RuntimeError("pnnx could not convert the model")
        image, names = x[0].numpy(), net.output_names()

        def call(_=folder):  # the files live as long as the call
            with net.create_extractor() as extractor:
                extractor.input("in0", ncnn.Mat(image))
                for name in names:
                    extractor.extract(name)
        return call
    return {"Winograd": lambda: ready(True), "direct": lambda: ready(False)}


def ways_of(library):
    return {"torch": inference, "ncnn": ncnn_inference}[library]


def training(make_step):
    return {"channels_last": lambda: make_step(torch.channels_last), "NCHW": lambda: make_step(torch.contiguous_format)}


def resnet50(size, library="torch"):
    return ways_of(library)(lambda: ResNet50(nn.BatchNorm2d), torch.randn(1, 3, size, size))


def mobilenet_v2(size, library="torch"):
    from torchvision.models import mobilenet_v2 as mobilenet
    return ways_of(library)(lambda: mobilenet().features, torch.randn(1, 3, size, size))


def sparseinst(size, batch=1, masks=False):
    def all_masks(outputs):
        """What follows for 100 kept objects when the picture has the size of the input: scores, masks enlarged and thresholded."""
        logits, objectness, maps = outputs
        (logits.sigmoid() * objectness.sigmoid()).sqrt().max(-1)
        return F.interpolate(maps.sigmoid(), size=(size, size), mode="bilinear", align_corners=False) > 0.45
    x = torch.randn(batch, 3, size, size)
    return inference(lambda: SparseInst(nn.BatchNorm2d), x, all_masks) if masks else inference(lambda: SparseInst(nn.BatchNorm2d), x)


def sparseinst_step(size, batch, mixed=False):
    def make(memory_format):
        model = SparseInst(FrozenNorm).train().to(memory_format=memory_format)
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.05)
        x = torch.randn(batch, 3, size, size).to(memory_format=memory_format)
        labels = [torch.randint(0, 80, (5,)) for _ in range(batch)]
        targets = [(torch.rand(5, size // 4, size // 4) > 0.7).float() for _ in range(batch)]

        def step():
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(x.device.type, torch.bfloat16, enabled=mixed):
                outputs = model(x)
            loss([output.float() for output in outputs], labels, targets).backward()
            optimizer.step()
        return step
    return training(make)


def resnet50_step(size, batch):
    def make(memory_format):
        body, head = ResNet50(nn.BatchNorm2d).train().to(memory_format=memory_format), nn.Linear(2048, 1000)
        optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=0.01, momentum=0.9, weight_decay=1e-4)
        x, classes = torch.randn(batch, 3, size, size).to(memory_format=memory_format), torch.arange(batch)

        def step():
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(head(body(x)[-1].mean((2, 3))), classes).backward()
            optimizer.step()
        return step
    return training(make)


def optimizer_step(kind):
    """Norm of all gradients, clipping and the update of ResNet-50's parameters, in each of PyTorch's implementations."""
    make_optimizer = {"AdamW, clipped": lambda parameters, **how: torch.optim.AdamW(parameters, lr=5e-5, weight_decay=0.05, **how),
                      "SGD, clipped": lambda parameters, **how: torch.optim.SGD(parameters, lr=5e-5, momentum=0.9, weight_decay=0.05, **how)}[kind]

    def make(**how):
        parameters = list(ResNet50(nn.BatchNorm2d).parameters())
        for parameter in parameters:
            parameter.grad = torch.rand_like(parameter)
        optimizer = make_optimizer(parameters, **how)

        def step():
            torch.nn.utils.clip_grad_norm_(parameters, 1)
            optimizer.step()
        return step
    return {"fused": lambda: make(fused=True), "foreach": lambda: make(foreach=True), "one by one": lambda: make(foreach=False)}
