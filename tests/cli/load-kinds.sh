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
