# SPDX-License-Identifier: MIT
"""The three segmentation networks that the engine is measured with, in PyTorch.

Written from the published descriptions of the architectures: U-Net (Ronneberger 2015), residual
U-Net with convolutional block attention (Woo 2018) and attention gates (Oktay 2018), HRNet v2
(Sun 2019). All normalise with InstanceNorm (affine, no running statistics). `width` scales the
channels, so that small variants of the same structure fit into a repository.
"""
import torch
from torch import nn
from torch.nn import functional as F


def norm(channels):
    return nn.InstanceNorm2d(channels, eps=1e-5, affine=True)


def conv_norm(inputs, outputs, kernel=3, stride=1, relu=True):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), norm(outputs)]
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)


class UNet(nn.Module):
    """`unused` is the fourth encoder block that checkpoints carry and no forward pass reads."""

    def __init__(self, width=64, levels=5):
        super().__init__()
        channels = [width << i for i in range(levels)]
        self.down = nn.ModuleList(
            nn.Sequential(conv_norm(a, b), conv_norm(b, b))
            for a, b in zip([3] + channels[:-1], channels))
        self.unused = nn.Sequential(conv_norm(channels[-2], channels[-1]),
                                    conv_norm(channels[-1], channels[-1]))
        ups = list(zip(channels[::-1], channels[-2::-1]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in ups)
        self.merge = nn.ModuleList(
            nn.Sequential(conv_norm(a, b), conv_norm(b, b)) for a, b in ups)
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        skips = []
        for block in self.down[:-1]:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.down[-1](x)
        for up, merge, skip in zip(self.up, self.merge, reversed(skips)):
            x = merge(torch.cat([skip, up(x)], dim=1))
        return self.head(x)


class ChannelAttention(nn.Module):
    def __init__(self, channels, least):
        super().__init__()
        hidden = max(channels // 16, least)
        self.perceptron = nn.Sequential(nn.Linear(channels, hidden, bias=False), nn.ReLU(),
                                        nn.Linear(hidden, channels, bias=False))

    def forward(self, x):
        n, c = x.shape[0], x.shape[1]
        mean = self.perceptron(F.adaptive_avg_pool2d(x, 1).view(n, c))
        peak = self.perceptron(F.adaptive_max_pool2d(x, 1).view(n, c))
        return x * torch.sigmoid(mean + peak).view(n, c, 1, 1)


class SpatialAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x):
        maps = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.conv(maps))


class ResidualAttentionBlock(nn.Module):
    def __init__(self, inputs, outputs, least):
        super().__init__()
        self.body = nn.Sequential(conv_norm(inputs, outputs),
                                  conv_norm(outputs, outputs, relu=False))
        self.shortcut = (nn.Identity() if inputs == outputs
                         else conv_norm(inputs, outputs, 1, relu=False))
        self.attention = nn.Sequential(ChannelAttention(outputs, least), SpatialAttention())

    def forward(self, x):
        return self.attention(torch.relu(self.body(x) + self.shortcut(x)))


class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        inner = channels // 2
        self.of_signal = conv_norm(channels, inner, 1, relu=False)
        self.of_skip = conv_norm(channels, inner, 1, relu=False)
        self.map = conv_norm(inner, 1, 1, relu=False)

    def forward(self, signal, skip):
        inner = torch.relu(self.of_signal(signal) + self.of_skip(skip))
        return skip * torch.sigmoid(self.map(inner))


class CbamResUNet(nn.Module):
    def __init__(self, width=64, least=8):
        super().__init__()
        channels = [width << i for i in range(5)]
        self.stem = conv_norm(3, width)
        self.down = nn.ModuleList(ResidualAttentionBlock(a, b, least)
                                  for a, b in zip([width] + channels[:-2], channels[:-1]))
        self.bottom = nn.Sequential(ResidualAttentionBlock(channels[3], channels[4], least),
                                    ResidualAttentionBlock(channels[4], channels[4], least))
        ups = list(zip(channels[::-1], channels[-2::-1]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in ups)
        self.gate = nn.ModuleList(Gate(b) for _, b in ups)
        self.merge = nn.ModuleList(ResidualAttentionBlock(a, b, least) for a, b in ups)
        self.head = nn.Sequential(conv_norm(width, width // 2), nn.Conv2d(width // 2, 1, 1))

    def forward(self, x):
        x = self.stem(x)
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottom(x)
        for up, gate, merge, skip in zip(self.up, self.gate, self.merge, reversed(skips)):
            x = up(x)
            x = merge(torch.cat([gate(x, skip), x], dim=1))
        return self.head(x)


class BasicBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(conv_norm(channels, channels),
                                  conv_norm(channels, channels, relu=False))

    def forward(self, x):
        return torch.relu(self.body(x) + x)


class Bottleneck(nn.Module):
    def __init__(self, inputs, inner):
        super().__init__()
        self.body = nn.Sequential(conv_norm(inputs, inner, 1), conv_norm(inner, inner),
                                  conv_norm(inner, 4 * inner, 1, relu=False))
        self.shortcut = (nn.Identity() if inputs == 4 * inner
                         else conv_norm(inputs, 4 * inner, 1, relu=False))

    def forward(self, x):
        return torch.relu(self.body(x) + self.shortcut(x))


def resize_like(x, like):
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)


class Fusion(nn.Module):
    """One HRNet module: parallel branches, then every branch gets the sum of all."""

    def __init__(self, channels):
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(c) for _ in range(4)))
                                      for c in channels)
        self.paths = nn.ModuleList(
            nn.ModuleList(self.path(channels, source, target)
                          for source in range(len(channels)))
            for target in range(len(channels)))

    @staticmethod
    def path(channels, source, target):
        if source == target:
            return nn.Identity()
        if source > target:
            return conv_norm(channels[source], channels[target], 1, relu=False)
        steps = target - source
        return nn.Sequential(*(
            conv_norm(channels[source], channels[source if i < steps - 1 else target], 3, 2,
                      relu=i < steps - 1) for i in range(steps)))

    def forward(self, maps):
        maps = [branch(x) for branch, x in zip(self.branches, maps)]
        fused = []
        for target, paths in enumerate(self.paths):
            total = None
            for source, path in enumerate(paths):
                part = path(maps[source])
                if source > target:
                    part = resize_like(part, maps[target])
                total = part if total is None else total + part
            fused.append(torch.relu(total))
        return fused


class HRNet(nn.Module):
    def __init__(self, width=48, stem=64, modules=(1, 4, 3), blocks=4):
        super().__init__()
        channels = [width << i for i in range(4)]
        self.stem = nn.Sequential(conv_norm(3, stem, 3, 2), conv_norm(stem, stem, 3, 2))
        self.first = nn.Sequential(*(Bottleneck(stem if i == 0 else 4 * stem, stem)
                                     for i in range(blocks)))
        self.split = nn.ModuleList([conv_norm(4 * stem, channels[0]),
                                    conv_norm(4 * stem, channels[1], 3, 2)])
        self.widen = nn.ModuleList([conv_norm(channels[1], channels[2], 3, 2),
                                    conv_norm(channels[2], channels[3], 3, 2)])
        self.stages = nn.ModuleList(
            nn.ModuleList(Fusion(channels[:2 + i]) for _ in range(count))
            for i, count in enumerate(modules))
        total = sum(channels)
        self.head = nn.Sequential(conv_norm(total, total, 1), nn.Conv2d(total, 1, 1))

    def forward(self, x):
        x = self.first(self.stem(x))
        maps = [layer(x) for layer in self.split]
        for i, stage in enumerate(self.stages):
            if i > 0:
                maps.append(self.widen[i - 1](maps[-1]))
            for module in stage:
                maps = module(maps)
        maps = maps[:1] + [resize_like(m, maps[0]) for m in maps[1:]]
        x = self.head(torch.cat(maps, dim=1))
        return F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=True)


def randomise(model, seed):
    """Seeded weights; norms get gains and shifts of their own, so that no two are equal."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                fan = parameter[0].numel()
                parameter.copy_(noise * (2.0 / fan) ** 0.5)
            elif name.endswith("weight"):
                parameter.copy_(1 + 0.2 * noise)
            else:
                parameter.copy_(0.1 * noise)
    return model.eval()


FULL = {
    "unet": UNet,
    "cbam_resunet": CbamResUNet,
    "hrnet": HRNet,
}
SMALL = {
    "unet": lambda: UNet(width=4, levels=4),
    "cbam_resunet": lambda: CbamResUNet(width=2, least=2),
    "hrnet": lambda: HRNet(width=2, stem=4, modules=(1, 1, 1), blocks=1),
}
