# SPDX-License-Identifier: MIT
# --conv: direct sums and Winograd's method differ by rounding alone, and find the same objects;
# each gives the same bytes for any slots, batch and threads.
. "$SRC/tests/support/infer.sh"
# same_objects MODEL FILE...: of these images, for --conv auto and direct.
same_objects()
{
    local model=$1 conv
    shift
    cs-load "$@" >"$model.cs" || fail "cs-load"
    for conv in auto direct; do
        IMAGES=$model.cs infer 0 "$model-$conv.cs" -d cpu -m "$SRC/models/$model" --conv $conv -T 2
        cs-postprocess <"$model-$conv.cs" >labels.cs || fail "cs-postprocess"
        maps labels.cs labels >"$model-$conv.labels"
    done
    grep -q ok "$model-auto.labels" || fail "$model: no labels"
    cmp "$model-auto.labels" "$model-direct.labels" || fail "$model: other objects"
}
# AddressSanitizer is slow: fewer images and ways.
sample=12 ways=("-T 3" "-b 2 -T 2" "-s 2 -T 4" "-s 3 -b 3 -T 3")
if ldd "$(command -v cs-infer)" | grep -q libasan; then
    sample=4 ways=("-s 3 -b 3 -T 3")
fi
if [ -d "${CELLSTREAM_DATA:-}" ]; then
    same_objects nuclei --sample $sample "$CELLSTREAM_DATA/nuclei/images"
    same_objects spheroid --sample $((sample / 3)) "$CELLSTREAM_DATA/spheroids/images"
fi
same_objects spheroid "$TESTDATA/spheroid"
same_objects nuclei "$TESTDATA/nuclei"

for conv in auto direct; do
    IMAGES=nuclei.cs infer 0 $conv.cs -d cpu -m "$SRC/models/nuclei" --prob f32 --conv $conv -T 1
    for options in "${ways[@]}"; do
        # shellcheck disable=SC2086
        IMAGES=nuclei.cs infer 0 other.cs -d cpu -m "$SRC/models/nuclei" --prob f32 \
            --conv $conv $options
        same_maps $conv.cs other.cs
    done
done
if grep -q avx2 /proc/cpuinfo && [ "$(maps auto.cs)" = "$(maps direct.cs)" ]; then
    fail "--conv changes nothing"
fi

# Samples near the largest float overflow in the transforms: the image is run again, directly.
{
    printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' \
        "{'descr': '<f4', 'fortran_order': False, 'shape': (32, 32), }"
    for ((i = 0; i < 1024; i++)); do
        (((i + i / 32) % 2)) && printf '\x00\x00\x00\x7f' || printf '\x00\x00\x00\xff'
    done
} >steep.npy
cs-load steep.npy >steep.cs || fail "cs-load"
IMAGES=steep.cs infer 0 direct.cs -d cpu -m steep --prob f32 --conv direct
[ ! -s stderr ] || fail "words without need: $(cat stderr)"
IMAGES=steep.cs infer 0 auto.cs -d cpu -m steep --prob f32 -v
same_maps direct.cs auto.cs
exit 0
