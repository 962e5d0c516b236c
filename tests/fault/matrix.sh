#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Each kind of fault, at one image or at one moment, with 1 and 4 slots and batches of 1 and 4: only
# an image at fault fails, with the right code; all others have the bytes and the order of a run
# without faults.
. "$SRC/tests/support/infer.sh"
stream-make -n 13 -W 96 -H 64 -p image >images.cs
cs-infer -i images.cs -d fake -m tiny -T 1 >good.cs || fail "a run without faults"
cs-save -q -i good.cs -o good -f probability --as npy || fail "cs-save"
cs-view -i good.cs | grep '^BEGIN' >good.order
# The image at fault is item 5, known by its first sample.
bad=$(($(cs-view -i images.cs --item 5 --plane image --as npy | od -An -tu1 -j128 -N1)))

# scenario STATUS CODE TRIES SCRIPT [OPTION...]: CODE and TRIES of item 5; CODE ok: nothing fails.
scenario()
{
    local wanted=$1 code=$2 tries=$3 script=$4 slots batch
    shift 4
    for slots in 1 4; do
        for batch in 1 4; do
            rm -rf bad mark
            infer "$wanted" bad.cs -d "fake:$script" -m tiny -s $slots -b $batch -T 1 --pause 1 "$@"
            cs-view -i bad.cs >view
            grep '^BEGIN' view | cmp - good.order || fail "$script -s $slots -b $batch: order"
            cs-save -q -i bad.cs -o bad -f probability --as npy
            if [ "$code" = ok ]; then
                diff -r good bad >&2 || fail "$script -s $slots -b $batch: other bytes"
                continue
            fi
            diff -r good bad >differs
            echo "Only in good/probability: synthetic-5.npy" | cmp - differs ||
                fail "$script -s $slots -b $batch: $(cat differs)"
            grep '^DONE 5' view | grep -q "error.code=$code.*tries=$tries" ||
                fail "$script -s $slots -b $batch: $(grep '^DONE 5' view)"
        done
    done
}

# By image. In company the first try counts for nobody, so there is one more.
scenario 1 UNKNOWN '[23]$' crash@pixel=$bad --retries 1
scenario 1 UNKNOWN '[23]$' error@pixel=$bad --retries 1
scenario 1 TIMEOUT '[23]$' hang@pixel=$bad --retries 1 --timeout 0.3
scenario 1 OUT_OF_MEMORY '[1234]$' oom@pixel=$bad
scenario 1 MODEL_ERROR 2 nan@pixel=$bad
scenario 1 UNKNOWN '[12]$' crash@pixel=$bad --retries 0
# By moment: nothing is lost.
scenario 0 ok 0 "crash@3:once=$PWD/mark"
scenario 0 ok 0 "error@3:once=$PWD/mark"
scenario 0 ok 0 "hang@3:once=$PWD/mark" --timeout 0.3
scenario 0 ok 0 "oom@batch=2"
scenario 0 ok 0 "oom@batch=4:once=$PWD/mark"
scenario 0 ok 0 "nan@3:once=$PWD/mark"
scenario 0 ok 0 "crash@load:once=$PWD/mark"
scenario 0 ok 0 "hang@load:once=$PWD/mark" --load-timeout 0.5
exit 0
