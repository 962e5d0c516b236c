# SPDX-License-Identifier: MIT
# cs-load: axes of OME and ImageJ files, channels, projections, pages, conversions; what is not
# said is asked for, never guessed.
. "$SRC/tests/support/cli.sh"

# row FILE OPTION...: row 1 of item 0's first samples, as numbers of two bytes.
row()
{
    local file=$1
    shift
    cs-load "$@" "$file" | cs-view --item 0 --as npy | tail -c "$((9 * 7 * ${CHANNELS:-1} * 2))" |
        od -A n -t u2 -w$((18 * ${CHANNELS:-1})) -v | sed -n 2p | tr -s ' ' | cut -d ' ' -f 2-5
}

is()
{
    [ "$1" = "$2" ] || {
        echo "line ${BASH_LINENO[0]}: '$1' instead of '$2'" >&2
        exit 1
    }
}

# items ARGUMENT...: name, t, z, page and channels of each item.
items()
{
    cs-load "$@" >s.cs 2>stderr
    cs-view -i s.cs | grep ^BEGIN | tr '\t' '\n' |
        grep -E '^(output|t|z|page|series|channels|pixel_um|pixel_um_y|convert|colour)=' |
        sed 's/^output=/\n&/' | tr '\n' ' ' | sed 's/ output=/\n/g; s/ $/\n/' | grep .
}

# A hyperstack of ImageJ: 2 channels, 3 slices, 2 frames; page n holds 7 n + 3 x + 5 y.
image-make -n 12 -b 16 -d $'ImageJ=1.53f\nimages=12\nchannels=2\nslices=3\nframes=2\nunit=micron\n' \
    --resolution 4 ij.tif
expect 1 cs-load ij.tif
says "ij.tif: 3 z planes: choose -z max, -z mean, -z all or -z N"
expect 1 cs-load -z max ij.tif
says "ij.tif: 2 channels (0, 1): choose -c LIST, or -c all"
echo "# ImageJ"
items -z max -c 1 ij.tif
items -z 1-2 -c all --time 1 ij.tif
items -z mean -c 0 --time 0 -p 0.5 ij.tif
items --page 3 ij.tif
items --page 10-11 ij.tif
# Pages run channel first, then z, then time: page = c + 2 z + 6 t.
is "$(row ij.tif -z 2 -c 1 --time 1)" "82 85 88 91"
is "$(row ij.tif --page 11)" "82 85 88 91"
is "$(row ij.tif -z max -c 0 --time 0)" "33 36 39 42"
is "$(row ij.tif -z mean -c 0 --time 0)" "19 22 25 28"
is "$(CHANNELS=2 row ij.tif -z 0 -c 1,0 --time 0)" "12 5 15 8"
expect 1 cs-load -z 3 -c 0 ij.tif
says "ij.tif: -z 3: the file has 3, counted from 0"
expect 1 cs-load -z 0 -c DAPI ij.tif
says "ij.tif: no channel 'DAPI': the file has 0, 1"
expect 1 cs-load --page 12 ij.tif
says "ij.tif: --page 12: the file has 12 pages, counted from 0"
# One directory for all planes, and a file too short for them.
image-make -n 3 -b 16 --order big --one-directory -d $'ImageJ=1.53\nimages=3\nslices=3\n' one.tif
is "$(row one.tif -z 2)" "19 22 25 28"
image-make -n 2 -b 16 --one-directory -d $'ImageJ=1.53\nimages=9\nslices=9\n' short.tif
expect 1 cs-load -z 0 short.tif
says "short.tif: truncated: 9 planes announced"
image-make -n 2 -d $'ImageJ=1.53\nimages=4\nslices=3\n' odd.tif
expect 1 cs-load -z 0 odd.tif
says "odd.tif: ImageJ description: 4 images, but 1 channels x 3 slices x 1 frames (--page N|all"

# OME: names, sizes with units, an order of its own, several series.
ome='<?xml version="1.0"?><OME xmlns="x"><Image><Pixels DimensionOrder="XYZTC" SizeX="9" SizeY="7"
 SizeZ="2" SizeC="2" SizeT="2" PhysicalSizeX="325" PhysicalSizeXUnit="nm" PhysicalSizeY="0.5">
 <Channel Name="DAPI"/><Channel Name="GFP, long"/><TiffData IFD="1" PlaneCount="7"/>
 <TiffData FirstZ="1" FirstC="1" FirstT="1" IFD="0"/></Pixels></Image></OME>'
image-make -n 8 -b 16 -d "$ome" ome.tif
echo "# OME"
items -z max -c dapi ome.tif
items -z 0 -c 'GFP\, long' ome.tif
items -z 0 -c 1,DAPI ome.tif
expect 1 cs-load -z 0 ome.tif
says "ome.tif: 2 channels (0 DAPI, 1 GFP, long): choose -c LIST, or -c all"
# Planes run z, t, c; they begin at page 1, and the last of them is page 0.
is "$(row ome.tif -z 1 -c 0 --time 1)" "33 36 39 42"
is "$(row ome.tif -z 1 -c 1 --time 1)" "5 8 11 14"
more='<Image><Pixels SizeX="9" SizeY="7" SizeT="2"><TiffData IFD="0" PlaneCount="2"/></Pixels></Image>'
two=${ome/%<\/OME>/$more</OME>}
image-make -n 8 -b 16 -d "$two" two.tif
expect 1 cs-load -z max -c 0 two.tif
says "two.tif: 2 series: choose --series N"
items --series 1 two.tif
expect 1 cs-load --series 2 two.tif
says "two.tif: --series 2: the file has 2 series"
# Planes that lie in other files of a set are not needed for one's own.
set='<OME><Image><Pixels SizeX="9" SizeY="7" SizeZ="2"><TiffData FirstZ="0" IFD="0">
 <UUID FileName="other.tif">u</UUID></TiffData><TiffData FirstZ="1" IFD="0">
 <UUID FileName="mine.tif">v</UUID></TiffData></Pixels></Image></OME>'
image-make -b 16 -d "$set" mine.tif
items mine.tif
expect 1 cs-load -z max mine.tif
says "mine.tif: its planes belong to the items of other.tif: leave this file out (--include, --exclude)"
expect 1 cs-load -z 0 mine.tif
says "mine.tif: its planes belong to the items of other.tif"
mkdir hole
image-make -b 16 -d "${set/FirstZ=\"0\"/FirstZ=\"1\"}" hole/mine.tif
expect 1 cs-load -z 0 hole/mine.tif
says "hole/mine.tif: the plane of time 0, z 0, channel 0 is not in this file"
# An item whose planes lie in several files comes from the file that its first plane is in.
mkdir set
plane() { echo "<TiffData FirstC='$1' FirstZ='$2' IFD='$3'><UUID FileName='$4'>u</UUID></TiffData>"; }
spread="<OME><Image><Pixels SizeX='9' SizeY='7' SizeZ='2' SizeC='2'><Channel Name='DAPI'/>
 <Channel Name='GFP'/>$(plane 0 0 0 c0.tif)$(plane 0 1 1 c0.tif)$(plane 1 0 2 c1.tif)$(plane 1 1 1 c1.tif)
 </Pixels></Image></OME>"
image-make -n 2 -b 16 -d "$spread" set/c0.tif
image-make -n 3 -b 16 -d "$spread" set/c1.tif
items -z max -c all --include c0.tif set
is "$(CHANNELS=2 row set/c0.tif -z max -c all)" "12 19 15 22"
is "$(CHANNELS=2 row set/c0.tif -z 0 -c DAPI,GFP)" "5 19 8 22"
is "$(CHANNELS=2 row set/c0.tif -z mean -c DAPI,GFP)" "8 16 12 18"
is "$(row set/c1.tif -z max)" "19 22 25 28"
expect 1 cs-load -z max -c all set
says "set/c1.tif: its planes belong to the items of c0.tif: leave this file out (--include, --exclude)"
expect 1 cs-load -z max -c GFP,DAPI set
says "set/c0.tif: its planes belong to the items of c1.tif"
sed "s/<OME>/<OME UUID='u'>/" <<<"$spread" >description
image-make -n 2 -b 16 -d "$(sed 's/>u</>v</3; s/>u</>v</3' description)" named.tif
expect 1 cs-load -z max -c all - <named.tif
says "cs-load: -: the plane is in c1.tif, another file of the set"
image-make -n 2 -b 16 set/c1.tif
expect 1 cs-load -z max -c all set/c0.tif
says "set/c0.tif: c1.tif: page 2: the file has 2 pages"
image-make -n 3 -b 16 -W 8 set/c1.tif
expect 1 cs-load -z max -c all set/c0.tif
says "set/c0.tif: c1.tif: page 2 is 8 x 7 pixels"
rm set/c1.tif
expect 1 cs-load -z max -c all set/c0.tif
says "set/c0.tif: c1.tif of the set: cannot be read: No such file or directory"
ln -s /dev/zero set/c1.tif
expect 1 cs-load -z max -c all set/c0.tif
says "set/c0.tif: c1.tif of the set: is no file"
# Axes that only one file of a set describes: a text, or an image.
mkdir master
for i in 0 1; do
    image-make -n 2 -b 16 -d "<OME UUID='urn:$i'><BinaryOnly MetadataFile='m.companion.ome' UUID='urn:m'/></OME>" \
        master/p$i.tif
done
uuid() { echo "<TiffData FirstZ='$1' IFD='1'><UUID FileName='$2'>$3</UUID></TiffData>"; }
described="<Image><Pixels SizeX='9' SizeY='7' SizeZ='2' PhysicalSizeX='0.5'>$(uuid 0 p0.tif urn:0)$(
    uuid 1 p1.tif urn:1)</Pixels></Image></OME>"
echo "<OME UUID='urn:m'>$described" >master/m.companion.ome
items -z max master/p0.tif
items master/p1.tif
is "$(row master/p0.tif -z max)" "12 15 18 21"
cp master/p1.tif master/other-name.tif
items master/other-name.tif
image-make -n 2 -b 16 -d "<OME UUID='urn:m'>$described" master/m.companion.ome
items master/p1.tif
echo "<OME UUID='urn:m'><Image>" >master/m.companion.ome
expect 1 cs-load master/p0.tif
says "master/p0.tif: m.companion.ome of the set: OME-XML: line 2: "
cp master/p0.tif master/m.companion.ome
expect 1 cs-load master/p0.tif
says "master/p0.tif: m.companion.ome of the set: OME-XML: the axes are in another file of the set"
rm master/m.companion.ome
expect 1 cs-load master/p0.tif
says "master/p0.tif: m.companion.ome of the set: cannot be read: No such file or directory"
expect 0 cs-load --page 0 master/p0.tif
# Axes without places for their planes.
image-make -n 2 -d "<OME><Image><Pixels SizeX='9' SizeY='7' SizeZ='2'/></Image></OME>" nowhere.tif
expect 1 cs-load -z max nowhere.tif
says "nowhere.tif: none of its 1 series has a plane in this file (--page N|all reads the pages)"
# Two channels of one name are told apart by number, never by place.
twins="<OME><Image><Pixels SizeX='9' SizeY='7' SizeC='3'><Channel Name='GFP'/><Channel Name='GFP'/>
    <Channel Name='gfp'/><TiffData/></Pixels></Image></OME>"
image-make -n 3 -b 16 -d "$twins" twins.tif
expect 1 cs-load -c GFP twins.tif
says "twins.tif: several channels 'GFP' (0 GFP, 1 GFP, 2 gfp): choose by number"
expect 1 cs-load -c Gfp twins.tif
says "twins.tif: several channels 'Gfp'"
is "$(row twins.tif -c gfp)" "$(row twins.tif -c 2)"
# A file of a set that was renamed knows its planes by its UUID.
set=${set/<OME>/<OME UUID=\"urn:v\">}
image-make -b 16 -d "${set/>v</> urn:v <}" renamed.tif
items renamed.tif
# Broken XML, and XML with an entity.
image-make -d '<OME><Image><Pixels SizeX="9"' bad.tif
expect 1 cs-load bad.tif
says "bad.tif: OME-XML: line 1: "
expect 0 cs-load --page 0 bad.tif
image-make -d '<!DOCTYPE OME [<!ENTITY a "b">]><OME><Image/></OME>' doctype.tif
expect 1 cs-load doctype.tif
says "doctype.tif: OME-XML: a document type is not allowed"

# Pages without axes.
image-make -n 3 -b 16 pages.tif
expect 1 cs-load pages.tif
says "pages.tif: 3 pages and no axes: choose --page N|all, or say what they are with -z, --time or -c"
expect 1 cs-load -z max --time 0 pages.tif
says "pages.tif: 3 pages and no axes: they can be only one of -z, --time and -c"
echo "# pages"
items --page all pages.tif
items -z max pages.tif
items --time all pages.tif
items -c 2,0 pages.tif
is "$(row pages.tif -z max)" "19 22 25 28"
image-make -n 3 --reduced pyramid.tif
items pyramid.tif

# Samples: colours, channels, alpha, palettes, depths.
echo "# samples"
image-make -s 3 -p rgb rgb.tif
items rgb.tif
items -c G rgb.tif
items -c 2,1,0 rgb.tif
image-make -s 4 -p rgb --alpha rgba.tif
items rgba.tif
items --raw rgba.tif
image-make -s 3 three.tif
expect 1 cs-load three.tif
says "three.tif: 3 channels (0, 1, 2): choose -c LIST, or -c all"
items -c all three.tif
image-make -s 2 --alpha ga.tif
items ga.tif
image-make -p palette palette.tif
items palette.tif
items --raw palette.tif
image-make -p palette -d $'ImageJ=1.53\n' lut.tif
items lut.tif
image-make -p white white.tif
items white.tif
cs-load white.tif | cs-view --item 0 --as npy | tail -c 63 | od -A n -t u1 -w9 -v | sed -n 2p
image-make -b 12 twelve.tif
items twelve.tif
is "$(row twelve.tif)" "5 8 11 14"
image-make -b 4 four.tif
cs-load four.tif | cs-view --item 0 --as npy | tail -c 63 | od -A n -t u1 -w9 -v | sed -n 2p
cs-load --raw four.tif | cs-view --item 0 --as npy | tail -c 63 | od -A n -t u1 -w9 -v | sed -n 2p
# The same samples however they are stored.
for how in "--order big" "-t 16" "--separate -s 2" "-c lzw --predictor horizontal" "-c zstd" \
    "-c deflate -t 16" "--big" "-c packbits -r 100"; do
    # shellcheck disable=SC2086
    image-make -b 16 $how how.tif
    is "$how: $(row how.tif -c 0)" "$how: 5 8 11 14"
done
# Results lie on the stored grid, whatever the orientation, for samples that libtiff converts, too.
for how in "-p black" "-p ycbcr -s 3" "-p ycbcr -s 3 -t 16"; do
    # shellcheck disable=SC2086
    for turn in 1 2 3 4 5 6 7 8; do
        image-make -W 40 -H 30 --orientation $turn $how turned.tif
        cs-load turned.tif | cs-view --item 0 --as npy >turned.$turn
        cmp turned.1 turned.$turn || fail "$how: orientation $turn"
    done
done
# Signed integers of odd sizes. Floats of 24 bits, of a sign, 7 bits of exponent and 16 of fraction:
# 2^-62 (1 + 2/65536), and 54 of the steps of 2^-78 below 2^-62.
image-make -b 5 -f int signed5.tif
is "$(cs-load signed5.tif | cs-view --stats | tail -n 1 | cut -f 5-8)" "i8	9x7x1	-16	15"
image-make -b 12 -f int signed.tif
is "$(cs-load signed.tif | cs-view --stats | tail -n 1 | cut -f 5-8)" "i16	9x7x1	0	54"
for order in little big; do
    image-make -b 24 -f float -W 30000 -H 1 --order $order f24.tif
    is "$(cs-load --crop 21846,0,1,1 f24.tif | cs-view --stats | tail -n 1 | cut -f 5-7)" \
        "f32	1x1x1	2.16847052e-19"
    is "$(cs-load --crop 18,0,1,1 f24.tif | cs-view --stats | tail -n 1 | cut -f 5-7)" \
        "f32	1x1x1	1.78671012e-22"
done
# A print resolution is no pixel size; one of a microscope is.
image-make --resolution 300 --unit inch dpi.tif
image-make --resolution 20000 --unit cm scope.tif
items dpi.tif
items scope.tif
# Nor are an inch that ImageJ passes on, no number, nothing, less than an atom, or a hand's breadth;
# other units are converted.
ij=$'ImageJ=1.53\nimages=1\nunit=inch\n'
image-make --resolution 72 --unit none -d "$ij" inch.tif
items inch.tif
for size in NaN -1 0 1e-9 1e9 0.5x; do
    image-make -d "<OME><Image><Pixels SizeX='9' SizeY='7' PhysicalSizeX='$size'><TiffData/></Pixels></Image></OME>" \
        nonsense.tif
    items nonsense.tif
done
for unit in nm Å mm pixel; do
    image-make -d "<OME><Image><Pixels SizeX='9' SizeY='7' PhysicalSizeX='2.5' PhysicalSizeXUnit='$unit'>
        <TiffData/></Pixels></Image></OME>" unit.tif
    items unit.tif
done

# Dialects of microscopes. LSM: z and time by its tag, thumbnails left out, channels are no colour.
echo "# dialects"
image-make -n 12 -b 16 -s 2 --separate -p rgb --lsm 3 --thumbnails a.lsm
items -z 1 -c all --time 1 a.lsm
is "$(CHANNELS=2 row a.lsm -z 1 -c all --time 1)" "61 111 64 114"
expect 1 cs-load -z 1 a.lsm
says "a.lsm: 2 channels (0, 1): choose -c LIST, or -c all"
image-make -n 4 -b 16 -s 3 -p rgb --lsm 2 rgb.lsm
items -z max -c 1 rgb.lsm
image-make -n 5 -b 16 --lsm 2 odd.lsm
expect 1 cs-load odd.lsm
says "odd.lsm: LSM: 5 pages for 2 z planes and 2 times (--page N|all reads the pages)"
# STK: one directory, planes without a meaning.
image-make -n 3 -b 16 --one-directory --stk a.stk
items -z max a.stk
items --page all a.stk
is "$(row a.stk -z 2)" "19 22 25 28"
expect 1 cs-load a.stk
says "a.stk: 3 pages and no axes"
image-make -n 3 -b 16 --one-directory --stk cut.stk
truncate -s -1 cut.stk
expect 1 cs-load -z max cut.stk

# ImageJ above 4 GiB: the last plane, at byte 8 + 4999 MB, lies behind what a TIFF file can address.
head=$'ImageJ=1.53\nimages=5000\nslices=5000\n'
image-make -W 1000 -H 500 -b 16 --one-directory -d "$head" huge.tif
truncate -s 5100M huge.tif || fail "no room for a sparse file"
head -c 1000000 /dev/zero | tr '\0' '\7' |
    dd of=huge.tif bs=1M seek=$((8 + 4999 * 1000000)) oflag=seek_bytes conv=notrunc status=none
for z in 4999 4998; do
    cs-load -z $z --crop 3,4,2,1 huge.tif | cs-view --stats | tail -n 1 | cut -f 5-8
done
cs-load --page 4999 --crop 3,4,2,1 huge.tif | cs-view --stats | tail -n 1 | cut -f 5-8
rm huge.tif
