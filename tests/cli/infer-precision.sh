# SPDX-License-Identifier: MIT
# Precisions: what is offered and taken, what auto measures and remembers, and the second run in
# fp32. The device `fake:fp16` rounds.
. "$SRC/tests/support/infer.sh"
cs-load "$TESTDATA/nuclei" >images.cs || fail "cs-load"

# head WORD: the head of out.cs holds it.
head_says()
{
    cs-view -i out.cs | head -n 1 | grep -q -F "$1" || fail "HEAD lacks $1"
}

infer 5 out.cs -d cpu -m tiny --precision fp16
says '--precision fp16: the device offers fp32 (cpu: '
infer 5 out.cs -d fake:fp16 -m tiny --precision bf16
says '--precision bf16: the device offers fp32, fp16 (fake'
CELLSTREAM_PRECISION=tf32 infer 5 out.cs -d ref -m tiny
infer 2 out.cs -d ref -m tiny --precision half

# Rounded values give other maps, and the head says why.
infer 0 plain.cs -d ref -m tiny --prob f32
infer 0 out.cs -d fake:fp16 -m tiny --prob f32 --precision fp32
same_maps plain.cs out.cs
head_says precision=fp32
infer 0 half.cs -d fake:fp16 -m tiny --prob f32 --precision fp16
cp half.cs out.cs
head_says precision=fp16
maps plain.cs >1 && maps half.cs >2
cmp -s 1 2 && fail "fp16 changed nothing"

# auto: the mask agrees, but nothing is gained; with a slow fp32 something is.
infer 0 out.cs -d fake:fp16 -m tiny --prob f32
same_maps plain.cs out.cs
infer 0 out.cs -d fake:fp16,slow@fp32 -m tiny --prob f32 --cache kept
same_maps half.cs out.cs
head_says precision=fp16
grep -q '"fp16.iou":"1.000000"' kept/precision-*.json || fail "nothing was kept"

# What was kept decides, without a test; a file that is broken is told and replaced.
sed -i 's/"precision":"fp16"/"precision":"fp32"/' kept/precision-*.json
CELLSTREAM_CACHE=kept infer 0 out.cs -d fake:fp16,slow@fp32 -m tiny --prob f32
head_says precision=fp32
echo '{' >"$(echo kept/precision-*.json)"
infer 0 out.cs -d fake:fp16,slow@fp32 -m tiny --prob f32 --cache kept
says kept/precision-
head_says precision=fp16
grep -q '"precision":"fp16"' kept/precision-*.json || fail "the broken file stayed"
infer 0 out.cs -d fake:fp16,slow@fp32 -m tiny --prob f32 --cache /dev/null/x
says 'not kept for the next run'

# check finds out and keeps the same.
rm -r kept
expect 0 cs-model check tiny -d fake:fp16,slow@fp32 --cache kept
[ "$(tail -n 1 stdout)" = 'auto	fake	fp16' ] || fail "check says $(tail -n 1 stdout)"
infer 0 out.cs -d fake:fp16,slow@fp32 -m tiny --prob f32 --cache kept -v
same_maps half.cs out.cs

# A test that cannot be run is told, and fp32 taken.
cp -r "$TESTDATA/models/tiny" broken && chmod -R u+w broken
: >broken/test_input.npy
infer 0 out.cs -d fake:fp16 -m ./broken --prob f32
says 'cs-infer: --precision auto takes fp32: '
says broken/test_input.npy
same_maps plain.cs out.cs

# A mask that does not agree is not taken, however fast.
cp -r "$TESTDATA/models/tiny" m && chmod -R u+w m
sed -i 's/threshold: 0.5/threshold: 0.999999/' m/rdf.yaml
expect 0 cs-model check m -d fake:fp16
grep -q "fp16.*; auto leaves it" stdout || fail "check does not judge fp16"
infer 0 out.cs -d fake:fp16,slow@fp32 -m ./m
head_says precision=fp32
expect 0 cs-model check tiny -d fake:fp16
grep -q 'device	fake	fp32	loads; test: largest difference .*mask IoU 1.000000$' stdout || fail fp32
grep -q 'device	fake	fp16	loads; .*mask IoU 1.000000; auto may take it$' stdout || fail fp16

# Values beyond binary16: that image alone is run again in fp32, whatever shares its batch.
cp "$TESTDATA/models/tiny/rdf.yaml" m/
sed -i '/scale_range/{s/scale_range/scale_linear/;n;s/kwargs:.*/kwargs: {gain: 300, offset: 0}/}' m/rdf.yaml
sed -i '/id: clip/,/kwargs/d' m/rdf.yaml
sed -i '/test_tensor/d' m/rdf.yaml
infer 0 plain.cs -d ref -m ./m --prob f32
for options in "" "-b 4" "-s 3"; do
    # shellcheck disable=SC2086
    infer 0 out.cs -d fake:fp16 -m ./m --prob f32 --precision fp16 $options
    cs-view -i out.cs | grep -q 'DONE .*precision=fp32' || fail "no image was run again"
    maps plain.cs >1 && maps out.cs >2
    for i in $(cs-view -i out.cs | sed -n 's/^DONE \([0-9]*\).*precision=fp32.*/\1/p'); do
        [ "$(grep "^$i " 1)" = "$(grep "^$i " 2)" ] || fail "image $i differs from fp32"
    done
done
# What fp32 cannot hold either fails.
infer 1 out.cs -d fake:fp16,nan@fp16,nan@fp32 -m tiny --precision fp16
says "of the network's output are not finite"
exit 0
