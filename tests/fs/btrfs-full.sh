#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A btrfs that is nearly full: within the reserve nothing is moved, and with no reserve either when there is so little left that the trees may have
# no room: then not even the probe writes. It is said that it is full, not that the disk has failed.
# ENGINES: btrfs
# LIMIT: 60
# MUTANTS: TREE_ROOM

. "$(dirname "$0")/../lib/inject.sh"
test_begin "$@"
need_inject

test_volume 1G
fragment --files=4 --size=16M "$MNT"
volume_remount volume
remember files "$MNT"/file*

free_bytes()
{
        echo $(($(stat --file-system --format '%a * %S' "$MNT")))
}

# leave FROM TO: so many MiB, in steps that use up nothing but data.
at=0
: >"$MNT/ballast"
leave()
{
        while (($(free_bytes) > $2 << 20)); do
                # All at once there may be none.
                fallocate --offset "$at" --length 1M "$MNT/ballast" 2>/dev/null || break
                at=$((at + (1 << 20)))
        done
        sync --file-system "$MNT"
        # Taken in parts that are longer.
        while (($(free_bytes) < $1 << 20)); do
                at=$((at - (1 << 20)))
                truncate --size="$at" "$MNT/ballast"
                sync --file-system "$MNT"
        done
}

# Of 1 GiB 51 MiB are kept free.
leave 25 45
echo "$(free_bytes) bytes free"
defrag 75 --no-budget --json "$MNT"/file*
for file in "$MNT"/file*; do
        expect_outcome "$file" no-space:reserve
done
printf '[Budget]\nFreeSpaceReserve=0\n' >>"$CONFIG"
leave 4 12
echo "$(free_bytes) bytes free"
generation()
{
        sync --file-system "$MNT"
        btrfs inspect-internal dump-super "${DEVICE[volume]}" | awk '$1 == "generation" { print $2 }'
}

before=$(generation)
defrag 75 --no-budget --json "$MNT"/file*
after=$(generation)
((after == before)) || lost "something was written: generation $before, now $after"
for file in "$MNT"/file*; do
        expect_outcome "$file" no-space:full
done
expect_same files
rm "$MNT/ballast"
volume_remount volume

# It fills up while the first file is moved: that one ends, and no other one begins.
FILE=$MNT/file0000
calls >"$SCRATCH/calls"
commit=$(commit_point <"$SCRATCH/calls")
[[ $commit ]] || fail "no commit: $(<"$SCRATCH/calls")"
FILE=$MNT/file0001
injected --at="$commit" --run="fallocate --length $at '$MNT/ballast'" -- "$MNT/file0002"
[[ $HIT ]] || wrong "nothing happened"
echo "$(free_bytes) bytes free"
expect_outcome "$MNT/file0002" no-space:full
expect_same files
volume_check volume
