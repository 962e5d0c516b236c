#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# kill -9 of each stage of a running pipeline, in both transports, with a ring that is full and one
# that is not: the others end by themselves with the right status, what was delivered stays valid,
# and nothing is left behind.
. "$SRC/tests/support/stages.sh"
mkdir tmp
export TMPDIR=$PWD/tmp
mkfifo one two

# start TRANSPORT DELAY-OF-THE-FIRST DELAY-OF-THE-LAST: an endless pipeline of three stages.
start()
{
    rm -f last.out
    stage first /dev/null one stream-make -n 1000000 -W 200 -H 200 -d "$2" --transport "$1" \
        --ring 128K
    stage middle one two stream-pass --transport "$1" --ring 128K
    stage last two last.out stream-pass --sink -v -d "$3" --transport "$1"
    until_true grep -q 'payloads come by' last.err
    sleep 0.3
}

for transport in shm pipe; do
    # A slow first stage leaves the ring empty, a slow last one fills it.
    for delays in "10 0" "0 100000"; do
        # shellcheck disable=SC2086
        start $transport $delays
        kill -9 "${stage_pid[last]}"
        ends last 137
        ends middle 141
        ends first 141
        [ -z "$(cat first.err middle.err)" ] || fail "a closed pipe is no message"

        # shellcheck disable=SC2086
        start $transport $delays
        kill -9 "${stage_pid[middle]}"
        ends middle 137
        ends first 141
        if [ "$delays" = "0 100000" ]; then
            kill -9 "${stage_pid[last]}"
            ends last 137
        else
            ends last 6
        fi

        # shellcheck disable=SC2086
        start $transport $delays
        kill -9 "${stage_pid[first]}"
        ends first 137
        if [ "$delays" = "0 100000" ]; then
            kill -9 "${stage_pid[last]}"
            ends last 137
            ends middle 141
        else
            ends middle 6
            ends last 6
            grep -q 'stream ends' middle.err || fail "no reason: $(cat middle.err)"
        fi
    done
    start $transport 1 0
    kill -STOP "${stage_pid[@]}" # so that none ends because of another
    kill -9 "${stage_pid[@]}"
    ends first 137
    ends middle 137
    ends last 137
    [ -z "$(leftovers)" ] || fail "left behind: $(leftovers)"
done

# What came before the end of a killed writer is whole, and the next stage hears why it ends.
stage first /dev/null one stream-make -n 1000000 -W 200 -H 200 -d 5
stage middle one two.cs stream-pass
# shellcheck disable=SC2016
until_true eval '[ "$(stat -c %s two.cs)" -gt 200000 ]' # five items
kill -9 "${stage_pid[first]}"
ends middle 6
expect 6 cs-view -i two.cs
tail -n 1 stdout | grep -q 'exit=6	reason=standard input: the stream ends' ||
    fail "$(tail -n 1 stdout)"
items=$(grep -c '^DONE' stdout)
[ "$items" -gt 2 ] || fail "only $items items came through"
stream-make -n "$items" -W 200 -H 200 | stream-pass >whole.cs
grep -c '^DONE.*status=ok' stdout | grep -q -x "$items" || fail "an item is not ok"
cs-view --stats -i whole.cs >whole.table
cs-view --stats -i two.cs >two.table
cmp whole.table two.table || fail "items differ from those of a whole run"
exit 0
