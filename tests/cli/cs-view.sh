#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# cs-view: frames as text, the table, one plane, and what it says about broken input.
. "$SRC/tests/support/cli.sh"
stream-make -n 4 -W 7 -H 5 -t u16 -r 2 -f 3 -e 2 -p image,labels >a.cs

echo "# frames"
cs-view -i a.cs | sed 's/\(stream-make=\)[0-9.]*/\1VERSION/'
echo "# status ${PIPESTATUS[0]}"
echo "# table"
cs-view --stats <a.cs
echo "# status $?"
echo "# plane"
cs-view --item 0 -i a.cs | head -n 7
cs-view --item 3 --plane labels --as npy -i a.cs | od -A d -t x1z | head -n 9
stream-make -n 2 -x 143 --reason "ended by a signal" | cs-view | tail -n 1
echo "# status ${PIPESTATUS[1]}"

# PAM is big-endian, the stream little-endian: both ways the same samples.
expect 0 cs-view --item 0 -i a.cs
tail -c 70 stdout | dd conv=swab 2>/dev/null >swapped
expect 0 cs-view --item 0 --as npy -i a.cs
tail -c 70 stdout | cmp - swapped || fail "PAM and NPY differ"

expect 3 cs-view --item 4 -i a.cs
says "the stream has no item 4"
expect 3 cs-view --item 0 --plane probability -i a.cs
says "item 0 has no probability plane"
expect 1 cs-view --item 2 -i a.cs
says "item 2 failed: asked to fail"
stream-make -t f32 >f.cs
expect 2 cs-view --item 0 -i f.cs
says "PAM holds u8 and u16, not f32"
expect 2 cs-view --item 0 --stats -i a.cs
says "exclude each other"
expect 2 cs-view a.cs
says "goes with --input"
expect 2 cs-view --no-such-option
expect 3 cs-view -i missing.cs
says "missing.cs: No such file"
expect 6 cs-view -i /dev/null
says "/dev/null: empty"
expect 6 cs-view -i "$SRC/LICENSE"
says "LICENSE: not a stream"
head -c 1000 a.cs >cut.cs
expect 6 cs-view -i cut.cs
says "cut.cs: the stream ends"
cat a.cs a.cs >twice.cs
expect 6 cs-view -i twice.cs
says "bytes after END"
printf 'x' | dd of=a.cs bs=1 seek=700 conv=notrunc 2>/dev/null
expect 6 cs-view -i a.cs
says "checksum"
expect 1 bash -c 'stream-make | cs-view >/dev/full'
says "standard output: No space left"
exit 0
