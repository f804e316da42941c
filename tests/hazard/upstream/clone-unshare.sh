#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A file of 68 KiB and a hole shares its data with a clone. A cached write of 36 KiB, the last 4 of the shared ones and the rest in the hole, is
# still in the page cache when FALLOC_FL_UNSHARE_RANGE comes.
# LIMIT: 120
# ENGINES: no

. "$(dirname "$0")/../../lib/upstream.sh"
volume_make -m reflink=1
total=0 lost=0
# How far is unshared.
for length in 68k 100k 1m; do
        rm --force "$MNT"/*
        # The close gives back what was preallocated behind: there has to be a hole.
        xfs_io -f -c 'pwrite -q -S 0x11 0 68k' "$MNT/file"
        xfs_io -c 'truncate 1m' -c fsync "$MNT/file"
        xfs_io -f -c "reflink $MNT/file 0 0 68k" "$MNT/clone" >/dev/null
        xfs_io -c 'pwrite -q -S 0xaa 64k 36k' -c "funshare 0 $length" -c fsync "$MNT/file"
        n=$(differs "$MNT/file" 65536 36864 0xaa)
        echo "unshared 0 to $length: $n of 36864 bytes are not in the file"
        total=$((total + 36864)) lost=$((lost + n))
done
verdict "$lost" "$total"
