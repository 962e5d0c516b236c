# SPDX-License-Identifier: MIT
# bench/score: the truth scores 1 against itself, a missing prediction 0, other splits are left out.
. "$SRC/tests/support/cli.sh"

printf 'id,kind,split\nbrightfield,dark,val\nfluorescence,bright,val\nhistology,dark,train\n' >m.csv
truth=$TESTDATA/truth/nuclei
expect 0 "$BUILD/bench/score" m.csv "$truth" "$truth"
grep -q '^all  *2  *1.0000  *1.0000$' stdout || fail "$(cat stdout)"
mkdir some
cp "$truth/fluorescence.tif" some
expect 0 "$BUILD/bench/score" m.csv some "$truth"
says 'brightfield.tif is missing'
grep -q '^all  *2  *0.5000  *0.5000$' stdout || fail "$(cat stdout)"
# Labels of another picture hardly match.
cp "$truth/histology.tif" some/brightfield.tif
expect 0 "$BUILD/bench/score" m.csv some "$truth"
awk '$1 == "dark" { exit !($3 < 0.2) }' stdout || fail "$(cat stdout)"
expect 3 "$BUILD/bench/score" -s none m.csv some "$truth"
expect 2 "$BUILD/bench/score" m.csv
