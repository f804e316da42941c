#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A volume with neither exchange-range nor a reverse-mapping tree is left alone: there a crash after XFS_IOC_SWAPEXT can make
# the volume unmountable. The second half shows the kernel's fault without us, and says so where a kernel has it no longer.
# LIMIT: 60
# ENGINES: no
# MUTANTS: REVERSE_MAP
# ASAN: no
# KERNEL: shutdown|returned error -5|[Ss]hutting down|shut down|Please unmount|corruption|Corruption|log mount|First 128 bytes|Unmount and run|recovery

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

RMAPBT=0 volume_make volume plain 1G
MNT=$SCRATCH/volume
fragment --files=4 --size=4M "$MNT"
volume_remount volume
remember files "$MNT"

defrag '0|2' --no-budget --json "$MNT"
if [[ $(said .bytes_moved) != 0 ]]; then
        xfs_io -x -c 'shutdown -f' "$MNT"
        volume_umount volume
        mount -t xfs "${DEVICE[volume]}" "$MNT" 2>/dev/null || lost "moved, and after a crash the volume cannot be mounted"
        lost "something was moved"
fi
[[ $status == 2 ]] || fail "status $status"
defrag 0 --no-budget --json "$MNT/file0000" "$MNT/file0001"
expect_outcome "$MNT/file0000" skipped:crash-unsafe
defrag 0 --dry-run --json "$MNT/file0000" "$MNT/file0001"
expect_outcome "$MNT/file0000" skipped:crash-unsafe
expect_same files

# Because of this: the same ioctl by another program, the log flushed, the power cut.
need_command xfs_io
xfs_io -x -c 'shutdown -f' "$MNT"
volume_remount volume
expect_same files
cp --reflink=never "$MNT/file0000" "$MNT/donor"
xfs_io -c fsync "$MNT/donor"
xfs_io -c "swapext $MNT/donor" "$MNT/file0000"
xfs_io -x -c 'shutdown -f' "$MNT"
volume_umount volume
if mount -t xfs "${DEVICE[volume]}" "$MNT" 2>/dev/null; then
        echo "this kernel recovers from a crash after SWAPEXT"
else
        echo "after SWAPEXT and a crash this kernel cannot mount the volume"
fi
