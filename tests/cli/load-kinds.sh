# SPDX-License-Identifier: MIT
# cs-load: each format, whole and cut short, under a name that says nothing.
. "$SRC/tests/support/cli.sh"

for kind in png bmp npy jpeg tiff; do
    for file in "$SRC/tests/fuzz/corpus/$kind"/*; do
        name=$kind-$(basename "$file")
        name=${name%.*}
        cp "$file" "$name.dat"
        cs-load -c all -z 0 --time 0 "$name.dat" >s.cs 2>err || cs-load --page 0 "$name.dat" >s.cs 2>err || :
        # Decoders of JPEG may differ in the last bit: their values are not compared.
        cs-view --stats -i s.cs | tail -n 1 | cut -f "$([[ $name = *jpeg* ]] && echo 2,4-6 || echo 2,4-9)" |
            sed "s/^/$name	/"
        sed 's/^/# /' err
        # A third of the file is never the whole image, and never a crash.
        head -c "$(($(wc -c <"$file") / 3))" "$file" >"cut-$name.dat"
        expect 1 cs-load --page 0 "cut-$name.dat"
        [ "$(wc -l <stderr)" = 1 ] || fail "not one message: $(cat stderr)"
    done
done

# Integers of odd sizes above 32 bits are those of 64.
samples()
{
    cs-load --transport pipe "$1" | cs-view --item 0 --as npy | tail -c +129
}
for format in uint int; do
    image-make -b 64 -f $format -W 40 wide.tif
    samples wide.tif >wanted
    for bits in 33 40 47 48 56 57 63; do
        image-make -b $bits -f $format -W 40 odd.tif
        samples odd.tif | cmp -s - wanted || fail "$bits bits, $format"
        # All bits set: libtiff puts the samples first.
        image-make -b $bits -f $format -W 8 -H 1 full.tif
        printf '\377%.0s' $(seq $bits) | dd of=full.tif bs=1 seek=8 conv=notrunc status=none
        [ $format = int ] && value=-1 || value=$(((1 << bits) - 1))
        [ "$(samples full.tif | od -A n -t d8 -v | tr -s ' \n' '\n' | sort -u | tr -d '\n')" = $value ] ||
            fail "$bits bits set, $format: $(samples full.tif | od -A n -t d8)"
    done
done
