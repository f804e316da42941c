#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# An ext4 that a crash could cost data, or whose files MOVE_EXT cannot take, is left alone, and so are such files on any other; the
# kernel has nothing to complain about in its log.
# LIMIT: 90
# ENGINES: ext4
# MUTANTS: JOURNAL:ext4

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

need_command chattr tune2fs
: >"$SCRATCH/devices"

# Where nothing can be preallocated: two files in turn.
interleaved()
{
        for ((i = 0; i < 64; i++)); do
                dd if=/dev/urandom of="$1" bs=16K count=1 seek="$i" conv=notrunc,fsync status=none
                dd if=/dev/zero of="$1.other" bs=16K count=1 seek="$i" conv=notrunc,fsync status=none
        done
}

# volume NAME REASON MOUNT_OPTIONS [MKFS_OPTION...]: all of it is left alone for that reason.
volume()
{
        local name=$1 reason=$2 options=$3

        volume_make "$name" ext4 512M "${@:4}"
        if [[ $reason == indirect-mapped ]]; then
                interleaved "$SCRATCH/$name/file0000"
        else
                fragment --files=1 --size=2M --piece=16K "$SCRATCH/$name"
        fi
        volume_remount "$name" -o "$options"
        echo "${DEVICE[$name]#/dev/}" >>"$SCRATCH/devices"
        remember "$name" "$SCRATCH/$name/file0000"
        before=$(extents "$SCRATCH/$name/file0000")
        defrag '0|2' --no-budget --json "$SCRATCH/$name/file0000"
        expect_outcome "$SCRATCH/$name/file0000" "skipped:$reason"
        [[ $(extents "$SCRATCH/$name/file0000") == "$before" ]] || lost "$name: lies otherwise than before"
        expect_same "$name"
        echo "$name: $(tail -n 2 "$ERR" | head -n 1)"
        volume_check "$name"
}

volume no-barriers crash-unsafe nobarrier
volume no-journal crash-unsafe defaults -O ^has_journal
volume async-commit crash-unsafe data=writeback,journal_checksum,journal_async_commit
volume fast-commit crash-unsafe defaults -O fast_commit
volume data-journal journalled-data data=journal
volume bigalloc bigalloc defaults -O bigalloc -C 16384
volume indirect indirect-mapped defaults -O '^extents,^64bit,^metadata_csum'

# The super block can say so, too, and then the mount table does not.
volume_make by-default ext4 512M
fragment --files=1 --size=2M --piece=16K "$SCRATCH/by-default"
volume_umount by-default
tune2fs -o journal_data "${DEVICE[by-default]}" >/dev/null
volume_mount by-default
defrag '0|2' --no-budget --json "$SCRATCH/by-default/file0000"
expect_outcome "$SCRATCH/by-default/file0000" skipped:journalled-data
volume_umount by-default

# One by one. The file that is mapped block by block is from when the volume knew nothing else.
volume_make mixed ext4 512M -O '^extents,^64bit,^metadata_csum'
mixed=$SCRATCH/mixed
interleaved "$mixed/indirect"
volume_umount mixed
tune2fs -O extents "${DEVICE[mixed]}" >/dev/null
volume_mount mixed
echo "${DEVICE[mixed]#/dev/}" >>"$SCRATCH/devices"
fragment --files=3 --size=2M --piece=16K "$mixed"
mv "$mixed/file0000" "$mixed/journalled"
mv "$mixed/file0001" "$mixed/plain"
mkdir "$mixed/directory"
# It takes CAP_SYS_RESOURCE. New files in the directory have the flag, too; the donor of a file that has not is made elsewhere.
journalled=skipped:journalled-data
chattr +j "$mixed/journalled" "$mixed/directory" 2>/dev/null || journalled=moved
mv "$mixed/file0002" "$mixed/directory/plain"
volume_remount mixed
remember mixed "$mixed"
for dry in --dry-run ''; do
        # shellcheck disable=SC2086  # no word, or one
        defrag 0 --no-budget --json $dry "$mixed"/*
        expect_outcome "$mixed/indirect" skipped:indirect-mapped
        [[ $dry && $journalled == moved ]] || expect_outcome "$mixed/journalled" "$journalled"
done
for file in plain directory/plain; do
        expect_outcome "$mixed/$file" moved
        (($(runs "$mixed/$file") < 20)) || fail "$file: $(runs "$mixed/$file") extents"
done
expect_same mixed
volume_check mixed

while read -r device; do
        ! dmesg 2>/dev/null | tac | sed "/defragd-test: .* has $device\$/q" | grep "($device).*[Oo]nline defrag" ||
                fail "the kernel complains"
done <"$SCRATCH/devices"
