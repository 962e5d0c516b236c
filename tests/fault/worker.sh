# SPDX-License-Identifier: MIT
# The worker process crashes, hangs, is killed or lacks memory: only the image at fault fails, the
# others keep their bytes and their order, and no process is left behind.
. "$SRC/tests/support/infer.sh"
mkdir in
cp -r "$TESTDATA/nuclei" in/a && cp -r "$TESTDATA/spheroid" in/b && cp -r "$TESTDATA/nuclei" in/c
cs-load in >images.cs || fail "cs-load"
infer 0 good.cs -d ref -m tiny
first=$(cs-view -i images.cs --item 4 --plane image --as npy | tail -c +129 | head -c 1 | od -An -tu1)
first=$((first))

# fails ITEM... : these items of bad.cs failed, the others are those of good.cs.
fails()
{
    maps good.cs >wanted
    for item; do
        sed -i "s/^$item .*/$item failed/" wanted
    done
    maps bad.cs >got
    diff wanted got >&2 || {
        echo "line ${BASH_LINENO[0]}" >&2
        exit 1
    }
}

# The image at fault crashes every worker; with slots and batches others are in flight with it.
for options in "" "-s 2 -b 2"; do
    # shellcheck disable=SC2086
    infer 1 bad.cs -d fake:crash@pixel=$first -m tiny --pause 1 --retries 1 $options
    says 'spheroid.png: the worker process died: Segmentation fault'
    fails 4
    cs-view -i bad.cs | grep -q 'DONE 4.*error.code=UNKNOWN.*error.stage=cs-infer' || fail "code"
done
infer 1 bad.cs -d fake:crash@pixel=$first -m tiny --pause 1 --retries 0 -s 4
fails 4

# A crash that does not happen again costs nothing but a try.
infer 0 bad.cs -d "fake:crash@3:once=$PWD/once" -m tiny --pause 1 --pause 1
fails
cs-view -i bad.cs | grep -q 'DONE 2.*tries=2' || fail "tries"

# Errors of the device are tried again, a lack of memory of one image is not.
infer 1 bad.cs -d fake:error@pixel=$first -m tiny --pause 1 --retries 2
fails 4
cs-view -i bad.cs | grep -q 'DONE 4.*tries=3' || fail "tries of an error"
infer 0 bad.cs -d "fake:error@2:once=$PWD/once2" -m tiny --pause 1 --pause 1 -b 4
fails
infer 1 bad.cs -d fake:oom@pixel=$first -m tiny --pause 1 -b 4
fails 4
cs-view -i bad.cs | grep -q 'DONE 4.*error.code=OUT_OF_MEMORY' || fail "code of a lack of memory"
infer 1 bad.cs -d fake:nan@pixel=$first -m tiny --pause 1 -b 3
fails 4
cs-view -i bad.cs | grep -q 'DONE 4.*error.code=MODEL_ERROR' || fail "code of NaN"
infer 2 bad.cs -d fake:explode@1 -m tiny --pause 1

# Workers that cannot start: at first, and never.
infer 0 bad.cs -d "fake:crash@load:once=$PWD/once3" -m tiny --pause 1 --pause 1
fails
infer 5 bad.cs -d fake:crash@load -m tiny --pause 1
says 'loading the model, 3 tries: the worker process died'
cs-view -i bad.cs | grep -q '^END 0.*exit=5.*reason=loading' || fail "END without the reason"
infer 5 bad.cs -d fake:error@load -m tiny --pause 1

# kill -9 of the worker, while it loads, while it works, and again while its successor does.
for options in "" "-s 3" "-b 4" "-s 2 -b 2" "" "-s 4 -b 4"; do
    # shellcheck disable=SC2086
    cs-infer -i images.cs -d "fake:slow@2,slow@4" -m tiny --pause 1 $options >bad.cs 2>stderr &
    run=$!
    for _ in 1 2; do
        sleep 0.$((RANDOM % 30 + 10))
        worker=$(pgrep -P $run) && kill -9 $worker 2>/dev/null
    done
    wait $run || fail "the run failed: $(cat stderr)"
    fails
    [ -e "/proc/${worker:-none}" ] && fail "the worker is still there"
done

# kill -9 of cs-infer: the worker goes with it.
cs-infer -i images.cs -d fake:hang@1 -m tiny >bad.cs 2>stderr &
run=$!
for ((i = 0; i < 100; i++)); do
    worker=$(pgrep -P $run) && break
    sleep 0.02
done
sleep 0.2
kill -9 $run
wait $run 2>/dev/null
for ((i = 0; i < 100; i++)); do
    [ -e "/proc/$worker" ] || break
    sleep 0.02
done
[ -e "/proc/$worker" ] && fail "the worker outlives cs-infer"
exit 0
