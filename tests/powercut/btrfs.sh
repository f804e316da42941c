#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The power goes while files on btrfs are moved: not a bit is lost that was on the disk, or that anybody was told is.
# KERNELS: 6.1 6.12
# ENGINES: no
# SAMPLE: no
# LIMIT: 500
# WHOLE: 3600

. "$(dirname "$0")/../lib/powercut.sh"
powercut_begin "$@"

FS_TYPE=btrfs
# Left alone: the two that a snapshot shares, there and there, and one that is compressed.
N_STATIC=$((N_STATIC + 7))
STATIC_MORE=(static/subvolume static/snapshot)
N_LEFT=$((N_SPARSE + 5))

fs_make()
{
        mkfs.btrfs --quiet --force --byte-count "$FS_BYTES" "$1" >"$SCRATCH/mkfs.out" 2>&1
}

fs_check()
{
        btrfs check --readonly "$1" >"$SCRATCH/repair" 2>&1 && return
        tail -n 20 "$SCRATCH/repair"
        return 1
}

# A subvolume with a snapshot, and what has been written in it since; compressed data.
disk_fill()
{
        btrfs -q subvolume create "$MNT/static/subvolume"
        fragment --files=2 --size=1M --name=shared "$MNT/static/subvolume"
        btrfs -q subvolume snapshot -r "$MNT/static/subvolume" "$MNT/static/snapshot"
        fragment --files=2 --size=1M --name=own "$MNT/static/subvolume"
        touch "$MNT/static/compressed"
        btrfs property set "$MNT/static/compressed" compression zstd
        yes 'the same again and again' | head --bytes=1M >"$MNT/static/compressed" || true
}

SAMPLE=20
[[ ! ${WHOLE:-} ]] || SAMPLE=

disk_make disk
machine_boot "$KERNEL" "$RAM/disk.disk>$RAM/disk.record"
# What has preallocated places is left alone, within the file or behind its end.
disk_work disk /dev/vdd $((N_STATIC - N_LEFT - 1)) /usr/sbin/defragd 500
machine_end

powercut_controls disk
powercut_points disk list ${SAMPLE:+"$SAMPLE"}
echo "$n_points points, $n_files files checked, $n_lost lost"
((n_lost == 0))
