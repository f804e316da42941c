#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# btrfs on two devices: files are moved whether their data lie on both of them, on one of them or in turns, and every copy of them is right
# afterwards. With parity, or when one of the devices is missing, nothing is moved.
# LIMIT: 90
# ENGINES: btrfs
# KERNEL: devid 2 .*missing

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

# convert PROFILE
convert()
{
        btrfs balance start --force -dconvert="$1" -mconvert=raid1 "$MNT" >"$SCRATCH/balance" 2>&1 ||
                fail "to $1: $(<"$SCRATCH/balance")"
}

# scrubbed WHAT: each copy of each block has its checksum.
scrubbed()
{
        btrfs scrub start -B "$MNT" >"$SCRATCH/scrub" 2>&1 || lost "$1: $(<"$SCRATCH/scrub")"
        grep --quiet 'Error summary: *no errors found' "$SCRATCH/scrub" || lost "$1: $(<"$SCRATCH/scrub")"
}

test_volume
truncate --size=2G "$SCRATCH/second.image"
image_attach second "$SCRATCH/second.image" btrfs
btrfs device add --force "${DEVICE[second]}" "$MNT" >"$SCRATCH/add" 2>&1 || fail "$(<"$SCRATCH/add")"

for profile in single raid1 raid0; do
        convert "$profile"
        rm -f "$MNT"/file*
        fragment --files=4 --size=4M "$MNT"
        volume_remount volume
        remember "$profile" "$MNT"
        before=$(runs "$MNT"/file*)
        defrag 0 --no-budget --json "$MNT"
        echo "$profile: $before -> $(runs "$MNT"/file*) extents"
        [[ $(said .moved) == 4 ]] || fail "$profile: $(<"$OUT")"
        expect_same "$profile"
        volume_remount volume
        expect_same "$profile"
        scrubbed "$profile"
done

convert raid5
fragment --files=1 --size=4M --name=parity "$MNT"
volume_remount volume
defrag 2 --no-budget --json "$MNT/parity0000"
expect_outcome "$MNT/parity0000" skipped:crash-unsafe
grep --quiet 'RAID 5 or 6' "$ERR" || fail "it does not say why: $(<"$ERR")"

convert raid1
volume_check volume
volume_forget second
volume_mount volume -o degraded
defrag 0 --no-budget --json "$MNT/parity0000"
expect_outcome "$MNT/parity0000" skipped:degraded
