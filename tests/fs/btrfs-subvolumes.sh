#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# btrfs: a file system that is mounted in parts is one volume. Its files are found in every subvolume, told apart although
# they have the same inode numbers, and named by where they can be seen; what is read-only stays as it is, and all mounts have one lock.
# LIMIT: 60
# ENGINES: btrfs

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume
for subvolume in @ @home @/nested; do
        btrfs -q subvolume create "$MNT/$subvolume"
        mkdir "$MNT/$subvolume/directory"
        fragment --files=1 --size=4M --seed=${#subvolume} "$MNT/$subvolume/directory"
done
sync --file-system "$MNT"
inode=$(stat --format %i "$MNT/@/directory/file0000")
[[ $(stat --format %i "$MNT/@home/directory/file0000") == "$inode" ]] || fail "another inode number"
btrfs -q subvolume create "$MNT/@read-only"
fragment --files=1 --size=4M --name=kept "$MNT/@read-only"
btrfs -q property set "$MNT/@read-only" ro true
volume_umount volume
mkdir "$SCRATCH/whole" "$SCRATCH/home" "$SCRATCH/kept"
mount -o subvol=@ "${DEVICE[volume]}" "$SCRATCH/whole"
mount -o subvol=@home "${DEVICE[volume]}" "$SCRATCH/home"
mount -o subvol=@read-only "${DEVICE[volume]}" "$SCRATCH/kept"
remember files "$SCRATCH/whole" "$SCRATCH/home" "$SCRATCH/kept"
before=$(runs "$SCRATCH/kept/kept0000")

# What it finds is every inode of every subvolume that can be written to, once, wherever an inventory is interrupted.
part-btrfs inventory "$SCRATCH/home" >"$SCRATCH/all"
# A subvolume's directory is seen in the one above, too.
for subvolume in whole home whole/nested; do
        find "$SCRATCH/$subvolume" -xdev
done | sort --unique | wc --lines >"$SCRATCH/there"
[[ $(grep --count --invert-match '^5 ' "$SCRATCH/all") == "$(<"$SCRATCH/there")" ]] ||
        fail "$(wc --lines <"$SCRATCH/all") inodes, not $(<"$SCRATCH/there")"
part-btrfs inventory "$SCRATCH/home" --batch=1 | cmp - "$SCRATCH/all" || fail "an inventory in parts is another one"
# Each through a mount of another subvolume.
[[ $(part-btrfs path "$SCRATCH/home" "$SCRATCH/whole/nested/directory/file0000") == @/nested/directory/file0000 ]] ||
        fail "not the path from the top"
cmp <(part-btrfs inode "$SCRATCH/home" "$SCRATCH/whole/directory/file0000") \
        <(grep "^$(part-btrfs inode "$SCRATCH/whole" "$SCRATCH/whole/directory/file0000" | cut --delimiter=' ' --fields=1,2) " \
                "$SCRATCH/all") || fail "one inode is not what it was among all"

part-btrfs lock "$SCRATCH/whole" "$DEFRAGD --once --config=$CONFIG --json $SCRATCH/home/directory >$OUT || [ \$? = 75 ]"
expect_outcome "$SCRATCH/home/directory/file0000" busy:locked

defrag 0 --no-budget --json "$SCRATCH/home" "$SCRATCH/whole"
expect_same files
for path in whole/directory whole/nested/directory home/directory; do
        echo "$path: $(runs "$SCRATCH/$path/file0000") runs"
        (($(runs "$SCRATCH/$path/file0000") <= 4)) || fail "$path was not found"
        expect_outcome "$SCRATCH/$path/file0000" moved
done
[[ $(runs "$SCRATCH/kept/kept0000") == "$before" ]] || lost "a read-only subvolume was written to"
defrag 0 --no-budget --json "$SCRATCH/kept/kept0000"
expect_outcome "$SCRATCH/kept/kept0000" skipped:read-only
umount "$SCRATCH/whole" "$SCRATCH/home" "$SCRATCH/kept"
volume_check volume
