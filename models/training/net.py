"""The network of both bundled models.

A small residual U-Net: 3x3 and 1x1 convolutions, batch normalisation, ReLU, 2x2 max
pooling, nearest-neighbour upsampling, addition. Nothing looks at the whole image, so
the result of a tile with enough margin is the result of the image.
"""
import torch
from torch import nn
import torch.nn.functional as F


def conv_bn(cin, cout, kernel=3):
    return nn.Sequential(
        nn.Conv2d(cin, cout, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(cout, momentum=0.03))


class Block(nn.Module):
    """relu(x' + bn(conv(relu(bn(conv(x))))))), x' = x or its 1x1 projection."""

    def __init__(self, cin, cout):
        super().__init__()
        self.a = conv_bn(cin, cout)
        self.b = conv_bn(cout, cout)
        self.skip = nn.Identity() if cin == cout else conv_bn(cin, cout, 1)

    def forward(self, x):
        return F.relu(self.b(F.relu(self.a(x))) + self.skip(x))


class ResUNet(nn.Module):
    def __init__(self, cin, cout, widths, down, up):
        """widths: channels per level, full resolution first; down, up: blocks per level."""
        super().__init__()
        self.cin, self.cout, self.stride = cin, cout, 2 ** (len(widths) - 1)
        self.stem = conv_bn(cin, widths[0])
        self.down = nn.ModuleList()
        for i, w in enumerate(widths):
            first = widths[max(i - 1, 0)]
            self.down.append(nn.Sequential(
                *[Block(first if j == 0 else w, w) for j in range(down[i])]))
        self.lateral = nn.ModuleList(
            [conv_bn(widths[i + 1], widths[i], 1) for i in range(len(widths) - 1)])
        self.up = nn.ModuleList(
            [nn.Sequential(*[Block(w, w) for _ in range(n)]) for w, n in zip(widths, up)])
        self.head = nn.Conv2d(widths[0], cout, 1)

    def forward(self, x):
        x = F.relu(self.stem(x))
        skips = []
        for i, level in enumerate(self.down):
            x = level(x if i == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        for i in reversed(range(len(self.up))):
            x = F.interpolate(self.lateral[i](x), scale_factor=2, mode="nearest")
            x = self.up[i](F.relu(x + skips[i]))
        return self.head(x)


CONFIGS = {
    "nuclei": dict(cin=3, widths=(16, 48, 96, 160, 256), down=(0, 1, 1, 2, 2), up=(1, 1, 1, 1)),
    "spheroid": dict(cin=1, widths=(16, 32, 48, 96, 112, 144), down=(0, 1, 1, 1, 2, 3), up=(1, 1, 1, 1, 1)),
}


def make(model, cout=2):
    return ResUNet(cout=cout, **CONFIGS[model])


def fold_batchnorm(net):
    """Replace every conv+bn pair by one conv, in place (evaluation mode)."""
    for name, child in net.named_children():
        if isinstance(child, nn.Sequential) and len(child) == 2 and isinstance(child[1], nn.BatchNorm2d):
            setattr(net, name, nn.utils.fuse_conv_bn_eval(child[0], child[1]))
        elif isinstance(child, nn.ModuleList):
            for i, c in enumerate(child):
                if isinstance(c, nn.Sequential) and len(c) == 2 and isinstance(c[1], nn.BatchNorm2d):
                    child[i] = nn.utils.fuse_conv_bn_eval(c[0], c[1])
                else:
                    fold_batchnorm(c)
        else:
            fold_batchnorm(child)
    return net
