#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# XFS_IOC_SWAPEXT on a volume without a reverse-mapping tree, the log reaches the disk, the power goes. Recovery does not get past the
# record of the swap.
# LIMIT: 120
# ENGINES: no
# KERNEL: [Ss]hutdown|[Ss]hutting down|shut down|[Cc]orruption|log mount|First 128 bytes|Unmount and run|recovery|rectify

. "$(dirname "$0")/../../lib/upstream.sh"
volume_make -m "rmapbt=${RMAPBT:-0}"
fragmented "$MNT/file" "${EXTENTS:-64}"
cp --reflink=never "$MNT/file" "$MNT/donor"
sync --file-system "$MNT"

xfs_io -c "swapext $MNT/donor" "$MNT/file"
xfs_io -x -c 'shutdown -f' "$MNT"
umount "$MNT"
if mount -t xfs "$DEVICE" "$MNT"; then
        verdict "$(differs "$MNT/file" 0 $((${EXTENTS:-64} * 65536)) 0x11)" $((${EXTENTS:-64} * 65536))
else
        name=${DEVICE#/dev/}
        # Not what another device of that name said before.
        dmesg 2>/dev/null | awk -v device="$name" '
                index($0, "XFS (" device "): Starting recovery") { n = 0 }
                index($0, "(" device "): ") && /Starting recovery|orruption detected|failed|error/ { line[++n] = $0 }
                END { for (i = 1; i <= n; i++) print line[i] }'
        echo "LOST: the volume cannot be mounted any more"
fi
