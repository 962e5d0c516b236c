# SPDX-License-Identifier: MIT
# cs-model bench and tune, and what cs-infer makes of a kept choice.
. "$SRC/tests/support/infer.sh"
unset CELLSTREAM_CACHE

# A line a stage; parts of the time sum up to the whole.
expect 0 cs-model bench tiny -d cpu --size 96x64 -s 2 -b 2 --seconds 0.05 -v
for word in '^device	cpu: ' '^images	96x64, planes 96x64, batch 2, 2 slots of 1 thread' '^floor	[0-9]' \
    '^images	prepare	' '^network	Conv ' '^images	finish	' '^node	Conv ' '^total	[0-9.]* images/s'; do
    grep -q "$word" stdout || fail "bench lacks: $word"
done
awk -F '\t' '$1 == "images" && NF > 3 || $1 == "network" { sum += $4; ms += $3 }
    $1 == "slot" { whole = $2 + 0 } END { exit !(sum > 50 && sum < 101 && ms <= 1.01 * whole) }' stdout ||
    fail "the stages are not the whole: $(cat stdout)"
expect 0 cs-model bench tiny -d cpu --size 96x64 --seconds 0 --conv direct
grep -q '^network	Conv ' stdout || fail "bench of direct convolutions"
expect 2 cs-model bench tiny --conv winograd
expect 0 cs-model bench tiny -d ref --size 32x32 --seconds 0
grep -q '^total' stdout || fail "bench of a backend without a profile"
expect 2 cs-model bench tiny --size 32
expect 4 cs-model bench nothing

# A table, the best line of which is kept.
expect 0 cs-model tune tiny -d cpu --size 64x64 --seconds 0.02 --cache cache
[ "$(grep -c '^[124]	[12]	[124]	[0-9.]*	[0-9]' stdout)" = 6 ] || fail "not six cases: $(cat stdout)"
grep -q '^kept	cache' stdout || fail "nothing is kept"
[ "$(ls cache | wc -l)" = 1 ] || fail "not one file in the cache"
slots=$(sed -n 's/^best	\([0-9]*\) slots*, batch \([0-9]*\).*/\1/p' stdout)
batch=$(sed -n 's/^best	\([0-9]*\) slots*, batch \([0-9]*\).*/\2/p' stdout)
grep -q "\"64.slots\":\"$slots\"" cache/*.json && grep -q "\"64.batch\":\"$batch\"" cache/*.json ||
    fail "another choice is kept than printed"
expect 0 cs-model tune tiny -d cpu --size 64x64 --seconds 0
says "not kept"
expect 1 cs-model tune tiny -d cpu --cache /dev/null/cache
[ ! -s stdout ] || fail "measured for a folder that cannot be"

# cs-infer takes it; results are the same bytes.
sed -i 's/"64.slots":"[0-9]*"/"64.slots":"2"/; s/"64.batch":"[0-9]*"/"64.batch":"3"/' cache/*.json
cs-load "$TESTDATA/nuclei" >images.cs || fail "cs-load"
infer 0 plain.cs -d cpu -m tiny
infer 0 tuned.cs -d cpu -m tiny --cache cache -v
says "tuned before: 2 slots, batch 3"
cs-view -i tuned.cs | head -n 1 | grep -q 'batch=3' || fail "HEAD has another batch"
same_maps plain.cs tuned.cs
CELLSTREAM_CACHE=cache infer 0 tuned.cs -d cpu -m tiny -b 1 -v
cs-view -i tuned.cs | head -n 1 | grep -q 'batch=1' || fail "-b does not win"
infer 0 other.cs -d cpu -m tiny --cache cache -T 1 -v
grep -q "tuned before" stderr && fail "a choice for other threads was taken"

# A broken file is one warning line.
echo '{' >"$(echo cache/*.json)"
infer 0 tuned.cs -d cpu -m tiny --cache cache
[ "$(wc -l <stderr)" = 1 ] || fail "not one line: $(cat stderr)"
says "cache/slots-"
same_maps plain.cs tuned.cs
