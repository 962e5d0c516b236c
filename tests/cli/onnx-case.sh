# SPDX-License-Identifier: MIT
# onnx-case says pass, fail or unsupported with the reason, on both backends, and its totals.
. "$SRC/tests/support/cli.sh"

for device in ref cpu; do
    expect 1 "$BUILD/tests/onnx-case" -d $device "$SRC"/tests/golden/onnx-cases/*/
    cat stdout
done
expect 0 "$BUILD/tests/onnx-case" "$SRC"/tests/golden/onnx-cases/range
expect 1 "$BUILD/tests/onnx-case" nothing
expect 2 "$BUILD/tests/onnx-case"
expect 2 "$BUILD/tests/onnx-case" -d abacus nothing
