# SPDX-License-Identifier: MIT
# cs-postprocess: each option on drawn probabilities, the model's wishes, and what it refuses.
. "$SRC/tests/support/cli.sh"

labels() # of the stream in `out`, as text: one character a pixel
{
    cs-view -i "$1" --item 0 --plane labels --as pam >labels.pam || fail "no labels"
    local width
    width=$(sed -n 's/^WIDTH //p' labels.pam)
    tail -c +"$(($(grep -a -b -m1 ENDHDR labels.pam | cut -d: -f1) + 8))" labels.pam |
        od -An -v -t u1 -w$((2 * width)) | awk '{
            line = ""
            for (i = 2; i <= NF; i += 2) line = line ($i == 0 ? "." : $i)
            print line
        }'
}
show() # TEXT OPTION...: draw, run, print
{
    local text=$1
    shift
    echo "# $*"
    stream-draw $DRAW <"$text" | cs-postprocess "$@" >out.cs || fail "$*"
    labels out.cs
}
DRAW=

cat >blobs <<'END'
kk.......jj
kk..kkk..jj
....k.k....
.b..kkk..a.
.b.........
...kkkkkk..
....k...k..
END
show blobs -a 0
show blobs -a 0 -t 0.55
show blobs -a 0 -t 0.96
show blobs -a 3
show blobs -a 0 --max-area 4
show blobs -a 0 --fill-holes
show blobs -a 0 --clear-border
show blobs -a 0 --open 1
show blobs -a 0 --close 1
cat >corners <<'END'
k..k
.k..
..k.
kk..
END
show corners -a 0
show corners -a 0 --connectivity 4

# Two maps: a dumb-bell whose waist is low, a bump that is not deep, and a low peak.
cat >maps <<'END'
kkkkkkkkkk.kkk
kkkkkkkkkk.kkk
-
59b84269a5.343
48b73159a5.242
END
DRAW='--head maps=foreground,distance'
show maps -a 0
show maps -a 0 --split distance
show maps -a 0 --split distance --seed-depth 0.4
show maps -a 0 --split distance --seed-min 0.52
DRAW='--head maps=foreground,boundary'
show maps -a 0 --split boundary --seed-depth 0.2
# Without a map the mask's own distances split; a deep rise is asked for in pixels.
cat >disks <<'END'
..kkk......kkk..
.kkkkk....kkkkk.
.kkkkkkkkkkkkkk.
.kkkkk....kkkkk.
..kkk......kkk..
END
DRAW=
show disks -a 0 --split distance
show disks -a 0 --split distance --seed-depth 2
# A gap between split objects is no hole.
cat >gap <<'END'
kkkkkkkk
kkk..kkk
k.k..k.k
kkkkkkkk
-
kkk22kkk
kkk..kkk
k.k..k.k
kkk22kkk
END
DRAW='--head maps=foreground,distance'
show gap -a 0 --split distance --fill-holes
show gap -a 0 --fill-holes

echo "# provenance: default, model, option"
stream-draw --head post.min_area=20 --head post.fill-holes=yes --head post.split=distance <blobs |
    cs-postprocess -a 3um2 --keep-holes | cs-view 2>err | sed -n 's/.*prov.cs-postprocess=[^ ]* //p'
echo "# the pixel is 2 x 0.5 um"
stream-draw --begin pixel_um=2 --begin pixel_um_y=0.5 <blobs | cs-postprocess -a 3um2 >out.cs
labels out.cs

# What fails, and how.
stream-draw <blobs >blobs.cs
expect 1 cs-postprocess -i blobs.cs -a 3um2
says 'drawn/0.txt: --min-area is in um2, but the pixel size is not known'
expect 1 cs-postprocess -i blobs.cs --split boundary
says "no map 'boundary'"
stream-draw -p image <blobs >image.cs
expect 1 cs-postprocess -i image.cs
says 'no probabilities in the stream'
stream-draw --head post.sharpen=1 <blobs >odd.cs
expect 4 cs-postprocess -i odd.cs
says "the model's post.sharpen"
for bad in '-t 1.5' '-t x' '-a -3' '-a 5um' '--connectivity 6' '--split always' '--open -1' \
    '--seed-depth none' '-k labels,masks' '--fill-holes --keep-holes' 'operand' '--no-such'; do
    # shellcheck disable=SC2086
    expect 2 cs-postprocess -i blobs.cs $bad
    [ ! -s stdout ] || fail "output in spite of $bad"
done
# Nothing above the threshold is no failure.
expect 0 cs-postprocess -i blobs.cs -t 1
cs-view -i stdout | grep -q 'DONE 0.*status=empty.*objects=0' || fail 'empty item'
