# SPDX-License-Identifier: MIT
"""Networks of other families, with seeded random weights: ZOO maps a name to its maker.

Most come from torchvision, timm and segmentation-models-pytorch. Written here from published
descriptions: Cellpose's residual U-Net with a style vector (Stringer 2021), StarDist's U-Net with a
probability and 32 distances (Schmidt 2018), the 2-D network of nnU-Net with its deep supervision
(Isensee 2021), U-Net 3+ (Huang 2020) and BiSeNet (Yu 2018). A maker returns a module from one
image to one tensor or a tuple of tensors; `names` are those of the outputs.
"""
import torch
from torch import nn
from torch.nn import functional as F


class First(nn.Module):
    """torchvision's models return a dictionary."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)["out"]


# ---- Cellpose --------------------------------------------------------------------------------


def norm_relu_conv(inputs, outputs, kernel=3):
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(),
                         nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))


def norm_project(inputs, outputs):
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 1))


class CellposeDown(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.project = norm_project(inputs, outputs)
        self.first = nn.Sequential(norm_relu_conv(inputs, outputs),
                                   norm_relu_conv(outputs, outputs))
        self.second = nn.Sequential(norm_relu_conv(outputs, outputs),
                                    norm_relu_conv(outputs, outputs))

    def forward(self, x):
        x = self.project(x) + self.first(x)
        return x + self.second(x)


class Styled(nn.Module):
    """A convolution whose input is shifted by a linear function of the style."""

    def __init__(self, channels, style):
        super().__init__()
        self.shift = nn.Linear(style, channels)
        self.conv = norm_relu_conv(channels, channels)

    def forward(self, x, style):
        return self.conv(x + self.shift(style)[:, :, None, None])


class CellposeUp(nn.Module):
    def __init__(self, inputs, outputs, style):
        super().__init__()
        self.project = norm_project(inputs, outputs)
        self.enter = norm_relu_conv(inputs, outputs)
        self.styled = nn.ModuleList(Styled(outputs, style) for _ in range(3))

    def forward(self, x, skip, style):
        x = self.project(x) + self.styled[0](self.enter(x) + skip, style)
        return x + self.styled[2](self.styled[1](x, style), style)


class Cellpose(nn.Module):
    """Two channels in; flows in y and x and a cell probability out, and the style vector."""
    names = ("flows", "style")

    def __init__(self, channels=(2, 32, 64, 128, 256)):
        super().__init__()
        pairs = list(zip(channels, channels[1:]))
        self.down = nn.ModuleList(CellposeDown(a, b) for a, b in pairs)
        widths = list(channels[1:]) + [channels[-1]]
        self.up = nn.ModuleList(CellposeUp(b, a, channels[-1])
                                for a, b in zip(widths, widths[1:]))
        self.head = norm_relu_conv(channels[1], 3, 1)

    def forward(self, x):
        skips = []
        for i, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if i else x)
            skips.append(x)
        style = x.mean((2, 3))
        style = style / (style ** 2).sum(1, keepdim=True) ** 0.5
        x = self.up[-1](x, skips[-1], style)
        for block, skip in zip(reversed(self.up[:-1]), reversed(skips[:-1])):
            x = block(F.interpolate(x, scale_factor=2, mode="nearest"), skip, style)
        return self.head(x), style


# ---- StarDist ----------------------------------------------------------------------------------


def convs(*channels):
    layers = []
    for a, b in zip(channels, channels[1:]):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


class StarDist(nn.Module):
    """Works at half the image's scale, as StarDist's default for large objects does not."""
    names = ("probability", "distances")

    def __init__(self, width=32, levels=3, rays=32):
        super().__init__()
        self.down = nn.ModuleList(
            convs(width << max(i - 1, 0) if i else 1, width << i, width << i)
            for i in range(levels))
        self.middle = convs(width << (levels - 1), width << levels, width << (levels - 1))
        self.up = nn.ModuleList(convs(width << (i + 1), width << i, width << max(i - 1, 0))
                                for i in range(levels))
        self.features = convs(width, 4 * width)
        self.probability = nn.Conv2d(4 * width, 1, 1)
        self.distances = nn.Conv2d(4 * width, rays, 1)

    def forward(self, x):
        skips = []
        for block in self.down:
            skips.append(block(x))
            x = F.max_pool2d(skips[-1], 2)
        x = self.middle(x)
        for block, skip in zip(reversed(self.up), reversed(skips)):
            x = block(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skip], 1))
        x = self.features(x)
        return torch.sigmoid(self.probability(x)), self.distances(x)


# ---- nnU-Net -------------------------------------------------------------------------------------


def conv_norm_leaky(inputs, outputs, stride=1):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1),
                         nn.InstanceNorm2d(outputs, affine=True), nn.LeakyReLU(0.01))


class NnUNet(nn.Module):
    """The plain 2-D network; every decoder level has a head, the full resolution first."""
    names = ("full", "half", "quarter")

    def __init__(self, channels=(32, 64, 128, 256, 512), classes=3):
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(conv_norm_leaky(a, b, 2 if i else 1), conv_norm_leaky(b, b))
            for i, (a, b) in enumerate(zip((1,) + channels, channels)))
        pairs = list(zip(channels, channels[1:]))
        self.raise_ = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairs)
        self.merge = nn.ModuleList(
            nn.Sequential(conv_norm_leaky(2 * a, a), conv_norm_leaky(a, a)) for a, _ in pairs)
        self.head = nn.ModuleList(nn.Conv2d(a, classes, 1) for a in channels[:3])

    def forward(self, x):
        skips, heads = [], []
        for block in self.down:
            x = block(x)
            skips.append(x)
        for level in reversed(range(len(self.merge))):
            x = self.merge[level](torch.cat([self.raise_[level](x), skips[level]], 1))
            if level < len(self.head):
                heads.append(self.head[level](x))
        return tuple(reversed(heads))


# ---- U-Net 3+ ------------------------------------------------------------------------------------


def conv_norm_relu(inputs, outputs, kernel=3, stride=1):
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
                         nn.BatchNorm2d(outputs), nn.ReLU())


class UNet3Plus(nn.Module):
    """Every decoder level reads every encoder level above it and every decoder level below it."""

    def __init__(self, channels=(32, 64, 128, 256), each=32, classes=2):
        super().__init__()
        self.levels = len(channels)
        self.down = nn.ModuleList(
            nn.Sequential(conv_norm_relu(a, b), conv_norm_relu(b, b))
            for a, b in zip((3,) + channels, channels))
        last = self.levels - 1
        self.paths = nn.ModuleList(
            nn.ModuleList(
                conv_norm_relu(channels[j] if j <= i or j == last else each * self.levels, each)
                for j in range(self.levels)) for i in range(last))
        self.merge = nn.ModuleList(conv_norm_relu(each * self.levels, each * self.levels)
                                   for _ in range(last))
        self.head = nn.Conv2d(each * self.levels, classes, 3, padding=1)

    def forward(self, x):
        maps = []
        for i, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if i else x)
            maps.append(x)
        for i in reversed(range(self.levels - 1)):
            parts = []
            for j, path in enumerate(self.paths[i]):
                part = maps[j]
                if j < i:
                    part = F.max_pool2d(part, 2 ** (i - j), ceil_mode=True)
                elif j > i:
                    part = F.interpolate(part, scale_factor=2 ** (j - i), mode="bilinear",
                                         align_corners=True)
                parts.append(path(part))
            maps[i] = self.merge[i](torch.cat(parts, 1))
        return self.head(maps[0])


# ---- BiSeNet -------------------------------------------------------------------------------------


class Refine(nn.Module):
    """Attention over channels from the whole plane's mean."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = conv_norm_relu(inputs, outputs)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(outputs, outputs, 1),
                                  nn.BatchNorm2d(outputs), nn.Sigmoid())

    def forward(self, x):
        x = self.conv(x)
        return x * self.gate(x)


class BiSeNet(nn.Module):
    def __init__(self, width=32, classes=3):
        super().__init__()
        self.spatial = nn.Sequential(conv_norm_relu(3, width, 7, 2), conv_norm_relu(width, width, 3, 2),
                                     conv_norm_relu(width, width, 3, 2),
                                     conv_norm_relu(width, 2 * width, 1))
        self.stem = nn.Sequential(conv_norm_relu(3, width, 3, 2), conv_norm_relu(width, width, 3, 2),
                                  conv_norm_relu(width, width, 3, 2))
        self.deep = conv_norm_relu(width, 2 * width, 3, 2)
        self.deeper = conv_norm_relu(2 * width, 4 * width, 3, 2)
        self.refine = Refine(2 * width, width)
        self.refine_deeper = Refine(4 * width, width)
        self.context = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4 * width, width, 1),
                                     nn.ReLU())
        self.fuse = conv_norm_relu(3 * width, 2 * width, 1)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(2 * width, width, 1), nn.ReLU(),
                                  nn.Conv2d(width, 2 * width, 1), nn.Sigmoid())
        self.head = nn.Sequential(conv_norm_relu(2 * width, width), nn.Conv2d(width, classes, 1))

    def forward(self, x):
        deep = self.deep(self.stem(x))
        deeper = self.deeper(deep)
        lower = self.refine_deeper(deeper) + self.context(deeper)
        lower = F.interpolate(lower, size=deep.shape[2:], mode="nearest")
        lower = self.refine(deep) + lower
        spatial = self.spatial(x)
        lower = F.interpolate(lower, size=spatial.shape[2:], mode="nearest")
        both = self.fuse(torch.cat([spatial, lower], 1))
        both = both + both * self.gate(both)
        return F.interpolate(self.head(both), size=x.shape[2:], mode="bilinear",
                             align_corners=False)


# ---- The list ------------------------------------------------------------------------------------


def vision(name, **options):
    def make():
        from torchvision.models import segmentation
        return First(getattr(segmentation, name)(weights=None, weights_backbone=None,
                                                 num_classes=3, **options))
    return make


def smp(name, encoder, **options):
    def make():
        import segmentation_models_pytorch
        return getattr(segmentation_models_pytorch, name)(encoder, encoder_weights=None, classes=2,
                                                          **options)
    return make


# name: (maker, channels of the image)
ZOO = {
    "deeplabv3-mobilenetv3": (vision("deeplabv3_mobilenet_v3_large"), 3),
    "deeplabv3-resnet50": (vision("deeplabv3_resnet50"), 3),
    "fcn-resnet50": (vision("fcn_resnet50"), 3),
    "lraspp-mobilenetv3": (vision("lraspp_mobilenet_v3_large"), 3),
    "unet-resnet34": (smp("Unet", "resnet34"), 3),
    "unet-efficientnetb0": (smp("Unet", "efficientnet-b0"), 3),
    "unet-mobilenetv2": (smp("Unet", "mobilenet_v2"), 3),
    "unet-mobilenetv3": (smp("Unet", "timm-mobilenetv3_large_100"), 3),
    "unet-scse-resnet18": (smp("Unet", "resnet18", decoder_attention_type="scse"), 3),
    "unetpp-resnet18": (smp("UnetPlusPlus", "resnet18"), 3),
    "fpn-resnet34": (smp("FPN", "resnet34"), 3),
    "manet-resnet18": (smp("MAnet", "resnet18"), 3),
    "pan-resnet18": (smp("PAN", "resnet18"), 3),
    "linknet-resnet18": (smp("Linknet", "resnet18"), 3),
    "pspnet-resnet18": (smp("PSPNet", "resnet18"), 3),
    "deeplabv3plus-resnet18": (smp("DeepLabV3Plus", "resnet18"), 3),
    "upernet-resnet18": (smp("UPerNet", "resnet18"), 3),
    "segformer-mitb0": (smp("Segformer", "mit_b0"), 3),
    "unet-convnext": (smp("Unet", "tu-convnext_atto"), 3),
    "unet-hrnet": (smp("Unet", "tu-hrnet_w18_small"), 3),
    "unet-regnet": (smp("Unet", "timm-regnety_002"), 3),
    "upernet-swin": (smp("UPerNet", "tu-swin_tiny_patch4_window7_224",
                         strict_img_size=False), 3),
    "dpt-vit": (smp("DPT", "tu-vit_tiny_patch16_224", dynamic_img_size=True), 3),
    "cellpose": (Cellpose, 2),
    "stardist": (StarDist, 1),
    "nnunet": (NnUNet, 1),
    "unet3plus": (UNet3Plus, 3),
    "bisenet": (BiSeNet, 3),
}
