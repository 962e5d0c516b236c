# SPDX-License-Identifier: MIT
# cs-load --resume and --list: what counts as done.
. "$SRC/tests/support/cli.sh"

mkdir -p o/.cs
for name in a b c; do
    cp "$TESTDATA/nuclei/brightfield.png" $name.png
    touch -d @1000000000.5 $name.png
done
bytes=$(stat -c %s a.png)
input="\"input\":{\"bytes\":$bytes,\"mtime_ns\":1000000000500000000}"
output='"outputs":[{"kind":"labels","path":"a.tif","bytes":5}]'
printf 12345 >o/a.tif
{
    echo "{\"image\":\"a.png\",\"status\":\"ok\",$input,$output}"
    echo "{\"image\":\"b.png\",\"status\":\"failed\",$input,\"outputs\":[]}"
    echo "{\"image\":\"c.png\",\"status\":\"empty\",\"items\":2,\"name\":\"c.t0\",$input}"
    printf "{\"image\":\"c.png\",\"status\":\"empty\",\"items\":2,\"name\":\"c.t1\""
} >o/.cs/0003.manifest.jsonl

states() # EXPECTED [OPTION]...
{
    local expected=$1
    shift
    cs-load --list --resume o "$@" a.png b.png c.png >list || fail "cs-load --list"
    [ "$(cut -f1 list | tr '\n' ' ')" = "$expected " ] ||
        fail "line ${BASH_LINENO[0]}: $(cat list) instead of $expected"
}
# c gives two items, and only one line is whole.
states 'done done todo'
states 'done todo todo' --retry-failed
# The second item of c, from another run.
echo "{\"image\":\"c.png\",\"status\":\"empty\",\"items\":2,\"name\":\"c.t1\",$input}" \
    >o/.cs/0004.manifest.jsonl
states 'done done done'
expect 3 cs-load --resume o a.png b.png c.png
says 'all 3 inputs are done already'
# The stream holds what is left, under the places of the whole list.
cs-load --resume o --retry-failed a.png b.png c.png | cs-view >view
grep -q '^BEGIN 0.*source=b.png.*input.index=1' view || fail "$(cat view)"
grep -q '^END 1' view || fail "$(cat view)"
# An output of another size, an output that is gone, a file of another date, or another size.
printf 1 >o/a.tif
states 'todo done done'
rm o/a.tif
states 'todo done done'
printf 12345 >o/a.tif
touch c.png
states 'done done todo'
echo >>b.png
touch -d @1000000000.5 b.png
states 'done todo todo'

# With --checksum the recorded hash decides, and not the date.
hash=$(cs-load --checksum c.png | cs-view | sed -n 's/.*input.xxh3=\([0-9a-f]*\).*/\1/p')
cp c.png b.png
for name in b c; do
    echo "{\"image\":\"$name.png\",\"status\":\"ok\",\"input\":{\"bytes\":$bytes,\"mtime_ns\":1,\"xxh3\":\"$hash\"}}"
done >o/.cs/0005.manifest.jsonl
states 'done done done' --checksum
printf X | dd of=c.png bs=1 seek=100 conv=notrunc 2>dd
states 'done done todo' --checksum

# A folder without a manifest: nothing is done. A damaged one is told.
expect 0 cs-load --list --resume nowhere a.png
echo 'no json' >o/.cs/0006.manifest.jsonl
expect 1 cs-load --list --resume o a.png
says '0006.manifest.jsonl: byte 0'
