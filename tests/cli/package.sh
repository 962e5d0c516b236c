# SPDX-License-Identifier: MIT
# cs-model package: bare networks become packages that check and run at once; what contradicts the
# graph is refused.
. "$SRC/tests/support/infer.sh"
cs-load "$TESTDATA/nuclei/fluorescence.png" >images.cs || fail "cs-load"
nets=$TESTDATA/models

package() # STATUS FILE OPTION...
{
    local wanted=$1 file=$2
    shift 2
    expect "$wanted" cs-model package "$file" "$@"
}

# check FOLDER: its files, settings and test agree on every device.
check()
{
    expect 0 cs-model check "./$1"
    [ "$(grep -c '^device.*mask IoU 1.000000$' stdout)" = 2 ] || fail "check $1"
}

# Logits of two channels: what the graph does not show must be said.
package 2 "$nets/tiny/tiny.onnx"
says 'where to? (-o DIR)'
package 2 "$nets/tiny/tiny.onnx" -o tiny
says 'name them with --maps'
package 2 "$nets/tiny/tiny.onnx" -o tiny --maps foreground,distance
says 'say --activation'
package 2 "$nets/tiny/tiny.onnx" -o tiny --maps foreground --activation sigmoid
says '1 names, output output has 2 channels'
package 2 "$nets/tiny/tiny.onnx" -o tiny --maps foreground,distance --activation sigmoid --stride 2
says '--stride 2: node join'
[ ! -e tiny ] || fail "a refusal left something"
tiny=(--maps foreground,distance --activation sigmoid --license MIT --name 'A "tiny" one: #1')
package 0 "$nets/tiny/tiny.onnx" -o tiny/ "${tiny[@]}" --post threshold=0.4,min_area=20
check tiny
expect 0 cs-model info ./tiny
grep -q '^name	A "tiny" one: #1$' stdout || fail "name"
grep -q '^input	input	float32	b c=1 y=32+4k x=32+4k	scale_range$' stdout || fail "axes"
grep -q '^post	min-area=20$' stdout || fail "postprocess"
infer 0 out.cs -m ./tiny
cs-view -i out.cs | head -n 1 | grep -q 'maps=foreground,distance.*post.threshold=0.4' || fail HEAD

# The same bytes wherever and whenever it is made; never over another package.
package 2 "$nets/tiny/tiny.onnx" -o tiny "${tiny[@]}"
says 'tiny/rdf.yaml is there already'
mkdir here && cp "$nets/tiny/tiny.onnx" here
(cd here && cs-model package tiny.onnx -o . "${tiny[@]}" --post threshold=0.4,min_area=20 >stdout) ||
    fail "beside the file"
for file in rdf.yaml tiny.onnx test_input.npy test_output.npy; do
    cmp "tiny/$file" "here/$file" || fail "$file differs"
done
if ls -A tiny here | grep -q tmp; then fail "temporary files are left"; fi

# A probability already, two channels, weights in a file beside it.
package 0 "$nets/bare/beside.onnx" -o beside --normalise unit
check beside
grep -q 'file	.*beside.onnx.data	sha256 agrees' stdout || fail "external weights are not checked"
grep -q postprocessing beside/rdf.yaml && fail "a second sigmoid"
package 2 "$nets/bare/beside.onnx" -o x --activation sigmoid
says 'is a probability already (Sigmoid last)'
package 2 "$nets/bare/beside.onnx" -o x --normalise imagenet
says 'three channels'
chmod u+w beside/beside.onnx.data && printf 'x' >>beside/beside.onnx.data
expect 4 cs-model check ./beside
says 'beside.onnx.data: its sha256 is'
infer 4 out.cs -m ./beside
says 'beside.onnx.data: its sha256 is'

# The network's own name stays, but for the names of the other files.
cp "$nets/tiny/tiny.onnx" cells.v2.onnx && mkdir taken && cp cells.v2.onnx taken/test_output.npy
package 0 cells.v2.onnx -o named --maps foreground,distance --activation sigmoid
grep -q '^name: cells.v2$' named/rdf.yaml || fail "name of the file"
package 2 taken/test_output.npy -o taken --maps foreground,distance --activation sigmoid
says 'test_output.npy: a package has another file of this name'
cmp cells.v2.onnx taken/test_output.npy || fail "the network was overwritten"

# A size for images of any plane; several outputs.
package 2 "$nets/whole/whole.onnx" -o x --fit pad --size 64x64
says '--size goes with --fit resize'
package 0 "$nets/tiny/tiny.onnx" -o sized "${tiny[@]}" --size 128x64 --normalise zero-mean
check sized
grep -q 'size: \[64, 128\]' sized/rdf.yaml || fail "size"
package 2 "$nets/tiny/tiny.onnx" -o x "${tiny[@]}" --size 66x64
says 'multiples of 4'
package 2 "$nets/tiny/tiny.onnx" -o x "${tiny[@]}" --size 1000000x1000000
says '--size 1000000x1000000: input'
package 2 "$nets/pair/pair.onnx" -o x --maps foreground=prob,flow=nothing.1
says 'has no map nothing.1'
package 0 "$nets/pair/pair.onnx" -o pair --maps foreground=prob,flow=flows.1 --activation flows=none
check pair
infer 0 out.cs -m ./pair
cs-view -i out.cs | head -n 1 | grep -q 'maps=foreground,flow' || fail "maps of two outputs"

# A test image of one's own, and what goes wrong.
package 0 "$nets/pair/pair.onnx" -o own --maps foreground=prob --test "$nets/pair/test_input.npy"
check own
cmp own/test_input.npy "$nets/pair/test_input.npy" || fail "another test image"
package 4 "$nets/pair/pair.onnx" -o x --maps foreground=prob --test "$nets/whole/test_input.npy"
says 'the test image does not fit'
package 2 "$nets/pair/pair.onnx" -o x --maps foreground=prob --post treshold=1
says '--post'
package 2 "$nets/pair/pair.onnx" -o x --maps foreground=prob --normalise percentile:9
says '2 numbers are needed'
package 2 "$nets/pair/pair.onnx" -o x --maps foreground=prob --name "$(printf 'a\377b')"
says 'could not be read again'
package 4 "$TESTDATA/nuclei/fluorescence.png" -o x
says 'not an ONNX file'
package 1 nowhere.onnx -o x
package 1 "$nets/pair/pair.onnx" -o /dev/null/x --maps foreground=prob
[ ! -e x/rdf.yaml ] || fail "a refused package is there"
exit 0
