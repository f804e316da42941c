#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Cached writes leave blocks behind the end of the file that are preallocated and not yet placed. A direct read that begins within the file
# and reaches past its end fails with EIO.
# LIMIT: 120
# ENGINES: no

. "$(dirname "$0")/../../lib/upstream.sh"
# Without what is set aside, which would be free in one piece.
volume_make -m rmapbt=0,reflink=0,finobt=0
xfs_io -x -c 'resblks 0' "$MNT" >/dev/null
# No two free blocks side by side: else the first write-back places at once what is preallocated.
n_free=$(df --output=avail --block-size=1K "$MNT" | tail -n 1)
xfs_io -f -c "falloc 0 $((n_free - 4096))k" "$MNT/filler"
dd if=/dev/zero of="$MNT/plug" bs=4k oflag=direct status=none 2>/dev/null || true
# Enough of them: with less than 5 % free XFS preallocates next to nothing.
for ((at = 64; at < 192 * 1024; at += 8)); do
        echo "fpunch ${at}k 4k"
done | xfs_io "$MNT/filler" >/dev/null
sync --file-system "$MNT"

# In one program, or the close gives the blocks behind the end back.
said=$({ printf '%s\n' 'pwrite -q -b 4k 0 307300' fsync "open -d $MNT/file" 'file 1' 'pread -b 1m 0 1m' |
        xfs_io -f "$MNT/file" 2>&1 || true; } | grep --only-matching 'pread:.*\|read [0-9]*/.*')
echo "$said"
xfs_io -d -c 'pread -b 1m 0 1m' "$MNT/file" 2>&1 | sed 's/^/after the close: /;q'
[[ $said != *"Input/output error"* ]] || { echo "LOST: a read that has to give 307300 bytes fails" && exit; }
echo "kept: 307300 bytes were read"
