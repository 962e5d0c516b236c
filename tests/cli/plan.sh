# SPDX-License-Identifier: MIT
# cs-model plan: the memory of the worker process as it is, and what --memory makes of it.
. "$SRC/tests/support/infer.sh"
. "$SRC/tests/support/peak.sh"
unset CELLSTREAM_MODEL_PATH CELLSTREAM_THREADS

# What is planned is what is measured, within 3 %.
if ! ldd "$(command -v cs-infer)" | grep -q libasan; then
    image-make -n 60 -W 256 -H 256 -s 3 -p rgb pages.tif && cs-load --page all pages.tif >images.cs ||
        fail "images"
    for model in nuclei spheroid; do
        for slots in 1 4; do
            for batch in 1 4; do
                compare $model images.cs 256x256 $slots $batch >line || fail "compare"
                awk -F '\t' '$7 > 3 || $7 < -3 { exit 1 }' line ||
                    fail "model, plane, slots, batch, MiB planned, measured, %: $(cat line)"
            done
        done
    done
fi

# Weights once whatever the slots; a slot's share is independent of them.
field() # NAME FILE
{
    awk -F '\t' -v name="$1" '$1 == name { sub(" MiB.*", "", $2); print $2; exit }' "$2"
}
cs-model plan nuclei --size 500x300 -T 4 -s 2 -b 2 >two || fail "plan"
cs-model plan nuclei --size 500x300 -T 8 -s 4 -b 2 >four || fail "plan"
[ "$(field plane two)" = 512x304 ] || fail "plane: $(field plane two)"
for name in weights arena workspace buffers; do
    [ -n "$(field $name two)" ] && [ "$(field $name two)" = "$(field $name four)" ] ||
        fail "$name: $(field $name two), with four slots $(field $name four)"
done

# The limit: smaller batches, then fewer slots, then a refusal with what would do.
cs-model plan nuclei --size 256x256 -T 4 -s 4 -b 4 >free || fail "plan"
total=$(field total free)
slot=$(awk -F '\t' '$1 == "arena" || $1 == "workspace" { t += $2 } END { print t }' free)
limited() # BYTES TO SAVE: prints slots and batch
{
    cs-model plan nuclei --size 256x256 -T 4 -s 4 -b 4 \
        --memory "$(awk "BEGIN { printf \"%dM\", ($total - $1) * 4 / 3 }")" >plan || fail "plan"
    echo "$(field slots plan) $(field batch plan)"
}
[ "$(limited 0)" = "4 4" ] || fail "with room enough: $(limited 0)"
read -r slots batch <<<"$(limited "$(awk "BEGIN { print 1.5 * $slot }")")"
[ "$slots" = 4 ] && [ "$batch" -lt 4 ] || fail "with less: $slots slots, batch $batch"
read -r slots batch <<<"$(limited "$(awk "BEGIN { print 3.5 * $slot }")")"
[ "$slots" -lt 4 ] && [ "$batch" = 1 ] || fail "with little: $slots slots, batch $batch"
expect 5 cs-model plan nuclei --memory 10K
says '--memory '
CELLSTREAM_MEMORY=10K expect 5 cs-model plan nuclei
memory=$(sed -n 's/.*--memory \([0-9]*[MG]\) .*/\1/p' stderr)
expect 0 cs-model plan nuclei --memory "$memory"

# Another treatment of images, other planes; cs-run asks for it.
cs-model plan nuclei --compat hub >hub || fail "plan --compat hub"
[ "$(field plane hub)" = 1024x1024 ] || fail "plane: $(field plane hub)"
cs-run -n -m nuclei --compat hub -o out "$TESTDATA/nuclei" >stdout || fail "cs-run -n"
grep -q "^memory: .* for planes of 1024x1024" stdout || fail "memory: $(grep ^memory stdout)"

# More pixels than oneDNN counts; with fewer, more memory than there is can still be planned.
expect 4 cs-model plan nuclei --size 65536x65536
says '65536 x 65536 has more than 2147483647 pixels'
expect 0 cs-model plan nuclei --size 32768x32768

# CUDA: an estimate, with half the arena in fp16.
cs-model plan nuclei --size 512x512 -d cuda >cuda || fail "plan -d cuda"
grep -q 'estimate' cuda || fail "not said to be an estimate"
[ "$(field slots cuda)" = 4 ] || fail "slots: $(field slots cuda)"
cs-model plan nuclei --size 512x512 -d cuda:1 -s 1 >one || fail "plan -d cuda:1"
[ "$(field arena one)" = "$(field arena cuda)" ] || fail "arena: $(field arena one)"
expect 2 cs-model plan nuclei -d cudafoo
says "'cudafoo' is none of auto, cuda, cpu, ref"
awk -F '\t' '$1 == "arena" { arena[n++] = $2 + 0 } END { exit !(n == 2 && arena[1] <= 0.55 * arena[0]) }' \
    cuda || fail "arenas of fp32 and fp16: $(cat cuda)"
exit 0
