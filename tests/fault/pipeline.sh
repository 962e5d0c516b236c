#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The four filters in one pipeline, each killed in turn while it works, and all at once: the others
# end by themselves with the right status, the manifest lists whole files only, no process and no
# file is left behind.
. "$SRC/tests/support/stages.sh"
export CELLSTREAM_MODEL_PATH=$TESTDATA/models
mkdir tmp images
export TMPDIR=$PWD/tmp
mkfifo one two three
for i in $(seq 1000 1999); do
    ln -s "$TESTDATA/nuclei/fluorescence.png" "images/$i.png"
done

start()
{
    rm -rf results
    stage load /dev/null one cs-load --ring 256K images
    stage infer one two cs-infer -d ref -m tiny -T 1 --ring 256K
    stage post two three cs-postprocess --ring 256K
    stage poly three /dev/null cs-polygonize -o results -f geojson,csv
    # shellcheck disable=SC2016
    until_true eval '[ "$(cat results/.cs/*.manifest.jsonl | wc -l)" -ge 3 ]'
}

# ended STATUS STATUS STATUS STATUS: of the four, in order.
ended()
{
    ends load "$1"
    ends infer "$2"
    ends post "$3"
    ends poly "$4"
    [ -z "$(leftovers)" ] || fail "left behind: $(leftovers)"
    # A worker process of cs-infer ends with its supervisor.
    until_true bash -c "! grep -l -s $PWD/tmp /proc/[0-9]*/environ"
    whole=0
    while read -r line; do
        [[ $line == '{"v":1,'*'}' ]] || fail "manifest: $line"
        name=${line#*\"path\":\"}
        name=${name%%\"*}
        tail -c 3 "results/$name" | grep -q '}' || fail "$name is not whole"
        whole=$((whole + 1))
    done < <(cat results/.cs/*.manifest.jsonl)
    [ $whole -ge 3 ] || fail "only $whole images in the manifest"
    [ $whole -lt 1000 ] || fail "it was over before"
}

start
kill -9 "${stage_pid[load]}"
ended 137 6 6 6
grep -q 'the stream ends' infer.err || fail "$(cat infer.err)"
start
kill -9 "${stage_pid[infer]}"
ended 141 137 6 6
start
kill -9 "${stage_pid[post]}"
ended 141 141 137 6
start
kill -9 "${stage_pid[poly]}"
ended 141 141 141 137
[ -z "$(cat load.err infer.err post.err)" ] || fail "a closed pipe is no message"
start
kill -STOP "${stage_pid[@]}"
kill -9 "${stage_pid[@]}"
ended 137 137 137 137
start
kill -TERM "${stage_pid[@]}"
ended "143|141" 143 143 143
exit 0
