# SPDX-License-Identifier: MIT
# --memory: smaller batches, then fewer slots, then tiles change no byte, and the worker stays within
# its three quarters and the images.
. "$SRC/tests/support/infer.sh"
. "$SRC/tests/support/peak.sh"
unset CELLSTREAM_MODEL_PATH CELLSTREAM_THREADS

# AddressSanitizer has memory of its own, which is no plane's.
asan=
ldd "$(command -v cs-infer)" | grep -q libasan && asan=1

mkdir in
n=0
for side in 200 200 600 200 600 600 200 200 200; do
    n=$((n + 1))
    image-make -W $side -H $side -s 3 -p rgb in/$n.tif || fail "image-make"
done
cs-load in >images.cs || fail "cs-load"
infer 0 free.cs -m nuclei -s 4 -b 2 -T 4 -v
grep -q 'memory suffices' stderr && fail "little memory where there is no limit"

# Half of what all slots would have, and little more than one slot needs.
total()
{
    planned nuclei --size 600x600 -s "$1" -b 1 -T 4
}
four=$(total 4) one=$(total 1)
half=$(((four + one) / 2 * 4 / 3)) little=$((one * 4 / 3 * 6 / 5))

# within LIMIT OPTION...: the same maps as free.cs, in a worker within the limit.
within()
{
    local limit=$1 peak
    shift
    infer 0 tight.cs -m nuclei -s 4 -b 2 -T 4 -v --memory "${limit}K" "$@"
    same_maps free.cs tight.cs
    [ "$asan" ] && return
    peak=$(peak -m nuclei -i images.cs -s 4 -b 2 -T 4 --memory "${limit}K" "$@") || fail "cs-infer"
    [ "$peak" -le "$limit" ] || fail "the worker had $peak KiB of $limit"
}
within $half
says 'memory suffices for '
within $little
[ "$asan" ] && exit 0
# In tiles the direct sums alone have the same bits.
infer 0 free.cs -m nuclei -s 4 -b 2 -T 4 --conv direct
within $((little * 3 / 5)) --conv direct
says ' tiles of '
exit 0
