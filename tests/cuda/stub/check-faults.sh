#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The parts of tests/cuda/check that disturb the device "cuda", over the stub: workers killed and
# stopped, several GPUs, too little memory, and two processes that each want most of it.
. "$SRC/tests/support/cli.sh"
export CELLSTREAM_PLUGINS=$BUILD/tests/cuda/stub CELLSTREAM_THREADS=2
export STUB_DEVICES=2 STUB_MEMORY=$((128 << 20)) # so that small images are large
unset CS_RESULTS # a count of its own
expect 0 "$SRC/tests/cuda/check" -d cuda -m "$TESTDATA/models/tiny" -o stub.txt devices faults sharing
for part in devices faults sharing; do
    grep -q "^pass.$part: " stub.txt || fail "no passes of $part: $(cat stub.txt)"
done
! grep '^skip' stub.txt || fail "something was left out"
