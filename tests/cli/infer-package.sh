# SPDX-License-Identifier: MIT
# Packages that are broken: refused at load, with file and reason.
. "$SRC/tests/support/infer.sh"
cs-load "$TESTDATA/nuclei/fluorescence.png" >images.cs || fail "cs-load"

fresh tiny
infer 0 out.cs -d ref -m ./m
infer 0 out.cs -d ref -m m
infer 0 out.cs -d ref -m m/rdf.yaml
expect 0 cs-model check m
grep -q 'test: largest difference' stdout || fail "no test was run"
expect 0 cs-model info m --size 64x32
grep -q '^tiles	safe, stride 4' stdout || fail "tile safety"
[ "$(cs-model hash m)" = "$(sha256sum <m/tiny.onnx | cut -d' ' -f1)" ] || fail "cs-model hash"

printf 'x' >>m/tiny.onnx
broken "m/tiny.onnx: its sha256 is"
expect 4 cs-model hash ./m
says "m/tiny.onnx: its sha256 is"
fresh tiny
rm m/tiny.onnx
broken 'm/tiny.onnx: No such file'
fresh tiny
sed -i 's/id: clip/id: sharpen/' m/rdf.yaml
broken "'sharpen' is not known"
fresh tiny
sed -i 's,source: tiny.onnx,source: ../tiny.onnx,' m/rdf.yaml
broken "does not lie in the package's folder"
fresh tiny
mv m/tiny.onnx . && ln -s ../tiny.onnx m/tiny.onnx
broken "leads out of the package's folder"
fresh tiny
sed -i 's/channels: \[foreground, distance\]/channels: [one]/' m/rdf.yaml
infer 4 out.cs -d ref -m ./m
says 'names 1 output channels, the network gives 2'
fresh tiny
head -c 1000 m/tiny.onnx >cut && mv cut m/tiny.onnx
sed -i '/onnx:/s/sha256: [0-9a-f]*, //' m/rdf.yaml
broken m/tiny.onnx
fresh tiny
printf '&a [*a]' >m/rdf.yaml
broken 'm/rdf.yaml: line 1'
fresh tiny
rm m/rdf.yaml
expect 4 cs-model info ./m
says m/rdf.yaml

fresh tiny
sed -i 's/min_area: 20/smallest: 20/' m/rdf.yaml
expect 4 cs-model check m
says smallest

# A test that fails, and a device that is not there.
fresh tiny
cp "$TESTDATA/models/tiny/test_output.npy" m/x && tail -c 16640 m/x | tr '\000' '\001' >tail
{ head -c 128 m/x; cat tail; } >m/test_output.npy
sed -i 's/test_output.npy, sha256: [0-9a-f]*/test_output.npy/' m/rdf.yaml
expect 4 cs-model check m
says 'of the values differ'
[ "$(grep -c '^device.*loads; test: largest difference' stdout)" = 2 ] || fail "not all devices"
expect 5 cs-model check tiny -d cuda
expect 2 cs-model
expect 2 cs-model test tiny
expect 2 cs-model info tiny --size 5
cs-model info tiny >/dev/full 2>stderr && fail "a full disk went unnoticed"
exit 0
