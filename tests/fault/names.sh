#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Names with newlines, bytes that are not UTF-8, quotes, commas and all else that a file may be
# called, through the whole pipeline: each gives its labels, its polygons and its lines under its own
# name, is found again when the run is resumed, and fails under that name when it is broken.
. "$SRC/tests/support/cli.sh"
export CELLSTREAM_MODEL_PATH=$TESTDATA/models CELLSTREAM_THREADS=2

long=$(printf 'x%.0s' {1..200})
names=($'two\nlines' $'tab\there' $'ret\rurn' $'latin\xb5m' $'\xff\xfe' $'cut\xe2\x82' $'sur\xed\xa0\x80'
    'quo"te' "apo'strophe" 'back\slash' 'com,ma' 'a  b ' ' lead' '-dash' '--help' '$(touch bad)' '*' '?[a]'
    ';&|<>' '%s%n%d' '{}' $'\x01\x1f\x7f' 'über' $'\xf0\x9f\x94\xac' 'a...' 'a.b.c' "$long")
mkdir -p in/$'fol\nder \xfc'
for name in "${names[@]}"; do
    cp "$TESTDATA/nuclei/fluorescence.png" "in/$name.png"
    cp "$TESTDATA/nuclei/fluorescence.png" in/$'fol\nder \xfc'/"$name.png"
done
broken=($'bro\nken,"\xb5.png' '"quo\te"' $'fol\nder \xfc/brok\ren\r' 'plain.tif')
for name in "${broken[@]}"; do
    printf 'broken' >"in/$name"
done
count=$((2 * ${#names[@]})) all=$((2 * ${#names[@]} + 4))

what=(--include '*.png' --include '*quo?te"' --include '*brok*' --include '*.tif' in)
expect 1 cs-run -q -m tiny -d ref -o out -f labels,overlay,geojson,csv "${what[@]}"
[ "$(wc -l <stderr)" = 4 ] || fail "four messages: $(cat stderr)"
[ ! -e bad ] || fail "a name was run"
for name in "${names[@]}"; do
    for file in "$name" $'fol\nder \xfc'/"$name"; do
        [ -s "out/labels/$file.tif" ] && [ -s "out/polygons/$file.geojson" ] &&
            [ -s "out/overlays/$file.png" ] || fail "$(printf %q "$file"): $(find out -newer in)"
    done
done
[ "$(find out/labels -type f -print0 | tr -dc '\0' | wc -c)" = $count ] || fail "labels"
# One line an image; JSON and CSV of UTF-8 whatever the names.
[ "$(wc -l <out/manifest.jsonl)" = $all ] || fail "$(wc -l out/manifest.jsonl)"
grep -c '"status":"failed"' out/manifest.jsonl | grep -q -x 4 || fail "failed"
if command -v python3 >/dev/null; then
    python3 - out "$all" <<'END' || fail "what the tables say"
import csv, glob, json, os, sys
out, count = os.fsencode(sys.argv[1]), int(sys.argv[2])
lines = [json.loads(line) for line in open(out + b"/manifest.jsonl", encoding="utf-8", newline="\n")]
for line in lines:
    # Bytes that are no UTF-8 come as Python itself has them in a name.
    path = os.fsencode(line["image"])
    assert os.path.exists(path), path
    for o in line["outputs"]:
        assert os.path.exists(out + b"/" + os.fsencode(o["path"])), o
        if o["path"].endswith(".geojson"):
            json.load(open(out + b"/" + os.fsencode(o["path"]), encoding="utf-8"))
names = set(os.fsencode(line["image"]) for line in lines)
assert len(names) == count
rows = list(csv.reader(open(out + b"/images.csv", encoding="utf-8", errors="surrogateescape", newline="")))
assert set(os.fsencode(row[0]) for row in rows[1:]) == names, names ^ set(os.fsencode(r[0]) for r in rows[1:])
END
fi
# All of it is found again.
expect 1 cs-run -m tiny -d ref -o out -f labels,overlay,geojson,csv "${what[@]}"
says "all inputs are done already: $all"
# What failed is named by failed.txt, one a line, and does again from there under the same names.
[ "$(wc -l <out/failed.txt)" = 4 ] || fail "$(cat out/failed.txt)"
for name in "${broken[@]}"; do
    cp "$TESTDATA/nuclei/fluorescence.png" "in/$name"
done
expect 0 cs-run -q -m tiny -d ref -o out -f labels,overlay,geojson,csv --retry-failed -F out/failed.txt
for name in "${broken[@]}"; do
    case $name in *.png | *.tif) name=${name%.*} ;; esac
    [ -s "out/labels/$name.tif" ] || fail "$(printf %q "$name") is not done"
done
[ ! -s out/failed.txt ] || fail "$(cat out/failed.txt)"
[ "$(wc -l <out/manifest.jsonl)" = $all ] || fail "$(wc -l out/manifest.jsonl)"
# Lists with NUL hold any name.
expect 0 cs-run -q -m tiny -d ref -o list -f csv -0 -F <(find in -maxdepth 1 -type f -print0)
[ "$(wc -l <list/manifest.jsonl)" = $((count / 2 + 3)) ] || fail "a list with NUL: $(cat stderr)"
exit 0
