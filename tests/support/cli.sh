# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# For shell tests: . "$SRC/tests/support/cli.sh"
set -u

fail()
{
    echo "line ${BASH_LINENO[0]}: $*" >&2
    exit 1
}

skip()
{
    echo "$*"
    exit 77
}

# expect STATUS COMMAND...: the command must end with this status. Its output goes to the files
# `stdout` and `stderr`, for a look afterwards.
expect()
{
    local wanted=$1 status=0
    shift
    "$@" >stdout 2>stderr || status=$?
    if [ "$status" != "$wanted" ]; then
        tail -n 5 stdout stderr >&2
        echo "line ${BASH_LINENO[0]}: status $status instead of $wanted: $*" >&2
        exit 1
    fi
}

# says TEXT: `stderr` of the last expect must hold this.
says()
{
    grep -q -F -- "$1" stderr || {
        cat stderr >&2
        echo "line ${BASH_LINENO[0]}: no message with: $1" >&2
        exit 1
    }
}

# same FILE NAME: FILE must equal the expected file NAME beside the test; UPDATE=1 rewrites it.
same()
{
    if [ "${UPDATE:-}" = 1 ]; then
        cp "$1" "$HERE/$2"
    elif ! cmp -s "$1" "$HERE/$2"; then
        diff -u "$HERE/$2" "$1" | head -n 40 >&2
        echo "line ${BASH_LINENO[0]}: $1 differs from $2" >&2
        exit 1
    fi
}

# unread COMMAND...: into a pipe whose reader is gone.
unread()
{
    local status
    mkfifo unread.pipe
    : <unread.pipe &
    exec 9>unread.pipe
    wait $!
    rm unread.pipe
    "$@" >&9
    status=$?
    exec 9>&-
    return $status
}

# needs_data: skip unless CELLSTREAM_DATA names the folder of real images.
needs_data()
{
    [ -d "${CELLSTREAM_DATA:-}" ] || skip "CELLSTREAM_DATA names no folder of real images"
}
