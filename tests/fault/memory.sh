#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every request for memory fails in turn, in every tool: blocks, mappings, threads. The tool ends
# with one line and status 1 (a failed item) or 5 (no memory), or does without; nothing crashes,
# hangs, or leaves a half-written file under its name.
. "$SRC/tests/support/sweep.sh"
ldd "$(command -v cs-load)" | grep -q libasan && skip "AddressSanitizer has allocations of its own"
[ "$(uname -m)" = x86_64 ] || [ "$(uname -m)" = aarch64 ] || skip "made for glibc"
export CELLSTREAM_MODEL_PATH=$TESTDATA/models OMP_NUM_THREADS=1

cat >fails-once <<END
#!/bin/sh
n=\$1
shift
CS_FAULT_N=\$n CS_FAULT_MARK=$PWD/mark LD_PRELOAD=$BUILD/tests/preload/alloc.so exec "\$@"
END
chmod +x fails-once
once() { sweep "$1" "0 1 5" 1 ./fails-once "${@:2}"; }

for c in none lzw deflate zstd ycbcr; do
    # shellcheck disable=SC2046
    image-make $([ $c = ycbcr ] && echo -p ycbcr -s 3 || echo -c $c) -n 2 $c.tif
    once "cs-load $c" cs-load --transport pipe --page all $c.tif
done
ome='<OME><Image><Pixels SizeX="9" SizeY="7" SizeZ="2" PhysicalSizeX="0.5"><Channel Name="a"/>
<TiffData/></Pixels></Image></OME>'
image-make -n 2 -d "$ome" stack.ome.tif
once "cs-load OME" cs-load --transport pipe -z max stack.ome.tif
for name in png/interlaced.png png/rgb.png jpeg/rgb.jpg bmp/rgb.bmp npy/u16.npy; do
    once "cs-load $name" cs-load --transport pipe "$SRC/tests/fuzz/corpus/$name"
done
once "cs-load decoder" cs-load --transport pipe --decoder 'xyz=cat "$1"' --decoder 'png=cat "$1"' \
    "$SRC/tests/fuzz/corpus/png/rgb.png"

stream-make -n 2 -W 60 -H 50 -r 11 -p image,probability,labels --transport pipe >planes.cs
once cs-view cs-view -i planes.cs
once "cs-view npy" cs-view --item 1 --plane image --as npy -i planes.cs
once cs-postprocess cs-postprocess --transport pipe -i planes.cs --split distance --seed-depth 1
for as in tif png npy; do
    once "cs-save $as" cs-save --transport pipe -i planes.cs -o o -f image,labels,overlay --pass --as $as
done
once cs-polygonize cs-polygonize -i planes.cs -o o -f geojson,ndjson,csv --simplify 1
cs-polygonize -q -i planes.cs -o start || fail "cs-polygonize"
once "cs-polygonize --merge" cs-polygonize --merge -o o
rm -rf start
# Each try with a new worker process is a line, and the C++ library adds two of its own.
for device in ref cpu; do
    sweep "cs-infer $device" "0 1 5" 60 ./fails-once \
        cs-infer -d $device -m tiny -T 1 -s 1 --transport pipe -i planes.cs --pause 0
done
# On ref: cs-model has no worker process, and oneDNN does not survive a lack of memory.
# libgomp's own message has an empty line before it.
for verb in info check; do
    sweep "cs-model $verb" "0 1 5" 2 ./fails-once cs-model -d ref $verb tiny
done
# All at once, from the Nth on.
for n in 1 10 40 100; do
    for command in "cs-load --transport pipe lzw.tif" "cs-save -i planes.cs -o o -f labels" \
        "cs-polygonize -i planes.cs -o o" "cs-infer -d ref -m tiny -i planes.cs -T 1 --pause 0"; do
        rm -rf o mark
        status=0
        # shellcheck disable=SC2086
        timeout -k 1 120 ./fails-once $n+ $command >out 2>err || status=$?
        [ $status = 5 ] || [ $status = 1 ] || [ ! -e mark ] ||
            fail "$command, no memory from call $n on: status $status: $(cat err)"
    done
done

# One stage of cs-run: its status is that of the run, and what it had begun to write is gone.
mkdir bin
for tool in "$BUILD"/bin/cs-*; do ln -s "$tool" bin/; done
rm bin/cs-run bin/cs-save
cp "$BUILD/bin/cs-run" bin/
cat >bin/cs-save <<END
#!/bin/sh
[ "\$1" = --options ] || [ ! "\$N" ] || export CS_FAULT_N=\$N LD_PRELOAD=$BUILD/tests/preload/alloc.so
exec "$BUILD/bin/cs-save" "\$@"
END
chmod +x bin/cs-save
ended=
for n in 90 120 150 180; do
    rm -rf o
    status=0
    N=$n bin/cs-run -q -m tiny -d ref -o o "$TESTDATA/nuclei" 2>err || status=$?
    [[ $status = [015] ]] || fail "cs-run, call $n of cs-save: status $status: $(cat err)"
    [ -z "$(find o -name '.*.tmp-*')" ] || fail "cs-run, call $n: $(find o -name '.*.tmp-*')"
    ended+=$status
done
[[ $ended == *5* ]] || fail "cs-run: statuses $ended"
exit 0
