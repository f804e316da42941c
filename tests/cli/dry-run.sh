#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --dry-run changes nothing: no file, no time stamp, not a sector of the device; what it says comes true.
# ENGINES: exchange plain btrfs
# LIMIT: 60

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume 1G
fragment --files=4 --size=16M "$MNT"
volume_remount volume -o noatime
remember files "$MNT"
sync --file-system "$MNT"
settled()
{
        local before

        before=$(volume_written volume)
        sync --file-system "$MNT"
        [[ $(volume_written volume) == "$before" ]]
}
wait_until 10 settled || fail "the volume is never quiet"
# XFS covers its log some time after the last change: remount,ro does it now.
mount -o remount,ro "$MNT"
mount -o remount,rw "$MNT"
wait_until 10 settled || fail "the volume is never quiet"
written=$(volume_written volume)

defrag 0 --dry-run --json "$MNT"
sync --file-system "$MNT"
[[ $(volume_written volume) == "$written" ]] || fail "the device was written to"
expect_same files
for file in "$MNT"/file*; do
        expect_outcome "$file" skipped:dry-run
        [[ $(said_of "$file" .extents_before) == "$(runs "$file")" ]] || fail "$file: extents_before"
        [[ $(said_of "$file" .bytes_moved) == 0 ]] || fail "$file: bytes_moved"
done
[[ $(said_of "$MNT/file0000" .engine) == "$(engine_name)" ]] || fail "engine: $(said_of "$MNT/file0000" .engine)"
promised=$(said .extents_after)
defrag 0 --dry-run "$MNT/file0000"
grep -q 'dry-run' "$OUT" || fail "text: $(cat "$OUT")"

defrag 0 --no-budget --json "$MNT"
(($(said .extents_after) <= promised)) || fail "promised $promised extents, left $(said .extents_after)"
