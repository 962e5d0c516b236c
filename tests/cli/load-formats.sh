# SPDX-License-Identifier: MIT
# Every file of the corpus of formats: samples against stored hashes, broken files refused.
. "$SRC/tests/support/cli.sh"
needs_data
formats=$CELLSTREAM_DATA/formats
[ -f "$formats/manifest.csv" ] || skip "no formats/manifest.csv in CELLSTREAM_DATA"

expect 0 format-corpus "$formats"
cat stdout

# Through the tool each broken file is one line and one failed item, and the run goes on.
expect 1 cs-load --raw --page all --include '*.png' "$formats/broken"
mv stdout png.cs
! grep -v '^cs-load: .*/broken/.*\.png: .' stderr || fail "a message that names no file"
expect 1 cs-load --raw --page all --include '*.tif' --exclude png_named.tif "$formats/broken"
! grep -v '^cs-load: .*/broken/.*\.tif: .' stderr || fail "a message that names no file"
cs-view -i png.cs >view
grep -q '^DONE.*status=failed' view && grep -q '^END.*failed=' view || fail "no failed items"

# Each broken file by itself: little memory, little time, a message for each page that fails.
memory=1000000 # KiB of address space; sanitizers need more than there is
ldd "$(command -v cs-load)" | grep -q libasan && memory=unlimited
for file in "$formats"/broken/*; do
    status=0
    (
        ulimit -v $memory
        exec timeout 20 cs-load --transport pipe --page all "$file"
    ) >s.cs 2>err || status=$?
    [ $status -le 1 ] || fail "${file##*/}: status $status: $(cat err)"
    [ $status = 0 ] || grep -q "^cs-load: $file: ." err || fail "${file##*/}: no message"
done
