#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Files that change, shrink, vanish or cannot be read while they are read; folders that cannot be
# entered; links that lead nowhere or round; a file server's errors at every call: each is one failed
# item with one line that says so, and the others come through.
. "$SRC/tests/support/sweep.sh"
export OMP_NUM_THREADS=1

# items STATUSES: of the items in s.cs, in order.
items()
{
    local got
    got=$(cs-view -i s.cs | sed -n 's/^DONE.*status=\([a-z]*\).*/\1/p' | paste -sd ' ')
    [ "$got" = "$1" ] || fail "line ${BASH_LINENO[0]}: items '$got' instead of '$1': $(cat stderr)"
}
# load STATUS FILE...
load()
{
    expect "$1" cs-load --transport pipe "${@:2}"
    mv stdout s.cs
}

image-make good.tif
# Larger than what cs-load decodes ahead of its turn.
for kind in tif png; do image-make -W 3000 -H 4000 large.$kind; done
image-make -W 3000 -H 4000 -c deflate deflate.tif

# While its rows are on their way it grows, is cut, is written anew, is replaced, is removed. The
# reader of the stream waits: more rows than the pipe holds are still in the file.
change() # FILE COMMAND
{
    local file=$1
    cp "$file" "now.${file##*.}"
    file=now.${file##*.}
    mkfifo pipe
    cs-load --transport pipe "$file" good.tif >pipe 2>stderr &
    local pid=$!
    exec 8<pipe
    head -c 1000 <&8 >head.cs
    eval "$2"
    cat head.cs - <&8 >s.cs
    exec 8<&-
    rm pipe
    status=0
    wait $pid || status=$?
}
for file in large.tif deflate.tif large.png; do
    change $file 'echo more >>"$file"'
    items "failed ok"
    [ $status = 1 ] && [ "$(wc -l <stderr)" = 1 ] || fail "$file grows: $status: $(cat stderr)"
    says "cs-load: now.${file##*.}: the file changed while it was read"
    change $file 'truncate -s 3000 "$file"'
    items "failed ok"
    [ $status = 1 ] && [ "$(wc -l <stderr)" = 1 ] || fail "$file is cut: $status: $(cat stderr)"
    says "cs-load: now.${file##*.}: "
    change $file 'touch -d 2001-01-01 "$file"'
    items "failed ok"
    change $file 'rm "$file"'
    items "ok ok"
    [ $status = 0 ] || fail "$file vanishes: $status: $(cat stderr)"
done
# The same of a file that a command reads.
load 1 --decoder 'xyz=cat "$1"; echo more >>"$1"' --decoder 'tif=cat "$1"' good.tif "$(
    cp good.tif a.xyz && echo a.xyz)"
items "ok failed"
says 'cs-load: a.xyz: the file changed while it was read'

# Links and folders.
mkdir -p tree/in
cp good.tif tree/in/x.tif
ln -s nowhere.tif dead.tif
ln -s round.tif round.tif
ln -s .. tree/in/up
ln -s . tree/in/self
load 1 dead.tif good.tif round.tif
items "failed ok failed"
says 'cs-load: dead.tif: cannot be read: No such file or directory'
says 'cs-load: round.tif: cannot be read: Too many levels of symbolic links'
load 0 tree
items ok
load 1 good.tif/y.tif good.tif tree/in
says 'cs-load: good.tif/y.tif: cannot be read: Not a directory'
items "failed ok ok"
mkdir -p tree/folder.tif
load 0 tree
# A device, a pipe and a socket in a folder are no images; nothing waits for them.
mkfifo tree/pipe.tif
timeout 60 cs-load --transport pipe tree >s.cs 2>stderr || fail "a pipe in a folder: $?"
items ok

# A device that is named fails: it may never end. On standard input it is a file without bytes.
load 1 /dev/zero good.tif /dev/null
items "failed ok failed"
says 'cs-load: /dev/zero: is a device'
load 1 - </dev/null
says 'cs-load: -: the file is empty'

# Without permission. Root may read everything: another user then.
chmod 755 .
mkdir closed && cp good.tif closed/a.tif && cp good.tif unread.tif
chmod 0 closed unread.tif
as=()
[ "$(id -u)" = 0 ] && as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
if [ "$(id -u)" != 0 ] || "${as[@]}" cs-load --version >/dev/null 2>&1; then
    expect 1 "${as[@]}" cs-load --transport pipe unread.tif good.tif closed closed/a.tif
    mv stdout s.cs
    items "failed ok failed failed"
    for what in unread.tif closed closed/a.tif; do
        says "cs-load: $what: cannot be read: Permission denied"
    done
    mkdir sealed
    chmod 555 sealed
    stream-make -n 1 -W 60 -H 50 -r 11 -p labels --transport pipe >labels.cs
    expect 1 "${as[@]}" cs-save -i labels.cs -o sealed/out
    says 'sealed/out: Permission denied'
    expect 1 "${as[@]}" cs-polygonize -i labels.cs -o sealed/out
    says 'sealed/out'
else
    echo "not tried: another user"
fi

# Every look at a file fails in turn, as on a file server: its item fails.
[ "$(fault-inject -s disk -d . -e EIO -n 1 true 2>&1; echo $?)" = 0 ] || skip "no ptrace here"
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
mkdir in
for kind in tif png jpg bmp npy ome.tif; do
    case $kind in
    tif) image-make -c lzw -n 2 in/0.tif ;;
    ome.tif) image-make -n 2 -d '<OME><Image><Pixels SizeX="9" SizeY="7" SizeZ="2"><TiffData/></Pixels>
        </Image></OME>' in/5.ome.tif ;;
    npy) cp "$SRC/tests/fuzz/corpus/npy/u16.npy" in/4.npy ;;
    *) cp "$SRC/tests/fuzz/corpus/${kind/jpg/jpeg}/rgb.$kind" "in/1$kind.$kind" ;;
    esac
done
for error in EIO ESTALE end; do
    cat >look <<END
#!/bin/sh
n=\$1
shift
exec fault-inject -s read -d in -e $error -n \$n -m mark "\$@"
END
    chmod +x look
    for file in in/*; do
        [[ $file == *ome* ]] && how=-z=max || how=--page=all
        sweep "$error $file" "0 1" 1 ./look cs-load --transport pipe "${how%=*}" "${how#*=}" "$file" good.tif
    done
    # A folder that cannot be listed is an item that fails, never an empty one; what fails is said,
    # and alone.
    for ((n = 1; ; n++)); do
        [ $error = end ] && break
        rm -f mark
        status=0
        ./look $n cs-load --transport pipe --page all --exclude '5*' in >s.cs 2>stderr || status=$?
        [ -e mark ] || break
        cs-view -i s.cs >view
        what="$error, call $n ($(cat mark)): status $status, $(cat stderr)"
        ok=$(grep -c '^DONE.*status=ok' view)
        [ $status$ok = 06 ] && continue
        [ $status = 1 ] && [ "$(grep -c '^DONE.*status=failed' view)" = 1 ] || fail "$what"
        grep -q -E ': (Input/output error|Stale file handle|is a folder)$' stderr || fail "$what"
        # Of the file with two pages one may come; a folder stands for all.
        [ $ok -ge 4 ] || grep -q -E '^cs-load: in: ' stderr || fail "$what"
    done
done
exit 0
