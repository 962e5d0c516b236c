# SPDX-License-Identifier: MIT
# tests/cuda/check says why it does not run without a GPU; its own logic runs on other devices: what is
# right passes, what is wrong fails. (tests/cuda/stub/check.sh runs it over the stub.)
. "$SRC/tests/support/cli.sh"
export CELLSTREAM_THREADS=2
check=$SRC/tests/cuda/check
unset CS_RESULTS # a count of its own

# parts FILE PART...: there are passes of each part and nothing else.
parts()
{
    local file=$1 part
    shift
    for part; do
        grep -q "^pass.$part: " "$file" || fail "no passes of $part: $(cat "$file")"
    done
    ! grep -v -E '^(#|pass)' "$file" >&2 || fail "$file has more than passes"
    grep -q '^# tests/cuda/check on [a-z].*, 20' "$file" || fail "no device: $(head -n 1 "$file")"
}

if [ ! -e /dev/nvidiactl ]; then
    expect 77 "$check"
    grep -q '^check-cuda: left out: .*cuda' stdout || fail "no reason: $(cat stdout)"
    [ ! -e check-cuda.txt ] || fail "results of nothing"
fi
expect 2 "$check" -d cpu -o bad.txt everything
tiny=$TESTDATA/models/tiny
# Operators are left to tests/ops/test_device.c, which runs on the CPU anyway, and to bundle.sh.
expect 0 "$check" -d cpu -m "$tiny" -o cpu.txt slots faults sharing
parts cpu.txt slots faults sharing
expect 0 "$check" -d fake:fp16 -m "$tiny" -o fake.txt models precisions
parts fake.txt models precisions
grep -q 'precisions: .*tiny in fp16' fake.txt || fail "fp16 is not compared: $(cat fake.txt)"

# Faults of the device are seen.
expect 1 "$check" -d "fake:fp16,error@fp16" -m "$tiny" -o wrong.txt models precisions
grep -q '^fail.models: .*tiny in fp16' wrong.txt || fail "models: $(cat wrong.txt)"
grep -q '^fail.precisions: .*tiny in fp16' wrong.txt || fail "precisions: $(cat wrong.txt)"
grep -q '^pass.precisions: .*tiny in fp32' wrong.txt || fail "fp32: $(cat wrong.txt)"
expect 1 "$check" -d fake:oom@5 -m "$tiny" -o wrong.txt slots
grep -q '^fail.slots' wrong.txt || fail "slots: $(cat wrong.txt)"

exit 0
