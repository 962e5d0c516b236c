# SPDX-License-Identifier: MIT
# Slots and batches: the same bytes for the bundled models whatever their number, for images of
# mixed sizes, whole and in tiles; and slots that are filled again one by one.
. "$SRC/tests/support/infer.sh"
unset CELLSTREAM_MODEL_PATH

# Two of a size in a row, so that batches of two, of one and of none at all in a slot occur.
mkdir in
n=0
for size in "300 200" "301 199" "64 64" "64 64" "64 64" "1000 300" "97 61"; do
    n=$((n + 1))
    # shellcheck disable=SC2086
    image-make -W ${size% *} -H ${size#* } -s 3 -p rgb in/$n.tif || fail "image-make"
done
cs-load in "$TESTDATA/nuclei" >images.cs || fail "cs-load"

# AddressSanitizer takes minutes for the spheroid model's large tiles, and for more of a kind.
models="nuclei spheroid" memories="8G 1500M 900M 700M"
ways=("-s 4 -b 1 -T 4" "-s 1 -b 4 -T 1" "-s 4 -b 4 -T 4")
if ldd "$(command -v cs-infer)" | grep -q libasan; then
    models=nuclei memories="8G 700M" ways=("-s 4 -b 4 -T 4")
fi
for model in $models; do
    # Of spheroid's reach the least tile is 850 wide: the one of 1000 x 300 is cut.
    for fit in "" "--fit tile --tile 400"; do
        # shellcheck disable=SC2086
        infer 0 one.cs -m $model -s 1 -b 1 -T 4 $fit
        for options in "${ways[@]}"; do
            # shellcheck disable=SC2086
            infer 0 other.cs -m $model $options $fit
            same_maps one.cs other.cs
        done
    done
    infer 0 other.cs -m $model -v --fit tile --tile 400
    says ' tiles of '
done

# Without a number: several, or fewer with more threads each where memory is short. At first it
# suffices for all that come, then for the small ones, then for one slot.
for model in $models; do
    infer 0 one.cs -m $model -s 1 -b 1 -T 4
    for memory in $memories; do
        infer 0 other.cs -m $model -T 4 -v --memory $memory
        says 'at most '
        same_maps one.cs other.cs
    done
done

# In an order of 1, 2, 3, 4 with two slots: while the first takes 200 ms more, the other slot goes
# through the second and third and begins the fourth. A file tells when a job began. A busy machine
# may be late, so that one of some attempts is enough; slots that wait for each other never manage.
for ((i = 1; i <= 4; i++)); do
    cp in/3.tif small$i.tif
done
cs-load small*.tif >small.cs || fail "cs-load"
export CELLSTREAM_MODEL_PATH=$TESTDATA/models
for ((attempt = 0; attempt < 10; attempt++)); do
    rm -f first fourth
    IMAGES=small.cs infer 0 out.cs -m tiny -s 2 -b 1 -d "fake:slow@1:once=first,slow@4:once=fourth"
    between=$(($(date +%s%N -r fourth) - $(date +%s%N -r first)))
    [ $between -lt 200000000 ] && exit 0
done
fail "the fourth job never began while the first was at work: $between ns later"
