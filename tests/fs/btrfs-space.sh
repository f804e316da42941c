#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# btrfs: what is used does not grow. A snapshot goes on sharing every byte; parts of an extent of which others are in use are not moved
# alone; and of an extent that is moved as a whole the space comes back, also of what was overwritten in it.
# LIMIT: 60
# ENGINES: btrfs
# MUTANTS: WHOLE_EXTENTS SHARED_WALLS

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

# used: bytes of data that are allocated, when all that was given back is.
used()
{
        btrfs filesystem sync "$MNT"
        btrfs filesystem usage --raw "$MNT" 2>/dev/null | awk '$1 == "Used:" { print $2; exit }'
}

# Metadata comes and goes; a leak is larger than all of it.
used_no_more_than()
{
        local now

        now=$(used)
        echo "$2: $1 bytes used before, $now after"
        ((now <= $1 + (256 << 10))) || lost "$2: $1 bytes used before, $now after"
}

test_volume
btrfs -q subvolume create "$MNT/data"
fragment --files=2 --size=8M "$MNT/data"
btrfs -q subvolume snapshot "$MNT/data" "$MNT/snapshot"
fragment --files=1 --size=8M --name=own "$MNT/data"
volume_remount volume
remember files "$MNT"
before=$(used)
defrag 0 --no-budget --json "$MNT"
expect_same files
expect_outcome "$MNT/data/own0000" moved
expect_outcome "$MNT/data/file0000" skipped:shared
expect_outcome "$MNT/snapshot/file0001" skipped:shared
used_no_more_than "$before" "with a snapshot"

# overwrite FILE BLOCKS: every eighth of the first so many blocks of 4 KiB, so that each gets an extent of its own.
overwrite()
{
        for ((i = 1; i < $2; i += 8)); do
                head --bytes=4K /dev/urandom | dd of="$1" bs=4K seek="$i" conv=notrunc status=none
        done
}

# One extent of 16 MiB, of which the first 2 MiB have other blocks in them, and those are what is worth moving. But no space of it comes
# back before all of it has moved: that is done, or nothing.
for ((j = 0; j < 4; j++)); do
        head --bytes=4M /dev/urandom >>"$SCRATCH/image"
done
cp --reflink=never "$SCRATCH/image" "$MNT/partly"
sync "$MNT/partly"
overwrite "$MNT/partly" 1024
# What a kernel would leave where it is that does not move single extents: the end of this one, and with it all of it, but not the end
# of one that is in one cluster of 256 KiB with what comes before.
head --bytes=2M /dev/urandom >"$MNT/wholly"
sync "$MNT/wholly"
overwrite "$MNT/wholly" 512
btrfs filesystem sync "$MNT"
held=$(part-btrfs region "$MNT" "$MNT/partly" 0 $((16 << 20)))
[[ $held == "$((16 << 20)) $((128 * 4 << 10)) $((16 << 20)) 0 257" ]] || fail "of the long one: $held"
held=$(part-btrfs region "$MNT" "$MNT/wholly" 0 $((2 << 20)))
[[ $held == "$((2 << 20)) $((2 << 20 | 64 * 4 << 10)) 0 0 129" ]] || fail "of the short one: $held"
# Extents that lie one behind the other are one to the kernel, so the end of this one goes on with the next, which has nothing behind it.
for ((j = 0; j < 3; j++)); do
        head --bytes=1M /dev/urandom >>"$MNT/appended"
        sync "$MNT/appended"
done
if (($(runs "$MNT/appended") == 1)); then
        for ((i = 257; i < 384; i += 8)); do
                head --bytes=4K /dev/urandom | dd of="$MNT/appended" bs=4K seek="$i" conv=notrunc status=none
        done
        btrfs filesystem sync "$MNT"
        held=$(part-btrfs region "$MNT" "$MNT/appended" 0 $((3 << 20)))
        [[ $held == "$((3 << 20)) $((2 << 20 | 16 * 4 << 10)) $((1 << 20)) 0 33" ]] || fail "of three: $held"
else
        echo "three extents do not lie one behind the other"
fi
# The same in a part of what is preallocated, which is not moved.
fallocate --length=16M "$MNT/reserved"
head --bytes=4M /dev/urandom | dd of="$MNT/reserved" bs=1M conv=notrunc status=none
sync "$MNT/reserved"
overwrite "$MNT/reserved" 1024
# An extent of 48 MiB, with eight runs to gain, each worth 4 MiB: it stays, and so do the blocks in its beginning.
cat "$SCRATCH/image" "$SCRATCH/image" "$SCRATCH/image" >"$MNT/long"
sync "$MNT/long"
overwrite "$MNT/long" 32
volume_remount volume
remember overwritten "$MNT/partly" "$MNT/reserved" "$MNT/long"
before=$(used)
defrag 0 --no-budget --json "$MNT/reserved" "$MNT/long"
expect_same overwritten
expect_outcome "$MNT/reserved" skipped:would-grow
expect_outcome "$MNT/long" optimal
used_no_more_than "$before" "preallocated, and long"
defrag 0 --no-budget --json "$MNT/partly"
expect_same overwritten
expect_outcome "$MNT/partly" moved
(($(runs "$MNT/partly") <= 2)) || fail "$(runs "$MNT/partly") extents are left"
after=$(used)
echo "partly overwritten: $before bytes used before, $after after"
((after <= before - (128 * 4 << 10) / 2)) || fail "what was overwritten is still allocated: $before -> $after"
defrag 0 --no-budget --json "$MNT/partly"
expect_outcome "$MNT/partly" optimal
volume_check volume
