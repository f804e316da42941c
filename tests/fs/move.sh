#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# 32 files, 512 MiB, more than 6,000 extents become at most 40, and are otherwise the same; a second run has
# nothing to do.
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
((after <= 40)) || fail "$after extents are left"
expect_same files
[[ $(said '.moved, .failed, .bytes_moved' | paste -sd ' ') == "32 0 $((512 << 20))" ]] || fail "summary: $(said .)"
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
