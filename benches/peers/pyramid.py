"""The maps of strides 4, 8, 16 and 32 that segmentation and detection make of a plain ViT."""

import torch
from torch import nn

from vit import Vit


class Norm(nn.LayerNorm):
    """Over the channels of each pixel."""

    def __init__(self, channels):
        super().__init__(channels, 1e-6)

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Pyramid(nn.Module):
    def __init__(self, image, channels, patch, d, depth, heads):
        super().__init__()
        self.vit = Vit(image, channels, patch, d, depth, heads, fixed_positions=False)
        self.taps = [depth * (k + 1) // 4 - 1 for k in range(4)]

        def up():
            return nn.ConvTranspose2d(d, d, 2, 2)

        kinds = {4: lambda: nn.Sequential(up(), Norm(d), nn.GELU(), up()), 2: up, 1: nn.Identity}
        ratios = [patch / stride for stride in (4, 8, 16, 32)]
        self.adapters = nn.ModuleList(
            kinds[int(r)]() if r >= 1 else nn.MaxPool2d(int(1 / r), int(1 / r)) for r in ratios
        )

    def forward(self, images):
        """Channels-last maps, which is PyTorch's faster layout for them, from the finest to the coarsest."""
        x = self.vit.tokens(self.vit.patches(images))
        taps = []
        for i, block in enumerate(self.vit.blocks):
            x = block(x)
            # Depths that are no multiple of four may tap a block twice.
            taps += [x[:, 1:]] * self.taps.count(i)
        side = (self.vit.grid, self.vit.grid)
        maps = [t.transpose(1, 2).unflatten(2, side).contiguous(memory_format=torch.channels_last) for t in taps]
        return [adapter(m) for adapter, m in zip(self.adapters, maps)]
