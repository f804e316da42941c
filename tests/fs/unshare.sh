#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# SharedExtents=yes: what files share may be moved, too. It is said first how much space that takes, so much is taken and no
# more, the other owner of the extents keeps its own, and what FreeSpaceReserve= keeps free stays free.
# ENGINES: exchange plain btrfs
# LIMIT: 90

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

# 24 MiB of two files, of which the second one shares 8 MiB.
readonly SIZE=$((16 << 20)) SHARED=$((8 << 20))

free_bytes()
{
        volume_remount volume
        echo $(($(stat --file-system --format='%a * %S' "$MNT")))
}

test_volume 1G
fragment --files=1 --size=16M "$MNT"
volume_remount volume
xfs_io -f -c "reflink $MNT/file0000 4m 0 8m" "$MNT/copy"
sync --file-system "$MNT"
volume_remount volume
remember contents "$MNT"
before=$(runs "$MNT/file0000")
copy_before=$(runs "$MNT/copy")

# Without it nothing that is shared moves; with it, --dry-run says what it would cost, and moves nothing.
defrag 0 --no-budget --json "$MNT/copy"
expect_outcome "$MNT/copy" skipped:shared
echo SharedExtents=yes >>"$CONFIG"
free=$(free_bytes)
defrag 0 --dry-run --no-budget --json "$MNT/copy"
expect_outcome "$MNT/copy" skipped:dry-run
[[ $(said_of "$MNT/copy" .bytes_shared) == "$SHARED" ]] || fail "$(cat "$OUT")"
defrag 0 --dry-run --no-budget "$MNT/copy"
grep --quiet ', 8.0 MiB to move, 8.0 MiB of it shared: 8.0 MiB more space used$' "$OUT" || fail "$(cat "$OUT")"
expect_same contents

# No room for it, as FreeSpaceReserve= has it: nothing is moved.
printf '[Budget]\nFreeSpaceReserve=%d\n' $((free - SHARED / 2)) >"$SCRATCH/reserve"
cp "$CONFIG" "$SCRATCH/plain"
cat "$SCRATCH/plain" "$SCRATCH/reserve" >"$CONFIG"
defrag 75 --no-budget --json "$MNT/copy"
expect_outcome "$MNT/copy" no-space
expect_same contents
cp "$SCRATCH/plain" "$CONFIG"

defrag 0 --no-budget --json "$MNT/copy"
expect_outcome "$MNT/copy" moved
grep --quiet --fixed-strings "$MNT/copy: moving it takes up to 8.0 MiB of space that it shares so far" "$ERR" ||
        fail "the cost was not said: $(cat "$ERR")"
after=$(runs "$MNT/copy")
((after < copy_before / 4)) || fail "$copy_before -> $after extents"
[[ $(runs "$MNT/file0000") == "$before" ]] || fail "the other file was moved as well"
taken=$((free - $(free_bytes)))
echo "copy: $copy_before -> $after extents, $taken bytes of space taken"
# Extents have room in trees, which have blocks.
((taken >= SHARED - (1 << 20) && taken <= SHARED + (1 << 20))) || fail "$taken bytes were taken, not $SHARED"

# Nothing is shared any more, so that the other one moves without a word.
defrag 0 --no-budget --json "$MNT/file0000"
expect_outcome "$MNT/file0000" moved
[[ $(said_of "$MNT/file0000" .bytes_shared) == null ]] || fail "$(cat "$OUT")"
! grep 'moving it takes' "$ERR" || fail "what costs nothing is announced"
# But for the sharing all is as before.
volume_remount volume
filestate "$MNT" | grep --invert-match '^  shared ' >"$SCRATCH/now"
diff <(grep --invert-match '^  shared ' "$SCRATCH/state-contents") "$SCRATCH/now" || fail "something is not as before"

# Of a file that is shared within itself, too.
fragment --files=1 --size=4M --name=self "$MNT"
self=("$MNT"/self*)
xfs_io -c "reflink ${self[0]} 0 4m 4m" "${self[0]}"
sync --file-system "$MNT"
volume_remount volume
sum=$(sha256sum <"${self[0]}")
defrag 0 --no-budget --json "${self[0]}"
expect_outcome "${self[0]}" moved
volume_remount volume
[[ $(sha256sum <"${self[0]}") == "$sum" ]] || fail "the file that shared with itself is another one"
volume_check volume
