#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A volume whose free space lies in pieces no longer than those of its files: nothing that is moved there could become better, so
# not a byte is. Room enough is not reason enough.
# ASAN: no
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 60
# MUTANTS: GAIN

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume 320M
fragment --keep-filler --files=2 --size=8M --piece=64K "$MNT"
volume_remount volume
free=$(($(stat --file-system --format '%f * %S' "$MNT")))
((free > 48 << 20)) || fail "only $free bytes are free"
remember files "$MNT"/file*
before=$(runs "$MNT"/file*)
printf '[Budget]\nFreeSpaceReserve=0\n' >>"$CONFIG"
defrag '0|75' --no-budget --json "$MNT"/file*
after=$(runs "$MNT"/file*)
echo "$((free >> 20)) MiB free in pieces: $before -> $after extents, $(said .bytes_moved) bytes moved"
((after <= before)) || lost "$before -> $after extents"
((after < before - 16)) || [[ $(said .bytes_moved) == 0 ]] || lost "$(said .bytes_moved) bytes moved for $((before - after)) extents"
expect_same files
volume_check volume
