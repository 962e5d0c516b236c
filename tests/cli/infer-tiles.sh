# SPDX-License-Identifier: MIT
# Tiles: the same bytes as the whole plane where the network allows it, with direct convolutions;
# without, a layer of few pixels may be computed by another method in a tile than in the plane.
. "$SRC/tests/support/infer.sh"
export CELLSTREAM_CONV=direct
cs-load "$TESTDATA/nuclei" "$TESTDATA/spheroid" >images.cs || fail "cs-load"

for device in ref cpu; do
    infer 0 whole.cs -d $device -m tiny -T 2 --prob f32
    for options in "--tile 64" "--tile 100 -s 2" "--tile 72 -b 4"; do
        # shellcheck disable=SC2086
        infer 0 tiles.cs -d $device -m tiny -T 2 --prob f32 --fit tile $options
        same_maps whole.cs tiles.cs
    done
done

# would: what the last refusal says that would do.
would()
{
    sed -n 's/.*: --memory \([0-9]*[MG]\).* would do.*/\1/p' stderr
}

# AddressSanitizer keeps some of what is freed, so that the least memory would not do, and is slow.
asan= high=1000 higher=4000 memory='' sides="0 128 384"
if ldd "$(command -v cs-infer)" | grep -q libasan; then
    asan=1 high=4000 higher=7500 memory=160M sides=0
fi
image-make -W 1200 -H $high large.tif && cs-load large.tif >large.cs || fail "image-make"

# Little memory: tiles by themselves, with the same result.
IMAGES=large.cs infer 5 out.cs -d cpu -m tiny -T 2 --memory 10K
says ' for one plane of 256 x 256'
[ "$memory" ] || memory=$(would)
IMAGES=large.cs infer 0 whole.cs -d cpu -m tiny -T 2
IMAGES=large.cs infer 0 tiles.cs -d cpu -m tiny -T 2 -v --memory "$memory"
says ' tiles of '
same_maps whole.cs tiles.cs

# An image that exceeds the images' share is computed in the scratch folder, with no other on its
# way; its maps leave row of tiles by row of tiles. Where that folder has no room it fails alone.
image-make -W 1500 -H $higher -b 16 huge.tif && cs-load large.tif huge.tif >both.cs || fail "image-make"
IMAGES=both.cs infer 0 whole.cs -d cpu -m tiny -T 2 -k image
mkdir scratch
for tile in $sides; do
    IMAGES=both.cs infer 0 out.cs -d cpu -m tiny -T 2 -k image --memory "$memory" --tile $tile \
        --scratch scratch
    same_maps whole.cs out.cs
    [ "$(cs-view -i out.cs --item 1 --plane image --as npy | md5sum)" = \
        "$(cs-view -i whole.cs --item 1 --plane image --as npy | md5sum)" ] || fail "image that passes"
done
[ -z "$(ls -A scratch)" ] || fail "scratch is left: $(ls -A scratch)"
IMAGES=both.cs infer 1 out.cs -d cpu -m tiny -T 2 --memory "$memory" --scratch nowhere
says 'scratch folder nowhere'
[ "$(maps out.cs | cut -d' ' -f2 | tr '\n' ' ')" = "ok failed " ] || fail "another item failed"

# The worker dies over its third row of tiles, once: what is written stays, the rest follows.
IMAGES=both.cs infer 0 out.cs -d fake:crash@9:once=died -m tiny -T 2 --memory "$memory" --tile 384
IMAGES=both.cs infer 0 whole.cs -d ref -m tiny -T 2 --tile 384 --fit tile
same_maps whole.cs out.cs

# Whole-image statistics: no tiles unless the user says so.
cp -r "$TESTDATA/models/whole" any && chmod -R u+w any
sed -i 's/shape: \[1, 3, 48, 64\]/shape: {min: [1, 3, 8, 8], step: [0, 0, 4, 4]}/' any/rdf.yaml
IMAGES=large.cs infer 5 out.cs -d cpu -m ./any -T 2 --memory 10K
memory=$(would)
IMAGES=large.cs infer 1 out.cs -d cpu -m ./any -T 2 --memory "$memory"
says 'InstanceNormalization'
says 'or --fit tile would do'
cs-view -i out.cs | grep -q 'error.code=OUT_OF_MEMORY' || fail "code of the failed item"
[ "$asan" ] || IMAGES=large.cs infer 0 out.cs -d cpu -m ./any -T 2 --memory "$memory" --fit tile
exit 0
