#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A device that stops working: no image is blamed, the run pauses, goes on when the device works
# again, and ends with status 5 when it does not; what was computed is written, and another run
# takes up the rest. Bad images, however many in a row, are no reason for that.
. "$SRC/tests/support/infer.sh"
stream-make -n 13 -W 96 -H 64 -p image >images.cs
cs-infer -i images.cs -d fake -m tiny -T 1 >good.cs || fail "a run without faults"
cs-save -q -i good.cs -o good -f probability --as npy || fail "cs-save"

# From the 6th job on, as long as the file `gone` is there.
gone="error@6:once=$PWD/gone,error@1+:while=$PWD/gone"

# computed AT-LEAST: the items of bad.cs are good ones, in order, none failed; END says why.
computed()
{
    rm -rf bad
    cs-view -i bad.cs >view
    cs-save -q -i bad.cs -o bad -f probability --as npy
    mkdir -p bad/probability
    grep -q '^END .*failed=0.*exit=5.*reason=the device does not work' view || fail "$(tail -n 1 view)"
    [ "$(grep -c '^DONE.*status=ok' view)" -ge "$1" ] || fail "too few items: $(cat view)"
    ! grep '^DONE' view | grep -v status=ok || fail "an image is blamed"
    sed -n 's/^BEGIN.*source=synthetic-\([0-9]*\).*/\1/p' view | sort -n -c || fail "order"
    diff -r good bad | grep -v '^Only in good' >&2 && fail "other bytes"
}

for options in "" "-s 4" "-b 4" "-s 4 -b 4"; do
    rm -f gone
    # shellcheck disable=SC2086
    infer 5 bad.cs -d "fake:$gone" -m tiny -T 1 --pause 0.1 $options
    says "the device does not work, asked 3 times: fake: a scripted device error"
    [ "$(grep -c 'next try in 0.1 s' stderr)" = 2 ] || fail "pauses: $(cat stderr)"
    case $options in # of what is in flight with the job that fails, nothing is finished
    "") computed 5 ;;
    "-b 4") computed 4 ;;
    *) computed 0 ;;
    esac
done

# Every other way in which a device can be gone.
for script in crash@1+ oom@1+ "crash@6:once=$PWD/gone,crash@load:while=$PWD/gone"; do
    rm -f gone
    infer 5 bad.cs -d "fake:$script" -m tiny -T 1 --pause 0.1
    computed 0
done
infer 5 bad.cs -d fake:hang@1+ -m tiny -T 1 --pause 0.1 --timeout 0.2 --retries 1
computed 0
rm -f gone
infer 5 bad.cs -d "fake:crash@6:once=$PWD/gone,hang@load:while=$PWD/gone" -m tiny -T 1 \
    --pause 0.1 --load-timeout 0.5
computed 0

# Of an image in tiles some rows are out already: it ends there, with the device's reason.
rm -f gone
infer 5 bad.cs -d "fake:${gone/@6/@9}" -m tiny -T 1 --pause 0.1 --fit tile --tile 32
cs-view -i bad.cs >view
grep -q '^DATA 0.*rows 0-' view || fail "no rows: $(cat view)"
grep -q '^DONE 0.*status=failed.*error.text=the device does not work' view || fail "$(cat view)"
grep -q '^END 1.*exit=5.*reason=the device does not work' view || fail "$(cat view)"

# pixel ITEM: what the fake device knows the item by.
pixel()
{
    echo $(($(cs-view -i images.cs --item "$1" --plane image --as npy | od -An -tu1 -j128 -N1)))
}

# It comes back in the second pause. The image that it was lost with has all its tries then.
again=error@pixel=$(pixel 5):once=$PWD
for options in "" "-s 4 -b 4" "--retries 2"; do
    rm -f gone stderr first second
    script=$gone
    [ "$options" = "--retries 2" ] && script+=",$again/first,$again/second"
    # shellcheck disable=SC2086
    cs-infer -i images.cs -d "fake:$script" -m tiny -T 1 --pause 1 $options >bad.cs 2>stderr &
    run=$!
    for ((i = 0; i < 600; i++)); do
        [ "$(grep -s -c 'next try in' stderr)" = 2 ] && break
        sleep 0.02
    done
    [ -f gone ] || fail "the device was never gone"
    ln -sf nowhere gone # neither there, nor to be created once more
    wait $run || fail "status $?: $(cat stderr)"
    rm -rf bad
    cs-save -q -i bad.cs -o bad -f probability --as npy
    diff -r good bad >&2 || fail "other bytes after a pause"
done
[ -f second ] || fail "the image did not fail again"

# Many bad images in a row, each at fault for itself.
script=
for i in 3 4 5 6 7; do
    script+=${script:+,}crash@pixel=$(pixel $i)
done
for options in "" "-s 4 -b 4"; do
    # shellcheck disable=SC2086
    infer 1 bad.cs -d "fake:$script" -m tiny -T 1 --pause 0.1 --retries 1 $options
    ! grep 'next try in' stderr || fail "bad images opened the breaker"
    rm -rf bad
    cs-save -q -i bad.cs -o bad -f probability --as npy
    [ "$(diff -r good bad | grep -c 'Only in good')" = 5 ] || fail "$(diff -r good bad)"
    diff -r good bad | grep -v '^Only in good' >&2 && fail "other bytes"
done

# A signal in a pause ends it: the device is asked once more.
rm -f gone stderr
cs-infer -i images.cs -d "fake:$gone" -m tiny -T 1 --pause 60 >bad.cs 2>stderr &
run=$!
for ((i = 0; i < 600; i++)); do
    grep -s -q 'next try in' stderr && break
    sleep 0.02
done
kill -TERM $run
status=0
wait $run || status=$?
[ $status = 5 ] || fail "status $status after a signal: $(cat stderr)"
computed 5

# The same command finishes the job.
export CELLSTREAM_THREADS=1
mkdir in
for i in 10 11 12 13 14 15 16 17 18; do
    cp "$TESTDATA/nuclei/fluorescence-16bit.tif" in/$i.tif
done
expect 0 cs-run -q -m tiny -d fake -o whole in
rm -f gone
expect 5 cs-run -q -m tiny -d "fake:$gone" --pause 0.1 -o out in
says "the device does not work"
[ "$(find out/polygons -name '*.geojson' | wc -l)" -ge 1 ] || fail "nothing was kept"
rm -f gone
expect 0 cs-run -q -m tiny -d fake -o out in
for part in objects.csv images.csv labels polygons; do
    diff -r whole/$part out/$part >&2 || fail "$part after resuming"
done

# What the manifest says of images at fault.
first=$(($(cs-load in/10.tif | cs-view --item 0 --plane image --as npy | od -An -tu2 -j128 -N2)))
for line in crash:UNKNOWN error:UNKNOWN oom:OUT_OF_MEMORY nan:MODEL_ERROR; do
    rm -rf out
    expect 1 cs-run -q -m tiny -d "fake:${line%:*}@pixel=$first" --retries 1 --pause 1 -o out \
        in/10.tif
    grep -h '"status":"failed"' out/.cs/*.manifest.jsonl | grep "\"code\":\"${line#*:}\"" |
        grep -q '"stage":"cs-infer"' || fail "$line: $(cat out/.cs/*.manifest.jsonl)"
    grep -q '"tries":[12][,}]' out/.cs/*.manifest.jsonl || fail "$line: no tries"
done
exit 0
