# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Results of the test runners. Each result is a line "pass|fail|skip<TAB>name<TAB>remark" in the
# file $CS_RESULTS, and is shown as it comes. A runner that is started alone sums up itself.

report_owner=
if [ -z "${CS_RESULTS:-}" ]; then
    CS_RESULTS=$(mktemp)
    export CS_RESULTS
    report_owner=1
fi

# report pass|fail|skip NAME [REMARK]
report()
{
    printf '%s\t%s\t%s\n' "$1" "$2" "${3:-}" >>"$CS_RESULTS"
    if [ "$1" != pass ] || [ -n "${VERBOSE:-}" ]; then
        printf '%s: %s%s\n' "$1" "$2" "${3:+: $3}"
    fi
}

# report_many N NAME: N passed cases of one program.
report_many()
{
    printf 'pass\t%s\t\n' "$2" | awk -v n="$1" '{ for (i = 0; i < n; i++) print }' >>"$CS_RESULTS"
}

# The last line of every run. Returns 1 when something failed.
report_sum()
{
    [ -n "$report_owner" ] || return 0
    local failed
    failed=$(grep -c '^fail' "$CS_RESULTS" || true)
    grep '^fail' "$CS_RESULTS" | cut -f2,3 | sort -u | sed 's/^/failed: /' || true
    echo "$(grep -c '^pass' "$CS_RESULTS") passed, $failed failed," \
        "$(grep -c '^skip' "$CS_RESULTS") skipped"
    rm -f "$CS_RESULTS"
    [ "$failed" = 0 ]
}
