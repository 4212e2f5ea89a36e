#!/usr/bin/env python3
"""A training step of detection in PyTorch: a plain ViT, a feature pyramid, Mask R-CNN of torchvision, fused AdamW, random images.

    peers/bin/pip install torchvision
    peers/bin/python benches/peers/pytorch_detect.py --preset photo --batch-size 16 --threads 2

The network, the quotas and the objects are those of `vit-mae bench --task detect`: docs/detection.md. Anchors, matching, NMS,
RoIAlign, sampling and losses are torchvision's. Prints one line of JSON with the keys of `vit-mae bench --json`.
"""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.faster_rcnn import AnchorGenerator, FastRCNNConvFCHead, RPNHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

import peer
from pyramid import Norm, Pyramid
from vit import TRUNKS

# The trunk; the pyramid's channels, the box head's layer, classes
PRESETS = {name: (TRUNKS[name], 64, 256, 11) for name in ("photo", "vit-tiny")}
OBJECTS = 32


class FeaturePyramid(nn.Module):
    """The maps p2 to p6 of an image."""

    def __init__(self, trunk, c):
        super().__init__()
        d, self.out_channels = trunk[3], c
        self.pyramid = Pyramid(*trunk)
        self.lateral = nn.ModuleList(nn.Sequential(nn.Conv2d(d, c, 1, bias=False), Norm(c)) for _ in range(4))
        self.output = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, c, 3, padding=1, bias=False), Norm(c)) for _ in range(4)
        )

    def forward(self, images):
        maps = [lateral(m) for lateral, m in zip(self.lateral, self.pyramid(images))]
        for k in (2, 1, 0):
            maps[k] = maps[k] + F.interpolate(maps[k + 1], scale_factor=2, mode="nearest")
        maps = [output(m) for output, m in zip(self.output, maps)]
        maps.append(F.max_pool2d(maps[3], 1, 2))
        return OrderedDict((str(k), m) for k, m in enumerate(maps))


def detector(trunk, c, fc, classes):
    image = trunk[0]

    def clamp(value, low, high):
        return min(max(value, low), high)

    finest = max(image / 32, 8)
    maps = [str(k) for k in range(4)]
    canonical = max(round(image * 224 / 1024), 112)

    def pool(size):
        return MultiScaleRoIAlign(maps, size, 2, canonical_scale=canonical, canonical_level=4)

    return MaskRCNN(
        FeaturePyramid(trunk, c),
        min_size=image,
        max_size=image,
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
        rpn_anchor_generator=AnchorGenerator(
            tuple((int(finest * 2**k),) for k in range(5)), ((0.5, 1.0, 2.0),) * 5
        ),
        rpn_head=RPNHead(c, 3, conv_depth=2),
        rpn_pre_nms_top_n_train=clamp(2 * image, 256, 2000),
        rpn_post_nms_top_n_train=clamp(image, 128, 1000),
        rpn_batch_size_per_image=clamp(image // 4, 64, 256),
        box_batch_size_per_image=clamp(image // 2, 32, 512),
        box_roi_pool=pool(7),
        box_head=FastRCNNConvFCHead((c, 7, 7), [c] * 4, [fc], norm_layer=Norm),
        box_predictor=Predictor(fc, classes + 1),
        mask_roi_pool=pool(14),
        mask_head=MaskRCNNHeads(c, [c] * 4, 1, norm_layer=Norm),
        mask_predictor=MaskRCNNPredictor(c, c, classes + 1),
    )


class Predictor(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.score, self.deltas = nn.Linear(inputs, classes), nn.Linear(inputs, 4 * classes)

    def forward(self, x):
        return self.score(x), self.deltas(x)


def objects(image, classes):
    targets = {"boxes": [], "labels": [], "masks": []}
    for i in range(OBJECTS):
        (y, x), (h, w) = [
            (torch.rand(2) * image / 2).int().tolist(),
            (image // 4 + torch.rand(2) * image / 4).int().tolist(),
        ]
        mask = torch.zeros(image, image, dtype=torch.uint8)
        mask[y : y + h, x : x + w] = 1
        targets["boxes"].append([x, y, x + w, y + h])
        targets["labels"].append(1 + i % classes)
        targets["masks"].append(mask)
    return {
        "boxes": torch.tensor(targets["boxes"], dtype=torch.float32),
        "labels": torch.tensor(targets["labels"]),
        "masks": torch.stack(targets["masks"]),
    }


def prepare(shape, batch_size, _):
    image, classes = shape[0][0], shape[-1]
    model = detector(*shape).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05, fused=True)
    images = list(torch.randn(batch_size, 3, image, image))
    targets = [objects(image, classes) for _ in images]

    def step():
        optimizer.zero_grad(set_to_none=True)
        sum(model(images, targets).values()).backward()
        optimizer.step()

    return step, model


if __name__ == "__main__":
    # How many regions there are changes with every step, so that a compiled model would be compiled again and again.
    peer.main(__doc__, PRESETS, prepare, batch_size=16, compiles=False)
