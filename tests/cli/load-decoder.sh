# SPDX-License-Identifier: MIT
# cs-load --decoder: files that a command reads, what it may write, and how it may fail.
. "$SRC/tests/support/cli.sh"

# loaded ARGUMENT...: output names, and the checksum of each plane.
loaded()
{
    cs-load "$@" >s.cs 2>err
    status=$?
    local i names
    mapfile -t names < <(cs-view -i s.cs | sed -n 's/^BEGIN.*	output=\([^	]*\).*/\1/p')
    for i in "${!names[@]}"; do
        echo "${names[i]} $(cs-view -i s.cs --item "$i" --as npy 2>/dev/null | cksum | cut -d' ' -f1)"
    done
    return $status
}
is()
{
    [ "$1" = "$2" ] || fail "line ${BASH_LINENO[0]}: '$1' instead of '$2': $(cat err)"
}

image-make -b 16 plain.tif && image-make -n 3 -b 16 pages.tif || fail "image-make"
wanted=$(loaded plain.tif | cut -d' ' -f2)
mkdir -p plate/b
for name in one TWO 'a "b" $c' -x; do cp plain.tif "plate/$name.xyz"; done
cp plain.tif plate/b/three.XYZ
cp plain.tif plate/four.tif
export TMPDIR=$PWD/scratch
mkdir scratch

# Files of the extension are found in folders, whatever is in their names, beside those known.
loaded --decoder 'xyz=cat "$1"' plate >got || fail "$(cat err)"
is "$(cut -d' ' -f1 <got | paste -sd ' ')" "-x TWO a b/three four one"
is "$(sed 's/.* //' got | sort -u)" "$wanted"
loaded plate >got
is "$(cut -d' ' -f1 <got)" four
cd plate
is "$(loaded --decoder 'xyz=cat "$1"' ./-x.xyz)" "-x $wanted"
is "$(loaded --decoder 'xyz=cat "$1"' -- -x.xyz)" "-x $wanted"
cd ..
# TIFF, NPY and a stream; the longest extension counts, of equal ones the last; known formats too.
cp plain.tif a.ome.xyz
is "$(loaded --decoder '.xyz=false' --decoder 'ome.xyz=cs-load "$1" | cs-view --item 0 --as npy' \
    a.ome.xyz)" "a.ome $wanted"
is "$(loaded --decoder 'xyz=false' --decoder 'xyz=cs-load "$1"' a.ome.xyz)" "a.ome $wanted"
is "$(loaded --decoder 'tif=cat pages.tif' --page 0 plain.tif)" "plain $wanted"
cs-view -i s.cs | grep -q 'input.bytes=' || fail "no size of the input"
cs-view -i s.cs | head -n 1 | grep -q 'decoder=tif=cat' || fail "not in the provenance"
# Plane options work on what it wrote; a stream has its own items.
is "$(loaded -z 0 --decoder 'xyz=cat pages.tif' a.ome.xyz)" "a.ome $wanted"
loaded --decoder 'xyz=cs-load --page all pages.tif' -p 0.5 a.ome.xyz >got || fail "$(cat err)"
is "$(cut -d' ' -f1 <got | paste -sd ' ')" "a.ome.p000 a.ome.p001 a.ome.p002"
is "$(head -n 1 got)" "a.ome.p000 $wanted"
[ "$(cs-view -i s.cs | grep -c '^BEGIN.*items=3.*pixel_um=0.5')" = 3 ] || fail "keys of a stream"
# An OME file under another name is the file it speaks of.
ome='<OME><Image><Pixels SizeX="9" SizeY="7"><TiffData IFD="0"><UUID FileName="out.ome.tif">u</UUID>
 </TiffData></Pixels></Image></OME>'
image-make -b 16 -d "$ome" out.ome.tif
is "$(loaded --decoder 'xyz=cp out.ome.tif $TMPDIR/x && cat $TMPDIR/x' a.ome.xyz)" "a.ome $wanted"
is "$(find scratch | wc -l)" 1

# Its failure is the item's, with the last thing that it said.
fails() # COMMAND TEXT
{
    expect 1 cs-load --decoder "xyz=$1" plain.tif a.ome.xyz
    says "cs-load: a.ome.xyz: $2"
    [ "$(wc -l <stderr)" = 1 ] || fail "$(cat stderr)"
    [ "$(cs-view -i stdout | sed -n 's/^DONE.*status=\([a-z]*\).*/\1/p' | paste -sd ' ')" = "ok failed" ] ||
        fail "$1: $(cs-view -i stdout)"
}
fails 'echo loading >&2; printf "no such\tseries\n\n" >&2; exit 3' \
    'decoder: exit status 3: no such series'
fails 'kill -SEGV $$' 'decoder: Segmentation fault'
fails 'nowhere-to-be-found' 'decoder: exit status 127: '
fails 'cat <&0' 'decoder: it wrote nothing'
fails 'echo text' 'no known image format'
fails 'head -c 150 "$1"' ''
fails 'cs-load plain.tif | head -c 200' ''
fails 'cs-load -F /dev/null || :' "the decoder's stream ended early: "
fails 'stream-make -p image,labels' "the decoder's stream holds more than images"
fails 'yes | head -n 100000 >&2; exit 1' 'decoder: exit status 1: y'
fails 'printf "one\ntw\0o\n\0\n" >&2; exit 3' 'decoder: exit status 3: tw o'
fails 'exec 2>&-; sleep 0.1; exit 3' 'decoder: exit status 3'
# What it says takes no room, and what it leaves running is not waited for.
(ulimit -f 200 && loaded --decoder 'xyz=yes | head -n 1000000 >&2 && cat "$1"' a.ome.xyz) >got || fail "$(cat err)"
is "$(cat got)" "a.ome $wanted"
expect 0 timeout 60 cs-load --decoder 'xyz=sleep 300 & echo $! >running; cat "$1"' a.ome.xyz
kill "$(cat running)" || fail "it was waited for"
# Items that are failed already.
expect 1 cs-load --decoder 'xyz=cs-load plain.tif nothing.tif || :' a.ome.xyz
says 'cs-load: a.ome.xyz: cannot be read: No such file'
is "$(cs-view -i stdout | sed -n 's/^DONE.*status=\([a-z]*\).*/\1/p' | paste -sd ' ')" "ok failed"
expect 1 cs-load --decoder 'xyz=cs-load "$1"' -c 0 a.ome.xyz
says "the decoder gives a stream: -c, -z, --time, --series, --page and --crop are its own business"
expect 1 cs-load --decoder 'xyz=true' missing.xyz
says 'cs-load: missing.xyz: cannot be read: No such file'
is "$(find scratch | wc -l)" 1
for bad in '' xyz xyz= =cat 'x/y=cat' 'a b=cat'; do
    expect 2 cs-load --decoder "$bad" a.ome.xyz
done

# A signal is not for the command: no item fails for it.
cp a.ome.xyz b.xyz
cs-load --decoder 'xyz=: >started; sleep 1; cat "$1"' a.ome.xyz b.xyz >s.cs 2>err &
pid=$!
for _ in $(seq 100); do [ -e started ] && break; sleep 0.05; done
kill -INT $pid
wait $pid
is $? 130
is "$(cs-view -i s.cs | sed -n 's/^DONE.*status=\([a-z]*\).*/\1/p')" ""
cs-view -i s.cs | grep -q '^END 0.*exit=130' || fail "END"
