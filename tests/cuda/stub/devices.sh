#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Several GPUs, and GPUs that others use too, over the stub: the same maps whichever of them has an
# image, what one loses goes to the others, and memory that others take is left to them.
. "$SRC/tests/support/infer.sh"
export CELLSTREAM_PLUGINS=$BUILD/tests/cuda/stub CELLSTREAM_PRECISION=fp32
cs-load "$TESTDATA/nuclei" "$TESTDATA/spheroid" >images.cs || fail "cs-load"
infer 0 good.cs -d cuda -m tiny

# Several: a worker each, the same maps in the same order; auto takes the first.
export STUB_DEVICES=3
for options in "cuda:0,1 -s 2 -b 2" cuda:0-2 "cuda:2,0 -s 1"; do
    # shellcheck disable=SC2086
    infer 0 other.cs -m tiny -v -d $options
    same_maps good.cs other.cs
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
exit 0
