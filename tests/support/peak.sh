# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The memory of cs-infer's worker process, planned and measured.

# peak OPTION...: run cs-infer and print the largest resident memory of its worker, in KiB.
peak()
{
    local infer worker='' now most=0
    cs-infer "$@" >/dev/null &
    infer=$!
    while kill -0 $infer 2>/dev/null; do
        [ "$worker" ] || read -r worker _ 2>/dev/null <"/proc/$infer/task/$infer/children"
        now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/${worker:-x}/status" 2>/dev/null)
        [ "${now:-0}" -gt $most ] && most=$now
        sleep 0.01
    done
    wait $infer || return
    echo $most
}

# planned MODEL OPTION...: the total of cs-model plan, in KiB.
planned()
{
    cs-model plan "$@" | awk -F '\t' '$1 == "total" { sub(" MiB", "", $2); printf "%d\n", $2 * 1024 }'
}

# compare MODEL STREAM WxH SLOTS BATCH: one line, the difference in percent last.
compare()
{
    local plan got
    plan=$(planned "$1" --size "$3" -s "$4" -b "$5") || return
    got=$(peak -m "$1" -i "$2" -s "$4" -b "$5") || return
    awk -v m="$1" -v z="$3" -v s="$4" -v b="$5" -v p="$plan" -v g="$got" 'BEGIN {
        printf "%s\t%s\t%d\t%d\t%.1f\t%.1f\t%.1f\n", m, z, s, b, p / 1024, g / 1024, 100 * (p / g - 1)
    }'
}
