#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# e4defrag moves a file; its owner overwrites some of it and calls fdatasync(2), which returns 0; the power goes before the journal
# commits by itself. What was promised must be there afterwards.
# LIMIT: 120
# KERNEL: shut down requested|Aborting journal
# ENGINES: no

. "$(dirname "$0")/../../lib/upstream.sh"
need e4defrag filefrag
# No commit of the journal but those that somebody asks for.
volume_make_ext4 commit=1000
# Enough pieces that the extents are in a tree of blocks.
fragmented "$MNT/file" 256
umount "$MNT"
mount -t ext4 -o commit=1000 "$DEVICE" "$MNT"
filefrag "$MNT/file" | sed 's|.*: |before: |'
e4defrag "$MNT/file" >"$SCRATCH/said"
filefrag "$MNT/file" | sed 's|.*: |after e4defrag: |'
n_bytes=0
writes=()
for ((i = 0; i < 16; i++)); do
        writes+=(-c "pwrite -q -S 0x22 $((i * 1048576 + 8192)) 4096")
        n_bytes=$((n_bytes + 4096))
done
xfs_io "${writes[@]}" -c fdatasync "$MNT/file"
# As if the power had gone: nothing more is written, the journal neither.
xfs_io -x -c shutdown "$MNT"
umount "$MNT"
mount -t ext4 "$DEVICE" "$MNT"
n_lost=0
for ((i = 0; i < 16; i++)); do
        n_lost=$((n_lost + $(differs "$MNT/file" $((i * 1048576 + 8192)) 4096 0x22)))
done
verdict "$n_lost" "$n_bytes"
