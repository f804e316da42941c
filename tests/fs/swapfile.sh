#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Files that others find by their blocks are left alone: swap files, active or not; and so are files that are in use.
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 60
# MUTANTS: SWAP_SIGNATURE

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

need_command mkswap
test_volume
fragment --files=3 --size=8M "$MNT"
chmod 0600 "$MNT"/file*
mkswap "$MNT/file0000" >/dev/null
sync --file-system "$MNT"
volume_remount volume
remember files "$MNT"
exec {held}<"$MNT/file0001"
defrag '0|75' --no-budget --json "$MNT"
expect_outcome "$MNT/file0000" skipped:swapfile
if leaves_open_files; then
        expect_outcome "$MNT/file0001" busy:open
else
        expect_outcome "$MNT/file0001" moved
fi
expect_outcome "$MNT/file0002" moved
exec {held}<&-
defrag 0 --no-budget --json "$MNT"
! leaves_open_files || expect_outcome "$MNT/file0001" moved
expect_same files
volume_check volume
