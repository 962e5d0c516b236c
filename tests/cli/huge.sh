# SPDX-License-Identifier: MIT
# The paths of huge images, forced by small limits: the same results as without limits, whatever the
# tiles, the strips of the file and the memory.
. "$SRC/tests/support/infer.sh"
export CELLSTREAM_CONV=direct

more=0 # MiB that a process of the sanitizers takes beside
ldd "$(command -v cs-infer)" | grep -q libasan && more=100

# results NAME FILE OPTION...: labels, polygons and table of a run.
results()
{
    local name=$1 file=$2
    shift 2
    cs-run -q -m tiny -d cpu -t 0.3 -a 5 -o "$name" "$@" "$file" || fail "cs-run $*"
    rm -rf "$name.of"
    mkdir "$name.of"
    cp "$name"/labels/* "$name"/polygons/* "$name"/objects.csv "$name.of"
}

# Wide enough for a label TIFF in tiles, and for several tiles of the network.
size="-W 4300 -H 700"
# shellcheck disable=SC2086
{
    image-make $size -t 256 -c lzw --big plane.tif
    image-make $size -r 700 lines.tif && image-make $size -r 9 -c deflate strips.tif
}
results whole plane.tif
[ "$(sed 1d whole.of/objects.csv | wc -l)" -gt 100 ] || fail "few objects"
mkdir scratch
for options in "--tile 200 --memory $((more + 40))M --spill 10K" "--fit tile --tile 96 --memory $((more + 60))M --ring 64K" \
    "--fit tile --tile 520 --spill 1 --transport pipe"; do
    rm -rf limited
    # shellcheck disable=SC2086
    results limited plane.tif $options --scratch scratch
    diff -r whole.of limited.of >&2 || fail "$options: another result"
done
[ -z "$(ls -A scratch)" ] || fail "scratch is left: $(ls -A scratch)"
for file in lines strips; do
    results $file $file.tif --tile 200 --memory $((more + 40))M
    cmp whole.of/plane.tif $file.of/$file.tif || fail "$file: other labels"
    cmp whole.of/plane.geojson $file.of/$file.geojson || fail "$file: other polygons"
done

# The label file holds what the stream held.
cs-load plane.tif | cs-infer -q -m tiny -d cpu | cs-postprocess -t 0.3 -a 5 >labels.cs || fail "labels"
cs-view -i labels.cs --item 0 --plane labels --as npy >stream.npy
cs-load --raw whole.of/plane.tif | cs-view --item 0 --plane image --as npy | cmp - stream.npy ||
    fail "the label file differs from the stream"

# More objects than 16 bits number: labels leave before the item is complete, behind its image.
{
    printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '|u1', 'fortran_order': False, 'shape': (600, 600), }"
    printf '\377\000%.0s' {1..300} >row
    head -c 600 /dev/zero >>row
    for ((i = 0; i < 300; i++)); do cat row; done
} >dots.npy
cs-load dots.npy | stream-plane probability | cs-postprocess -a 0 -k image >dots.cs || fail "dots"
cs-view -i dots.cs | sed -n 's/^DATA 0.\([a-z]*.u[0-9]*\).*/\1/p' | uniq >order
printf 'image\tu8\nlabels\tu32\n' | cmp - order || fail "planes: $(cat order)"
cs-view -i dots.cs | grep -q 'objects=90000' || fail "$(cs-view -i dots.cs | tail -n 2)"
cs-polygonize -q -i dots.cs -o - -f csv --measure intensity | sed 1d | cut -d , -f 3 | sort | uniq -c >means
read -r count mean <means
[ "$count $mean" = "90000 255" ] || fail "intensities: $(cat means)"
exit 0
