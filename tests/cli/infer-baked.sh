# SPDX-License-Identifier: MIT
# A network that declares any number of images but reshapes to one: it runs them one by one.
model=$SRC/tests/cli/infer-baked
cs-load "$TESTDATA/nuclei" >images.cs || exit 1
cs-infer -q -d ref -m "$model" -b 4 <images.cs >four.cs || exit 1
cs-view -i four.cs >text
head -n 1 text | grep -q -w 'batch=1' || { echo "batches of more than one"; exit 1; }
[ "$(grep -c '^DONE.*status=ok' text)" = 4 ] || { echo "not all images are done"; exit 1; }
