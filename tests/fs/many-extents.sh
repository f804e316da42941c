#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A file of more than 100,000 extents.
# ENGINES: exchange ext4
# WHOLE_ENGINES: plain btrfs
# LIMIT: 180
# ASAN: no

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume
fragment --size=440M --piece=4K "$MNT"
volume_remount volume
before=$(runs "$MNT/file0000")
((before > 100000)) || fail "only $before extents to begin with"
remember file "$MNT/file0000"

defrag 0 --no-budget --json "$MNT/file0000"
after=$(runs "$MNT/file0000")
echo "$before -> $after extents in $(($(said .usec) / 1000)) ms"
expect_outcome "$MNT/file0000" moved
# A region has at most 2,000 runs.
((after <= before / 1000)) || fail "$after extents are left"
expect_same file
volume_check volume
