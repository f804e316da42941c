#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# btrfs: extents of which one part is among others and another one an island between holes. Nothing of them comes back before the islands have
# moved, too: where free space is in pieces, and slices could be marked before they are written, which does not move islands, as well.
# LIMIT: 60
# ENGINES: btrfs
# MUTANTS: WHOLE_EXTENTS

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

# used: bytes of data that are allocated, when all that was given back is.
used()
{
        btrfs filesystem sync "$MNT"
        btrfs filesystem usage --raw "$MNT" 2>/dev/null | awk '$1 == "Used:" { print $2; exit }'
}

test_volume 1500M
# Units of 256 KiB, from the last one to the first, so that none comes to lie in front of the one that follows it: a hole; 32 KiB in eight pieces; an
# extent of 128 KiB, of which the third quarter is punched out then; and a hole. Of these 128 KiB every slice has some, whole.
FILE=$MNT/file
N_UNITS=160
head --bytes=128K /dev/urandom >"$SCRATCH/piece"
for ((i = N_UNITS - 1; i >= 0; i--)); do
        dd if="$SCRATCH/piece" of="$FILE" bs=128K count=1 oflag=seek_bytes,direct seek=$(((i * 256 + 64) * 1024)) conv=notrunc status=none
        for ((j = 7; j >= 0; j--)); do
                dd if="$SCRATCH/piece" of="$FILE" bs=4K count=1 seek=$((i * 64 + 8 + j)) conv=notrunc oflag=direct status=none
        done
done
for ((i = 0; i < N_UNITS; i++)); do
        fallocate --punch-hole --offset $((i * 256 + 128))K --length 32K "$FILE"
done
pieces_of_free_space "$MNT" 60 20 1024
volume_remount volume
remember file "$FILE"
before=$(used)
defrag '0|75' --no-budget --json "$FILE"
expect_same file
after=$(used)
echo "$(said_of "$FILE" .outcome): $before bytes used, then $after; $(runs "$FILE") runs"
# Metadata comes and goes; a leak is the 64 KiB of each unit that go on alone.
((after <= before + (256 << 10))) || lost "$before bytes used, then $after"
volume_check volume
