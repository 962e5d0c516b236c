# SPDX-License-Identifier: MIT
# cs-infer: heads, maps, options and what it refuses.
. "$SRC/tests/support/infer.sh"
cs-load "$TESTDATA/nuclei" "$TESTDATA/spheroid" >images.cs || fail "cs-load"

# The head says what was used; every item has a map of its own size.
infer 0 ref.cs -d ref -m tiny
cs-view -i ref.cs >text
for word in model=tiny device=ref precision=fp32 batch=1 maps=foreground,distance \
    post.threshold=0.5 post.seed-depth=0.1; do
    head -n 1 text | grep -q -F "$word" || fail "HEAD lacks $word"
done
grep -q "model.sha256=$(sha256sum <"$TESTDATA/models/tiny/tiny.onnx" | cut -d' ' -f1)" text ||
    fail "another hash of the weights"
[ "$(items ref.cs)" = 5 ] || fail "not 5 items"
sizes()
{
    cs-view -i "$1" | sed -n "s/^DATA \([0-9]*\).$2.*	\([0-9]*x[0-9]*\)x.*/\1 \2/p" | sort -u
}
[ "$(sizes ref.cs probability)" = "$(sizes images.cs image)" ] || fail "sizes of the maps differ"
grep -q 'DONE 0.*ms.infer=.*tries=1' text || fail "DONE lacks ms.infer or tries"

# Slots, batches, transports and runs do not change a byte.
for options in "-s 4" "-b 4" "-s 2 -b 2 -T 3" "--transport pipe" "-b 32 --memory 1G"; do
    # shellcheck disable=SC2086
    infer 0 other.cs -d ref -m tiny $options
    same_maps ref.cs other.cs
done
cs-infer -d ref -m tiny <images.cs | cat >other.cs || fail "from a pipe"
same_maps ref.cs other.cs

# The CPU agrees with the plain loops, up to rounding, and with itself whatever the batch.
infer 0 cpu.cs -d cpu -m tiny
for options in "-s 3 -T 3" "-b 3" "-T 1"; do
    # shellcheck disable=SC2086
    infer 0 other.cs -d cpu -m tiny $options
    same_maps cpu.cs other.cs
done

# Types of the maps; planes that pass.
infer 0 u8.cs -d ref -m tiny --prob u8 -k image
cs-view -i u8.cs | grep -q 'probability	u8' || fail "no u8 map"
maps u8.cs image >kept
maps images.cs image >loaded
cmp kept loaded || fail "the image changed on its way"
infer 0 f32.cs -d ref -m tiny --prob f32
cs-view -i f32.cs | grep -q 'probability	f32' || fail "no f32 map"

# A model with whole-image statistics, one size and format 0.4.
infer 0 whole.cs -d ref -m whole
cs-view -i whole.cs | grep -q 'maps=map0.*post.threshold=0.4' || fail "HEAD of whole"
[ "$(sizes whole.cs probability)" = "$(sizes images.cs image)" ] || fail "sizes after resize"

# What cannot be.
infer 2 out.cs
says 'which model'
infer 2 out.cs -m tiny -s 0
infer 2 out.cs -m tiny --fit crop
infer 2 out.cs -m tiny -d gpu
infer 2 out.cs -m tiny -k picture
infer 4 out.cs -m nothing
says "no model 'nothing' in $TESTDATA/models ("
says 'tiny, whole)'
cs-view -i out.cs | grep -q '^END 0.*exit=4' || fail "END without the reason"
expect 4 cs-infer -m nothing </dev/null
infer 5 out.cs -m tiny -d cuda
says 'cuda: '
CUDA_VISIBLE_DEVICES=0 infer 5 out.cs -m tiny
says 'CUDA_VISIBLE_DEVICES=0'
SLURM_JOB_GPUS=1 infer 5 out.cs -m tiny -d auto
CUDA_VISIBLE_DEVICES=0 infer 0 out.cs -m tiny -d cpu
for value in "" -1 NoDevFiles; do
    CUDA_VISIBLE_DEVICES=$value infer 0 out.cs -m tiny
done
infer 2 out.cs -m whole --fit pad
says '--fit resize'

# Empty, broken and full.
cs-load -F /dev/null >empty.cs 2>/dev/null
IMAGES=empty.cs infer 3 out.cs -d ref -m tiny
cs-view -i out.cs | grep -q '^END 0.*exit=3' || fail "END of an empty stream"
head -c 100000 images.cs >cut.cs
IMAGES=cut.cs infer 6 out.cs -d ref -m tiny
cs-view -i out.cs | grep -q '^END .*exit=6' || fail "END of a truncated stream"
IMAGES=nowhere.cs infer 3 out.cs -m tiny
cs-infer -d ref -m tiny -i images.cs >/dev/full 2>stderr && fail "a full disk went unnoticed"
says 'No space left'
status=0
cs-infer -d ref -m tiny -i images.cs 2>stderr | head -c 1000 >/dev/null
status=${PIPESTATUS[0]}
[ "$status" = 141 ] || fail "status $status after a closed pipe"

# An image that was broken before stays so, and so does the order.
printf 'no image' >broken.png
cs-load "$TESTDATA/nuclei/fluorescence.png" broken.png "$TESTDATA/spheroid/spheroid.png" \
    >mixed.cs 2>/dev/null
IMAGES=mixed.cs infer 1 out.cs -d ref -m tiny -b 2
[ "$(maps out.cs | cut -d' ' -f2 | tr '\n' ' ')" = "ok failed ok " ] || fail "order of failed items"
exit 0
