#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# btrfs: files that are not copied on write are moved, and stay so, with their preallocated places; unless they are swap space, which is found by
# its blocks and never opened.
# LIMIT: 60
# ENGINES: btrfs

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume
mkdir "$MNT/not-copied"
chattr +C "$MNT/not-copied"
fragment --files=1 --size=8M "$MNT/not-copied"
fragment --files=1 --size=8M --name=part --pattern=d64K,d64K,d64K,u64K,h64K "$MNT/not-copied"
fragment --files=1 --size=8M --name=swap "$MNT/not-copied"
chmod 600 "$MNT/not-copied/swap0000"
mkswap "$MNT/not-copied/swap0000" >"$SCRATCH/mkswap"
volume_remount volume
remember files "$MNT"
remember swap "$MNT/not-copied/swap0000"
before=$(runs "$MNT/not-copied/swap0000")
defrag 0 --no-budget --json "$MNT"
expect_same files
expect_outcome "$MNT/not-copied/file0000" moved
expect_outcome "$MNT/not-copied/swap0000" skipped:swapfile
echo "part: $(said_of "$MNT/not-copied/part0000" '"\(.outcome) \(.extents_before) -> \(.extents_after)"')"
if swapon "$MNT/not-copied/swap0000" 2>"$SCRATCH/swapon"; then
        trap 'swapoff "$MNT/not-copied/swap0000"' EXIT
        defrag 0 --no-budget --json "$MNT/not-copied/swap0000"
        swapoff "$MNT/not-copied/swap0000"
        trap - EXIT
        expect_outcome "$MNT/not-copied/swap0000" skipped:swapfile
else
        echo "no swapon here: $(<"$SCRATCH/swapon")"
fi
[[ $(runs "$MNT/not-copied/swap0000") == "$before" ]] || lost "swap space was moved"
volume_check volume
