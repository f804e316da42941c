#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Two mounted volumes with one UUID, a copy beside its original: nobody can say which one was meant, so both are left alone.
# ASAN: no
# ENGINES: exchange ext4
# LIMIT: 60
# MUTANTS: TWIN

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume 320M
fragment --files=2 --size=4M "$MNT"
volume_umount volume
cp --sparse=always "${DEVICE[volume]}" "$SCRATCH/twin.image"
volume_mount volume
mkdir "$SCRATCH/twin"
options=loop
[[ $ENGINE != exchange ]] || options+=,nouuid
mount -o "$options" "$SCRATCH/twin.image" "$SCRATCH/twin"
remember files "$MNT" "$SCRATCH/twin"
defrag '0|1|2' --no-budget --json "$MNT/file0000" "$SCRATCH/twin/file0000"
for file in "$MNT/file0000" "$SCRATCH/twin/file0000"; do
        expect_outcome "$file" skipped:duplicate-uuid
done
expect_same files
umount "$SCRATCH/twin"
remember files "$MNT"
defrag 0 --no-budget --json "$MNT/file0000"
expect_outcome "$MNT/file0000" moved
expect_same files
volume_check volume
