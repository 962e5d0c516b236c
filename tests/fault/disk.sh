#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A full disk at every write: each call in turn that creates, fills, syncs, closes or renames a file
# of the results fails. The item it belongs to fails, or the run ends, with one clear line; what has
# its final name is whole, and what the manifest lists is there.
. "$SRC/tests/support/sweep.sh"
export CELLSTREAM_MODEL_PATH=$TESTDATA/models OMP_NUM_THREADS=1
[ "$(fault-inject -s disk -d . -e EIO -n 1 true 2>&1; echo $?)" = 0 ] || skip "no ptrace here"
# A tracer of its own keeps LeakSanitizer from its work.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0

cat >full <<'END'
#!/bin/sh
n=$1
shift
exec fault-inject -s disk -d o -e ENOSPC -n "$n" -m mark "$@"
END
chmod +x full
disk() { sweep "$1" "0 1" "${LINES_MOST:-1}" ./full "${@:2}"; }

stream-make -n 3 -W 60 -H 50 -r 11 -p image,probability,labels --transport pipe >planes.cs
for as in tif png npy; do
    disk "cs-save $as" cs-save -i planes.cs -o o -f image,labels --as $as
done
disk cs-polygonize cs-polygonize -i planes.cs -o o -f geojson,csv
cs-polygonize -q -i planes.cs -o start || fail "cs-polygonize"
disk "cs-polygonize --merge" cs-polygonize --merge -o o
rm -rf start

# A stream into a file: whole, or the reader is told that it is not.
cat >full-stream <<'END'
#!/bin/sh
n=$1
shift
exec fault-inject -s disk -d o -e ENOSPC -n "$n" -m mark "$@" >o/stream
END
chmod +x full-stream
for command in "cs-load $TESTDATA/nuclei" "cs-postprocess -i planes.cs" \
    "cs-infer -d ref -m tiny -i planes.cs -T 1"; do
    begin
    # shellcheck disable=SC2086
    for ((n = 1; ; n++)); do
        begin
        status=0
        timeout -k 1 120 ./full-stream $n $command 2>err || status=$?
        [ -e mark ] || break
        what="$command, call $n ($(cat mark))"
        # Its worker process closes what it inherited.
        [[ $what == cs-infer*'(close)' ]] && [ $status = 0 ] && continue
        [ $status = 1 ] || fail "$what: status $status"
        [ "$(wc -l <err)" = 1 ] || fail "$what: $(cat err)"
        grep -q 'standard output: No space left on device' err || fail "$what: $(cat err)"
        [ "$(cat mark)" = close ] && continue # after the last byte
        cs-view -i o/stream >view 2>&1 && fail "$what: the stream reads well"
    done
    [ $n -gt 3 ] || fail "$command: only $n calls"
done

# The whole pipeline. What its shell cannot write is a line of its own.
mkdir in
cp "$TESTDATA/nuclei/fluorescence-16bit.tif" in/a.tif
cp "$TESTDATA/nuclei/fluorescence.png" in/b.png
FACTOR=300 CELLSTREAM_THREADS=1 sweep cs-run "0 1" 6 ./full cs-run -q -m tiny -d ref -o o in
exit 0
