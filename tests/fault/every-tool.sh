#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every tool that reads a stream, in the same troubles: wrong option, empty, missing, foreign, cut
# and damaged input, failed items, early ends, closed and full output, a terminal, signals.
. "$SRC/tests/support/stages.sh"
mkfifo in out
mkdir tmp
export TMPDIR=$PWD/tmp

stream-make -n 4 -W 60 -H 50 -r 11 -p image,probability,labels >good.cs
stream-make -n 4 -W 60 -H 50 -r 11 -p image,probability,labels -f 2 >failed.cs
stream-make -n 0 >none.cs
stream-make -n 2 -W 60 -H 50 -p image,probability,labels -x 5 --reason "no device" >early.cs
size=$(stat -c %s good.cs)
cp good.cs damaged.cs
printf '\001\002\003' | dd of=damaged.cs bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
echo "this is no stream, but long enough to hold a whole header of one; so it is read" >text.cs

check_reader()
{
    expect 2 "$@" --no-such-option
    says "no-such-option"
    expect 2 "$@" --transport carrier-pigeon
    expect 0 "$@" -i good.cs
    expect 1 "$@" -i failed.cs
    expect 3 "$@" -i none.cs
    expect 5 "$@" -i early.cs
    expect 3 "$@" -i missing.cs
    says "missing.cs: No such file or directory"
    expect 6 "$@" -i /dev/null
    says "/dev/null: empty"
    expect 6 "$@" -i text.cs
    says "text.cs: not a stream"
    expect 6 "$@" -i damaged.cs
    says "damaged.cs: "
    for part in 10 64 100 $((size / 3)) $((size - 1)); do
        head -c "$part" good.cs >cut.cs
        expect 6 "$@" -i cut.cs
        says "cut.cs: "
    done
    "$@" -i . >/dev/null 2>stderr && fail "$1 reads a folder"
    says "Is a directory"
}

# A drain comes as END, also when the signal goes to all; a crash before comes as end of file.
check_signals()
{
    find . -name '*.tmp-*' -delete # of a tool that was killed before
    stage first /dev/null in stream-make -n 100000 -W 60 -H 50 -d 20 -p image,probability,labels
    stage tool in "$log" "$@"
    reading tool
    sleep 0.1
    kill -TERM "${stage_pid[tool]}" "${stage_pid[first]}"
    ends first "143|141" # a tool that takes nothing new may close its input first
    ends tool 143
    find . -name '*.tmp-*' | grep . && fail "$1: unfinished files"
    stage first /dev/null in stream-make -n 100000 -W 60 -H 50 -d 20 -p image,probability,labels
    stage tool in "$log" "$@"
    reading tool
    sleep 0.1
    kill -9 "${stage_pid[first]}"
    ends first 137
    ends tool 6
    grep -q 'the stream ends' tool.err || fail "$*: $(cat tool.err)"
    stage first /dev/null in stream-make -n 100000 -W 60 -H 50 -d 20 -p image,probability,labels
    stage tool in "$log" "$@"
    reading tool
    sleep 0.1
    kill -9 "${stage_pid[tool]}"
    ends tool 137
    ends first 141
    [ -z "$(leftovers)" ] || fail "left behind: $(leftovers)"
}

check_filter()
{
    check_reader "$@"
    "$@" <good.cs | cs-view >view || fail "$1: its output does not read well"
    grep -q "prov.$1=" view || fail "$1: no provenance"
    "$@" <early.cs | cs-view >view
    [ "${PIPESTATUS[*]}" = "5 5" ] || fail "$1: ${PIPESTATUS[*]}"
    grep -q 'exit=5	reason=no device' view || fail "$1: $(tail -n 1 view)"
    "$@" <cut.cs 2>/dev/null | cs-view >view
    [ "${PIPESTATUS[*]}" = "6 6" ] || fail "$1: ${PIPESTATUS[*]}"
    tail -n 1 view | grep -q 'exit=6	reason=standard input: the stream ends' ||
        fail "$1: $(tail -n 1 view)"
    expect 141 unread "$@" <good.cs
    [ ! -s stderr ] || fail "$1: $(cat stderr)"
    "$@" <good.cs >/dev/full 2>stderr
    [ $? = 1 ] || fail "$1: full disk"
    says "No space left on device"
    if command -v script >/dev/null; then
        script -qec "$* <good.cs" /dev/null >terminal </dev/null
        [ $? = 2 ] || fail "$1 writes to a terminal"
        grep -q "terminal" terminal || fail "$1: $(cat terminal)"
    fi
    log=/dev/null
    check_signals "$@"
}

log=/dev/null
check_reader cs-view
check_signals cs-view
export CELLSTREAM_MODEL_PATH=$TESTDATA/models
for tool in "cs-infer -d ref -m tiny -T 1 -k image,probability,labels" cs-postprocess \
    "cs-save -o saved -f image --pass"; do
    # shellcheck disable=SC2086
    check_filter $tool
done
check_reader cs-polygonize -o polygons
check_signals cs-polygonize -o polygons.signals
exit 0
