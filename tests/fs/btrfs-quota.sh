#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# btrfs with quota groups: what belongs to whom is the same afterwards, and a file that does not fit twice into what its subvolume may have is left
# as it is, and why is said; the subvolumes that have room go on.
# LIMIT: 60
# ENGINES: btrfs

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume 1G
btrfs quota enable "$MNT"
btrfs -q subvolume create "$MNT/wide"
btrfs -q subvolume create "$MNT/tight"
btrfs -q subvolume create "$MNT/full"
for name in wide tight full; do
        fragment --files=1 --size=24M --piece=64K "$MNT/$name"
done
# Less than a slice is left. The kernel commits what it can give back before it refuses.
btrfs qgroup limit $((25 << 20)) "$MNT/tight"
sync --file-system "$MNT"

# used NAME: bytes that only this subvolume refers to, when the kernel has counted.
used()
{
        btrfs filesystem sync "$MNT"
        btrfs quota rescan -w "$MNT" >/dev/null
        btrfs qgroup show --raw -f "$MNT/$1" | awk '$1 ~ /^0\// { print $3 }'
}

wide=$(used wide)
tight=$(used tight)
full=$(used full)
btrfs qgroup limit "$full" "$MNT/full"
volume_remount volume
remember files "$MNT"
before=$(runs "$MNT/full/file0000")
# The full one comes first: no engine is proven there.
defrag '0|75' --no-budget --json "$MNT/full" "$MNT/wide" "$MNT/tight"
expect_same files
expect_outcome "$MNT/wide/file0000" moved
expect_outcome "$MNT/tight/file0000" moved
expect_outcome "$MNT/full/file0000" skipped:quota
for name in wide tight full; do
        echo "$name: ${!name} bytes, then $(used "$name")"
        (($(used "$name") <= ${!name})) || lost "$name: $(used "$name") bytes, ${!name} before"
done
(($(runs "$MNT/full/file0000") <= before)) || lost "more runs than before"
volume_check volume
