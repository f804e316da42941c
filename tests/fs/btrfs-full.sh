#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A btrfs that is nearly full: within the reserve nothing is moved, and with no reserve either when there is so little left that the trees may have
# no room: then not even the probe writes. It is said that it is full, not that the disk has failed.
# ENGINES: btrfs
# LIMIT: 60

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

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
generation=$(btrfs inspect-internal dump-super "${DEVICE[volume]}" | awk '$1 == "generation" { print $2 }')
defrag 75 --no-budget --json "$MNT"/file*
for file in "$MNT"/file*; do
        expect_outcome "$file" no-space:full
done
sync --file-system "$MNT"
now=$(btrfs inspect-internal dump-super "${DEVICE[volume]}" | awk '$1 == "generation" { print $2 }')
((now == generation)) || fail "something was written: generation $generation, now $now"
expect_same files
rm "$MNT/ballast"
volume_remount volume
defrag 0 --no-budget --json "$MNT"/file*
expect_outcome "$MNT/file0000" moved
expect_same files
volume_check volume
