# SPDX-License-Identifier: MIT
# cs-save: files, types, names, failed items, --pass.
. "$SRC/tests/support/cli.sh"

stream-make -n 4 -t u16 -p image,labels -f 3 >in.cs

# One file an item and kind; the third and... every failed item has none, and the others all.
expect 1 cs-save -i in.cs -o out -f labels,mask,image,overlay
find out -type f | sort >files
same files save.files

# The same bytes again, whatever the transport; --pass gives the stream back.
status=0
stream-make -n 4 -t u16 -p image,labels -f 3 --transport shm |
    cs-save -o again -f labels,mask,image,overlay --pass >passed.cs 2>err || status=$?
[ "$status" = 1 ] || fail "status $status with --pass"
diff -r out again >diff || fail "another transport gives other files: $(cat diff)"
cs-view -i passed.cs | sed -n 's/^DONE \([0-9]*\).*status=\([a-z]*\).*/\1 \2/p' >dones
printf '0 ok\n1 ok\n2 failed\n3 ok\n' | diff - dones || fail "items after --pass"
cs-view -i passed.cs | grep -q 'wrote.0=labels again/labels/' || fail "no wrote. key"
expect 1 cs-save -i passed.cs -o third -f labels
diff -r third/labels out/labels >diff || fail "planes changed by --pass"

# -k of --pass drops planes.
cs-save -i in.cs -o out2 --pass -k labels >kept.cs 2>err
cs-view -i kept.cs >view
grep -q '^DATA.*labels' view || fail "labels dropped"
! grep -q '^DATA.*image' view || fail "image kept"

# Types.
stream-make -n 1 -t u8 -p image,labels >one.cs
for type in tif png npy; do
    expect 0 cs-save -i one.cs -o types -f labels --as $type
done
ls types/labels >types.list
grep -q 'tif$' types.list && grep -q 'png$' types.list && grep -q 'npy$' types.list ||
    fail "types: $(cat types.list)"
for how in deflate zstd none; do
    expect 0 cs-save -i one.cs -o "c-$how" --compress $how
done
stream-make -n 1 -t f32 -p probability >prob.cs
expect 0 cs-save -i prob.cs -o p -f probability
expect 1 cs-save -i prob.cs -o p -f probability --as png
says 'a PNG file cannot hold 1 channels of f32'

# A plane that is not there fails the item, not the stream.
expect 1 cs-save -i prob.cs -o p -f labels
says 'no labels plane'

# Names come from the stream: they may not leave the folder.
for name in ../thetic-0 /ynthetic-0 synth/../-0 synthe//c-0; do
    LC_ALL=C sed "s|output=synthetic-0|output=$name|" one.cs >evil.cs
    expect 1 cs-save -i evil.cs -o names/below
    says 'is not a path below the folder'
done
[ ! -e names ] || fail "written: $(find names)"

# A folder that cannot be made: every item fails, none is lost.
touch blocked
expect 1 cs-save -i one.cs -o blocked/x
says 'Not a directory'

# Usage.
expect 2 cs-save -i one.cs
says '--output DIR is missing'
expect 2 cs-save -i one.cs -o out -f labels,masks
says "'masks' is none of"
expect 2 cs-save -i one.cs -o out --as jpg
