# SPDX-License-Identifier: MIT
# cs-load: which files are read, their order, names, lists, parts of a list, and what fails.
. "$SRC/tests/support/cli.sh"

# sources ARGUMENT...: the output names of all items, in order.
sources()
{
    cs-load "$@" >s.cs 2>err
    status=$?
    cs-view -i s.cs | sed -n 's/^BEGIN.*output=\([^	]*\).*/\1/p' | paste -sd ' '
    return $status
}

is()
{
    [ "$1" = "$2" ] || {
        echo "line ${BASH_LINENO[0]}: '$1' instead of '$2'" >&2
        cat err >&2
        exit 1
    }
}

mkdir -p plate/B plate/a.d plate/.hidden
image-make plate/z.tif
image-make plate/B/b.ome.tif
image-make plate/B/a.TIFF
image-make plate/a.d/x.tif
cp plate/z.tif plate/.hidden/h.tif
cp plate/z.tif plate/.h.tif
echo text >plate/notes.txt
cp plate/z.tif plate/odd.dat
ln -s .. plate/B/loop
ln -s nowhere plate/dangling.tif

# A folder: bytewise order, no hidden files, no unknown extensions, no loop.
is "$(sources plate)" "B/a B/b a.d/x z"
is "$(sources plate/)" "B/a B/b a.d/x z"
is "$(sources plate/a.d plate/odd.dat)" "x odd"
# Patterns: on the name, or with a slash on the path; those for folders prune.
is "$(sources --include '*.dat' --include 'B/*' plate)" "B/a B/b odd"
is "$(sources --exclude B --exclude 'a.d/*' plate)" "z"
# Lists.
printf 'plate/z.tif\r\n\nplate/a.d\n' >list
is "$(sources -F list)" "z x"
is "$(sources -F - <list)" "z x"
printf '\xef\xbb\xbf' | cat - list >marked
is "$(sources -F marked)" "z x"
# A list that keeps the tree.
is "$(find plate/. -name '*.tif' -path '*/B/*' | cs-load -F - | cs-view | sed -n 's/.*source=\([^\t]*\).*output=\([^\t]*\).*/\2 \1/p')" \
    "B/b plate/B/b.ome.tif"
cp plate/z.tif "$(printf 'new\nline.tif')"
find . -maxdepth 1 -name 'new*' -print0 | cs-load -0 -F - >s.cs || fail "a newline in a name"
cs-view -i s.cs | grep -q 'output=new\\nline	' || fail "a newline in a name: $(cs-view -i s.cs)"
# Parts of a list.
mkdir many
for i in 0 1 2 3 4 5 6 7 8 9; do cp plate/z.tif many/f$i.tif; done
is "$(sources --sample 3 many)" "f1 f5 f8"
is "$(sources --sample 99 many | wc -w)" 10
is "$(sources --shard 1/3 many)" "f0 f3 f6 f9"
is "$(sources --shard 3/3 many)" "f2 f5 f8"
is "$(cs-view -i s.cs | sed -n 's/^BEGIN.*input.index=\([0-9]*\).*/\1/p' | paste -sd ' ')" "2 5 8"
# One image on standard input, from a file and from a pipe.
is "$(sources - <plate/z.tif)" "stdin"
is "$(cat plate/z.tif | sources -)" "stdin"
is "$(sources <(cat plate/z.tif) | wc -w)" 1

# The stream says what the inputs are.
cs-load --checksum --crop 2,1,5,3 -p 0.5 many/f0.tif >s.cs
cs-view -i s.cs | sed 's/\(mtime_ns\|xxh3\|ms.load\)=[0-9a-f]*/\1=/g; s/cs-load=[0-9.]* /cs-load=VERSION /'
cs-view -i s.cs --item 0 | tail -n +8 | od -A n -t u1 -w5

# Failed files fail alone.
echo "not an image" >broken.tif
: >empty.png
expect 1 cs-load broken.tif plate/z.tif empty.png missing.tif
mv stdout s.cs
is "$(wc -l <stderr)" 3
says "cs-load: broken.tif: no known image format (TIFF, PNG, JPEG, BMP, NPY)"
says "cs-load: empty.png: the file is empty"
says "cs-load: missing.tif: cannot be read: No such file or directory"
is "$(cs-view -i s.cs | sed -n 's/^DONE.*status=\([a-z]*\).*/\1/p' | paste -sd ' ')" \
    "failed ok failed failed"
cs-view -i s.cs | grep -q 'error.code=INVALID_IMAGE	error.stage=cs-load' || fail "no error code"
head -c 150 plate/z.tif >cut.tif
expect 1 cs-load cut.tif
says "cs-load: cut.tif: "

# Wrong usage, before anything is read.
cp plate/z.tif z.png
expect 2 cs-load plate/z.tif z.png
says "plate/z.tif and z.png would both be named 'z'"
[ ! -s stdout ] || fail "something was written"
expect 2 cs-load
expect 2 cs-load --shard 4/3 plate
expect 2 cs-load --crop 1,2,3 plate
expect 2 cs-load -z 3-1 plate
expect 2 cs-load --page 0 -z max plate
expect 2 cs-load --nonsense plate
# An item of one file could take the name of another file: it fails where it does give several.
mkdir twins
image-make -n 2 twins/a.tif && image-make twins/a.p000.tif && image-make twins/b.z1.tif && image-make twins/b.tif
expect 1 cs-load --page all twins
[ "$(wc -l <stderr)" = 1 ] || fail "$(cat stderr)"
says 'cs-load: twins/a.tif: its 2 items could be named as twins/a.p000.tif: choose with --exclude, or rename one'
is "$(cs-view -i stdout | sed -n 's/^DONE.*status=\([a-z]*\).*/\1/p' | paste -sd ' ')" "ok failed ok ok"
expect 0 cs-load --page 0 twins
expect 0 cs-load --page all twins/a.tif
mv twins/a.p000.tif twins/a.t001.z000.tif
expect 1 cs-load --page all twins
expect 1 cs-load --page all --shard 2/4 twins
expect 1 cs-load --decoder 'tif=cs-load --page all "$1"' twins
says 'twins/a.tif: its 2 items could be named as twins/a.t001.z000.tif'
expect 2 cs-load - - </dev/null
# Nothing to read: the stages behind learn of it.
mkdir none
expect 3 cs-load none
cs-view -i stdout | grep -q '^END.*exit=3' || fail "END does not say exit=3"
# A full disk, and a reader that leaves.
if [ -w /dev/full ]; then
    cs-load many >/dev/full 2>err
    is $? 1
fi
image-make -W 3000 -H 3000 large.tif
cs-load --transport pipe large.tif | head -c 100 >/dev/null
is "${PIPESTATUS[0]}" 141

# A signal: what has begun is finished, and END says why.
mkfifo fifo
exec 9<>fifo
cs-load many fifo z.png >s.cs 2>err 9>&- &
pid=$!
for _ in $(seq 100); do [ "$(wc -c <s.cs)" -gt 2000 ] && break; sleep 0.05; done
kill -TERM $pid
cat plate/z.tif >&9
exec 9>&-
wait $pid
is $? 143
cs-view -i s.cs | tail -n 1 | grep -q '^END 10	.*exit=143' || fail "END does not say exit=143"
