# SPDX-License-Identifier: MIT
# What every filter does with an empty input, a truncated stream, a full disk, an unreadable file,
# SIGTERM and a closed pipe; and what every command does with options.
. "$SRC/tests/support/cli.sh"

commands=$(cd "$BUILD/bin" && ls -d cs-*)
for name in $commands; do
    expect 0 "$name" --help
    grep -q '^Usage: ' stdout || fail "$name --help"
    expect 0 "$name" --version
    grep -q "^$name (CellStream) [0-9]" stdout || fail "$name --version: $(cat stdout)"
    expect 2 "$name" --no-such-option
    [ "$(wc -l <stderr)" = 1 ] || fail "$name: more than one line about a wrong option"
    grep -q "^$name: .*no-such-option" stderr || fail "$name: $(cat stderr)"
    status=0
    "$name" --help >/dev/full 2>stderr || status=$?
    [ $status != 0 ] || case $name in cs-run | cs-batch) ;; *) fail "$name --help to a full disk" ;; esac
done

# The filters that read a stream, each with what it needs.
model=
[ -e "$SRC/models/nuclei/rdf.yaml" ] && [ -x "$BUILD/bin/cs-infer" ] && model=1
filter() # NAME: fills `command`
{
    case $1 in
    cs-infer) command=(cs-infer -m nuclei -T 1) ;;
    cs-save) command=(cs-save -o saved --pass) ;;
    cs-polygonize) command=(cs-polygonize -f ndjson -o -) ;;
    *) command=("$1") ;;
    esac
}
filters="cs-postprocess cs-save cs-polygonize cs-view ${model:+cs-infer}"
stream-make -n 3 -p image,probability,labels -W 64 -H 64 >good.cs
stream-make -n 0 >none.cs
head -c 5000 good.cs >cut.cs
head -c 40 good.cs >stub.cs
echo 'this is no stream, but it is longer than a header of sixty-four bytes.' >text

for name in $filters; do
    filter "$name"
    expect 0 "${command[@]}" -i good.cs
    # Nothing at all, a piece of a header, something else: exit 6 and one reason.
    for input in /dev/null stub.cs text cut.cs; do
        expect 6 "${command[@]}" -i $input
        grep -q "^$name: " stderr || fail "$name -i $input: $(cat stderr)"
    done
    # No items is no input.
    expect 3 "${command[@]}" -i none.cs
    # A file that is not there, or may not be read.
    expect 3 "${command[@]}" -i nowhere.cs
    says 'nowhere.cs: No such file'
    # A full disk is not a success.
    status=0
    "${command[@]}" -i good.cs >/dev/full 2>stderr || status=$?
    [ $status != 0 ] || fail "$name to a full disk ends with 0"
    grep -q "^$name: .*No space left" stderr || fail "$name to a full disk: $(cat stderr)"
    # A reader that goes away ends the filter, with one word at most: a large stream, so that it
    # must notice.
    stream-make -n 400 -p image,probability,labels -W 200 -H 200 2>/dev/null |
        "${command[@]}" 2>stderr | head -c 100 >/dev/null
    [ "${PIPESTATUS[1]}" != 0 ] || fail "$name into a closed pipe ends with 0"
    [ "$(wc -l <stderr)" -le 1 ] || fail "$name into a closed pipe: $(cat stderr)"
done

# A second SIGTERM kills, the first lets the stream end: the filter in the middle waits for END.
for name in cs-postprocess cs-save ${model:+cs-infer}; do
    filter "$name"
    mkfifo "pipe-$name"
    stream-make -n 40 -d 50 -p image,probability,labels >"pipe-$name" 2>/dev/null &
    maker=$!
    "${command[@]}" <"pipe-$name" >drained.cs 2>stderr &
    worker=$!
    sleep 0.7
    kill -TERM $worker
    wait $worker
    status=$?
    wait $maker
    case $status in
    0 | 143) ;;
    *) fail "$name after SIGTERM: $status, $(cat stderr)" ;;
    esac
    cs-view -i drained.cs | grep -q '^END' || fail "$name after SIGTERM leaves no END"
done

# cs-load: files instead of a stream.
expect 2 cs-load
expect 3 cs-load -F /dev/null
expect 1 cs-load nowhere.png
says 'nowhere.png'
cp "$TESTDATA/nuclei/brightfield.png" locked.png
chmod 000 locked.png
if ! cat locked.png >/dev/null 2>&1; then
    expect 1 cs-load locked.png
    says 'locked.png'
fi
status=0
cs-load "$TESTDATA/nuclei" >/dev/full 2>stderr || status=$?
[ $status != 0 ] || fail "cs-load to a full disk"
cs-load "$TESTDATA/nuclei" "$TESTDATA/spheroid" 2>stderr | head -c 100 >/dev/null
[ "${PIPESTATUS[0]}" = 141 ] || fail "cs-load into a closed pipe: ${PIPESTATUS[0]}"
[ ! -s stderr ] || fail "cs-load into a closed pipe: $(cat stderr)"

# Nothing is left behind.
[ -z "$(ls -A /dev/shm | grep -i cellstream)" ] || fail "left in /dev/shm"
