#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# FreeSpaceReserve= stays free, 5 % of the volume unless it says otherwise, though there is room for any single file.
# ASAN: no
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 60
# MUTANTS: RESERVE

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume 512M
fragment --files=2 --size=4M "$MNT"
volume_remount volume
remember files "$MNT"/file*
free_mebibytes()
{
        echo $(($(stat --file-system --format '%a * %S' "$MNT") >> 20))
}
fallocate --length $(($(free_mebibytes) - 22))M "$MNT/ballast"
(($(free_mebibytes) >= 12 && $(free_mebibytes) <= 25)) || fail "$(free_mebibytes) MiB are free"
defrag '0|75' --no-budget --json "$MNT"/file*
for file in "$MNT"/file*; do
        expect_outcome "$file" no-space:reserve
done
expect_same files

# A small file beside them, when the owner says that less is enough.
printf '[Budget]\nFreeSpaceReserve=1M\n' >>"$CONFIG"
defrag 0 --no-budget --json "$MNT/file0000"
expect_outcome "$MNT/file0000" moved
expect_same files
volume_check volume
