# SPDX-License-Identifier: MIT
# cs-load --memory: no file, honest or hostile, makes the process exceed it; what needs more is a
# failed item whose message has a size that suffices.
. "$SRC/tests/support/cli.sh"
measured=1
ldd "$(command -v cs-load)" | grep -q libasan && measured= # which needs more than there is

# within SIZE COMMAND...: it ends with status 0 or 1 and never has more than this.
within()
{
    local size=$1 status=0
    shift
    most-memory peak "$@" --memory "$size" --transport pipe >s.cs 2>stderr || status=$?
    [ $status -le 1 ] || fail "$*: status $status: $(cat stderr)"
    if [ "$measured" ] && [ "$(cat peak)" -gt $((${size%M} << 10)) ]; then
        fail "$* --memory $size: $(cat peak) KiB"
    fi
    return $status
}
# suffices FILE OPTION...: with too little memory the message says how much it takes; with that it
# is read, and gives what it gives with all there is.
suffices()
{
    local size wanted
    wanted=$(cs-load --transport pipe "$@" | cs-view --item 0 --as npy | md5sum)
    within 48M cs-load "$@" && fail "$*: 48M suffice"
    [ "$(wc -l <stderr)" = 1 ] || fail "not one line: $(cat stderr)"
    cs-view -i s.cs | grep -q 'DONE.*error.code=OUT_OF_MEMORY' || fail "$(cs-view -i s.cs)"
    size=$(sed -n 's/.*: take --memory \([0-9]*M\)$/\1/p' stderr)
    [ "$size" ] || fail "no size: $(cat stderr)"
    within "$size" cs-load "$@" || fail "$size: $(cat stderr)"
    [ "$(cs-view -i s.cs --item 0 --as npy | md5sum)" = "$wanted" ] || fail "$*: other samples"
}

# Honest files: one strip of a whole plane, rows of large tiles, projections, a wide row.
image-make -W 6000 -H 4000 -b 16 -r 4000 -c lzw strip.tif
suffices strip.tif
image-make -W 16000 -H 600 -b 32 -t 512 -c deflate tiles.tif
suffices tiles.tif
image-make -W 3000 -H 2500 -b 16 -n 3 -r 2500 -c lzw stack.tif
suffices stack.tif -z mean
image-make -W 1000000 -H 2 -b 64 -s 4 -r 1 wide.tif
suffices wide.tif -c 3
# What is read in parts needs little, whatever its height.
image-make -W 4000 -H 8000 -b 16 -r 8000 whole.tif
within 32M cs-load whole.tif || fail "$(cat stderr)"

# Threads that decode ahead share it: a file that is too large for one of them has its turn later.
mkdir many
for i in {10..29}; do
    image-make -W 2000 -H $((1600 + i)) -b 16 -r $((1600 + 20 * (i % 2))) -c zstd many/$i.tif
done
within 256M cs-load many || fail "$(cat stderr)"
cs-view -i s.cs | grep -c '^DONE.*status=ok' | grep -q -x 20 || fail "$(cs-view -i s.cs)"
cp s.cs first.cs
within 64M cs-load many || fail "$(cat stderr)"
for n in 0 19; do
    cs-view -i first.cs --item $n --as npy | cmp - <(cs-view -i s.cs --item $n --as npy) || fail "item $n"
done

# A decoder's stream with a band beyond it.
cs-load --transport pipe wide.tif -c 0,1,2 >wide.cs
touch wide.xyz
expect 1 cs-load --memory 48M --decoder 'xyz=cat wide.cs' --transport pipe wide.xyz
says "wide.xyz: a band of the decoder's stream: needs "
expect 0 cs-load --memory 256M --decoder 'xyz=cat wide.cs' --transport pipe wide.xyz

# As cs-infer has it: by the environment, and too little is refused at once.
expect 5 cs-load --memory 8M --transport pipe strip.tif
says 'cs-load: --memory: 8.0 MiB are too little, more than '
CELLSTREAM_MEMORY=64M expect 1 cs-load --transport pipe strip.tif
says 'take --memory'

# Hostile ones: a thousand texts of megabytes each, tags that share their bytes, XML of nothing but
# names, axes without planes.
command -v python3 >/dev/null || skip "no python3 for the hostile files"
python3 - <<'END'
import itertools, string, struct, zlib

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

text = zlib.compress(b"a" * 7900000, 9)
with open("texts.png", "wb") as f:
    f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 7, 8, 0, 0, 0, 0)))
    for i in range(100):
        f.write(chunk(b"zTXt", b"k%d\0\0" % i + text) + chunk(b"iTXt", b"k%d\0\1\0\0\0" % i + text))
    f.write(chunk(b"IDAT", zlib.compress(b"\0" * 70)) + chunk(b"IEND", b""))

def tiff(name, more, tail=b""):
    tags = [(256, 3, 1, 9), (257, 3, 1, 7), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
            (273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, 7), (279, 4, 1, 63)]
    tags = sorted(tags + more)
    with open(name, "wb") as f:
        f.write(b"II*\0" + struct.pack("<I", 80 + len(tail)) + b"\0" * 72 + tail)
        f.write(struct.pack("<H", len(tags)))
        f.write(b"".join(struct.pack("<HHII", *tag) for tag in tags) + b"\0" * 4)

megabytes = b"\0" * (4 << 20)
tiff("tags.tif", [(40000 + i, 1, len(megabytes), 80) for i in range(200)], megabytes)
tiff("shorts.tif", [(40000 + i, 3, len(megabytes) // 2, 80) for i in range(7)], megabytes)
tiff("strips.tif", [], b"")

# Two files of a set, each with what the budget has for one.
plane = b"<TiffData IFD='0'/><TiffData IFD='0' FirstZ='1'><UUID FileName='setb.tif'>u</UUID></TiffData>"
text = b"<OME><Image><Pixels SizeX='9' SizeY='7' SizeZ='2'>%s</Pixels></Image></OME>\0" % plane
data = text + b"\0" * (64 << 20)
large = [(40000, 1, 64 << 20, 80 + len(text))]
tiff("seta.tif", [(270, 2, len(text), 80)] + large, data)
tiff("setb.tif", large, data)

def ome(name, inside):
    text = b"<OME><Image><Pixels SizeX='9' SizeY='7'><TiffData/></Pixels></Image>%s</OME>\0" % inside
    tiff(name, [(270, 2, len(text), 80)], text)

def names(count):
    letters = ("".join(p) for p in itertools.product(string.ascii_letters, repeat=4))
    return itertools.islice(letters, count)

ome("attributes.tif", ("<a " + " ".join(n + "=''" for n in names(200000)) + "/>").encode())
ome("elements.tif", "".join("<%s/>" % n for n in names(200000)).encode())
ome("one.tif", b"<a b='" + b"x" * 2000000 + b"'/>")
for kind, sizes in (("times", "SizeT='4194304'"), ("stack", "SizeZ='2000' SizeT='2000'")):
    ome(kind + ".tif", b"<Image><Pixels %s><TiffData IFD='0'/></Pixels></Image>" % sizes.encode())
END
for size in 64M 240M; do
    for file in texts.png tags.tif shorts.tif attributes.tif elements.tif one.tif times.tif stack.tif; do
        within $size cs-load --series 0 $file
        [ -s stderr ] && [ "$(wc -l <stderr)" != 1 ] && fail "$file: not one line: $(cat stderr)"
    done
done
expect 1 cs-load --transport pipe tags.tif
says 'tags that share their bytes'
within 288M cs-load -z max seta.tif
says 'setb.tif of the set: tags of a page: needs '
# All of them side by side.
within 320M cs-load --series 0 attributes.tif elements.tif one.tif shorts.tif tags.tif texts.png
exit 0
