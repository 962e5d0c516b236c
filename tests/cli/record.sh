# SPDX-License-Identifier: MIT
# The record of a run: what resuming takes from it, and that a last stage killed at any moment
# leaves nothing wrong behind: the run that finishes the work gives the tables of an undisturbed one.
. "$SRC/tests/support/cli.sh"

mkdir in
for i in $(seq -w 150); do
    cp -p "$TESTDATA/nuclei/fluorescence.png" "in/$i.png"
done
cp -p "$TESTDATA/nuclei/brightfield.png" in/020.png
printf 'no image' >in/030.png
work() # OUT OPTION...: the pipe from files to the record, the last stage's process in the file pid
{
    local out=$1
    shift
    cs-load -q --crop 0,0,96,64 "$@" in | stream-plane probability 2>/dev/null | cs-postprocess -q -t 0.3 |
        cs-save -q -o "$out" -f labels --pass |
        { sh -c 'echo $PPID' >pid; exec cs-polygonize -q -o "$out"; } 2>/dev/null
}
work whole
[ $? = 1 ] || fail 'one image is broken'
cs-polygonize --merge -o whole
[ $? = 1 ] || fail 'merge'
[ "$(cat whole/failed.txt)" = in/030.png ] || fail 'failed.txt'
[ "$(wc -l <whole/images.csv)" = 151 ] || fail 'images.csv'
expect 3 cs-load --resume whole in
says 'all 150 inputs are done already'

for files in 20 70 100 140; do
    rm -rf part pid
    work part &
    while [ ! -s pid ]; do sleep 0.01; done
    # Files come before lines: a moment when some are there and others not.
    while [ "$(find part/polygons -name '*.geojson' 2>/dev/null | wc -l)" -lt $files ] &&
        kill -0 "$(cat pid)" 2>/dev/null; do sleep 0.002; done
    kill -9 "$(cat pid)" 2>/dev/null
    wait
    # The record is a prefix of whole lines.
    [ ! -s part/.cs/0000.manifest.jsonl ] || jq -e .image part/.cs/0000.manifest.jsonl >/dev/null ||
        fail 'a line is cut off'
    cs-polygonize --merge -o part 2>/dev/null
    work part --resume part
    cs-polygonize --merge -o part
    for table in objects.csv images.csv failed.txt; do
        cmp "whole/$table" "part/$table" || fail "$table after a kill at $files files"
    done
    diff -r -x '.*.tmp-*' whole/polygons part/polygons || fail "polygons after a kill at $files files"
done
# One output lost: its image alone is done again.
rm part/labels/007.tif
cs-load --resume part in | cs-view | grep -c ^BEGIN
