# SPDX-License-Identifier: MIT
# cs-batch: shards by both engines give what one cs-run gives; a shard that dies is tried again.
. "$SRC/tests/support/cli.sh"
[ -e "$SRC/models/nuclei/rdf.yaml" ] || skip "no model nuclei"
export CELLSTREAM_THREADS=1

mkdir in
for name in a b c d e; do
    cp "$TESTDATA/nuclei/fluorescence-16bit.tif" in/$name.tif
done
echo none >in/c.tif
expect 1 cs-run -q -m nuclei -o one in
engines=local
command -v parallel >/dev/null && engines="local parallel"
for engine in $engines; do
    expect 1 env -u HOME cs-batch -E $engine -m nuclei -o $engine -j 2 --shards 3 in
    says '5/5 inputs, 1 failed, '
    [ "$(wc -l <stderr)" -le 5 ] || fail "more than there is to say: $(cat stderr)"
    for part in objects.csv images.csv failed.txt run.json labels polygons; do
        diff -r one/$part $engine/$part >diff || fail "$engine, $part: $(head diff)"
    done
    [ "$(wc -l <$engine/logs/joblog)" = 4 ] || fail "$(cat $engine/logs/joblog)"
    expect 1 cs-batch -E $engine -m nuclei -o $engine -j 2 --shards 3 in
    says 'all inputs are done already: 5'
done

# More shards than inputs; a list on standard input.
ls in/a.tif in/b.tif | cs-batch -q -m nuclei -o few --shards 4 -j 2 -F - 2>stderr ||
    fail "few: $? $(cat stderr)"
[ ! -s stderr ] || fail "few: $(cat stderr)"
[ "$(wc -l <few/images.csv)" = 3 ] || fail "$(cat few/images.csv)"

# More names than a command has room for.
mkdir long
(cd long && seq -f "$(printf '%0200d' 0)%g.png" 400 | xargs touch)
expect 1 cs-batch -q -m nuclei -o names -j 2 long/*.png
[ "$(grep -c 'the file is empty' names/images.csv)" = 400 ] || fail "$(tail -n 5 names/images.csv)"

# A worker that is killed: the shard is tried again, nothing is lost.
cs-batch -q -m nuclei -o killed in 2>stderr &
batch=$!
for _ in $(seq 200); do
    [ -s killed/.cs/run-1/cs-infer.pid ] && break
    sleep 0.05
done
kill -KILL "$(cat killed/.cs/run-1/cs-infer.pid)"
wait $batch
[ $? = 1 ] || fail "after a kill: $(cat stderr)"
grep -q 'was killed by signal 9' stderr || fail "no word of the kill: $(cat stderr)"
diff one/objects.csv killed/objects.csv >diff || fail "objects after a kill: $(head diff)"

# A closed terminal: what has begun is finished, the tables are made, the rest is for the next run.
cs-batch -q -m nuclei -o hangup --shards 5 in 2>stderr &
batch=$!
for _ in $(seq 1200); do
    [ -e hangup/labels ] && break
    sleep 0.05
done
kill -HUP $batch
wait $batch
[ $? = 143 ] || fail "after SIGHUP: $(cat stderr)"
[ -s hangup/images.csv ] || fail 'no tables after SIGHUP'
expect 1 cs-batch -q -m nuclei -o hangup --shards 5 in
diff one/objects.csv hangup/objects.csv >diff || fail "objects after SIGHUP: $(head diff)"

# --print runs nothing; --once does not mind that there is nothing.
expect 0 cs-batch --print --shards 2 -m nuclei -o printed -t 0.4 in
[ "$(wc -l <stdout)" = 2 ] && grep -q -e '--threshold=0.4 --shard=2/2' stdout || fail "$(cat stdout)"
[ ! -e printed ] || fail "--print wrote $(find printed)"
mkdir nothing
expect 0 cs-batch --once -m nuclei -o once nothing
expect 3 cs-batch -m nuclei -o once nothing
expect 2 cs-batch -E slurm -m nuclei -o x in
expect 2 cs-batch -j 0 -m nuclei -o x in
expect 2 cs-batch --shard 1/2 -m nuclei -o x in
expect 4 cs-batch -q -m no-such-model -o x in
