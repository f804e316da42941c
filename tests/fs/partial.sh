#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A file of 256 MiB, 16 MiB of it in pieces: where the engine works by regions, little more than these are moved.
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 90

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume
# Contiguous before anything else is there.
xfs_io -f -c 'falloc 0 256m' -c 'pwrite -q -b 4m -S 0x5a 0 256m' -c fsync "$MNT/big"
(($(runs "$MNT/big") <= 2)) || skip "the volume's free space is not contiguous"
fragment --into="$MNT/big" --offset=100M --length=16M "$MNT"
volume_remount volume
before=$(runs "$MNT/big")
((before > 200)) || fail "only $before extents to begin with"
remember big "$MNT/big"

defrag 0 --no-budget --json "$MNT/big"
after=$(runs "$MNT/big")
moved=$(said .bytes_moved)
echo "$before -> $after extents, $moved bytes moved"
expect_outcome "$MNT/big" moved
((after <= 6)) || fail "$after extents are left"
case $ENGINE in
exchange | ext4 | btrfs) ((moved <= 20 << 20)) || fail "$moved bytes were moved" ;;
plain) ((moved <= 256 << 20)) || fail "$moved bytes were moved" ;;
esac
expect_same big
defrag 0 --json "$MNT/big"
[[ $(said .bytes_moved) == 0 ]] || fail "the second run: $(said .)"
volume_check volume
