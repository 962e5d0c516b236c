#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The first SIGTERM, SIGINT or SIGUSR1 drains, the second kills. A signal to the whole process
# group drains too: later stages live until END has come.
. "$SRC/tests/support/stages.sh"
set -m # background jobs get SIGINT, as in a terminal
mkfifo one two three

check_drained()
{
    tail -n 1 view | grep -q "exit=$1	reason=ended by a signal" || fail "END: $(tail -n 1 view)"
    grep -q '^DONE.*status=ok' view || fail "no item came through"
    [ "$(grep -c '^BEGIN' view)" = "$(grep -c '^DONE' view)" ] || fail "an item is cut"
}

for signal in TERM:143 INT:130 USR1:138; do
    for all in "" yes; do
        : >view
        stage first /dev/null one stream-make -n 100000 -d 20
        stage middle one two stream-pass -v
        stage last two view cs-view
        reading last
        until_true grep -q 'item 2' middle.err
        if [ "$all" ]; then
            kill -"${signal%:*}" "${stage_pid[middle]}" "${stage_pid[first]}"
        else
            kill -"${signal%:*}" "${stage_pid[first]}"
        fi
        ends first "${signal#*:}"
        ends middle "${signal#*:}"
        ends last "${signal#*:}"
        check_drained "${signal#*:}"
    done
done

# The second signal kills, even where the reader does not read on.
stage first /dev/null one stream-make -n 100000 -W 1000 -H 1000 --ring 4M
stage last one /dev/null stream-pass --sink -v -d 100000
until_true grep -q 'payloads come by' last.err
sleep 0.3
kill -TERM "${stage_pid[first]}"
sleep 0.3
kill -0 "${stage_pid[first]}" || fail "the first signal killed a stage with a full ring"
until_true bash -c "! kill -TERM ${stage_pid[first]}"
ends first 143
until_true bash -c "! kill -TERM ${stage_pid[last]}"
ends last 143

# A filter that reads a file is the start of its pipeline, and drains by itself.
stream-make -n 1000 >file.cs
stage first /dev/null one stream-pass -v -i file.cs -d 20
stage last one view cs-view
reading last
until_true grep -q 'item 2' first.err
kill -TERM "${stage_pid[first]}"
ends first 143
ends last 143
check_drained 143
exit 0
