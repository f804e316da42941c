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

# One extent of 16 MiB, of which the first 2 MiB have other blocks in them: it is not given back as long as the rest refers to it.
head --bytes=16M /dev/urandom >"$MNT/partly"
sync "$MNT/partly"
for ((i = 1; i < 512; i += 8)); do
        head --bytes=4K /dev/urandom | dd of="$MNT/partly" bs=4K seek="$i" conv=notrunc status=none
done
# The same all over: the whole of it can go.
head --bytes=2M /dev/urandom >"$MNT/wholly"
sync "$MNT/wholly"
for ((i = 1; i < 512; i += 8)); do
        head --bytes=4K /dev/urandom | dd of="$MNT/wholly" bs=4K seek="$i" conv=notrunc status=none
done
volume_remount volume
remember overwritten "$MNT/partly" "$MNT/wholly"
before=$(used)
defrag 0 --no-budget --json "$MNT/partly"
expect_same overwritten
expect_outcome "$MNT/partly" skipped:would-grow
used_no_more_than "$before" "partly overwritten"
defrag 0 --no-budget --json "$MNT/wholly"
expect_same overwritten
expect_outcome "$MNT/wholly" moved
after=$(used)
((after <= before - (64 * 4 << 10) / 2)) || fail "what was overwritten is still allocated: $before -> $after"
volume_check volume
