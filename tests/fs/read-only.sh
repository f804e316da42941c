#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The administrator's ro is respected, whether it is the volume's or one mount's: not a byte is written.
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 60
# MUTANTS: READ_ONLY

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume 512M
fragment --files=2 --size=8M "$MNT"
volume_remount volume -o ro
remember files "$MNT"
written=$(volume_written volume)
defrag 0 --no-budget --json "$MNT"/file*
for file in "$MNT"/file*; do
        expect_outcome "$file" skipped:read-only
done
defrag 0 --no-budget --json "$MNT"
expect_same files
[[ $(volume_written volume) == "$written" ]] || lost "the device was written to"

# Mounted twice: a mount that is writable may be used, one that is not may not.
volume_remount volume
remember files "$MNT"
mount -o remount,bind,ro "$MNT"
defrag 0 --no-budget --json "$MNT"/file*
expect_outcome "$MNT/file0000" skipped:read-only
expect_same files
mount -o remount,bind,rw "$MNT"
defrag 0 --no-budget --json "$MNT"/file*
expect_outcome "$MNT/file0000" moved
expect_same files
volume_check volume
