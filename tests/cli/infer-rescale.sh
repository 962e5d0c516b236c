# SPDX-License-Identifier: MIT
# cs-infer --rescale: planes by factor and by pixel size, maps of the image's own size, refusals.
. "$SRC/tests/support/infer.sh"

# planes FILE: the plane that each item was stretched to, or "-".
planes()
{
    cs-view -i "$1" | sed -n 's/^BEGIN.*	rescale=\([0-9x]*\).*/\1/p; t
        s/^BEGIN.*/-/p' | paste -sd ' '
}
is()
{
    [ "$1" = "$2" ] || fail "line ${BASH_LINENO[0]}: '$1' instead of '$2'"
}

mkdir -p models/known
cp "$TESTDATA"/models/tiny/* models/known
sed -i 's/^    stride: 4/&\n    pixel_um: 0.5/' models/known/rdf.yaml
cp -r models/known models/axes
sed -i '/pixel_um/d; s/\(id: [yx], size: {min: 8, step: 4}\)/\1, unit: nanometer, scale: 500/' \
    models/axes/rdf.yaml
export CELLSTREAM_MODEL_PATH=$PWD/models:$TESTDATA/models
cs-model info known | grep -q '^pixel	0.5 um$' || fail "cs-model info says no pixel size"
cs-model info axes | grep -q '^pixel	0.5 um$' || fail "no pixel size from the axes"
cs-model package "$TESTDATA/models/tiny/tiny.onnx" -o made -d ref -p 0.5 --normalise percentile \
    --maps foreground,distance --activation sigmoid >log 2>&1 || fail "cs-model package: $(cat log)"
cs-model info ./made -d ref | grep -q '^pixel	0.5 um$' || fail "cs-model package -p"

# By a factor: the nearest multiples of the network's stride, at least its smallest plane.
image-make -W 101 -H 70 a.tif && image-make -W 16 -H 16 small.tif || fail "image-make"
cs-load a.tif small.tif >images.cs || fail "cs-load"
infer 0 none.cs -m tiny -d ref
is "$(planes none.cs)" "- -"
infer 0 same.cs -m tiny -d ref --rescale 1.005
is "$(planes same.cs)" "- -"
same_maps none.cs same.cs
infer 0 half.cs -m tiny -d ref --rescale 0.5
is "$(planes half.cs)" "52x36 8x8"
infer 0 tenth.cs -m tiny -d ref --rescale 0.1
is "$(planes tenth.cs)" "12x8 8x8"
infer 0 twice.cs -m tiny -d ref --rescale 2
is "$(planes twice.cs)" "204x140 32x32"
cs-view -i half.cs | grep -q '^DATA 0.*probability.*	101x70x2' || fail "a map of another size"
cs-view -i half.cs | grep -q '^HEAD.*--rescale=0.5\|^HEAD.*rescale' || fail "not in the provenance"

# By pixel size: the same as by its factor, on each axis.
cs-load -p 0.25 a.tif small.tif >images.cs
for model in known axes; do
    infer 0 auto.cs -m $model -d ref --rescale auto
    same_maps half.cs auto.cs
done
cs-load -p 0.5 a.tif small.tif >images.cs
infer 0 auto.cs -m known -d ref --rescale auto
is "$(planes auto.cs)" "- -"
same_maps none.cs auto.cs
ome='<OME><Image><Pixels SizeX="101" SizeY="70" PhysicalSizeX="1" PhysicalSizeY="250"
 PhysicalSizeYUnit="nm"><TiffData/></Pixels></Image></OME>'
image-make -W 101 -H 70 -d "$ome" b.ome.tif
cs-load b.ome.tif >images.cs
infer 0 auto.cs -m known -d cpu --rescale auto
is "$(planes auto.cs)" "204x36"

# The same from ImageJ's tags and unit, and from those of any TIFF file; of other units, of no
# size and of none that a microscope has nothing is known.
ij=$'ImageJ=1.53t\nunit='
image-make -W 101 -H 70 -d "${ij}micron"$'\n' --resolution 1 --resolution-y 4 ij.tif
image-make -W 101 -H 70 -d "${ij}nm"$'\n' --resolution 5e-4 --resolution-y 4e-3 nm.tif
image-make -W 101 -H 70 --resolution 1e4 --resolution-y 4e4 --unit cm cm.tif
cs-load ij.tif nm.tif cm.tif >images.cs
infer 0 auto.cs -m known -d cpu --rescale auto
is "$(planes auto.cs)" "204x36 404x36 204x36"
infer 0 auto.cs -m known -d cpu --rescale auto --conv direct
infer 0 tiles.cs -m known -d cpu --rescale auto --conv direct --fit tile --tile 60 -v
says ' tiles of '
same_maps auto.cs tiles.cs
image-make -W 101 -H 70 --resolution 72 --unit inch print.tif
image-make -W 101 -H 70 -d "${ij}pixel"$'\n' --resolution 4 pixel.tif
n=0
for size in 'X="0"' 'X="-1"' 'X="NaN"' 'X="1e-9"' 'X="2" PhysicalSizeXUnit="m"' \
    'X="1" PhysicalSizeXUnit="reference frame"'; do
    n=$((n + 1))
    image-make -W 101 -H 70 -d "<OME><Image><Pixels SizeX=\"101\" SizeY=\"70\"
        PhysicalSize$size><TiffData/></Pixels></Image></OME>" odd.$n.ome.tif
done
cs-load print.tif pixel.tif odd.*.ome.tif b.ome.tif >images.cs
infer 1 auto.cs -m known -d cpu --rescale auto
is "$(grep -c 'the pixel size is not known: cs-load -p UM says it' stderr)" 8
is "$(planes auto.cs)" "- - - - - - - - 204x36"
# One side alone counts for both.
image-make -W 101 -H 70 -d '<OME><Image><Pixels SizeX="101" SizeY="70"
    PhysicalSizeY="0.25"><TiffData/></Pixels></Image></OME>' side.ome.tif
cs-load side.ome.tif >images.cs
infer 0 auto.cs -m known -d cpu --rescale auto
is "$(planes auto.cs)" "52x36"

# What is not known is not guessed: the item fails, and the others do not.
cs-load a.tif b.ome.tif >images.cs
infer 1 auto.cs -m known -d ref --rescale auto
says 'the pixel size is not known: cs-load -p UM says it'
is "$(maps auto.cs | cut -d' ' -f2 | paste -sd ' ')" "failed ok"
cs-load -p 1000 a.tif >images.cs
infer 1 auto.cs -m known -d ref --rescale auto
says "pixels of 1000 x 1000 um, the model's of 0.5 um: 101 x 70 pixels rescaled by 2000 x 2000"
says 'that cannot be meant'
infer 2 out.cs -m tiny --rescale auto
says 'model tiny does not say its pixel size'
infer 2 out.cs -m whole --rescale 2
says 'resized'
infer 2 out.cs -m tiny --rescale 0
infer 2 out.cs -m tiny --rescale big
infer 2 out.cs -m tiny --rescale 2 --compat hub
