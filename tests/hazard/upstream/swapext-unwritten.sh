#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Half of a file is preallocated and was never written. XFS_IOC_SWAPEXT exchanges it with one of the same map: what was preallocated must still
# read as zeros, and not as what a deleted file has left on the disk there.
# LIMIT: 120
# ENGINES: no

. "$(dirname "$0")/../../lib/upstream.sh"
volume_make -m "rmapbt=${RMAPBT:-1}"
xfs_io -f -d -c 'pwrite -q -S 0xee -b 1m 0 64m' "$MNT/deleted"
sync --file-system "$MNT"
rm "$MNT/deleted"
# With all of its blocks free.
umount "$MNT"
mount -t xfs "$DEVICE" "$MNT"

# of_halves FILE: 16 times 64 KiB that are written and 64 KiB that are preallocated.
of_halves()
{
        local piece

        {
                echo "falloc 0 2m"
                for ((piece = 0; piece < 16; piece++)); do
                        echo "pwrite -q -S 0x11 $((piece * 128))k 64k"
                done
                echo fsync
        } | xfs_io -f -d "$1" >/dev/null
}

unwritten()
{
        xfs_bmap -v -p "$1" | grep --count ' 0*10000$' || true
}

of_halves "$MNT/file"
of_halves "$MNT/donor"
echo "$(unwritten "$MNT/file") preallocated extents before"
xfs_io -c "swapext $MNT/donor" "$MNT/file"
sync --file-system "$MNT"
echo "$(unwritten "$MNT/file") preallocated extents after"
n_stale=0
for ((piece = 0; piece < 16; piece++)); do
        n_stale=$((n_stale + $(differs "$MNT/file" $((piece * 131072 + 65536)) 65536 0)))
done
if ((n_stale)); then
        echo "LOST: $n_stale bytes of the deleted file can be read"
elif (($(unwritten "$MNT/file") == 0)); then
        echo "LOST: what was preallocated is data now"
else
        echo "kept: all that was preallocated"
fi
