#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The power goes while files on btrfs are moved, on one device and on two: not a bit is lost that was on the disk, or that anybody was
# told is.
# KERNELS: 6.1 6.12
# ENGINES: no
# SAMPLE: no
# LIMIT: 500
# WHOLE: 3600

. "$(dirname "$0")/../lib/powercut.sh"
powercut_begin "$@"

FS_TYPE=btrfs
# Left alone: the two that a snapshot shares, there and there, and one that is compressed and lies well.
N_STATIC=$((N_STATIC + 8))
STATIC_MORE=(static/subvolume static/snapshot)
N_LEFT=$((N_SPARSE + 5))

# The second disk has two partitions, and everything on both of them.
readonly PARTITION_BYTES=$((255 << 20)) TABLE_BYTES=$((1 << 20))
PARTITIONS[pair]="$TABLE_BYTES:$PARTITION_BYTES $((TABLE_BYTES + PARTITION_BYTES)):$PARTITION_BYTES"

# partition_table IMAGE: that of a PC.
partition_table()
{
        local first=$((TABLE_BYTES / 512)) n=$((PARTITION_BYTES / 512)) start entries=''

        for start in "$first" $((first + n)); do
                entries+='\0\0\0\0\x83\0\0\0'$(little_endian "$start")$(little_endian "$n")
        done
        # shellcheck disable=SC2059  # it is one
        printf "$entries" | dd of="$1" bs=1 seek=446 conv=notrunc status=none
        printf '\x55\xaa' | dd of="$1" bs=1 seek=510 conv=notrunc status=none
}

# Four bytes of a number, as printf wants them.
little_endian()
{
        printf '\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255))
}

# fs_make IMAGE [pair]
fs_make()
{
        local -a options=(--byte-count "$FS_BYTES")
        local status=0

        if [[ ${2:-} ]]; then
                partition_table "$1"
                options=(--data raid1 --metadata raid1)
        fi
        loops_attach "${2:-disk}" "$1"
        mkfs.btrfs --quiet --force "${options[@]}" "${LOOPS[@]}" >"$SCRATCH/mkfs.out" 2>&1 || status=$?
        loops_detach
        ((status == 0)) || fail "$(<"$SCRATCH/mkfs.out")"
}

# fs_check IMAGE NAME
fs_check()
{
        local status=0

        loops_attach "$2" "$1"
        btrfs check --readonly "${LOOPS[0]}" >"$SCRATCH/repair" 2>&1 || status=$?
        loops_detach
        ((status == 0)) || tail -n 20 "$SCRATCH/repair"
        return "$status"
}

# A subvolume with a snapshot, and what has been written in it since; compressed data, in one piece and in many.
disk_fill()
{
        local name

        btrfs -q subvolume create "$MNT/static/subvolume"
        fragment --files=2 --size=1M --name=shared "$MNT/static/subvolume"
        btrfs -q subvolume snapshot -r "$MNT/static/subvolume" "$MNT/static/snapshot"
        fragment --files=2 --size=1M --name=own "$MNT/static/subvolume"
        for name in compressed squeezed; do
                touch "$MNT/static/$name"
                btrfs property set "$MNT/static/$name" compression zstd
        done
        COMPRESSIBLE_CONTENT=yes fragment --into="$MNT/static/squeezed" --offset=0 --length=1M --piece=16K "$MNT/static"
        yes 'the same again and again' | head --bytes=1M >"$MNT/static/compressed" || true
}

SAMPLE=20
[[ ! ${WHOLE:-} ]] || SAMPLE=

disk_make disk
disk_make pair pair
machine_boot "$KERNEL" "$RAM/disk.disk>$RAM/disk.record" "$RAM/pair.disk>$RAM/pair.record"
# What has preallocated places is left alone, within the file or behind its end.
disk_work disk /dev/vdd $((N_STATIC - N_LEFT - 1)) /usr/sbin/defragd 500
disk_work pair /dev/vde $((N_STATIC - N_LEFT - 1)) /usr/sbin/defragd 500 -o device=/dev/vde2 /dev/vde1
machine_end

for name in disk pair; do
        powercut_controls "$name"
        powercut_points "$name" list ${SAMPLE:+"$SAMPLE"}
done
echo "$n_points points, $n_files files checked, $n_lost lost"
((n_lost == 0))
