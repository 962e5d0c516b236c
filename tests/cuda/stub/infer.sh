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
    infer 0 other.cs -d cuda:0 -m tiny $options
    same_maps good.cs other.cs
done

# auto takes it, and says so.
infer 0 other.cs -m tiny -v
says 'cuda:0: stub, '
says 'auto: 1 GPU'
CUDA_VISIBLE_DEVICES=0 infer 0 other.cs -m tiny -d auto
infer 5 other.cs -m tiny -d cuda:1
says 'cuda:1: there is 1 GPU'
infer 2 other.cs -m tiny -d cuda:first

# Several: a worker each, the same maps in the same order; auto takes the first.
export STUB_DEVICES=3
for device in cuda:0,1 cuda:0-2 cuda:2,0; do
    for options in "" "-s 2 -b 2"; do
        # shellcheck disable=SC2086
        infer 0 other.cs -m tiny -v -d $device $options
        same_maps good.cs other.cs
    done
done
says 'on cuda:2: stub, ' && says 'on cuda:0: stub, '
infer 0 other.cs -m tiny -v -d auto
says 'auto: the first of 3 GPUs, -d cuda:0-2 takes all'
[ "$(grep -c ' on cuda:' stderr)" = 1 ] || fail "more than one: $(cat stderr)"
# What one of them loses, for a while or for good, the others have.
for fault in sticky@1 crash@1 hang@1; do
    STUB_FAULT=$fault STUB_DEVICE=1 infer 0 other.cs -d cuda:0,1 -m tiny --pause 0.1 --timeout 3
    same_maps good.cs other.cs
done
infer 5 other.cs -m tiny -d cuda:1-3
says 'cuda:3: there are 3 GPUs, counted from 0'
for device in cuda:0,0 cuda:2-0 cuda:0, cuda:-1 cuda:0-99; do
    infer 2 other.cs -m tiny -d $device
done
unset STUB_DEVICES

# Limits of the GPU's memory.
infer 0 other.cs -m tiny -d cuda --gpu-memory 50%
same_maps good.cs other.cs
infer 5 other.cs -m tiny -d cuda --gpu-memory 1K
says 'gpu-memory'
infer 2 other.cs -m tiny -d cuda --gpu-memory 101%

# Other programs take memory: too much before the start, and while images come.
export STUB_OTHERS=$PWD/others
echo 1050000000 >others
infer 5 other.cs -m tiny -d cuda
says 'the device has 0.0 KiB left'
echo 0 >others
mkfifo feed
cs-infer -m tiny -d cuda --pause 1 <feed >other.cs 2>stderr &
run=$!
exec 7>feed
bytes=$(stat -c %s images.cs)
head -c $((bytes / 2)) images.cs >&7
for ((i = 0; i < 1000; i++)); do # the first maps are the sign that it is at work
    [ "$(stat -c %s other.cs)" -lt 10000 ] || break
    sleep 0.02
done
echo 1040000000 >others
sleep 1.2 # it looks once a second
tail -c +$((bytes / 2 + 1)) images.cs >&7
exec 7>&-
# Images of another size find no room, and wait for it.
for ((i = 0; i < 1000; i++)); do
    grep -q 'next try in 1 s' stderr && break
    sleep 0.02
done
echo 0 >others
wait $run || fail "status $?: $(cat stderr)"
says 'beside their images, the device has'
says 'left: what is kept for other images is given up'
same_maps good.cs other.cs
unset STUB_OTHERS

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
