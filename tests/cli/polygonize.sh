# SPDX-License-Identifier: MIT
# cs-polygonize: polygons, tables and the record of drawn labels, and the merging of records.
. "$SRC/tests/support/cli.sh"

cat >drawn <<'END'
11111..
1...1.2
1.1.12.
1...1.3
11111..
=
.......
.......
END
draw()
{
    stream-draw -p labels -t u16 "$@" <drawn
}
record() # FILE: a manifest without what differs from run to run
{
    jq -c 'del(.key, .time_ms, .ms) | .outputs |= map(del(.xxh3))' "$1"
}

echo '# geojson'
draw | cs-polygonize -o - --measure none
echo '# ndjson'
draw --begin pixel_um=2 | cs-polygonize -o - -f ndjson | jq -c \
    '[.id, .geometry.type, .properties.image, .properties.measurements.area_um2]'
echo '# csv'
draw | cs-polygonize -o - -f csv | cut -d, -f1-8
echo '# names that need quotes'
draw --begin 'source=a,"b".tif' | cs-polygonize -o - -f csv --measure none
echo '# folder'
draw | cs-polygonize -o out/ || fail "status $?"
find out -type f | sort
record out/.cs/0000.manifest.jsonl
jq -e '.type == "FeatureCollection" and (.features | length) == 3 and
    (.features[0].id == 1) and .features[0].properties.objectType == "detection"' \
    out/polygons/drawn/0.geojson >/dev/null || fail 'feature collection'
jq -e '.features == []' out/polygons/drawn/1.geojson >/dev/null || fail 'empty collection'
cs-polygonize --merge -o out || fail "merge: $?"
cut -d, -f1-8 out/objects.csv
cat out/images.csv out/failed.txt
cmp out/manifest.jsonl out/.cs/0000.manifest.jsonl || fail 'merged manifest'
echo '# shards, tries, and a process that died'
draw --begin source=b.tif --begin output=b --begin input.index=1 |
    stream-pass -f 1 | cs-polygonize -q -o two --shard-id 1
[ "${PIPESTATUS[2]}" = 1 ] || fail 'a failed item'
cat >drawn.1 <<'END'
2.2
END
stream-draw -p labels <drawn.1 --begin source=a.tif --begin output=a --begin input.index=0 |
    cs-polygonize -q -o two --shard-id 1 || fail 'second try'
cs-polygonize --merge -o two
[ $? = 1 ] || fail 'failed images give 1'
cat two/failed.txt
cut -d, -f1-4 two/images.csv
sleep 0.01
stream-draw -p labels <drawn.1 --begin source=b.tif --begin output=b --begin input.index=1 |
    cs-polygonize -q -o two --shard-id 2 || fail 'third try'
printf 'b.tif,7,9' >>two/.cs/0002.objects.csv
printf '{"v":1,"n":9,"image":"x.tif","status":"ok"' >>two/.cs/0002.manifest.jsonl
cs-polygonize --merge -o two || fail 'the latest line counts'
cut -d, -f1-3 two/objects.csv
[ ! -s two/failed.txt ] || fail 'failed.txt'
cut -d, -f1-4 two/images.csv
# Appending after that process starts at a line of its own.
stream-draw -p labels <drawn.1 --begin source=c.tif --begin output=c --begin input.index=2 |
    cs-polygonize -q -o two --shard-id 2 || fail 'appending'
cs-polygonize --merge -o two || fail 'merge after appending'
cut -d, -f1-3 two/objects.csv | tail -n 2
record two/.cs/0002.manifest.jsonl | jq -c '[.image, .outputs[1].offset, .outputs[1].bytes]'
# Columns of intensities: those of the image with most channels, empty for the others.
cs-load "$TESTDATA/nuclei/histology.png" | stream-plane probability maps=foreground |
    cs-postprocess -t 0.8 -k image | cs-polygonize -q -o two --shard-id 3 || fail 'intensities'
cs-polygonize --merge -o two
head -n 1 two/objects.csv | cut -d, -f33-
awk -F, 'NR > 1 { fields[NF]++ } END { for (n in fields) print n, (fields[n] > 1) }' two/objects.csv

# What is refused.
draw >labels.cs
expect 2 cs-polygonize -i labels.cs
says 'no output given'
for bad in '-f xml' '-f geojson,' '-f csv,geojson -o -' '--simplify -1' '--measure shape,size' \
    '--measure none,shape' '--edge round' '--merge -o -' 'operand' '--shard-id x'; do
    # shellcheck disable=SC2086
    expect 2 cs-polygonize -i labels.cs -o no $bad
done
[ ! -e no ] || fail 'a folder in spite of wrong usage'
expect 3 cs-polygonize --merge -o nowhere
says 'holds no record of a run'
expect 1 cs-polygonize -i labels.cs -o o --measure intensity
says 'drawn/0.txt: --measure intensity: the stream has no image'
expect 1 cs-polygonize -i labels.cs -o o --plane image
says 'no image in the stream'
draw --begin output=../up >up.cs
expect 1 cs-polygonize -i up.cs -o o/below
says "output name '../up' is not a path below the folder"
[ ! -e o/polygons ] && [ ! -e o/up.geojson ] || fail 'a file outside the folder'
long=$(printf '%0241d' 0)
draw --begin "output=$long" >long.cs
expect 1 cs-polygonize -i long.cs -o o/long
says 'a part of it has over 240 bytes'
: >notafolder
expect 1 cs-polygonize -i labels.cs -o notafolder
cs-polygonize -i labels.cs -o - >/dev/full 2>stderr
[ $? = 1 ] || fail 'full disk'
says 'No space left'
# A reader that is gone ends it quietly, also where more than a buffer is written of an item.
cs-load -q --transport=pipe "$TESTDATA/nuclei/fluorescence.png" >gray.cs
for stream in labels.cs 'gray.cs --plane image'; do
    expect 141 unread cs-polygonize -o - -i $stream
    [ ! -s stderr ] || fail "$stream into a closed pipe: $(cat stderr)"
done
# A disk that is full when rows are written fails the item, one that is full for lines the run.
mkdir -p full/.cs lines/.cs
ln -s /dev/full full/.cs/0000.objects.csv
expect 1 cs-polygonize -i labels.cs -o full
says 'full/.cs/0000.objects.csv: '
record full/.cs/0000.manifest.jsonl | jq -c '[.status, .outputs]'
ln -s /dev/full lines/.cs/0000.manifest.jsonl
expect 1 cs-polygonize -i labels.cs -o lines
says 'No space left'
# Rows that a line promises must be there.
cp -r out gone && : >gone/.cs/0000.objects.csv
expect 1 cs-polygonize --merge -o gone
says 'the rows of drawn/0 are not there'
# One process a record.
mkfifo hold
cs-polygonize -i hold -o lock --shard-id 4 &
exec 9>hold
head -c 400 labels.cs >&9
while [ ! -e lock/.cs/0004.objects.csv ]; do sleep 0.02; done
expect 2 cs-polygonize -i labels.cs -o lock --shard-id 4
says 'another process writes it'
exec 9>&-
wait
exit 0
