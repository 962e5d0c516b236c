# SPDX-License-Identifier: MIT
# cs-load: files that claim more than they hold are refused in little memory and time, each with
# one line that names it.
. "$SRC/tests/support/cli.sh"

# What cs-load(1) states for small files: KiB of address space, and seconds of processor time, for a
# megabyte of file and a gigabyte of samples. Sanitizers need more than there is, and five times as
# long.
memory=600000 seconds=10
ldd "$(command -v cs-load)" | grep -q libasan && memory=unlimited seconds=50

# refuses FILE TEXT OPTION...
refuses()
{
    local file=$1 text=$2 status=0
    shift 2
    (
        ulimit -v $memory -t $seconds
        exec cs-load --transport pipe "$@" "$file"
    ) >s.cs 2>stderr || status=$?
    [ $status = 1 ] || fail "$file: status $status: $(cat stderr)"
    [ "$(wc -l <stderr)" = 1 ] || fail "$file: not one line: $(cat stderr)"
    says "cs-load: $file: $text"
    [ "$(cs-view -i s.cs | sed -n 's/^DONE.*status=\([a-z]*\).*/\1/p')" = failed ] ||
        fail "$file: no failed item"
}
# bounded FILE OPTION...: it ends within the limits, whatever comes of it.
bounded()
{
    local file=$1 status=0
    shift
    (
        ulimit -v $memory -t $seconds
        exec cs-load --transport pipe "$@" "$file"
    ) >/dev/null 2>stderr || status=$?
    [ $status -le 1 ] || fail "$file: status $status: $(cat stderr)"
}
# word N BYTES: little-endian, as \x escapes.
word()
{
    local i out=
    for ((i = 0; i < $2; i++)); do
        out+=$(printf '\\x%02x' $(($1 >> 8 * i & 255)))
    done
    printf '%s' "$out"
}
# tag FILE NUMBER OLD NEW OUT: a tag of one SHORT gets another value, as LONG.
tag()
{
    local from to
    from="$(word "$2" 2)\\x03\\x00\\x01\\x00\\x00\\x00$(word "$3" 2)"
    to="$(word "$2" 2)\\x04\\x00\\x01\\x00\\x00\\x00$(word "$4" 4)"
    LC_ALL=C sed "s/$from\\x00\\x00/$to/" "$1" >"$5"
    cmp -s "$1" "$5" && fail "tag $2 is not in $1"
    return 0
}
# at FILE OFFSET ESCAPES: overwrite bytes.
at()
{
    printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# TIFF: sides, samples, rows of a strip, tiles.
image-make a.tif
tag a.tif 256 9 4294967295 wide.tif
refuses wide.tif '4294967295 pixels wide: a row is larger than 256 MiB'
tag a.tif 257 7 4294967295 high.tif
refuses high.tif ''
tag a.tif 256 9 60000 w.tif
tag w.tif 257 7 60000 bomb.tif
refuses bomb.tif '60000 x 60000 pixels in a file of 228 bytes: refused as a decompression bomb'
tag a.tif 277 1 2000 samples.tif
refuses samples.tif ''
image-make -c deflate a.tif
tag a.tif 256 9 30000 w.tif
tag w.tif 257 7 30000 h.tif
tag h.tif 278 3 30000 strip.tif
refuses strip.tif ''
image-make -t 16 a.tif
tag a.tif 322 16 1048576 w.tif
tag w.tif 323 16 1048576 tile.tif
refuses tile.tif 'tiles of 1048576 x 1048576 pixels: '
# A JPEG that is smaller than its strip, or tile, where that is within the image.
image-make -W 40 -H 24 -r 24 -c jpeg a.tif
tag a.tif 257 24 30 h.tif
tag h.tif 278 24 30 low.tif
refuses low.tif 'strip 0: the samples end too early'
tag a.tif 256 40 48 narrow.tif
refuses narrow.tif 'strip 0: the samples end too early'
image-make -W 32 -H 32 -t 32 -c jpeg a.tif
tag a.tif 322 32 48 w.tif
tag w.tif 323 32 48 cut.tif
for name in a cut; do
    cs-load $name.tif | cs-view --item 0 --as npy >$name.npy
done
cmp a.npy cut.npy || fail "a tile that is cut to the image"
# A strip that a sparse file leaves out: of 27, 27 and 9 bytes the second.
image-make a.tif
LC_ALL=C sed 's/\x1b\x00\x1b\x00\x09\x00/\x1b\x00\x00\x00\x09\x00/' a.tif >sparse.tif
refuses sparse.tif 'strip 1: the file holds no samples of it'
# One page that stands for many planes.
image-make -c deflate -d "<OME><Image><Pixels SizeT='9999'>$(seq -f '<TiffData IFD="0" FirstT="%.0f"/>' 0 2000
    )</Pixels></Image></OME>" a.tif
tag a.tif 256 9 8000 w.tif
tag w.tif 257 7 8000 h.tif
tag h.tif 278 3 100 shared.tif
refuses shared.tif '128064000000 bytes in all from a file of '
# A directory that is its own next one; tags without end; more pages than there are.
image-make a.tif
first=$(od -A n -t u4 -j 4 -N 4 a.tif | tr -d ' ')
entries=$(od -A n -t u2 -j "$first" -N 2 a.tif | tr -d ' ')
cp a.tif loop.tif
at loop.tif $((first + 2 + 12 * entries)) "$(word "$first" 4)"
refuses loop.tif 'the chain of pages has a loop'
cp a.tif entries.tif
at entries.tif "$first" '\xff\xff'
refuses entries.tif ''
image-make --one-directory -d $'ImageJ=1.53\nimages=1048576\nslices=1048576\n' planes.tif
refuses planes.tif 'truncated: 1048576 planes announced, the file is too short' -z max
image-make -d $'ImageJ=1.53\nimages=99999999\n' planes.tif
refuses planes.tif 'ImageJ description: '

# OME-XML: sizes, nesting, channels, elements that overlap.
ome() # NAME PIXELS
{
    echo "<OME><Image>$2</Image></OME>" >description
    image-make -D description "$1"
}
ome t.tif '<Pixels SizeX="9" SizeY="7" SizeT="4294967294"><TiffData/></Pixels>'
refuses t.tif 'axes of 4294967294 times, 1 z and 1 channels'
ome many.tif '<Pixels SizeX="9" SizeY="7" SizeT="4194304" SizeZ="4194304"><TiffData/></Pixels>'
refuses many.tif 'axes of 4194304 times, 4194304 z'
ome c.tif '<Pixels SizeX="9" SizeY="7" SizeC="5000"><TiffData/></Pixels>'
refuses c.tif ''
ome deep.tif "$(printf '<a>%.0s' {1..100})"
refuses deep.tif 'OME-XML: elements are nested too deeply'
ome overlap.tif "<Pixels SizeT='4000000'>$(printf '<TiffData IFD="0" PlaneCount="4000000"/>%.0s' {1..20})</Pixels>"
refuses overlap.tif 'OME-XML: TiffData elements overlap'
ome files.tif "<Pixels SizeT='9'>$(seq -f '<TiffData IFD="0"><UUID FileName="%.0f">u</UUID></TiffData>' 70000)</Pixels>"
refuses files.tif 'OME-XML: too many files'
ome up.tif '<Pixels SizeX="9" SizeY="7" SizeZ="2"><TiffData IFD="0"/><TiffData IFD="0" FirstZ="1">
    <UUID FileName="../../etc/passwd">u</UUID></TiffData></Pixels>'
refuses up.tif 'passwd of the set: cannot be read: No such file' -z max

# NPY, BMP, PNG: sides.
npy()
{
    printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "{'descr': '$2', 'fortran_order': False, 'shape': ($3), }" >"$1"
}
npy big.npy '|u1' '4000000000, 4000000000'
refuses big.npy ''
npy bomb.npy '<f8' '100000, 30000'
refuses bomb.npy ''
printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (2, 2), }" >records.npy
refuses records.npy 'NPY: an array of records is not supported'
npy dims.npy '|u1' '1, 1, 1, 1, 1, 1, 1, 1, 1, 1'
refuses dims.npy ''
cp "$SRC/tests/fuzz/corpus/bmp/gray.bmp" big.bmp
at big.bmp 18 '\xff\xff\xff\x7f\xff\xff\xff\x7f'
refuses big.bmp ''
chunk() # TYPE DATA: with its length and CRC, which gzip knows
{
    local bytes crc
    bytes=$(($(printf '%b' "$2" | wc -c)))
    crc=$(printf '%b' "$1$2" | gzip -n | tail -c 8 | od -A n -t x1 -N 4 | tr -d '\n')
    # shellcheck disable=SC2086
    set -- "$1" "$2" $crc
    printf '%b' "\\x00\\x00$(printf '\\x%02x\\x%02x' $((bytes >> 8)) $((bytes & 255)))$1$2\\x$6\\x$5\\x$4\\x$3"
}
png() # FILE WIDTH HEIGHT INTERLACED: 8-bit gray, without pixels
{
    {
        printf '\x89PNG\r\n\x1a\n'
        chunk IHDR "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($2 >> 24)) $(($2 >> 16 & 255)) $(($2 >> 8 & 255)) $(($2 & 255)) \
            $(($3 >> 24)) $(($3 >> 16 & 255)) $(($3 >> 8 & 255)) $(($3 & 255)))\\x08\\x00\\x00\\x00\\x0$4"
        chunk IDAT '\x78\x9c\x03\x00\x00\x00\x00\x01'
        chunk IEND ''
    } >"$1"
}
png small.png 9 7 0
refuses small.png 'row 0: PNG: '
png wide.png 2147483647 1 0
refuses wide.png ''
png bomb.png 60000 60000 0
refuses bomb.png '60000 x 60000 pixels in a file of 65 bytes: refused as a decompression bomb'
png interlaced.png 30000 30000 1
refuses interlaced.png ''

# JPEG: scans that hold nothing, each of which goes over the whole image.
scans() # FILE SCANS: progressive, 64 x 64 gray, one scan of its mean and SCANS empty ones
{
    {
        printf '\xff\xd8\xff\xdb\x00\x43\x00'
        printf '\x01%.0s' {1..64}
        printf '\xff\xc2\x00\x0b\x08\x00\x40\x00\x40\x01\x01\x11\x00'
        for class in '\x00' '\x10'; do # one code of one bit: 0 of the mean, the end of 2^14 blocks
            printf '%b' "\\xff\\xc4\\x00\\x14$class\\x01"
            printf '\x00%.0s' {1..15}
            [ $class = '\x00' ] && printf '\x00' || printf '\xe0'
        done
        printf '\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00'
        printf '\x00%.0s' {1..8}
        for ((i = 0; i < $2; i++)); do
            printf '\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00\x7f\x7f'
        done
        printf '\xff\xd9'
    } >"$1"
}
scans few.jpg 99
expect 0 cs-load --transport pipe few.jpg
scans many.jpg 10000
refuses many.jpg 'row 0: JPEG: more than 100 scans'

# As much as is allowed: a megabyte that becomes gigabytes is read within the time for these.
image-make -W 16000 -H 16000 -c deflate wide.tif
bounded wide.tif
{
    printf '<OME><Image><Pixels SizeX="9" SizeY="7" SizeT="4000000">'
    seq -f '<TiffData IFD="0" FirstT="%.0f"/>' 0 30000
    printf '</Pixels></Image></OME>'
} >description
image-make -D description axes.tif
bounded axes.tif --time 0
exit 0
