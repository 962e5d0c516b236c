# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# For tests of cs-infer: the small models, and what a stream's planes hold.
. "$SRC/tests/support/cli.sh"
export CELLSTREAM_MODEL_PATH=$TESTDATA/models
export CELLSTREAM_THREADS=2
unset CUDA_VISIBLE_DEVICES SLURM_JOB_GPUS

# items FILE: number of items.
items()
{
    cs-view -i "$1" | sed -n 's/^END \([0-9]*\).*/\1/p'
}

# maps FILE [PLANE]: one line an item: status and the checksum of its plane.
maps()
{
    local file=$1 plane=${2:-probability} i status
    for ((i = 0; i < $(items "$file"); i++)); do
        status=$(cs-view -i "$file" | sed -n "s/^DONE $i.*status=\([a-z]*\).*/\1/p")
        if [ "$status" = ok ]; then
            echo "$i ok $(cs-view -i "$file" --item $i --plane "$plane" --as npy | cksum)"
        else
            echo "$i $status"
        fi
    done
}

# same_maps FILE FILE: both streams hold the same items with the same bytes.
same_maps()
{
    maps "$1" >maps.1
    maps "$2" >maps.2
    [ -s maps.1 ] || fail "$1: no items"
    cmp -s maps.1 maps.2 || {
        diff maps.1 maps.2 >&2
        echo "line ${BASH_LINENO[0]}: $1 and $2 differ" >&2
        exit 1
    }
}

# infer STATUS OUTPUT OPTION...: run cs-infer on images.cs; messages go to `stderr`.
infer()
{
    local wanted=$1 output=$2 status=0
    shift 2
    cs-infer -i "${IMAGES:-images.cs}" "$@" >"$output" 2>stderr || status=$?
    if [ $status != "$wanted" ]; then
        cat stderr >&2
        echo "line ${BASH_LINENO[0]}: status $status instead of $wanted: cs-infer $*" >&2
        exit 1
    fi
}

# fresh MODEL: m is a copy of this model, to be changed.
fresh()
{
    chmod -R u+w m 2>/dev/null
    rm -rf m
    cp -r "$TESTDATA/models/$1" m && chmod -R u+w m
}

# broken WORDS: cs-infer and cs-model refuse m and say why.
broken()
{
    infer 4 out.cs -d ref -m ./m
    says "$1"
    expect 4 cs-model check ./m
    says "$1"
}
