# SPDX-License-Identifier: MIT
# cs-postprocess and cs-polygonize on the stream: the same bytes for any banding, transport, sample
# type and place of large planes; broken, empty and ended streams; signals and closed pipes.
. "$SRC/tests/support/cli.sh"

# Nuclei as they are drawn: their brightness serves as probability.
cs-load "$TESTDATA/nuclei/fluorescence.png" "$TESTDATA/nuclei/brightfield.png" |
    stream-plane probability maps=foreground >prob.cs || fail 'no stream'
post='-t 0.3 -a 20 --fill-holes --open 1 --close 2 --split distance --seed-depth 1.5'
polygons()
{
    # shellcheck disable=SC2086
    cs-postprocess $post "$@" | cs-polygonize -o - -f ndjson
}
polygons <prob.cs >first
[ "$(wc -l <first)" -gt 20 ] || fail 'few objects'
polygons --scratch . --spill 1000 <prob.cs | cmp first - || fail 'spilled'
cs-postprocess -i prob.cs $post --transport pipe | cs-polygonize -o - -f ndjson --transport pipe |
    cmp first - || fail 'pipe'
cs-postprocess -i prob.cs $post --ring 1M | cs-polygonize -o - -f ndjson --transport shm |
    cmp first - || fail 'shared memory'
# One drawing in bands of any height, and in other sample types, gives one set of labels.
for i in $(seq 40); do
    awk -v seed=$i 'BEGIN { srand(seed)
        for (x = 0; x < 60; x++) printf "%s", rand() < 0.3 ? "k" : "."; print "" }'
done >noise
stream-draw <noise | cs-postprocess -a 3 | cs-polygonize -o - -f csv >whole
[ "$(wc -l <whole)" -gt 5 ] || fail 'few objects in noise'
for rows in 1 3 7 39; do
    stream-draw -r $rows <noise | cs-postprocess -a 3 | cs-polygonize -o - -f csv |
        cmp whole - || fail "bands of $rows rows"
done
for type in u16 f32; do
    stream-draw -t $type <noise | cs-postprocess -a 3 | cs-polygonize -o - -f csv |
        cmp whole - || fail "$type"
done

for stage in 'cs-postprocess' 'cs-polygonize -q -o out'; do
    echo "# $stage"
    # Nothing at all, half a stream, no items, an early end, a missing file.
    expect 6 $stage </dev/null
    stream-make -n 3 -p probability,labels -t u16 >made.cs
    head -c 12000 made.cs >half.cs
    expect 6 $stage <half.cs
    says 'standard input'
    stream-make -n 0 >none.cs
    expect 3 $stage <none.cs
    stream-make -n 2 -p probability,labels -t u16 -x 4 --reason 'bad model' >ended.cs
    expect 4 $stage <ended.cs
    expect 3 $stage -i missing.cs
    says 'missing.cs'
    # Items that failed before travel on, and are not failures of this stage alone.
    stream-make -n 3 -f 2 -p probability,labels -t u16 >failed.cs
    expect 1 $stage <failed.cs
done
grep -c '"status":"failed"' out/.cs/0000.manifest.jsonl
jq -c 'select(.error) | .error' out/.cs/0000.manifest.jsonl | head -n 1

# A full disk, and a reader that goes away.
cs-postprocess -i made.cs >/dev/full 2>stderr
[ $? = 1 ] || fail 'full disk'
says 'No space left'
expect 141 unread cs-postprocess -i made.cs
# A signal in the middle: the stages live until the stream ends, and what came is recorded.
mkfifo in between
cs-postprocess <in >between -a 1 &
stages=$!
cs-polygonize -q -o sig <between &
stages="$stages $!"
exec 9>in
stream-make -n 2 -p probability -t u8 >two.cs
head -c 3400 two.cs >&9
while [ ! -e sig/.cs/0000.objects.csv ]; do sleep 0.02; done
# shellcheck disable=SC2086
kill -TERM $stages || fail 'a stage is gone'
sleep 0.1
tail -c +3401 two.cs >&9
exec 9>&-
for pid in $stages; do
    wait "$pid" || fail "status $? after a signal"
done
[ "$(wc -l <sig/.cs/0000.manifest.jsonl)" = 2 ] || fail 'items were lost to a signal'
[ -z "$(find . -name '.*.tmp-*')" ] || fail 'temporary files are left'
