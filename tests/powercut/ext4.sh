#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The power goes while files on ext4 are moved, with blocks of 4 KiB and of 1 KiB: not a bit is lost that was on the disk, or that anybody was
# told is.
# KERNELS: 6.1 6.12
# ENGINES: no
# SAMPLE: no
# LIMIT: 500
# WHOLE: 3600

. "$(dirname "$0")/../lib/powercut.sh"
powercut_begin "$@"

FS_TYPE=ext4
UNIT[blocks-1k]=1024

# fs_make IMAGE BLOCK_BYTES
fs_make()
{
        mkfs.ext4 -q -F -b "$2" -E lazy_itable_init=0,lazy_journal_init=0 "$1" $((FS_BYTES / 1024))K
}

fs_check()
{
        e2fsck -fn "$1" >"$SCRATCH/repair" 2>&1 && return
        tail -n 20 "$SCRATCH/repair"
        return 1
}

SAMPLE=20
[[ ! ${WHOLE:-} ]] || SAMPLE=

disk_make blocks-4k 4096
disk_make blocks-1k 1024
machine_boot "$KERNEL" "$RAM/blocks-4k.disk>$RAM/blocks-4k.record" "$RAM/blocks-1k.disk>$RAM/blocks-1k.record"
# Who writes has his file to himself: the others, at least.
disk_work blocks-4k /dev/vdd "$N_STATIC" /usr/sbin/defragd 500
disk_work blocks-1k /dev/vde "$N_STATIC" /usr/sbin/defragd 500
machine_end

powercut_controls blocks-4k
powercut_points blocks-4k list ${SAMPLE:+"$SAMPLE"}
powercut_points blocks-1k list ${SAMPLE:+"$SAMPLE"}
echo "$n_points points, $n_files files checked, $n_lost lost"
((n_lost == 0))
