# SPDX-License-Identifier: MIT
# cs-run from end to end: outputs, options, exit status, resuming, a broken image among good ones.
. "$SRC/tests/support/cli.sh"
[ -e "$SRC/models/nuclei/rdf.yaml" ] || skip "no model nuclei"
export CELLSTREAM_THREADS=2

mkdir -p in/plate in/empty
cp "$TESTDATA/nuclei/fluorescence.png" in/plate/a.png
cp "$TESTDATA/nuclei/fluorescence-16bit.tif" in/plate/b.tif
head -c 3000 "$TESTDATA/nuclei/histology.png" >in/plate/broken.png
cp "$TESTDATA/nuclei/brightfield.png" in/z.png

# A dry run writes nothing.
expect 0 cs-run -n -m nuclei -o out in -s 2
grep -q '^memory: [0-9.]* MiB for planes of 256x256, slots: 2, batch: 1$' stdout || fail "no memory"
grep -q 'inputs: 4, done already: 0, to do: 4' stdout || fail "$(cat stdout)"
[ ! -e out ] || fail "a dry run wrote $(find out)"

# A name of two lines is one input.
mkdir lines
cp in/z.png $'lines/two\nlines.png'
expect 0 cs-run -n -m nuclei -o out lines
grep -q 'inputs: 1, done already: 0, to do: 1' stdout || fail "$(cat stdout)"

# One broken image: exit 1, and the others are there.
expect 1 cs-run -m nuclei -o out --overlay in
says 'in/plate/broken.png: '
find out -type f | sort >files
same files run-files.files
echo in/./plate/broken.png | diff - out/failed.txt || fail "failed.txt"
[ "$(cut -d, -f1-3 out/images.csv | tail -n +2 | tr '\n' ' ')" = \
    'in/plate/a.png,plate/a,ok in/plate/b.tif,plate/b,ok in/plate/broken.png,plate/broken,failed in/z.png,z,ok ' ] ||
    fail "$(cat out/images.csv)"
for file in out/polygons/plate/a.geojson out/run.json; do
    jq -e . "$file" >/dev/null 2>jq.err || { command -v jq >/dev/null && fail "$file: $(cat jq.err)"; }
done
[ "$(head -n 1 out/objects.csv | cut -d, -f1-3)" = image,label,area ] || fail "objects.csv"
cp -r out first

# Again: nothing is done twice, and the status is still that of the results.
expect 1 cs-run -m nuclei -o out --overlay in
says 'all inputs are done already: 4'
diff -r first out >diff || fail "changed by a run with nothing to do: $(cat diff)"

# The broken one is mended: it alone is done, and the tables are those of one run.
cp "$TESTDATA/nuclei/histology.png" in/plate/broken.png
expect 0 cs-run -v -m nuclei -o out --overlay in
says 'inputs: 4, done already: 3, to do: 1'
[ ! -s out/failed.txt ] || fail "failed.txt: $(cat out/failed.txt)"
expect 0 cs-run -q -m nuclei -o fresh --overlay in
[ ! -s stderr ] || fail "not quiet: $(cat stderr)"
for part in objects.csv images.csv labels polygons overlays; do
    diff -r fresh/$part out/$part >diff || fail "$part after resuming: $(head diff)"
done

# An output that is gone comes back.
rm out/labels/z.tif
expect 0 cs-run -m nuclei -o out --overlay in
[ -s out/labels/z.tif ] || fail "a missing output stays missing"

# Other parameters need another folder, or --force.
expect 2 cs-run -m nuclei -o out --overlay -t 0.7 in
says 'results of other parameters'
expect 0 cs-run -m nuclei -o out --overlay -t 0.7 --force in
expect 0 cs-run -m nuclei -o out --overlay -t 0.7 in
# Of an option given twice the last counts; variables that decide the results are options, too.
expect 0 cs-run -m nuclei -o out --overlay -t 0.6 -t 0.7 in
expect 2 cs-run -m nuclei -o out --overlay -t 0.7 -t 0.6 in
says '"threshold":"0.6"'
CELLSTREAM_CONV=direct expect 2 cs-run -m nuclei -o out --overlay -t 0.7 in
says '"conv":"direct"'

# Where all images failed there are no results that could be mixed.
expect 1 cs-run -m nuclei -o none -c DAPI in
expect 0 cs-run -n -m nuclei -o none in
grep -q 'to do: 4' stdout || fail "$(cat stdout)"
expect 0 cs-run -m nuclei -o none in

# So do results that another program left: their parameters are not known.
rm out/run.json
expect 2 cs-run -m nuclei -o out --overlay -t 0.7 in
says 'results that cs-run did not make'
expect 2 cs-run -n -m nuclei -o out --overlay -t 0.7 in
expect 0 cs-run -m nuclei -o out --overlay -t 0.7 --force in
[ -s out/run.json ] || fail "no run.json after --force"

# A name in Latin-1, of an image that fails and of one that does not.
mkdir bytes
cp in/z.png $'bytes/5\xb5m.png'
head -c 3000 in/z.png >$'bytes/9\xb5m.png'
expect 1 cs-run -m nuclei -o latin bytes
expect 1 cs-run -m nuclei -o latin bytes
says 'all inputs are done already: 2'
cp in/z.png $'bytes/9\xb5m.png'
expect 0 cs-run -m nuclei -o latin --retry-failed -F latin/failed.txt

# Nothing open but the files named.
cs-run -m nuclei -o closed lines <&- >&- 2>&- || fail "closed descriptors: $?"
[ -s closed/objects.csv ] || fail 'no tables with closed descriptors'

# A list from a pipe with a name.
expect 0 cs-run -m nuclei -o piped -F <(find lines in/z.png -type f -print0) -0
[ "$(grep -c '"status":"ok"' piped/manifest.jsonl)" = 2 ] || fail 'a list from a pipe'

# Results below the images are no inputs of the next run, and never lie among them.
mkdir tree
cp in/z.png tree/z.png
expect 0 cs-run -m nuclei -o tree/results tree
expect 0 cs-run -m nuclei -o tree/results tree
says 'all inputs are done already: 1'
expect 2 cs-run -m nuclei -o tree ./tree
says 'results need a folder of their own'

# Options: to the right stage, in every form.
expect 0 cs-run -q -m nuclei -o forms -fmask,csv --as=png --min-area 30 -- in/z.png
[ -s forms/masks/z.png ] && [ ! -e forms/labels ] && [ ! -e forms/polygons ] || fail "$(find forms)"
printf '%s\0' in/z.png | cs-run -n -m nuclei -o x -0F - >stdout || fail "dry list: $?"
grep -q -e ' cs-load --null --resume=x --files-from=- -- |$' stdout || fail "$(cat stdout)"
printf '%s\0' in/z.png in/plate/a.png | cs-run -q -mnuclei -o list -0F - 2>stderr ||
    fail "list: $(cat stderr)"
[ -s list/labels/z.tif ] && [ -s list/labels/a.tif ] || fail "$(find list)"
expect 0 cs-run -q -m nuclei -o stack -c DAPI -z all "$TESTDATA/stack.ome.tif"
[ "$(ls stack/labels | wc -l)" = 3 ] || fail "$(ls stack/labels)"
expect 0 cs-run -m nuclei -o stack -c DAPI -z all "$TESTDATA/stack.ome.tif"
says 'all inputs are done already: 1'

# Wrong use.
expect 2 cs-run -m nuclei in
expect 2 cs-run -o x in
expect 2 cs-run -m nuclei -o x
expect 2 cs-run -m nuclei -o x --keep image in
expect 2 cs-run -m nuclei -o x -t 7 in
says 'cs-run: --threshold'
expect 2 cs-run -m nuclei -o x --batch=none in
expect 2 cs-run -m nuclei -o x -f tables in
expect 2 cs-run -m nuclei -o x --treshhold 0.4 in
says 'unknown option --treshhold (--threshold? see --help)'
expect 2 cs-run -m nuclei -o x --xyzzy in
says 'unknown option --xyzzy (see --help)'
# What a stage says of its options is said before anything is written.
for option in --rescale=foo --slots=none --device=gpu --z=foo --crop=1,2 --shard=3/2 --measure=all \
    --as=jpg --split=all; do
    expect 2 cs-run -m nuclei -o x $option in
    says "'${option#*=}'"
    [ "$(wc -l <stderr)" = 1 ] && [ ! -e x ] || fail "$option: $(cat stderr; find x)"
done
expect 2 cs-run -m nuclei -o x in/plate/a.png "$TESTDATA/nuclei/../../testdata/nuclei" in/plate/../plate/a.png
expect 3 cs-run -m nuclei -o x in/empty
expect 3 cs-run -m nuclei -o x no-such-folder
says 'no-such-folder: no such file or folder'
expect 4 cs-run -m no-such-model -o x in
