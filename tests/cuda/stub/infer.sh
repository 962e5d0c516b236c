#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# cs-infer on the device "cuda" over the stub: the same objects as on ref, the same
# maps whatever slots and batches, and a worker that is replaced when the device is lost to it.
. "$SRC/tests/support/infer.sh"
export CELLSTREAM_PLUGINS=$BUILD/tests/cuda/stub CELLSTREAM_PRECISION=fp32
cs-load "$TESTDATA/nuclei" "$TESTDATA/spheroid" >images.cs || fail "cs-load"
infer 0 good.cs -d cuda -m tiny
infer 0 ref.cs -d ref -m tiny
for device in good ref; do
    cs-postprocess <$device.cs >labels.cs || fail "cs-postprocess"
    maps labels.cs labels >$device.labels
done
cmp good.labels ref.labels || fail "other objects than on ref"
for options in "-s 4" "-b 4" "-s 2 -b 2"; do
    # shellcheck disable=SC2086
    infer 0 other.cs -d cuda:0 -m tiny -v $options
    same_maps good.cs other.cs
done

# Tiles of a rescaled image.
for factor in 0.37 1.7; do
    infer 0 whole.cs -d cuda -m tiny --rescale $factor
    infer 0 ref.cs -d ref -m tiny --rescale $factor
    for device in whole ref; do
        cs-postprocess <$device.cs >labels.cs || fail "cs-postprocess"
        maps labels.cs labels >$device.labels
    done
    cmp whole.labels ref.labels || fail "other objects than on ref"
    infer 0 tiles.cs -d cuda -m tiny --rescale $factor --fit tile --tile 100 -s 2 -v
    says ' tiles of '
    same_maps whole.cs tiles.cs
    STUB_NO_PINS=1 infer 0 tiles.cs -d cuda -m tiny --rescale $factor --fit tile --tile 60
    same_maps whole.cs tiles.cs
done

# Shared memory is pinned, unless the driver does not take it.
! grep 'pinned' stderr || fail "it was not pinned"
STUB_NO_PINS=1 infer 0 other.cs -d cuda:0 -m tiny -v
says 'images are copied to pinned memory: cuda: pinning shared memory: '
same_maps good.cs other.cs

# auto takes it, and says so.
infer 0 other.cs -m tiny -v
says 'cuda:0: stub, '
says 'auto: 1 GPU'
CUDA_VISIBLE_DEVICES=0 infer 0 other.cs -m tiny -d auto
infer 5 other.cs -m tiny -d cuda:1
says 'cuda:1: there is 1 GPU'
infer 2 other.cs -m tiny -d cuda:first

# Limits of the GPU's memory.
infer 0 other.cs -m tiny -d cuda --gpu-memory 50%
same_maps good.cs other.cs
infer 5 other.cs -m tiny -d cuda --gpu-memory 1K
says 'gpu-memory'
infer 2 other.cs -m tiny -d cuda --gpu-memory 101%

# The device is lost once, by an error that stays, a crash or a hang; memory is short once.
n=0
for fault in sticky@2 crash@2 hang@2 oom@1; do
    n=$((n + 1))
    export STUB_FAULT=$fault STUB_ONCE=$PWD/once.$n
    infer 0 bad.cs -d cuda -m tiny --pause 1 --timeout 6 -b 2 -s 2
    [ -e once.$n ] || fail "$fault did not happen"
    same_maps good.cs bad.cs
    case $fault in
    sticky*) says 'cuda: ' && says 'a new worker starts' ;;
    crash* | hang*) says 'a new worker starts' ;;
    esac
done
unset STUB_FAULT STUB_ONCE

# The real plug-in loads where cuDNN is, and says what it misses.
if [ -e "$BUILD/lib/cellstream/cuda.so" ] && [ ! -e /dev/nvidiactl ]; then
    unset CELLSTREAM_PLUGINS
    infer 5 other.cs -m tiny -d cuda
    says 'no NVIDIA driver'
fi
CELLSTREAM_PLUGINS=$PWD infer 5 other.cs -m tiny -d cuda
says "there is no plug-in $PWD/cuda.so"
