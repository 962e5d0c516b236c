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

# Little memory: tiles by themselves, with the same result.
infer 0 tiles.cs -d cpu -m tiny -v --prob f32 --memory 8M
says ' tiles of '
same_maps whole.cs tiles.cs

# Whole-image statistics: no tiles unless the user says so.
cp -r "$TESTDATA/models/whole" any && chmod -R u+w any
sed -i 's/shape: \[1, 3, 48, 64\]/shape: {min: [1, 3, 8, 8], step: [0, 0, 4, 4]}/' any/rdf.yaml
cs-load "$TESTDATA/nuclei/histology.png" >one.cs || fail "cs-load"
IMAGES=one.cs infer 1 out.cs -d cpu -m ./any --memory 2M
says 'InstanceNormalization'
says '--fit tile'
cs-view -i out.cs | grep -q 'error.code=OUT_OF_MEMORY' || fail "code of the failed item"
IMAGES=one.cs infer 0 out.cs -d cpu -m ./any --memory 2M --fit tile
IMAGES=one.cs infer 1 out.cs -d cpu -m ./any --memory 1M
exit 0
