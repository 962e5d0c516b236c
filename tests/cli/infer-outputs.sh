# SPDX-License-Identifier: MIT
# Networks with several outputs: which maps come from which, and what is said of the others.
. "$SRC/tests/support/infer.sh"
cs-load "$TESTDATA/nuclei/fluorescence.png" >images.cs || fail "cs-load"

# As the package says, on both backends, for every way of running.
infer 0 both.cs -d ref -m pair --prob f32
[ ! -s stderr ] || fail "words without need: $(cat stderr)"
cs-view -i both.cs | grep -q 'maps=flow_x,foreground' || fail "HEAD"
infer 0 other.cs -d ref -m pair --prob f32 -s 2 -b 3
same_maps both.cs other.cs
infer 0 other.cs -d ref -m pair --prob f32 --fit tile --tile 64
same_maps both.cs other.cs
infer 0 other.cs -d ref -m pair -v
says 'no map comes from the outputs style'
expect 0 cs-model check pair
grep -q 'ref.*largest difference' stdout || fail "the tests did not run"
expect 0 cs-model info pair
grep -q '^map	flow_x	flows	1$' stdout || fail "the source of a map"
grep -q '^unused	style$' stdout || fail "the output without a map"
expect 0 cs-model check pair -d cpu

# Every output's test counts, a vector's too.
for output in style flows prob; do
    fresh pair
    sed -i "s/test_$output.npy, sha256: [0-9a-f]*/test_$output.npy/" m/rdf.yaml
    { head -c 128 m/test_$output.npy; tail -c +129 m/test_$output.npy | tr '\000-\377' '\100'; } >x
    mv x m/test_$output.npy
    expect 4 cs-model check m -d ref
    says 'of the values differ'
done

# An output of no channels has no values to compare. Its node is added to the network by bytes:
# Slice(flows, [0], [0], [1]).
fresh pair
printf '%b' ':?\n\035\n\005flows\n\001z\n\001z\n\001o\022\004none"\005Slice' \
    '*\n\010\001\020\007:\001\000B\001z*\n\010\001\020\007:\001\001B\001ob\006\n\004none' >>m/pair.onnx
sed -i 's/pair.onnx, sha256: [0-9a-f]*/pair.onnx/; s/test_flows.npy, sha256: [0-9a-f]*/none.npy/
    s/id: flows/id: none/; s/{output: flows, channel: 1}/prob/' m/rdf.yaml
head -c 128 m/test_flows.npy | sed 's/(1, 2,/(1, 0,/' >m/none.npy
expect 4 cs-model check m -d ref
says "none.npy does not fit the network's output"

# Without a word of ours the first output with a plane gives the maps, and this is said.
fresh pair
sed -i '/channels: {flow_x/d' m/rdf.yaml
infer 0 one.cs -d ref -m ./m --prob f32
says 'no map comes from the outputs style, flows (config: cellstream: channels chooses)'
cs-view -i one.cs | grep -q 'maps=probability' || fail "HEAD of the first output"
sed -i 's/input_channels: mean/&\n    channels: [foreground]/' m/rdf.yaml
infer 0 named.cs -d ref -m ./m --prob f32
[ ! -s stderr ] || fail "words without need: $(cat stderr)"
same_maps one.cs named.cs

# Names that the network does not have: outputs count by their place.
fresh pair
sed -i 's/id: prob$/id: mask/; s/foreground: prob/foreground: mask/' m/rdf.yaml
broken 'output style is not N, C, H, W'

# What the package says and the network has not.
fresh pair
sed -i 's/foreground: prob/foreground: {output: prob, channel: 1}/' m/rdf.yaml
broken 'map foreground: output prob has no channel 1'
fresh pair
sed -i 's/foreground: prob/foreground: mask/' m/rdf.yaml
broken "there is no output 'mask'"
fresh pair
sed -i 's/foreground: prob/foreground: style/' m/rdf.yaml
broken "output 'style' has no plane"
fresh pair
sed -i 's/channel_names: \[probability\]/channel_names: [a, b]/; /channels: {flow_x/d' m/rdf.yaml
broken 'names 2 output channels, the network gives 1'
exit 0
