# SPDX-License-Identifier: MIT
# cs-run into a disk that is full: one clear line, status 1, nothing half-written, and a whole result
# once there is room.
. "$SRC/tests/support/cli.sh"
[ -e "$SRC/models/nuclei/rdf.yaml" ] || skip "no model nuclei"
unshare -rm true 2>unshare.err || skip "no mount of its own: $(cat unshare.err)"
export CELLSTREAM_THREADS=2

cat >full.sh <<'END'
mount -t tmpfs -o size=40k tmpfs disk || exit 99
cs-run -m nuclei -o disk/out "$TESTDATA/nuclei" 2>said
echo $? >status
find disk -name '.*.tmp*' >left
mount -o remount,size=50m disk || exit 99
cs-run -q -m nuclei -o disk/out --retry-failed "$TESTDATA/nuclei" || exit 98
cp -r disk/out resumed
END
mkdir disk
expect 0 unshare -rm bash full.sh
[ "$(cat status)" = 1 ] || fail "status $(cat status): $(cat said)"
grep -q 'No space left on device' said || fail "$(cat said)"
[ ! -s left ] || fail "left behind: $(cat left)"
expect 0 cs-run -q -m nuclei -o whole "$TESTDATA/nuclei"
for part in objects.csv images.csv labels polygons; do
    diff -r whole/$part resumed/$part >diff || fail "$part: $(head diff)"
done
