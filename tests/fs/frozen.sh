#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A volume that is frozen while it is worked on: the work waits, goes on after the thaw, and loses nothing.
# ASAN: no
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 90

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

need_command fsfreeze
test_volume
fragment --files=32 --size=8M "$MNT"
volume_remount volume
remember files "$MNT"

# The freeze may come when it has hardly begun or nearly ended: several times, from several moments.
for delay in 0.05 0.3; do
        : >"$OUT"
        "$DEFRAGD" --once --config="$CONFIG" --no-budget --json "$MNT" >"$OUT" 2>"$ERR" </dev/null &
        pid=$!
        sleep "$delay"
        fsfreeze --freeze "$MNT"
        # Three seconds are long enough for everything that does not honour the freeze.
        sleep 3
        kill -0 "$pid" 2>/dev/null && echo "frozen $delay s after the start: still at work"
        fsfreeze --unfreeze "$MNT"
        status=0
        wait "$pid" || status=$?
        [[ $status == @(0|75) ]] || fail "status $status: $(cat "$OUT" "$ERR")"
        [[ $(said .failed) == 0 ]] || fail "failures: $(cat "$OUT")"
        expect_same files
        [[ $delay == 0.3 ]] || fragment --files=8 --size=8M --name="more-$delay-" "$MNT"
        remember files "$MNT"
done
defrag 0 --no-budget --json "$MNT"
expect_same files
(($(runs "$MNT"/*) <= 2 * $(find "$MNT" -type f | wc -l))) || fail "$(runs "$MNT"/*) extents are left"

# Frozen before it starts, and told to stop: it cannot before the thaw, but then it does.
fragment --files=2 --size=8M --name=last "$MNT"
remember files "$MNT"
fsfreeze --freeze "$MNT"
env --default-signal=INT "$DEFRAGD" --once --config="$CONFIG" --no-budget "$MNT" >"$OUT" 2>"$ERR" </dev/null &
pid=$!
sleep 1
kill -INT "$pid"
fsfreeze --unfreeze "$MNT"
gone()
{
        ! kill -0 "$pid" 2>/dev/null
}
wait_until 20 gone || fail "does not stop after the thaw"
status=0
wait "$pid" || status=$?
[[ $status == 130 ]] || fail "status $status after SIGINT"
expect_same files
volume_check volume
