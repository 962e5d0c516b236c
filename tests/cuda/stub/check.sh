#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tests/cuda/check and bench/gpu on the device "cuda" over the stub: every part passes but for the
# operators, which tests/ops/test_cuda_*.c run on the host, and a measurement tells the parts of a batch.
. "$SRC/tests/support/cli.sh"
export CELLSTREAM_PLUGINS=$BUILD/tests/cuda/stub CELLSTREAM_THREADS=2
unset CS_RESULTS # a count of its own
tiny=$TESTDATA/models/tiny
expect 0 "$SRC/tests/cuda/check" -d cuda -m "$tiny" -o stub.txt models precisions slots
for part in models precisions slots; do
    grep -q "^pass.$part: " stub.txt || fail "no passes of $part: $(cat stub.txt)"
done
for precision in tf32 fp16; do
    grep -q "^pass.precisions: .*tiny in $precision" stub.txt || fail "no $precision"
done
expect 0 "$SRC/bench/gpu" -d cuda -m "$tiny" -o gpu.tsv -- -s 2 -b 2 --size 64x64 --seconds 0
awk -F '\t' '$2 == "fp16" && $3 == 2 && $5 > 0 && $7 > 0 && $8 > 0 && $9 > 0 && $10 > 0 { n++ }
    END { exit n != 1 }' gpu.tsv || fail "$(cat gpu.tsv)"
