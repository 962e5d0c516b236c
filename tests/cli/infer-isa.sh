# SPDX-License-Identifier: MIT
# CELLSTREAM_ISA limits the device cpu and oneDNN with it; with each instruction set the objects of a
# bundled model are the same ones.
. "$SRC/tests/support/infer.sh"
[ -e "$SRC/models/nuclei/rdf.yaml" ] || skip "no model nuclei"
export CELLSTREAM_MODEL_PATH=$SRC/models
cs-load "$TESTDATA/nuclei" >images.cs || fail "cs-load"

expect 2 env CELLSTREAM_ISA=avx cs-infer -i images.cs -d cpu -m nuclei
says "CELLSTREAM_ISA: 'avx' is not avx512, avx2 or plain"

infer 0 all.cs -d cpu -m nuclei
cs-postprocess -i all.cs | cs-save -q -o all -f labels
echo "id,kind,split" >list.csv
for file in all/labels/*.tif; do
    name=${file##*/}
    echo "${name%.tif},any,val" >>list.csv
done
for isa in avx2 plain; do
    CELLSTREAM_ISA=$isa infer 0 $isa.cs -v -d cpu -m nuclei
    case $isa in # what a processor lacks is not used, so that only the most is known
    avx2) ! grep -E 'avx512' stderr || fail "avx2: $(cat stderr)" ;;
    plain) says ', plain, oneDNN' && says ', sse4.1' ;;
    esac
    cs-postprocess -i $isa.cs | cs-save -q -o $isa -f labels
    expect 0 "$BUILD/bench/score" list.csv $isa/labels all/labels
    awk '$1 == "all" && $3 > 0.999 && $4 > 0.999 { good = 1 } END { exit !good }' stdout ||
        fail "$isa: $(cat stdout)"
done
exit 0
