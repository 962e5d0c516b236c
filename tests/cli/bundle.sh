# SPDX-License-Identifier: MIT
# make bundle: unpacked in another folder and run with an empty environment, the programs find their
# libraries and models there, and give the bytes that the build gives; the plug-in, where it was
# built, says in one line what the machine lacks.
. "$SRC/tests/support/cli.sh"
case $BUILD in *-san) skip "sanitized programs are not bundled" ;; esac
export CELLSTREAM_THREADS=2
plugin=
# Where it was built and is not older than its sources.
make -q -C "$SRC" CUDA=1 BUILD="${BUILD#"$SRC"/}" "${BUILD#"$SRC"/}/lib/cellstream/cuda.so" \
    >/dev/null 2>&1 && plugin=CUDA=1
# shellcheck disable=SC2086
expect 0 make -s -C "$SRC" bundle BUILD="${BUILD#"$SRC"/}" BUNDLE="$PWD/bundle.tar.gz" $plugin
mkdir "other place" && tar -xf bundle.tar.gz -C "other place" || fail "tar"
root=$(echo "$PWD/other place"/cellstream-*)
[ "$(find . -maxdepth 2 -name 'cellstream-*' | wc -l)" = 1 ] || fail "not one folder"
bare=(env -i HOME=/nonexistent PATH=/usr/bin:/bin CELLSTREAM_THREADS=2)

# Of what the programs load, the C library alone lies elsewhere.
for program in "$root"/bin/* "$root"/libexec/*; do
    [ "$(head -c 2 "$program")" = '#!' ] && continue
    "${bare[@]}" ldd "$program" | grep '=>' | grep -v -F "=> $root/" |
        grep -v -E '^.(lib(c|m|dl|rt|pthread|resolv)|ld-linux[^ ]*)\.so[.0-9]* ' >outside &&
        fail "$program loads $(cat outside)"
done

cp -r "$TESTDATA/nuclei" images
expect 0 cs-run -q -m nuclei -o here --overlay images
expect 0 "${bare[@]}" "$root/bin/cs-run" -q -m nuclei -o there --overlay images
[ ! -s stderr ] || fail "not quiet: $(cat stderr)"
for part in labels polygons overlays objects.csv; do
    diff -r here/$part there/$part >&2 || fail "$part differs from the build's"
done
expect 0 "${bare[@]}" "$root/bin/cs-model" check nuclei -d cpu
says_path=$root/share/cellstream/models/nuclei
grep -q -F "$says_path" stdout || fail "another model: $(cat stdout)"
expect 0 "${bare[@]}" "$root/libexec/onnx-case" -d cpu "$root"/tests/golden/onnx-cases/range

# Each library has its licence.
while read -r library package _; do
    [ -e "$root/lib/$library" ] || fail "README names $library"
    [ -z "$package" ] || [ -s "$root/share/doc/libraries/$package" ] || fail "no licence of $package"
done < <(sed -n 's/^    \(lib[^ ]*\.so[^ ]*\)/\1/p' "$root/README")
[ -s "$root/share/man/man1/cs-infer.1" ] && [ -s "$root/LICENSE" ] || fail "no pages or no licence"

# The checks for GPUs run from there as well.
expect 0 "${bare[@]}" "$root/tests/cuda/check" -d cpu -m "$root/testdata/models/tiny" -o check.txt \
    operators models precisions sharing

expect 0 "${bare[@]}" "$root/bench/gpu" -d cpu -m "$root/testdata/models/tiny" -o gpu.tsv -- \
    -s 1 -b 1 --size 64x64 --seconds 0

# refuses [VARIABLE]...: cs-infer -d cuda says why not in one line, which goes to `stderr`; not where
# there is a GPU, of which tests/cuda/check has more to say.
refuses()
{
    local status=0
    "${bare[@]}" "$@" "$root/bin/cs-infer" -d cuda -m nuclei </dev/null >/dev/null 2>stderr ||
        status=$?
    [ $status = 5 ] || exit 0
    [ "$(wc -l <stderr)" = 1 ] || fail "more than a line: $(cat stderr)"
}
refuses
if [ -z "$plugin" ]; then
    says 'device cuda: there is no plug-in'
    exit 0
fi
grep -q -E 'cuDNN 9 is missing|NVIDIA driver' stderr || fail "$(cat stderr)"
refuses LD_LIBRARY_PATH="${CUDA_HOME:-/usr/local/cuda}/lib64"
says 'NVIDIA driver'
