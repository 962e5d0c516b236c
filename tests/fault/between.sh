#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What may stand between two stages: nothing, tee, cat, dd, a file, another user, another PID
# namespace. Shared memory is used in the first case only; the items are the same in all.
. "$SRC/tests/support/cli.sh"
make_it() { stream-make -n 7 -W 301 -H 203 -C 3 -t u16 -r 50 -p image,labels -f 3 "$@"; }
# A regular file holds no offer, so that equal items give equal files.
pass() { stream-pass -v "$@" 2>how; }
arrives()
{
    grep -q "payloads come by $1" how || fail "$2: $(cat how)"
    cmp "$2.cs" direct.cs || fail "$2: other items"
}

# Shared memory that was asked for and that nobody attaches to is an error after 10 s.
(make_it --transport shm 2>nobody.err; echo $? >nobody.status) | cat >nobody.cs &
nobody=$!

make_it | pass >direct.cs
[ "${PIPESTATUS[*]}" = "0 1" ] || fail "direct: ${PIPESTATUS[*]}"
arrives shm direct
make_it --transport shm | pass >asked.cs
arrives shm asked
make_it --transport shm | stream-pass --sink --transport shm || [ $? = 1 ] || fail "both: $?"
make_it --transport pipe | pass >writer-pipe.cs
arrives pipe writer-pipe
make_it | pass --transport pipe >reader-pipe.cs
arrives pipe reader-pipe
make_it --ring 64K | pass >small-ring.cs
arrives shm small-ring
make_it --ring 1T | pass >no-memory.cs
arrives pipe no-memory
if [[ $BUILD != *-san ]]; then # AddressSanitizer wants the address space for itself
    (
        ulimit -v 400000 # no place to map the ring
        make_it --ring 512M
    ) | pass >no-space.cs
    arrives pipe no-space
fi

make_it | tee copy.cs | pass >tee.cs
arrives pipe tee
# What tee kept holds a stale offer: the process is gone, the pipe is another.
pass <copy.cs >stale.cs
arrives pipe stale
pass -i copy.cs >file.cs
arrives pipe file
make_it >plain.cs
pass <plain.cs >redirected.cs
arrives pipe redirected
make_it | dd bs=7777 iflag=fullblock 2>/dev/null | pass >dd.cs
arrives pipe dd
if command -v pv >/dev/null; then
    make_it | pv -q | pass >pv.cs
    arrives pipe pv
fi

# Three readers of one tee.
make_it | tee >(stream-pass -v >one.cs 2>one.err; echo >one.done) \
    >(stream-pass -v >two.cs 2>two.err; echo >two.done) | pass >three.cs
arrives pipe three
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -e one.done ] && [ -e two.done ] && break
    sleep 0.2
done
cmp one.cs direct.cs || fail "first reader of a tee"
cmp two.cs direct.cs || fail "second reader of a tee"
grep -q "come by pipe" one.err || fail "$(cat one.err)"

# --transport shm takes nothing else.
make_it | cat | expect 2 stream-pass --sink --transport shm
says "another pipe than offered"
expect 2 stream-pass --sink --transport shm -i copy.cs
says "does not come through a pipe"
expect 2 make_it --transport shm
says "standard output is not a pipe"

# A writer whose /proc entry the reader may not open.
chmod 755 .
if [ "$(id -u)" = 0 ] && setpriv --reuid 65534 --regid 65534 --clear-groups \
    stream-pass --version >/dev/null 2>&1; then
    make_it | setpriv --reuid 65534 --regid 65534 --clear-groups stream-pass -v 2>how >user.cs
    arrives pipe user
else
    echo "not tried: another user"
fi
# A writer whose number means another process here.
if unshare -Upf true 2>/dev/null; then
    unshare -Upf stream-make -n 7 -W 301 -H 203 -C 3 -t u16 -r 50 -p image,labels -f 3 |
        pass >namespace.cs
    arrives pipe namespace
else
    echo "not tried: another PID namespace"
fi
wait $nobody
[ "$(cat nobody.status)" = 1 ] || fail "nobody attached: status $(cat nobody.status)"
grep -q -- '--transport shm: no reader attached within 10 s' nobody.err || fail "$(cat nobody.err)"
exit 0
