# SPDX-License-Identifier: MIT
# cs-merge: order, last runs, half-written lines, what is done.
. "$SRC/tests/support/cli.sh"

mkdir -p o/.cs o/labels
# First run: b before a in time, c failed; the last line is cut off.
printf 'image,label\nb.tif,1\na.tif,1\na.tif,2\nd.tif,9' >o/.cs/0001.objects.csv
rows() # OFFSET BYTES SEGMENT
{
    printf '"outputs":[{"kind":"objects","path":".cs/000%s.objects.csv","offset":%s,"bytes":%s}]' \
        "$3" "$1" "$2"
}
for name in a b c; do
    printf '%s' "$name" >$name.tif
    touch -d @1000000000.5 $name.tif
done
input() # INDEX
{
    printf '"input":{"index":%s,"bytes":1,"mtime_ns":1000000000500000000}' "$1"
}
{
    echo "{\"v\":1,\"n\":1,\"image\":\"b.tif\",\"status\":\"ok\",\"objects\":1,$(input 1),$(rows 12 8 1)}"
    echo "{\"v\":1,\"n\":0,\"image\":\"a.tif\",\"status\":\"ok\",\"objects\":2,$(input 0),$(rows 20 16 1)}"
    echo "{\"v\":1,\"n\":2,\"image\":\"c.tif\",\"status\":\"failed\",$(input 2)," \
        '"error":{"code":"INVALID_IMAGE","stage":"cs-load","text":"bad, \"very\""}}'
    printf '{"v":1,"n":3,"image":"d.tif","status":"ok"'
} >o/.cs/0001.manifest.jsonl
expect 0 cs-merge o
echo 'items=3 ok=2 empty=0 failed=1 objects=3' | diff - stdout || fail "counts"
printf 'image,label\na.tif,1\na.tif,2\nb.tif,1\n' | diff - o/objects.csv || fail "objects.csv"
echo c.tif | diff - o/failed.txt || fail "failed.txt"
same o/images.csv merge.images.csv

# A second run did c again, and b with other objects: it counts, and a stays.
printf 'image,label\nb.tif,7\nc.tif,1\n' >o/.cs/0002.objects.csv
{
    echo "{\"v\":1,\"n\":0,\"image\":\"b.tif\",\"status\":\"ok\",\"objects\":1,$(input 1),$(rows 12 8 2)}"
    echo "{\"v\":1,\"n\":1,\"image\":\"c.tif\",\"status\":\"ok\",\"objects\":1,\"items\":2,$(input 2),$(rows 20 8 2)}"
} >o/.cs/0002.manifest.jsonl
expect 0 cs-merge o
printf 'image,label\na.tif,1\na.tif,2\nb.tif,7\nc.tif,1\n' | diff - o/objects.csv || fail "rerun"
[ ! -s o/failed.txt ] || fail "failed.txt after the second run"
[ "$(wc -l <o/manifest.jsonl)" = 3 ] || fail "manifest.jsonl"

# Done: a and b; c has one of two items only; x was never seen.
printf '%s\0' a.tif b.tif c.tif x.tif >list
cs-merge -D list o | tr '\0' ' ' >done || fail "status of --done"
[ "$(cat done)" = 'a.tif b.tif ' ] || fail "done: $(cat done)"
# Another date, another size, an output that is gone.
touch b.tif
printf 'aa' >a.tif
touch -d @1000000000.5 a.tif
[ -z "$(cs-merge -D list o | tr '\0' ' ')" ] || fail "changed inputs are called done"
printf 'a' >a.tif
touch -d @1000000000.5 a.tif
[ "$(cs-merge -D list o | tr '\0' ' ')" = 'a.tif ' ] || fail "a is not called done"
truncate -s 30 o/.cs/0001.objects.csv
[ -z "$(cs-merge -D list o | tr '\0' ' ')" ] || fail "missing rows are called done"

# Damage is told, with file and place; the old tables stay.
expect 1 cs-merge o
says 'shorter than the manifest says'
[ "$(wc -l <o/objects.csv)" = 5 ] || fail "table replaced after damage"
echo 'no json' >>o/.cs/0002.manifest.jsonl
expect 1 cs-merge o
says '0002.manifest.jsonl: byte'
printf '{"image":"x","status":"ok","outputs":[{"kind":"objects","path":"../../etc/passwd",%s\n' \
    '"offset":0,"bytes":5}]}' >o/.cs/0002.manifest.jsonl
expect 1 cs-merge o
says 'rows of objects are not named rightly'
expect 1 cs-merge nowhere
expect 2 cs-merge
