#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Files of every shape: sparse, preallocated inside and behind the end, odd sizes, empty, one extent, one block.
# ENGINES: exchange plain ext4 ext4-1k ext4-2k btrfs
# LIMIT: 120

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume
declare -A bad
# shape NAME OPTION...: fragmented, and expected to become less so.
shape()
{
        mkdir "$MNT/$1"
        fragment --name="$1-" "${@:2}" "$MNT/$1"
        volume_remount volume
}

shape sparse --files=4 --size=8M --pattern=d128K,h64K,d4K,h1M
shape preallocated --files=4 --size=8M --pattern=d128K,u128K,d4K,u60K
shape behind --files=4 --size=4M --tail=1M
shape mixed --files=4 --size=8000001 --pattern=d64K,h128K,u64K,d192K,h4K --tail=300K
shape odd --files=4 --size=4000001
shape odd-small --files=4 --size=65537 --piece=4K
shape two-blocks --files=4 --size=8192 --piece=4K
shape all-preallocated --files=2 --size=4M --pattern=u4M

mkdir "$MNT/small"
: >"$MNT/small/empty"
truncate --size 10M "$MNT/small/one-hole"
printf x >"$MNT/small/one-byte"
head -c 4096 /dev/urandom >"$MNT/small/one-block"
head -c 1000000 /dev/urandom >"$MNT/small/one-extent"
xfs_io -f -c 'falloc -k 0 1m' "$MNT/small/empty-preallocated"
xfs_io -f -c 'falloc 0 1m' "$MNT/small/preallocated"
# Data at the far end of what a file can be.
case $ENGINE in
ext4*) far=$((2 << 40)) ;;
*) far=$((4 << 60)) ;;
esac
xfs_io -f -c 'pwrite -q 0 4k' -c "pwrite -q $far 4097" "$MNT/small/huge-sparse"
volume_remount volume

for shape in sparse preallocated behind mixed odd odd-small two-blocks all-preallocated; do
        bad[$shape]=$(runs "$MNT/$shape"/*)
done
find "$MNT" -type f ! -name huge-sparse -print0 | sort -z >"$SCRATCH/names"
mapfile -d '' -t names <"$SCRATCH/names"
remember files "${names[@]}"
filestate --no-content "$MNT/small/huge-sparse" >"$SCRATCH/huge-before"

defrag 0 --no-budget --json "$MNT/sparse" "$MNT/preallocated" "$MNT/behind" "$MNT/mixed" "$MNT/odd" \
        "$MNT/odd-small" "$MNT/two-blocks" "$MNT/all-preallocated" "$MNT/small"
[[ $(said .failed) == 0 ]] || fail "failures: $(grep failed "$OUT")"
expect_same files
filestate --no-content "$MNT/small/huge-sparse" | diff "$SCRATCH/huge-before" - || fail "the huge sparse file"
least=2
[[ $ENGINE != btrfs* ]] || least=3
for shape in sparse preallocated behind mixed odd odd-small; do
        after=$(runs "$MNT/$shape"/*)
        echo "$shape: ${bad[$shape]} -> $after"
        # A hole may end a run in the new place, too; on btrfs each one does.
        ((after * 3 < bad[$shape] * least)) || fail "$shape: ${bad[$shape]} -> $after extents"
done
for name in empty one-byte one-hole one-block one-extent preallocated; do
        grep -q "\"path\":\"$MNT/small/$name\"" "$OUT" || continue
        [[ $(said_of "$MNT/small/$name" .bytes_moved) == 0 ]] || fail "$name was moved"
done

# The whole volume again and again: whatever is still worth doing must come to an end.
for _ in 1 2 3 4 5 6; do
        defrag '0|75' --no-budget --json "$MNT"
        [[ $(said .bytes_moved) == 0 ]] && break
done
[[ $(said .bytes_moved) == 0 ]] || fail "the seventh run still moves: $(said .)"
expect_same files
volume_remount volume
expect_same files
volume_check volume
