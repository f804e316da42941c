#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Files that are written, mapped, cut, cloned and renamed in all ways (exerciser), while an engine that never rests moves them
# (part-mover): every byte is there, moves are accepted and refused, and the volume is in order.
# LIMIT: 180
# ENGINES: exchange plain ext4 btrfs
# WHOLE_ENGINES: ext4-1k ext4-2k

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

seconds=$((${MINUTES:-0} ? MINUTES * 60 : 16))
test_volume
mkdir "$MNT/files"
part-mover --board="$SCRATCH/board" --guard=0 --linger=2000 "$MNT" "$MNT/files" >"$SCRATCH/mover" &
mover=$!
status=0
exerciser --board="$SCRATCH/board" --processes=2 --threads=6 --seconds="$seconds" "$MNT/files" || status=$?
((status != 1)) || fail "data was lost"
((status == 0)) || fail "the exerciser ended with status $status"

kill -TERM "$mover"
wait "$mover" || {
        cat "$SCRATCH/mover"
        fail "the engine failed"
}
grep -v ready "$SCRATCH/mover"

# Of what is left, nobody uses anything: now defragd itself.
remember files "$MNT/files"
defrag '0|75' --no-budget --json "$MNT"
expect_same files
volume_remount volume
expect_same files
volume_check volume

grep --quiet '[1-9][0-9]* moves accepted' "$SCRATCH/mover" || fail "nothing was moved"
grep --quiet '(changed [1-9]' "$SCRATCH/mover" || fail "no writer ever met a move"
