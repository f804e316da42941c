#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A program has stored into a page of a file through a mapping. The file is made shorter, so that it ends within that page, and longer again by a
# direct write. Then the program stores into the page behind where the end was.
# LIMIT: 120
# ENGINES: no

. "$(dirname "$0")/../../lib/upstream.sh"
total=0 lost=0
for bytes in 1024 2048 4096; do
        volume_make_ext4 '' -b "$bytes"
        xfs_io -f -c 'truncate 600k' "$MNT/file"
        # The page is that from 98304 to 102400; the block at 100352 comes to lie behind the end. From standard input: what is said with -c goes to each of
        # the open files.
        printf '%s\n' 'mmap -rw 0 256k' 'mwrite -S 0x11 98304 100' 'truncate 98491' "open -d $MNT/file" 'file 1' 'pwrite -q -S 0x22 143360 20480' \
                'file 0' 'mwrite -S 0xaa 100352 2048' fsync | xfs_io "$MNT/file" >/dev/null
        n=$(differs "$MNT/file" 100352 2048 0xaa)
        echo "blocks of $bytes: $n of 2048 bytes are not in the file"
        total=$((total + 2048)) lost=$((lost + n))
        umount "$MNT"
        exec {hold}<&-
done
verdict "$lost" "$total"
