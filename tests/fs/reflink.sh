#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Shared extents are walls: what two files share stays shared, and what is theirs alone is still moved.
# ENGINES: exchange plain btrfs
# LIMIT: 90
# MUTANTS: SHARED_WALLS

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume
fragment --files=3 --size=16M "$MNT"
volume_remount volume
# The second file has a copy of all of it, the third one of its middle.
cp --reflink=always "$MNT/file0001" "$MNT/copy-of-all"
xfs_io -f -c "reflink $MNT/file0002 4m 4m 4m" "$MNT/copy-of-middle"
sync --file-system "$MNT"
volume_remount volume
remember files "$MNT"
shared=$(awk '$1 == "shared" { n += $2 } END { print n }' "$SCRATCH/state-files")
((shared == 40 << 20)) || fail "only $shared bytes are shared to begin with"
before=$(runs "$MNT/file0002")

defrag 0 --no-budget --json "$MNT"
expect_same files
expect_outcome "$MNT/file0000" moved
expect_outcome "$MNT/file0001" skipped:shared
expect_outcome "$MNT/copy-of-all" skipped:shared
expect_outcome "$MNT/copy-of-middle" skipped:shared
after=$(runs "$MNT/file0002")
echo "half shared: $before -> $after extents"
case $ENGINE in
exchange | btrfs)
        expect_outcome "$MNT/file0002" moved
        ((after < before)) || fail "what is not shared was not moved"
        ;;
plain) expect_outcome "$MNT/file0002" skipped:shared ;;
esac
defrag 0 --no-budget --json "$MNT"
[[ $(said .bytes_moved) == 0 ]] || fail "the second run: $(said .)"

# Once the copies are gone nothing is shared any more.
rm "$MNT"/copy-*
volume_remount volume
defrag 0 --no-budget --json "$MNT"
((1 >= $(runs "$MNT/file0001") / 4)) || fail "still $(runs "$MNT/file0001") extents after the copy went"
volume_check volume
