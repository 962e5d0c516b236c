# SPDX-License-Identifier: MIT
# cs-load: files that are read ahead by several threads come in order, as they do one by one; what
# is large, broken or gone among them too.
. "$SRC/tests/support/cli.sh"
mkdir in
for i in {10..49}; do
    image-make -W $((20 + 7 * (i % 9))) -H $((15 + i)) -n $((1 + i % 3)) in/$i.tif
done
head -c 300 in/12.tif >in/13.tif
image-make -W 3000 -H 3000 in/20.tif
image-make -W 2500 -H 2500 -b 16 -c zstd in/33.tif
echo nothing >in/41.tif

# loaded NAME COMMAND...: frames without times, pixels and messages.
loaded()
{
    local name=$1 status=0
    shift
    mkdir "$name"
    "$@" --page all in in/nowhere.tif >"$name.cs" 2>"$name/messages" || status=$?
    echo $status >"$name/status"
    cs-view -i "$name.cs" | sed 's/ms.load=[0-9]*//' >"$name/frames"
    cs-save -q -i "$name.cs" -o "$name" -f image --as npy
}
loaded ahead cs-load
loaded alone taskset -c "$(taskset -pc $$ | sed 's/.*[ ,-]//')" cs-load
diff -r ahead alone >&2 || fail "another result"
[ "$(grep -c '^DONE' ahead/frames)" -gt 70 ] || fail "$(cat ahead/messages)"
grep -q 13.tif ahead/messages || fail "a broken file is not named"
exit 0
