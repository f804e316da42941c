#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two instances never work on one volume at once: the second one is told to come later, and loses nothing.
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 60
# MUTANTS: VOLUME_LOCK

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

need_command flock
test_volume 1G
fragment --files=8 --size=16M "$MNT"
volume_remount volume
remember files "$MNT"

# The lock is flock(2) on the root directory.
exec {lock}<"$MNT"
flock --exclusive "$lock"
defrag '0|75' --no-budget --json "$MNT/file0000"
expect_outcome "$MNT/file0000" busy:locked
(($(runs "$MNT/file0000") > 100)) || fail "moved in spite of the lock"
exec {lock}<&-

# Two at the same time: between them everything is done, and never twice.
pids=()
for i in 1 2; do
        "$DEFRAGD" --once --config="$CONFIG" --no-budget --json "$MNT" >"$SCRATCH/out-$i" 2>"$SCRATCH/err-$i" </dev/null &
        pids+=($!)
done
for pid in "${pids[@]}"; do
        status=0
        wait "$pid" || status=$?
        [[ $status == @(0|75) ]] || fail "status $status: $(cat "$SCRATCH"/err-*)"
done
expect_same files
moved=$(cat "$SCRATCH"/out-* | jq --slurp 'map(select(.path) | .bytes_moved) | add')
((moved <= 128 << 20)) || fail "$moved bytes were moved: something was moved twice"
defrag 0 --no-budget --json "$MNT"
(($(runs "$MNT"/file*) <= 16)) || fail "$(runs "$MNT"/file*) extents are left"
expect_same files
volume_check volume
