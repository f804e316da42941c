#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# btrfs: where free space is in pieces, some as long as what is written at a time and shorter than the file, files do not come to lie in more
# runs than btrfs filesystem defragment leaves, which writes each as a whole.
# LIMIT: 60
# ENGINES: btrfs

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

# aged NAME: with pieces of half a MiB to six MiB, and whatever lies together of them, the same each time.
aged()
{
        volume_make "$1" btrfs 1G
        fragment --files=4 --size=32M --piece=64K "$SCRATCH/$1"
        RANDOM=1
        for ((i = 0; i < 80; i++)); do
                head --bytes=$(((RANDOM % 12 + 1) * 512))K /dev/zero | tr '\0' x >"$SCRATCH/$1/fill$i"
        done
        sync --file-system "$SCRATCH/$1"
        for ((i = 0; i < 80; i += 2)); do
                rm "$SCRATCH/$1/fill$i"
        done
        sync --file-system "$SCRATCH/$1"
        volume_remount "$1"
}

aged peer
btrfs -q filesystem defragment -f "$SCRATCH"/peer/file*
sync --file-system "$SCRATCH/peer"
theirs=$(runs "$SCRATCH"/peer/file*)
volume_forget peer

aged volume
MNT=$SCRATCH/volume
remember files "$MNT"
defrag 0 --no-budget "$MNT"/file*
expect_same files
ours=$(runs "$MNT"/file*)
echo "$ours runs; btrfs filesystem defragment leaves $theirs"
((ours <= theirs)) || fail "$ours runs, and $theirs would do"
volume_check volume
