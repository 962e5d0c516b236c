# SPDX-License-Identifier: MIT
# The bundled models on the test images, whose true objects are known because they were drawn.
. "$SRC/tests/support/cli.sh"

score()
{
    printf 'id,kind,split\n' >m.csv
    for file in "$TESTDATA/truth/$2"/*.tif; do
        name=${file##*/}
        printf '%s,drawn,val\n' "${name%.tif}" >>m.csv
    done
    expect 0 cs-run -q -m "$1" -o "$2" "$TESTDATA/$2"
    expect 0 "$BUILD/bench/score" m.csv "$2/labels" "$TESTDATA/truth/$2"
    tail -n 1 stdout | awk '{ exit !($3 >= 0.95 && $4 >= 0.9) }' || fail "$1: $(cat stdout)"
}
score nuclei nuclei
score spheroid spheroid
