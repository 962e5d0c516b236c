#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Several devices, a worker each, that share the images of one run: the same bytes in the same
# order whatever their number. What one loses, by a crash, a hang or for good, the others or its own
# successor take up; only when all are lost the run ends.
. "$SRC/tests/support/infer.sh"
stream-make -n 13 -W 96 -H 64 -p image >images.cs
infer 0 good.cs -d fake -m tiny

# With workers that all do well.
for options in "fake:;" "fake:; -s 2" "fake:; -b 4" "fake:;; -s 2 -b 2" "fake:;;;;"; do
    # shellcheck disable=SC2086
    infer 0 out.cs -m tiny -v -d $options
    same_maps good.cs out.cs
done
[ "$(grep -c 'on fake, fp32' stderr)" = 5 ] || fail "not five devices: $(cat stderr)"

# A worker that crashes, hangs or fails once: nothing is lost, and the line says whose it was.
n=0
for script in "crash@1:once=F;" "error@1:once=F;" "crash@1:once=F;slow@1" \
    "hang@1:once=F;slow@1:once=G" \
    "crash@1:once=F;crash@1:once=G"; do
    for options in "" "-s 2 -b 2"; do
        n=$((n + 1))
        faults=${script/F/once.$n}
        # shellcheck disable=SC2086
        infer 0 out.cs -m tiny --pause 1 --timeout 0.5 $options -d "fake:${faults/G/other.$n}"
        same_maps good.cs out.cs
        [ -e once.$n ] || fail "$script did not happen"
        # While the one hangs, the other has images.
        [[ $script != hang* ]] || [ -e other.$n ] || fail "the second had nothing to do"
        says 'fake:0: '
    done
done
infer 0 out.cs -m tiny -b 4 -d "fake:oom@batch=2:once=$PWD/oom;"
same_maps good.cs out.cs

# One device is lost for good, in every way: the others have all its images, none is blamed. The
# first hangs at first, so that the second gets images, and the input ends when that one is lost.
for script in error@1+ crash@1+ oom@1+ "crash@1:once=$PWD/gone,crash@load:while=$PWD/gone"; do
    rm -f gone hung feed
    mkfifo feed
    cs-infer -m tiny --pause 0.02 --retries 1 --timeout 1 -d "fake:hang@1:once=hung;$script" \
        <feed >out.cs 2>stderr &
    run=$!
    exec 7>feed
    cat images.cs >&7
    for ((i = 0; i < 1000; i++)); do
        grep -q 'the others go on' stderr && break
        sleep 0.05
    done
    exec 7>&-
    wait $run || fail "$script: status $?: $(cat stderr)"
    same_maps good.cs out.cs
    says 'fake:1: the device does not work, asked 3 times, the others go on'
done
for script in hang@1+ "crash@1:once=$PWD/gone,hang@load:while=$PWD/gone"; do
    rm -f gone
    infer 0 out.cs -m tiny --pause 0.1 --timeout 1 --load-timeout 1 -d "fake:;$script"
    same_maps good.cs out.cs
    says 'fake:1: '
done

# All of them.
infer 5 out.cs -m tiny --pause 0.1 -d "fake:error@1+;error@1+"
says 'the others go on: fake: a scripted device error'
says 'the device does not work, asked 3 times: fake: a scripted device error'
cs-view -i out.cs | grep -q '^END .*failed=0.*exit=5' || fail "END: $(cs-view -i out.cs | tail -n 1)"

# An image that is at fault fails on whichever device it is, and it alone.
first=$(($(cs-view -i images.cs --item 4 --plane image --as npy | od -An -tu1 -j128 -N1)))
for kind in crash error oom nan; do
    infer 1 out.cs -m tiny --pause 1 --retries 1 -s 2 -d "fake:$kind@pixel=$first;$kind@pixel=$first"
    maps good.cs | sed 's/^4 .*/4 failed/' >wanted
    maps out.cs >got
    cmp wanted got || fail "$kind: $(cat got)"
done

# One that never comes up ends the run before it began; which devices there are is said in words.
infer 5 out.cs -m tiny -d "fake:;error@load"
says 'a scripted device error at load'
infer 2 out.cs -m tiny -d "fake:;explode@1"
infer 2 out.cs -m tiny -d "fake:;;;;;;;;;;;;;;;;"
says 'more than 16 devices'
# Devices that offer different precisions.
infer 5 out.cs -m tiny --precision fp16 -d "fake:fp16;"
says 'the device offers fp32'
infer 0 one.cs -m tiny --precision fp16 -d fake:fp16
infer 0 out.cs -m tiny --precision fp16 -d "fake:fp16;fp16"
same_maps one.cs out.cs

# No process is left behind, whichever way cs-infer ends.
cs-infer -i images.cs -d "fake:hang@1;hang@1" -m tiny >out.cs 2>stderr &
run=$!
for ((i = 0; i < 500; i++)); do
    mapfile -t workers < <(pgrep -P $run)
    [ ${#workers[@]} = 2 ] && break
    sleep 0.02
done
[ ${#workers[@]} = 2 ] || fail "not two workers: ${workers[*]}"
kill -9 $run
wait $run 2>/dev/null
for ((i = 0; i < 500; i++)); do
    [ -e "/proc/${workers[0]}" ] || [ -e "/proc/${workers[1]}" ] || exit 0
    sleep 0.02
done
fail "workers outlive cs-infer"
