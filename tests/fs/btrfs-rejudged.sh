#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# btrfs: a volume that is converted to parity while its files are moved is left alone from the next file on: it was judged when the run began, and
# is judged again for each region.
# LIMIT: 60
# ENGINES: btrfs
# MUTANTS: REJUDGED

. "$(dirname "$0")/../lib/inject.sh"
test_begin "$@"
need_inject

test_volume
truncate --size=2G "$SCRATCH/second.image"
image_attach second "$SCRATCH/second.image" btrfs
btrfs device add --force "${DEVICE[second]}" "$MNT" >"$SCRATCH/add" 2>&1 || fail "$(<"$SCRATCH/add")"
fragment --files=3 --size=4M "$MNT"
volume_remount volume
remember files "$MNT"
before=$(runs "$MNT/file0002")

FILE=$MNT/file0000
calls >"$SCRATCH/calls"
commit=$(commit_point <"$SCRATCH/calls")
[[ $commit ]] || fail "no commit: $(<"$SCRATCH/calls")"
FILE=$MNT/file0001
injected --at="$commit" --run="btrfs balance start --force -dconvert=raid5 -mconvert=raid1 '$MNT' >'$SCRATCH/balance' 2>&1" -- "$MNT/file0002"
grep --quiet '^Done' "$SCRATCH/balance" || fail "not converted: $(<"$SCRATCH/balance")"
expect_same files
expect_outcome "$MNT/file0002" skipped:crash-unsafe
echo "file0001: $(said_of "$MNT/file0001" '"\(.outcome):\(.reason)"'), file0002: $before, now $(runs "$MNT/file0002") extents"
volume_check volume
volume_forget second
