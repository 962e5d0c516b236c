# SPDX-License-Identifier: MIT
# The measurements of cs-polygonize against those of scikit-image, stored beside the label image
# (tests/golden/measure/make.py made both). Whole numbers are equal; reals agree to 1e-9 of their
# size, and to 1e-6 where the square root of a rounding error would be 0.
. "$SRC/tests/support/cli.sh"
golden=$SRC/tests/golden/measure

expect 0 cs-load -p 0.5 "$golden/labels.png"
mv stdout labels.cs
expect 0 cs-polygonize -i labels.cs --plane image -f csv -o -
mv stdout got.csv
# Angles count modulo pi; an object without a long axis has none.
awk -F, '
function near(a, b, slack) { return a - b <= slack && b - a <= slack }
FNR == 1 { for (i = 1; i <= NF; i++) column[FILENAME, $i] = i; nf[FILENAME] = NF }
FNR == NR { if (FNR == 1) split($0, names); else for (i = 1; i <= NF; i++) want[$1, names[i]] = $i
    rows += FNR > 1; next }
FNR == 1 { for (i in names) if (!((FILENAME, names[i]) in column)) { print "no column " names[i]; bad = 1 } }
FNR > 1 {
    seen++
    label = $column[FILENAME, "label"]
    for (i in names) {
        a = $column[FILENAME, names[i]] + 0; b = want[label, names[i]] + 0
        slack = 1e-9 * (b < 0 ? -b : b)
        if (names[i] ~ /^(axis|eccentricity)/ && slack < 1e-6) slack = 1e-6
        if (names[i] == "orientation") {
            if (want[label, "eccentricity"] < 1e-3) continue
            slack = 1e-9; pi = 3.14159265358979323846
            if (a - b > pi / 2) a -= pi; if (b - a > pi / 2) a += pi
        }
        if (!near(a, b, slack)) { print "label " label ": " names[i] " " a " instead of " b; bad = 1 }
        compared++
    }
}
END { if (seen != rows || compared < 30 * rows) { print seen " of " rows " rows"; bad = 1 } exit bad }
' "$golden/labels.csv" got.csv || fail 'measurements differ from scikit-image'
