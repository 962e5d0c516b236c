# SPDX-License-Identifier: MIT
# bench/gpu says why it does not run without a GPU; its own logic runs on the CPU: a line a
# measurement, each with a rate, for whole packages and for bare networks.
. "$SRC/tests/support/cli.sh"
if [ ! -e /dev/nvidiactl ]; then
    expect 77 "$SRC/bench/gpu"
    grep -q '^bench/gpu: left out: .*cuda' stdout || fail "no reason: $(cat stdout)"
fi
expect 0 "$SRC/bench/gpu" -d cpu -m "$TESTDATA/models/tiny" -o cpu.tsv -- \
    -s 2 -b 1,2 --size 64x64 --seconds 0.01 -T 2
grep -q '^# bench/gpu on cpu: .*, 20' cpu.tsv || fail "no device: $(head -n 1 cpu.tsv)"
for slots in 1 2; do
    for batch in 1 2; do
        grep -P "^tiny\tfp32\t$slots\t$batch\t" cpu.tsv | awk -F '\t' '
            $5 > 0 && $6 > 0 && NF == 11 { n++ } END { exit n != 1 }' ||
            fail "slots $slots, batch $batch: $(cat cpu.tsv)"
    done
done
[ "$(grep -c '^tiny' cpu.tsv)" = 4 ] || fail "not four lines: $(cat cpu.tsv)"

# A bare network becomes a package.
expect 0 "$SRC/bench/wrap" "$SRC/tests/golden/networks/unet.onnx" unet
expect 0 "$BUILD/bench/slots" -d cpu -p fp32 -s 1 -b 1 --seconds 0 --size 64x64 -T 2 "$PWD/unet"
[ "$(cut -f1-4 stdout)" = "$(printf 'unet\tfp32\t1\t1')" ] || fail "$(cat stdout)"

# What fails is a line, and the exit status tells.
expect 1 "$SRC/bench/gpu" -d cpu -m "$TESTDATA/models/bare" -o bad.tsv -- --seconds 0
grep -q 'failed: ' bad.tsv || fail "$(cat bad.tsv)"
exit 0
