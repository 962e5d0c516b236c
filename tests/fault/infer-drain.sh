# SPDX-License-Identifier: MIT
# SIGTERM to cs-infer: what was read is finished, the stream ends in good order with 143; a reader
# that waits for input does not hold the end up.
. "$SRC/tests/support/infer.sh"
cs-load "$TESTDATA/nuclei" >images.cs || fail "cs-load"

mkfifo slow
{ head -c 400000 images.cs; sleep 60; } >slow &
feeder=$!
cs-infer -d ref -m tiny -T 1 -b 8 <slow >out.cs 2>stderr &
run=$!
# Items that are whole sit in an open batch; the rest never comes.
sleep 2
kill -TERM $run
status=0
wait $run || status=$?
kill $feeder 2>/dev/null
[ $status = 143 ] || fail "status $status: $(cat stderr)"
cs-view -i out.cs >text
grep -q '^END .*exit=143' text || fail "END lacks the status"
[ "$(grep -c '^DONE.*status=ok' text)" -ge 1 ] || fail "what was read is lost"
exit 0
