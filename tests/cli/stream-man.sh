#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# cs-stream(5): its example filter, compiled as it stands and run in pipelines; its list of
# metadata keys against the header.
. "$SRC/tests/support/cli.sh"
page=$SRC/man/cs-stream.5

awk '/^\.Bd -literal$/ { on = 1; next } /^\.Ed$/ { on = 0 } on' "$page" |
    sed 's/\\e/\\/g' >invert.c
grep -q 'int main' invert.c || fail "no example in the page"
flags=
[[ $BUILD == *-san ]] && flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined"
# shellcheck disable=SC2086
cc -std=c11 -Wall -Wextra -Wpedantic -Werror -O2 $flags -o invert invert.c ||
    fail "the example does not compile"

# 255 - x and 65535 - x of the image; other planes and types as they were.
for type in u8 u16 f32; do
    make_it() { stream-make -n 3 -W 50 -H 40 -t $type -p image,labels -r 13; }
    make_it | cs-view --stats | tail -n +2 >plain
    make_it | ./invert | cs-view --stats | tail -n +2 >inverted
    awk -v type=$type 'BEGIN { top = type == "u8" ? 255 : 65535; FS = OFS = "\t" }
        type != "f32" && $4 == "image" {
            low = top - $8; $8 = top - $7; $7 = low; $9 = sprintf("%.9g", top - $9)
        } { print }' plain >expected
    cut -f 1-8 expected >a
    cut -f 1-8 inverted | cmp - a || fail "$type: $(cat inverted)"
    # Means are rounded to nine digits on both sides.
    paste <(cut -f 9 expected) <(cut -f 9 inverted) |
        awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > 1e-3) exit 1 }' || fail "$type: means"
    # Twice is nothing, through a file with checksums too.
    make_it >file.cs
    ./invert <file.cs >once.cs
    ./invert <once.cs | stream-pass >twice.cs
    cs-view -i once.cs >/dev/null || fail "a file"
    cs-view --item 1 --as npy -i twice.cs >twice.npy
    cs-view --item 1 --as npy -i file.cs | cmp - twice.npy || fail "$type: twice is not nothing"
    if [ $type != f32 ]; then
        cs-view --item 1 --as npy -i once.cs | cmp -s - twice.npy && fail "$type: nothing happened"
    fi
done

# Its place in a pipeline: provenance, failed items, early ends, nothing.
stream-make -f 2 | ./invert | stream-pass | cs-view >view
[ "${PIPESTATUS[*]}" = "0 1 1 1" ] || fail "failed items"
head -n 1 view | grep -q 'prov.stream-make=.*prov.invert=1.*prov.stream-pass=' ||
    fail "$(head -n 1 view)"
stream-make -x 5 --reason "no device" | ./invert | cs-view >view
[ "${PIPESTATUS[*]}" = "5 5 5" ] || fail "early end"
stream-make -n 0 | ./invert | cs-view >view
[ "${PIPESTATUS[*]}" = "3 3 3" ] || fail "empty input"
stream-make | head -c 5000 | ./invert | cs-view >view 2>err
[ "${PIPESTATUS[*]:1}" = "0 6 6" ] || fail "truncated"
expect 6 ./invert <"$SRC/LICENSE"

# Every key that the tools agree on is described.
sed -n 's/^#define CS_KEY_[A-Z_]* *"\([^"]*\)".*/\1/p' "$SRC/libcommon/stream/frame.h" >keys
[ "$(wc -l <keys)" -gt 30 ] || fail "keys are not found in frame.h"
while read -r key; do
    grep -E '^\.It Cm' "$page" | tr ' ' '\n' | grep -q -E "^${key//./\\.}" ||
        fail "cs-stream(5) does not describe the key '$key'"
done <keys
exit 0
