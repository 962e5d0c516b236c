# SPDX-License-Identifier: MIT
# What every command does with --help, --version, wrong options and a full disk; and cs-load, which
# reads files, in the troubles that tests/fault/every-tool.sh makes for the readers of streams.
. "$SRC/tests/support/cli.sh"

for source in "$SRC"/tools/cs-*.c "$SRC"/scripts/cs-*; do
    name=${source##*/}
    name=${name%.c}
    expect 0 "$name" --help
    grep -q '^Usage: ' stdout || fail "$name --help"
    expect 0 "$name" --version
    grep -q "^$name (CellStream) [0-9]" stdout || fail "$name --version: $(cat stdout)"
    expect 2 "$name" --no-such-option
    [ "$(wc -l <stderr)" = 1 ] || fail "$name: more than one line about a wrong option"
    grep -q "^$name: .*no-such-option" stderr || fail "$name: $(cat stderr)"
    for option in --help --version --options; do
        status=0
        "$name" "$option" >/dev/full 2>stderr || status=$?
        [ $status != 0 ] || fail "$name $option to a full disk ends with 0"
    done
done

expect 2 cs-load
expect 3 cs-load -F /dev/null
expect 1 cs-load nowhere.png
says 'nowhere.png'
# An unreadable file; root may read all.
cp "$TESTDATA/nuclei/brightfield.png" locked.png
chmod 000 locked.png
if ! cat locked.png >/dev/null 2>&1; then
    expect 1 cs-load locked.png "$TESTDATA/nuclei/histology.png"
    says 'locked.png'
fi
status=0
cs-load "$TESTDATA/nuclei" >/dev/full 2>stderr || status=$?
[ $status = 1 ] || fail "cs-load to a full disk: $status"
says 'No space left on device'
cs-load "$TESTDATA/nuclei" "$TESTDATA/spheroid" 2>stderr | head -c 100 >/dev/null
[ "${PIPESTATUS[0]}" = 141 ] || fail "cs-load into a closed pipe: ${PIPESTATUS[0]}"
[ ! -s stderr ] || fail "cs-load into a closed pipe: $(cat stderr)"
