#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# 32 files, 512 MiB, more than 6,000 extents become at most 40, and are otherwise the same; a second run has
# nothing to do.
# ENGINES: exchange plain ext4 ext4-1k ext4-2k btrfs
# LIMIT: 90

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume
fragment --files=32 --size=16M --piece=64K "$MNT"
volume_remount volume
before=$(runs "$MNT"/file*)
((before > 6000)) || fail "only $before extents to begin with"
remember files "$MNT"

defrag 0 --no-budget --json "$MNT"
after=$(runs "$MNT"/file*)
echo "$before -> $after extents"
most=40
# Groups of 1 KiB blocks have 8 MiB: a file of 16 is often in two of them.
[[ $ENGINE != ext4-1k ]] || most=80
((after <= most)) || fail "$after extents are left"
expect_same files
[[ $(said '.moved, .failed' | paste -sd ' ') == "32 0" ]] || fail "summary: $(said .)"
# What lies well beside what does not may stay: ext4 has free space left that is longer than a hole.
moved=$(said .bytes_moved)
least=512
[[ $ENGINE != ext4* ]] || least=448
((moved <= 512 << 20 && moved >= least << 20)) || fail "$moved bytes were moved"
[[ $(said '.extents_before, .extents_after' | paste -sd ' ') == "$before $after" ]] || fail "summary: $(said .)"
[[ $(jq --raw-output 'select(.path) | .engine' "$OUT" | sort -u) == "$(engine_name)" ]] || fail "another engine"

defrag 0 --json "$MNT"
[[ $(said '.bytes_moved, .moved, .failed' | paste -sd ' ') == "0 0 0" ]] || fail "the second run: $(said .)"
# One by one, too.
defrag 0 --json "$MNT"/file*
[[ $(said '.bytes_moved, .optimal' | paste -sd ' ') == "0 32" ]] || fail "the third run: $(said .)"

volume_remount volume
expect_same files
volume_check volume
