#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is written into moved places and synced with fdatasync(2) survives a crash. The kernel does not note a move as something
# that an fdatasync has to wait for: without our own commit of the journal the write is on the disk, in the new place, and after the
# crash the file has the old one.
# LIMIT: 60
# KERNEL: shut down requested|Aborting journal
# ENGINES: ext4 ext4-1k
# MUTANTS: DURABLE_MOVE:ext4

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

need_command xfs_io
test_volume 512M
# Enough extents that they are in a tree of blocks: what is in the inode itself is synced with it.
fragment --files=1 --size=16M --piece=64K "$MNT"
# Nothing commits by itself.
volume_remount volume -o commit=1000
defrag 0 --no-budget --json "$MNT/file0000"
expect_outcome "$MNT/file0000" moved

writes=()
for ((i = 0; i < 16; i++)); do
        writes+=(-c "pwrite -q -S 0xe4 $((i * 1048576 + 8192)) 4096")
done
xfs_io "${writes[@]}" -c fdatasync "$MNT/file0000"
content=$(sha256sum <"$MNT/file0000")
# As if the power had gone: not even the journal is written any more.
xfs_io -x -c shutdown "$MNT"
volume_remount volume
[[ $(sha256sum <"$MNT/file0000") == "$content" ]] || lost "what fdatasync promised is gone"
volume_check volume
