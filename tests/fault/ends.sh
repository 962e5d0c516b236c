#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# How a pipeline ends: empty, failed items, early ends, cut and broken input, full disk.
. "$SRC/tests/support/cli.sh"

# statuses WANTED...: exit statuses of the last pipeline, kept in $got.
statuses()
{
    [ "$got" = "$*" ] || fail "exit statuses $got instead of $*"
}

# Empty input: HEAD END with exit 3, whatever the number of stages.
stream-make -n 0 | stream-pass | stream-pass | cs-view >view
got="${PIPESTATUS[*]}"
statuses 3 3 3 3
grep -q '^END 0	failed=0	exit=3	reason=no items$' view || fail "$(cat view)"
stream-make -n 0 | stream-pass --sink
got="${PIPESTATUS[*]}"
statuses 3 3

# Items that fail at the start, in the middle, or for want of memory, travel to the end.
stream-make -n 12 -f 3 | stream-pass -f 4 2>err | cs-view >view
got="${PIPESTATUS[*]}"
statuses 0 1 1
[ "$(grep -c 'status=failed' view)" = 6 ] || fail "$(grep status= view)"
[ "$(grep -c 'error.stage=stream-make' view)" = 4 ] || fail "$(grep stage= view)"
[ "$(grep -c 'error.code=INVALID_IMAGE.*error.text=asked to fail here' view)" = 2 ] ||
    fail "$(grep text= view)"
grep -q '^END 12	failed=6$' view || fail "$(tail -n 1 view)"
printf '%s\n' "stream-pass: synthetic-3: asked to fail here" \
    "stream-pass: synthetic-7: asked to fail here" | cmp - err || fail "$(cat err)"
stream-make -n 3 -W 100 -H 100 -p image,labels | stream-pass -m 9999 2>err | cs-view >view
got="${PIPESTATUS[*]}"
statuses 0 1 1
[ "$(grep -c 'error.code=OUT_OF_MEMORY	error.stage=stream-pass' view)" = 3 ] || fail "$(cat view)"
grep -q 'synthetic-2: image plane of 100 x 100 x 1 u8 is larger than the limit' err ||
    fail "$(cat err)"

# A stage that ends the stream early: all later ones end with its status.
for status in 2 4 5 143; do
    stream-make -n 2 -x $status --reason "why not" | stream-pass 2>err | stream-pass | cs-view >view
    got="${PIPESTATUS[*]}"
    statuses $status $status $status $status
    grep -q "^END 2	failed=0	exit=$status	reason=why not\$" view || fail "$(tail -n 1 view)"
    [ ! -s err ] || fail "said twice: $(cat err)"
done

# No END: a truncated stream. The stage that sees it says so to the later ones.
stream-make -n 5 -s 3 | stream-pass 2>err | cs-view >view
got="${PIPESTATUS[*]}"
statuses 0 6 6
grep -q '^stream-pass: standard input: the stream ends without END, in or after item 2$' err ||
    fail "$(cat err)"
grep -q '^END 3	failed=0	exit=6	reason=standard input: the stream ends without END' view ||
    fail "$(tail -n 1 view)"
stream-make -n 5 -W 100 -H 100 --transport pipe | head -c 25000 | stream-pass 2>err | cs-view >view
got="${PIPESTATUS[*]:1}" # the first stage may or may not have been done
statuses 0 6 6
[ "$(grep -c '^DONE.*ok' view)" = 2 ] || fail "$(cat view)"

# Broken input: nothing, something else, a changed byte.
for input in /dev/null "$SRC/LICENSE"; do
    stream-pass <"$input" 2>err | cs-view >view
    got="${PIPESTATUS[*]}"
    statuses 6 6
    grep -q '^END 0	failed=0	exit=6	reason=standard input: ' view || fail "$(cat view)"
done
stream-make -n 5 -W 100 -H 100 >good.cs
for at in 5 40 140 12000 20500 30500 45000; do
    cp good.cs bad.cs
    printf '\377' | dd of=bad.cs bs=1 seek=$at conv=notrunc 2>/dev/null
    cmp -s good.cs bad.cs && fail "byte $at is 255 already"
    stream-pass -i bad.cs 2>err | cs-view >view
    got="${PIPESTATUS[*]}"
    statuses 6 6
    grep -q '^stream-pass: bad.cs: ' err || fail "byte $at: $(cat err)"
done
expect 3 stream-pass -i missing.cs
says "missing.cs: No such file or directory"

# A full disk is one clear line and status 1; a reader that has enough is neither.
expect 1 bash -c 'stream-make -n 5 -W 1000 -H 1000 >/dev/full'
says "standard output: No space left on device"
# shellcheck disable=SC2016
expect 1 bash -c 'stream-make -n 5 | stream-pass >/dev/full; exit ${PIPESTATUS[1]}'
says "standard output: No space left on device"
stream-make -n 100000 2>err | stream-pass 2>err2 | head -c 100 >start
got="${PIPESTATUS[*]}"
statuses 141 141 0
[ -z "$(cat err err2)" ] || fail "$(cat err err2)"
exit 0
