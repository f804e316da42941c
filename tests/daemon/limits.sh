#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The limits that people set: DailyWrites= is a hard stop, also over restarts and kill -9; FreeSpaceReserve=, MaxRate=, pause and
# resume, a full volume.
# ENGINES: exchange
# WHOLE_ENGINES: ext4 btrfs
# TSAN: no
# LIMIT: 240

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"

test_volume 1G
# 16 MiB a day, and 14 files of 4 MiB.
fragment --files=14 --size=4M "$MNT"
volume_remount volume
remember files "$MNT"
service_config DailyWrites=16M
# The day must not end meanwhile.
while [[ $(date +%H%M) == 235[5-9] ]]; do sleep 1; done
service_start
expect 11 status_is 'DailyWrites= is used up'
moved=$(n_logged ': moved, .* MiB in')
((moved >= 1 && moved <= 4)) || fail "$moved files of 4 MiB were moved"
status_is "^1 volume watched, $((14 - moved)) files waiting" || fail "$(status_now)"
kill -KILL "$service_pid"
wait "$service_pid" 2>/dev/null || true
service_start
expect 11 status_is 'DailyWrites= is used up'
! logged ': moved, ' || fail "more than a day's: $(cat "$ERR")"
service_stop
# More is allowed now; what was spent stays spent.
service_config DailyWrites=28M
service_start
expect 11 status_is 'DailyWrites= is used up'
more=$(n_logged ': moved, .* MiB in')
((moved + more >= moved + 1 && moved + more <= 7)) || fail "$moved + $more files of 4 MiB with 28 MiB"
service_stop
expect_same files

# A ledger that cannot be read: today counts as spent.
service_config DailyWrites=900M
printf 'garbage' >"$STATE/ledger"
service_start
expect 11 status_is 'DailyWrites= is used up'
logged 'ledger cannot be used .*set aside' || fail "$(cat "$ERR")"
[[ $(cat "$STATE/ledger.set-aside") == garbage ]] || fail "it is gone"
service_stop
sed -i 's/defragd-ledger 1/defragd-ledger 2/' "$STATE/ledger"
service_start
expect 11 status_is 'DailyWrites= is used up'
[[ $(head -n 1 "$STATE/ledger.set-aside.1") == 'defragd-ledger 2' ]] || fail "$(ls "$STATE")"
service_stop
rm -f "$STATE"/*

# The run that nobody watches shares the budget with the service, and leaves the work to it while it is there.
service_config DailyWrites=12M
STATE_DIRECTORY=$STATE "$DEFRAGD" --once --all --json --config="$CONFIG" >"$OUT" 2>"$ERR" && fail "status 0 with a budget that is too small"
once=$(jq --slurp 'map(select(.outcome == "moved")) | length' "$OUT")
((once >= 1 && once <= 3)) || fail "$once files of 4 MiB with 12 MiB: $(cat "$OUT" "$ERR")"
service_start
expect 11 status_is 'DailyWrites= is used up'
((once + $(n_logged ': moved, ') <= 3)) || fail "more than a day's: $(cat "$ERR")"
status=0
STATE_DIRECTORY=$STATE "$DEFRAGD" --once --all --config="$CONFIG" >"$OUT" 2>&1 || status=$?
[[ $status == 75 ]] || fail "status $status beside a service: $(cat "$OUT")"
status=0
STATE_DIRECTORY=$STATE "$DEFRAGD" --config="$CONFIG" >"$OUT" 2>&1 || status=$?
[[ $status == 1 ]] || fail "two services on one ledger: $(cat "$OUT")"
service_stop
expect_same files

# Nowhere to store the ledger: nothing is moved that it would have to know.
rm -f "$STATE"/*
mount -t tmpfs -o size=64k tmpfs "$STATE"
head -c 64k /dev/zero >"$STATE/full" 2>/dev/null || true
service_config DailyWrites=900M
service_start
expect 11 status_is '^The ledger cannot be stored.*: the ledger cannot be stored'
logged 'Cannot store the ledger: No space left' || fail "$(cat "$ERR")"
! logged ': moved, ' || fail "moved without a ledger"
service_stop
umount "$STATE"

# Space that has to stay free.
service_config DailyWrites=infinity FreeSpaceReserve=95%
service_start
expect 10 is_swept
sleep 2
! logged ': moved, ' || fail "into the reserve"
logged 'no-space:reserve' || fail "$(cat "$ERR")"
service_stop
rm -f "$STATE"/*

# Paused, and resumed.
service_config DailyWrites=infinity MaxRate=2M
service_start
expect 11 status_is '[1-9] files? moved'
kill -USR1 "$service_pid"
expect 3 status_is '^Paused. '
told X_DEFRAGD_STATE=paused || fail "$(cat "$TOLD")"
# The region in progress is the last; a file takes two seconds at that rate.
sleep 4
n=$(n_logged ': moved, ')
sleep 5
[[ $(n_logged ': moved, ') == "$n" ]] || fail "it goes on while it is paused"
status_is '[1-9] files? waiting' || fail "nothing was left to be moved: $(status_now)"
kill -USR2 "$service_pid"
expect 30 status_is '^1 volume watched, 0 files waiting'
expect_same files
service_stop
volume_check volume
