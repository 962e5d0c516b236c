# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# For shell tests that follow each process of a pipeline: stages joined by named pipes.
. "$SRC/tests/support/cli.sh"
declare -A stage_pid

# stage NAME INPUT OUTPUT COMMAND...: start it; standard error goes to NAME.err.
stage()
{
    local name=$1 input=$2 output=$3
    shift 3
    "$@" <"$input" >"$output" 2>"$name.err" &
    stage_pid[$name]=$!
}

# ends NAME STATUS[|STATUS]: the stage must end by itself within 30 s, with this exit status.
ends()
{
    local name=$1 wanted=$2 status=0 i
    for ((i = 0; i < 600; i++)); do
        kill -0 "${stage_pid[$name]}" 2>/dev/null || break
        sleep 0.05
    done
    if kill -0 "${stage_pid[$name]}" 2>/dev/null; then
        kill -9 "${stage_pid[@]}" 2>/dev/null
        echo "line ${BASH_LINENO[0]}: $name does not end" >&2
        exit 1
    fi
    wait "${stage_pid[$name]}" || status=$?
    if [[ ! $status =~ ^($wanted)$ ]]; then
        kill -9 "${stage_pid[@]}" 2>/dev/null
        cat "$name.err" >&2
        echo "line ${BASH_LINENO[0]}: $name ends with $status instead of $wanted" >&2
        exit 1
    fi
}

# until_true COMMAND...: wait for it, at most 30 s.
until_true()
{
    local i
    for ((i = 0; i < 600; i++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.05
    done
    kill -9 "${stage_pid[@]}" 2>/dev/null
    echo "line ${BASH_LINENO[0]}: never: $*" >&2
    exit 1
}

# reading NAME: wait until the stage has read the head of its stream and has attached to the shared
# memory of the one before.
reading()
{
    until_true grep -q 'memfd:cellstream' "/proc/${stage_pid[$1]}/maps"
}

# leftovers: what the tools could leave behind where files are shared.
leftovers()
{
    find /dev/shm "$TMPDIR" -mindepth 1 2>/dev/null | grep -i -E "cellstream|$TMPDIR/" || true
}
