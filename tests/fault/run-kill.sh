# SPDX-License-Identifier: MIT
# cs-run when each stage in turn is killed, and when it gets signals itself: the status says so,
# what the manifest lists is whole, and the same command finishes the job with the same results.
. "$SRC/tests/support/cli.sh"
[ -e "$SRC/models/nuclei/rdf.yaml" ] || skip "no model nuclei"
export CELLSTREAM_THREADS=1

mkdir in
for i in $(seq 10 39); do
    cp "$TESTDATA/nuclei/fluorescence-16bit.tif" in/$i.tif
done
cs-run -q -m nuclei -o whole in || fail "a whole run: $?"

# interrupt NAME STAGE|cs-run SIGNAL...: run, wait until two images are written, send.
interrupt()
{
    local out=$1 who=$2 signal pid sent=0
    shift 2
    rm -rf "$out"
    # The shell starts what runs behind it with SIGINT ignored, and bash cannot undo that.
    env --default-signal=INT cs-run -q -m nuclei -o "$out" in 2>stderr &
    local run=$!
    for _ in $(seq 3000); do
        [ "$(ls "$out/labels" 2>/dev/null | wc -l)" -ge 2 ] && break
        sleep 0.02
    done
    [ -e "$out/labels" ] || fail "$who: no labels within a minute: $(cat stderr)"
    for signal; do
        pid=$run
        if [ "$who" != cs-run ]; then
            pid=$(cat "$out/.cs/run-0/$who.pid")
            touch "$out/labels/.10.tif.tmp-$pid" # as of a stage that dies while it writes
        fi
        # What got one signal may be gone before the second.
        kill -s "$signal" "$pid" 2>kill.err || [ $sent = 1 ] ||
            fail "$who ended too early: $(cat kill.err)"
        sent=1
        sleep 0.1
    done
    status=0
    wait $run || status=$?
    [ -z "$(find "$out" -name '.*.tmp-*')" ] ||
        fail "$who: unfinished files are left: $(find "$out" -name '.*.tmp-*')"
}

finish() # NAME
{
    expect 0 cs-run -q -m nuclei -o "$1" in
    for part in objects.csv images.csv labels polygons; do
        diff -r whole/$part "$1/$part" >diff || fail "$1: $part after resuming: $(head -n 5 diff)"
    done
    [ ! -e "$1/.cs/run-0" ] || fail "$1: $(find "$1/.cs/run-0") is left"
}

for stage in cs-infer cs-postprocess cs-save cs-polygonize; do
    interrupt "$stage" $stage KILL
    [ $status = 6 ] || fail "$stage killed: status $status: $(cat stderr)"
    grep -q "$stage was killed by signal 9" stderr || fail "$stage killed: $(cat stderr)"
    finish $stage
done
interrupt term cs-run TERM
[ $status = 143 ] || fail "SIGTERM: status $status: $(cat stderr)"
finish term
interrupt int cs-run INT
[ $status = 130 ] || fail "SIGINT: status $status: $(cat stderr)"
finish int
interrupt hangup cs-run HUP # the terminal is closed
[ $status = 143 ] || fail "SIGHUP: status $status: $(cat stderr)"
[ -s hangup/objects.csv ] || fail 'SIGHUP: no tables'
finish hangup
interrupt twice cs-run TERM TERM
[ $status = 6 ] || [ $status = 130 ] || [ $status = 143 ] || fail "two signals: status $status"
finish twice
