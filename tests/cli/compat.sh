# SPDX-License-Identifier: MIT
# cs-infer --compat hub: the network's input is Pillow's, byte for byte; the rest of the route.
. "$SRC/tests/support/infer.sh"

# What tests/golden/export/pillow.py had from Pillow and torchvision.
expected=$SRC/tests/golden/pillow/expected.txt
cut -d ' ' -f 1,2 "$expected" | sort -u >sizes
while read -r width height; do
    grep "^$width $height " "$expected" | cut -d ' ' -f 3- >wanted
    cut -d ' ' -f 1 wanted | sed "s|^|$SRC/|" | cs-load -F - |
        stream-hub "$width" "$height" | sed "s|^$SRC/||" >made || fail "$width x $height"
    cmp made wanted || fail "not as Pillow makes $width x $height of these"
done <sizes
[ "$(wc -l <sizes)" = 5 ] && [ "$(wc -l <wanted)" -ge 14 ] || fail "$expected is not whole"

# A package of a network that takes RGB; what it says of processing is not what counts.
mkdir rgb
cp "$SRC/tests/golden/networks/unet.onnx" rgb/
cat >rgb/rdf.yaml <<'YAML'
format_version: 0.5.4
type: model
name: rgb
version: 1.0.0
license: MIT
inputs:
- id: input
  axes: [{type: batch}, {type: channel, channel_names: [r, g, b]},
         {type: space, id: y, size: {min: 32, step: 32}},
         {type: space, id: x, size: {min: 32, step: 32}}]
  data: {type: float32}
  preprocessing: [{id: zero_mean_unit_variance, kwargs: {axes: [y, x]}}]
outputs:
- id: output
  axes: [{type: batch}, {type: channel, channel_names: [cell]},
         {type: space, id: y, size: {tensor_id: input, axis_id: y}},
         {type: space, id: x, size: {tensor_id: input, axis_id: x}}]
  data: {type: float32}
  postprocessing: [{id: sigmoid}]
weights: {onnx: {source: unet.onnx, opset_version: 17}}
config: {cellstream: {version: 1, channels: [cell], fit: resize, size: [96, 64],
         postprocess: {min_area: 7, split: distance}}}
YAML
cs-load "$TESTDATA/nuclei" >images.cs || fail "cs-load"
infer 0 hub.cs -d ref -m ./rgb --compat hub
cs-view -i hub.cs >text
head -n 1 text | grep -q 'post.threshold=0.5	post.min-area=50' || fail "HEAD lacks the defaults"
head -n 1 text | grep -q 'post.split' && fail "HEAD has the package's wishes"
head -n 1 text | grep -q 'compat=hub' || fail "the record lacks --compat"
grep -q 'probability	f32	320x256x1' text || fail "the map is no f32 of the image's size"
[ "$(items hub.cs)" = 4 ] || fail "not 4 items"
infer 0 cpu.cs -d cpu -m ./rgb --compat hub -s 2 -b 2
infer 0 one.cs -d cpu -m ./rgb --compat hub -T 1
same_maps cpu.cs one.cs
infer 0 u16.cs -d ref -m ./rgb --compat hub --prob u16
cs-view -i u16.cs | grep -q 'probability	u16' || fail "--prob does not win"

# Another route than the package's.
infer 0 plain.cs -d ref -m ./rgb --prob f32
[ "$(maps hub.cs)" != "$(maps plain.cs)" ] || fail "--compat hub changes nothing"

# What it cannot do.
infer 2 none.cs -m tiny --compat hub
says "takes 1 channels, not RGB"
infer 2 none.cs -m ./rgb --compat hub --fit pad
says "no --fit"
infer 2 none.cs -m ./rgb --compat cellprofiler
cs-load -c 0,1 "$TESTDATA/stack.ome.tif" -z 0 --time 0 >images.cs
infer 1 two.cs -d ref -m ./rgb --compat hub
says "2 channels: --compat hub takes gray or RGB"

# cs-run: the first page alone, unless planes are chosen.
expect 0 cs-run -q -d ref -m ./rgb --compat hub -o out "$TESTDATA/stack.ome.tif"
grep -q '"status":"\(ok\|empty\)"' out/manifest.jsonl || fail "the first page is not done"
[ "$(wc -l <out/manifest.jsonl)" = 1 ] || fail "more than the first page"
grep -q '"compat":"hub"' out/run.json || fail "run.json lacks --compat"
expect 0 cs-run -q -d ref -m ./rgb --compat hub -o pages --page 0-1 "$TESTDATA/stack.ome.tif"
[ "$(wc -l <pages/manifest.jsonl)" = 2 ] || fail "chosen pages are not done"
