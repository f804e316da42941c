#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# ext4: the new place cannot be written, and the journal goes on without it: then the file is in its old place again, whole. (The image
# lies on a tmpfs that is full from the first move on: what was written to it before can be written again, and nothing else.)
# LIMIT: 60
# ENGINES: ext4
# MUTANTS: WRITTEN
# KERNEL: I/O error|EXT4-fs (warning|error)|JBD2: |Buffer I/O error

. "$(dirname "$0")/../lib/inject.sh"
test_begin "$@"
need_inject

mkdir "$SCRATCH/disk"
mount -t tmpfs -o size=320M tmpfs "$SCRATCH/disk"
IMAGES=$SCRATCH/disk
test_volume 512M -J size=8
fragment --files=3 --size=8M "$MNT"
fragment --files=1 --size=4M --pattern=d512K,h64K --name=holes "$MNT"
volume_umount volume
# All that the file system writes for itself has its room, wherever mkfs only made zeros: the tables in front, and the journal.
journal=$(debugfs -R 'bmap <8> 0' "${DEVICE[volume]}" 2>"$SCRATCH/debugfs")
[[ $journal =~ ^[0-9]+$ ]] || fail "where is the journal: $journal $(cat "$SCRATCH/debugfs")"
dd if="$IMAGES/volume.image" of="$IMAGES/volume.image" bs=1M count=24 conv=notrunc status=none
dd if="$IMAGES/volume.image" of="$IMAGES/volume.image" bs=4K skip="$journal" seek="$journal" count=2048 conv=notrunc status=none
volume_mount volume
remember files "$MNT"/file* "$MNT/holes0000"
volume_remount volume

# At which call is it at stake?
FILE=$MNT/file0001
calls >"$SCRATCH/calls"
commit=$(commit_point <"$SCRATCH/calls")
# stays_where_it_was FILE [OPTION...]
stays_where_it_was()
{
        local before

        FILE=$1
        before=$(runs "$FILE")
        injected --at="$commit" --run="head --bytes=512M /dev/zero >$SCRATCH/disk/ballast 2>/dev/null; true" "${@:2}"
        [[ $HIT ]] || wrong "nothing happened"
        grep '"path"' "$OUT"
        [[ $(stat --file-system --format %f "$SCRATCH/disk") == 0 ]] || fail "the disk is not full"
        # Nobody has it in memory any more.
        echo 3 >/proc/sys/vm/drop_caches
        # An error that nobody has asked for is told once.
        sync "$FILE" 2>/dev/null || true
        expect_same files
        (($(runs "$FILE") == before)) || lost "it lies where nothing can be written"
        ((status != 0)) || lost "nobody noticed"
        rm -f "$SCRATCH/disk/ballast" "$STATE_DIRECTORY"/stopped-*
}

stays_where_it_was "$MNT/file0000"
# A page of it is busy on the way back.
stays_where_it_was "$MNT/file0002" --then=EBUSY
(($(grep --count '^\*' "$SCRATCH/report") == 2)) || wrong "nothing was busy"
# Half of the slice is moved, and cannot be written; the other half is refused for another reason. The device is what is said.
stays_where_it_was "$MNT/holes0000" --then=EINVAL
(($(grep --count '^\*' "$SCRATCH/report") == 2)) || wrong "nothing was refused"
grep --quiet '"outcome":"failed","reason":"ENOSPC"' "$OUT" || wrong "that it cannot be written is not said"

# With a disk that works again everything goes its way.
volume_umount volume
image_check "$ENGINE" "${DEVICE[volume]}"
volume_mount volume
expect_same files
for FILE in "$MNT"/file000[02]; do
        defrag 0 --no-budget --json "$FILE"
        expect_outcome "$FILE" moved
done
expect_same files
volume_check volume
