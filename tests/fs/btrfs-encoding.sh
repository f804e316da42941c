#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# btrfs: no file's encoding changes. What is compressed, and what would be compressed if it were written now, is left alone: by the
# mount, by the inode, by its property.
# LIMIT: 60
# ENGINES: btrfs
# MUTANTS: COMPRESSION

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

# text NAME: compressible, written without being compressed, in pieces.
text()
{
        local i

        for i in $(seq 0 2 62) $(seq 1 2 63); do
                awk -v text="$1 $i" 'BEGIN { for (; n < 1024; n++) printf "%-15.15s\n", text }' |
                        dd of="$MNT/$1" bs=16K count=1 seek="$i" conv=notrunc,fsync oflag=direct iflag=fullblock status=none
        done
}

test_volume
text by-mount
text by-property
text by-inode
text never
volume_remount volume -o compress-force=zstd
text compressed
# Copied on write or compressed: not both.
touch "$MNT/not-copied"
chattr +C "$MNT/not-copied"
text not-copied
volume_remount volume
chattr +c "$MNT/by-inode"
btrfs property set "$MNT/by-property" compression zstd
remember files "$MNT"
defrag 0 --no-budget --json "$MNT/by-inode" "$MNT/by-property" "$MNT/compressed" "$MNT/never"
expect_same files
expect_outcome "$MNT/by-inode" skipped:compressed
expect_outcome "$MNT/by-property" skipped:compressed
expect_outcome "$MNT/compressed" skipped:compressed
expect_outcome "$MNT/never" moved
volume_remount volume -o compress=lzo
remember files "$MNT"
defrag 0 --no-budget --json "$MNT"
expect_same files
expect_outcome "$MNT/by-mount" skipped:compressed
expect_outcome "$MNT/not-copied" moved
volume_check volume
