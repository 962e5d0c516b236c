# SPDX-License-Identifier: MIT
# cs-infer --rescale in tiles: the bytes of the whole plane with direct convolutions, for any tile
# and within any memory; refusals.
. "$SRC/tests/support/infer.sh"
export CELLSTREAM_CONV=direct
image-make -W 331 -H 270 a.tif && image-make -W 133 -H 397 -b 16 b.tif || fail "image-make"
cs-load a.tif b.tif >images.cs || fail "cs-load"
for factor in 0.5 0.37 1.7; do
    for device in ref cpu; do
        infer 0 whole.cs -d $device -m tiny -T 2 --prob f32 --rescale $factor
        for tile in 60 100; do
            infer 0 tiles.cs -d $device -m tiny -T 2 --prob f32 --rescale $factor --fit tile \
                --tile $tile -v
            says ' tiles of '
            same_maps whole.cs tiles.cs
        done
    done
done
# Many pixels of the plane behind a sample of the map.
image-make -W 16 -H 16 small.tif && cs-load small.tif >images.cs || fail "image-make"
infer 0 whole.cs -d cpu -m tiny -T 2 --rescale 50
infer 0 tiles.cs -d cpu -m tiny -T 2 --rescale 50 --fit tile --tile 8
same_maps whole.cs tiles.cs

# some_memory MODEL: enough for small planes, with room for what a sanitizer keeps.
some_memory()
{
    infer 5 out.cs -d cpu -m "$1" -T 2 --memory 10K
    local least
    least=$(sed -n 's/.*: --memory \([0-9]*\)M would do.*/\1/p' stderr)
    memory=$((least * 3 / 2 + 16))M
}

# Little memory: tiles by themselves, in the scratch folder, with the same result.
image-make -W 1200 -H 4000 -b 16 large.tif && cs-load large.tif a.tif >images.cs || fail "image-make"
some_memory tiny
mkdir scratch
tile=0 # as large as may be
ldd "$(command -v cs-infer)" | grep -q libasan && tile=256
for options in "1.2 --tile $tile" "1.2 --tile 384" "0.37 --tile 384 --fit tile"; do
    infer 0 whole.cs -d cpu -m tiny -T 2 -k image --rescale "${options%% *}"
    # shellcheck disable=SC2086
    infer 0 tiles.cs -d cpu -m tiny -T 2 -k image --memory $memory --scratch scratch -v \
        --rescale $options
    says ' tiles of '
    same_maps whole.cs tiles.cs
    maps whole.cs image >maps.1 && maps tiles.cs image >maps.2
    cmp maps.1 maps.2 || fail "image that passes"
done
[ -z "$(ls -A scratch)" ] || fail "scratch is left: $(ls -A scratch)"

# The worker dies over a later row of tiles, once.
infer 0 tiles.cs -d fake:crash@9:once=died -m tiny -T 2 --rescale 0.37 --memory $memory --tile 100 \
    --fit tile
infer 0 whole.cs -d ref -m tiny -T 2 --rescale 0.37
same_maps whole.cs tiles.cs

# Whole-image statistics: no tiles unless the user says so; one size for all: never.
cp -r "$TESTDATA/models/whole" any && chmod -R u+w any
sed -i 's/shape: \[1, 3, 48, 64\]/shape: {min: [1, 3, 8, 8], step: [0, 0, 4, 4]}/' any/rdf.yaml
some_memory ./any
infer 1 out.cs -d cpu -m ./any -T 2 --rescale 1.2 --memory $memory
says 'InstanceNormalization'
says 'or --fit tile would do'
infer 0 out.cs -d cpu -m ./any -T 2 --rescale 1.2 --memory $memory --fit tile --tile $tile

# By Winograd's method tile and plane differ by its rounding, less than a ten-thousandth.
samples()
{
    cs-view -i "$1" --item 0 --plane probability --as npy | od -A n -v -t u2 -w2
}
cs-load "$TESTDATA/nuclei/fluorescence-16bit.tif" >images.cs || fail "cs-load"
infer 0 whole.cs -d cpu -m "$SRC/models/nuclei" --conv auto -T 2 --rescale 1.9
infer 0 tiles.cs -d cpu -m "$SRC/models/nuclei" --conv auto -T 2 --rescale 1.9 --fit tile \
    --tile 400 -v
says ' tiles of '
paste <(samples whole.cs) <(samples tiles.cs) |
    awk '{ d = $1 - $2; d = d < 0 ? -d : d; m = d > m ? d : m; n++ } END { exit !(n > 1e5 && m <= 6) }' ||
    fail "tiles by Winograd's method are far from the whole plane"
