# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# For tests that let the Nth call of a kind fail, for N = 1, 2, ... until no call is left. By default
# N grows by a third each time (FACTOR: in percent), so that a long run costs few; FAULT_SWEEP=all
# takes every N.
. "$SRC/tests/support/cli.sh"

# What a command leaves: its standard output in `out`, files below the folder `o`. Times and tries
# are not compared, nor what the folder .cs holds, which is judged by its promises.
plain()
{
    if [ "$(head -c 4 "$1" | tr -d '\0')" = CSF1 ]; then
        cs-view -i "$1" && cs-view --stats -i "$1"
    else
        cat "$1"
    fi | sed 's/ms\.[a-z]*=[0-9.]*//g; s/\(mtime_ns\|tries\)=[0-9]*//g'
}
results()
{
    find o -type f ! -path 'o/.cs/*' ! -name '.*.tmp*' ! -name manifest.jsonl 2>/dev/null | sort
}

# Each run begins with an empty folder `o`, or with a copy of the folder `start`.
begin()
{
    rm -rf o mark
    [ -d start ] && cp -rp start o || mkdir o
}

# The reference: the command without a fault.
whole_run()
{
    rm -rf o.whole
    begin
    timeout -k 1 120 "$@" >out.whole 2>err </dev/null || fail "without a fault: status $?: $(cat err)"
    results >files.whole
    mv o o.whole
}

# judge WHAT STATUSES STATUS LINES: the run with the fault WHAT has ended; its status is one of
# STATUSES, a failure says so in LINES lines at most, nothing half-written has its final name, and
# with status 0 all is there.
judge()
{
    local what=$1 allowed=$2 status=$3 lines=$4 file
    [[ " $allowed " == *" $status "* ]] || fail "$what: status $status: $(tail -n 3 err)"
    if [ "$status" != 0 ]; then
        [ -s err ] || fail "$what: status $status without a word"
        [ "$(wc -l <err)" -le "$lines" ] || fail "$what: $(wc -l <err) lines: $(head -n 4 err)"
    elif ! cmp -s <(plain out.whole) <(plain out); then
        fail "$what: status 0, another output"
    fi
    while IFS= read -r file; do
        if [ ! -e "$file" ]; then
            [ "$status" != 0 ] || fail "$what: status 0, but no $file"
        elif ! cmp -s "$file" "o.whole/${file#o/}"; then
            # Tables are merged from what there is: shorter ones are whole files, too.
            [[ $file == *.csv || $file == *.txt ]] && [ "$status" != 0 ] ||
                fail "$what: status $status, $file is not whole"
        fi
    done <files.whole
    promised "$what"
}

# What a line of a manifest names is there, in the size that it says.
promised()
{
    local path bytes
    while read -r path bytes; do
        [ "$(stat -c %s "o/$path" 2>/dev/null)" = "$bytes" ] ||
            fail "$1: the manifest promises $path of $bytes bytes"
    done < <(cat o/.cs/*.manifest.jsonl 2>/dev/null | grep -o '"path":"[^"]*","bytes":[0-9]*' |
        sed 's/"path":"\([^"]*\)","bytes":\([0-9]*\)/\1 \2/')
}

next() # N: the one after
{
    [ "${FAULT_SWEEP:-}" = all ] && echo $(($1 + 1)) || echo $(($1 * ${FACTOR:-133} / 100 + 1))
}

# sweep NAME STATUSES LINES RUNNER COMMAND...: RUNNER N COMMAND... runs it with the fault, and leaves
# the file `mark` where there was a call to fail.
sweep()
{
    local name=$1 allowed=$2 lines=$3 runner=$4 n=1 runs=0 status
    shift 4
    whole_run "$@"
    while :; do
        begin
        status=0
        timeout -k 1 120 "$runner" "$n" "$@" >out 2>err </dev/null || status=$?
        [ -e mark ] || break
        judge "$name, call $n ($(head -n 1 mark))" "$allowed" "$status" "$lines"
        runs=$((runs + 1))
        n=$(next "$n")
    done
    [ $runs -gt 0 ] || fail "$name: no call failed"
    echo "$name: $runs runs, fewer than $n calls"
}
