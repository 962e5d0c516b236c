# SPDX-License-Identifier: MIT
# cs-export-hub, with small networks of our own under the hub's names: what fits becomes a package
# that gives what PyTorch gives, what does not is named and refused.
. "$SRC/tests/support/infer.sh"
python3 -c 'import torch, onnx, numpy; torch.serialization.safe_globals' 2>/dev/null ||
    skip "python3 has no PyTorch of 2.5 or later, onnx or numpy"

models=hub/backend/segmentation/models
mkdir -p $models
cat >$models/unet.py <<'END'
import torch
from torch import nn


def norm(n, instance):
    return nn.InstanceNorm2d(n, affine=True) if instance else nn.BatchNorm2d(n)


class UNet(nn.Module):
    def __init__(self, in_channels=3, out_channels=1, features=(4,), use_instance_norm=True,
                 dropout_rate=0.1, use_deep_supervision=False):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(in_channels, 4, 3, padding=1, bias=False),
                                   norm(4, use_instance_norm), nn.ReLU(), nn.MaxPool2d(2))
        self.up = nn.ConvTranspose2d(4, 4, 2, 2)
        self.drop = nn.Dropout2d(dropout_rate)
        self.final_conv = nn.Conv2d(4, out_channels, 1)
        if use_deep_supervision:
            self.deep_outputs = nn.ModuleList([nn.Conv2d(4, out_channels, 1)])

    def forward(self, x):
        return self.final_conv(self.drop(self.up(self.first(x))))
END
cat >$models/cbam_resunet.py <<'END'
import torch
from torch import nn


class ResUNetCBAM(nn.Module):
    def __init__(self, in_channels=3, out_channels=1, features=(4,), use_instance_norm=True,
                 dropout_rate=0.15):
        super().__init__()
        self.first = nn.Conv2d(in_channels, 8, 3, padding=1)
        self.max_pool = nn.AdaptiveMaxPool2d(1)
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.mlp = nn.Linear(8, 8)
        self.last = nn.Conv2d(8, out_channels, 1)

    def forward(self, x):
        x = self.first(x)
        b, c, _, _ = x.size()
        pooled = self.max_pool(x).view(b, c) + self.avg_pool(x).view(b, c)
        return self.last(x * torch.sigmoid(self.mlp(pooled)).view(b, c, 1, 1))
END
cat >$models/hrnet.py <<'END'
from torch import nn


class HRNetV2(nn.Module):
    def __init__(self, n_class=1):
        super().__init__()
        self.conv = nn.Conv2d(3, n_class, 1)
END
cat >make.py <<'END'
import argparse
import sys

import torch

sys.path.insert(0, "hub/backend/segmentation/models")
from cbam_resunet import ResUNetCBAM
from unet import UNet

torch.manual_seed(1)
good = UNet().state_dict()
torch.save({"model_state_dict": good, "args": argparse.Namespace(lr=0.1)}, "good.pth")
torch.save({"state_dict": {"module." + k: v for k, v in
                           UNet(use_deep_supervision=True).state_dict().items()}}, "parallel.pth")
torch.save(UNet(use_instance_norm=False).state_dict(), "batch.pth")
bad = dict(good)
del bad["up.bias"]
bad["more.weight"] = torch.zeros(1)
bad["final_conv.weight"] = torch.zeros(1, 5, 1, 1)
torch.save(bad, "bad.pth")
torch.save(UNet(), "object.pth")
torch.save({"epoch": 3}, "empty.pth")
torch.save(ResUNetCBAM().state_dict(), "cbam.pth")
END
python3 make.py || fail "make.py"

export_hub() # STATUS NETWORK CHECKPOINT OPTION...
{
    local wanted=$1 network=$2 file=$3
    shift 3
    expect "$wanted" cs-export-hub --network "$network" --hub hub "$@" "$file"
}

export_hub 0 unet_spherohq good.pth -o good --license MIT --name "My network"
grep -q '^test	PyTorch .*largest difference' stdout || fail "no comparison with PyTorch"
expect 0 cs-model check ./good
expect 0 cs-model info ./good
for line in 'name	My network' 'license	MIT' 'maps	foreground' 'fit	resize' 'post	threshold=0.5' \
    'post	min-area=50'; do
    grep -q "^$line\$" stdout || fail "info lacks $line"
done
grep -q '^input	image	float32	.*	fixed_zero_mean_unit_variance$' stdout || fail "input"
cs-load "$TESTDATA/nuclei/fluorescence.png" >images.cs || fail "cs-load"
infer 0 out.cs -m ./good
export_hub 2 unet_spherohq good.pth -o good
says 'good/rdf.yaml is there already'
export_hub 0 unet_spherohq parallel.pth -o parallel -q
[ ! -s stdout ] || fail "-q prints"
# The pooling of a whole plane is exported for planes of any size.
export_hub 0 cbam_resunet cbam.pth -o cbam
expect 0 cs-model check ./cbam

export_hub 4 unet_spherohq batch.pth -o batch
says 'statistics of batch norms'
says 'first.1.num_batches_tracked, first.1.running_mean, first.1.running_var'
export_hub 0 unet_spherohq batch.pth -o batch --drop-statistics
export_hub 4 unet_spherohq bad.pth -o bad
says 'missing: up.bias; unknown: more.weight; of another shape: final_conv.weight (1, 5, 1, 1), not (1, 4, 1, 1)'
export_hub 4 unet_spherohq object.pth -o bad
says 'no checkpoint that can be read safely'
export_hub 4 unet_spherohq empty.pth -o bad
says 'holds no table of weights'
export_hub 4 unet_spherohq make.py -o bad
says 'no checkpoint that can be read safely'
export_hub 1 unet_spherohq nowhere.pth -o bad
says 'No such file'
export_hub 4 hrnet good.pth -o bad
says 'takes no use_instance_norm'
export_hub 2 resnet good.pth -o bad
says 'none of hrnet'
expect 4 cs-export-hub --network hrnet --hub nowhere -o bad good.pth
says 'hrnet.py is there'
expect 2 cs-export-hub --network hrnet --hub hub good.pth
says '--output is missing'
expect 2 cs-export-hub --network hrnet --hub hub -o bad
says 'which checkpoint?'
[ "$(wc -l <stderr)" = 1 ] || fail "more than one line"
[ ! -e bad ] || fail "a refusal left something"
exit 0
