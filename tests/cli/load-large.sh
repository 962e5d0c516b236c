# SPDX-License-Identifier: MIT
# cs-load: large planes, however they are stored, give the same samples in little memory.
. "$SRC/tests/support/cli.sh"

# samples FILE OPTION...: a hash of the stream's pixels.
samples()
{
    local file=$1
    shift
    cs-load "$@" "$file" | cs-view --item 0 --as npy | md5sum | cut -d ' ' -f 1
}

size="-W 3000 -H 4000 -b 16"
# shellcheck disable=SC2086
{
    image-make $size -r 64 strips.tif
    image-make $size -r 4000 one.tif
    image-make $size -r 4000 --order big big.tif
    image-make $size -r 4000 -c lzw --predictor horizontal lzw.tif
    image-make $size -t 256 -c zstd tiles.tif
}
wanted=$(samples strips.tif)
for file in one.tif big.tif lzw.tif tiles.tif; do
    [ "$(samples $file)" = "$wanted" ] || fail "$file differs from strips.tif"
done
part=$(samples strips.tif --crop 1000,2500,500,700)
for file in one.tif lzw.tif tiles.tif; do
    [ "$(samples $file --crop 1000,2500,500,700)" = "$part" ] || fail "a part of $file differs"
done
# Differences of neighbours, of every sample that they go with; widths that are no multiple of a word.
for bits in 8 16 32; do
    for samples in 1 3; do
        for how in "-r 5" "-t 16" "-r 5 --order big" "-r 5 --separate"; do
            kind="-W 37 -H 23 -b $bits -s $samples"
            # shellcheck disable=SC2086
            image-make $kind plain.tif && image-make $kind $how -c lzw --predictor horizontal sums.tif
            [ "$(samples sums.tif -c all)" = "$(samples plain.tif -c all)" ] || fail "$kind $how"
        done
    done
done
# And within an address space that two such planes beside the libraries would not fit.
if ! ldd "$(command -v cs-load)" | grep -q libasan; then
    image-make -W 12000 -H 12000 -b 16 -r 12000 whole.tif
    (
        ulimit -v 400000
        cs-load --transport pipe whole.tif | wc -c
    ) >bytes 2>err || fail "whole.tif: $(cat err)"
    [ "$(cat bytes)" -gt 288000000 ] || fail "whole.tif: $(cat bytes) bytes, $(cat err)"
fi
