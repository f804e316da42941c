#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A reload takes what is right and keeps what was in force when anything is wrong; the queue is never dropped. A start with mistakes never
# touches more than was meant.
# ENGINES: exchange
# WHOLE_ENGINES: ext4 btrfs
# LIMIT: 180

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"

# reload EXPECTED_LOG
reload()
{
        local ready

        ready=$(grep --count '^READY=1' "$TOLD")
        kill -HUP "$service_pid"
        wait_until 25 eval "(( \$(grep --count '^READY=1' \"\$TOLD\") > $ready ))" || fail "no READY after the reload"
        told 'RELOADING=1' && told 'MONOTONIC_USEC=[0-9]+' || fail "$(cat "$TOLD")"
        logged "$1" || fail "not logged: $1: $(cat "$ERR")"
}

test_volume
service_config Enabled=observe
service_start
expect 10 is_swept
fragment --files=2 --size=4M "$MNT"
remember files "$MNT"
expect 11 status_is '2 would be moved'
(($(runs "$MNT"/*) > 100)) || fail "moved, though it was only to observe"

# A mistake, each of its own kind: what was in force stays, visibly.
before=$(cat "$CONFIG")
for mistake in 'Colour=blue' 'MaxRate=fast' '[Volume relative]' 'nonsense' 'Hours=25:00-26:00'; do
        printf '%s\nEnabled=yes\n%s\n' "$before" "$mistake" >"$CONFIG"
        reload 'stays in force'
        logged "$CONFIG:[0-9]+: " || fail "no place: $(cat "$ERR")"
        expect 3 status_is '^1 mistake in the configuration. 1 volume watched'
done
printf '%s' "$before" | sed 's/^Enabled=observe/Enabled=yes/' >"$CONFIG"
rm -f "$SCRATCH/gone"
mv "$CONFIG" "$SCRATCH/gone"
reload 'cannot be read'
[[ $(status_now) != *'files moved'* ]] || fail "$(status_now)"
mv "$SCRATCH/gone" "$CONFIG"
reload 'was read anew'
expect 11 status_is '^1 volume watched, 0 files waiting; 2 files moved'
expect_same files

# The queue goes through it.
service_config Hours='Mon 00:00-00:01'
while [[ $(date +%u%H%M) == 10000 ]]; do sleep 1; done
reload 'was read anew'
fragment --files=2 --size=4M --name=more "$MNT"
expect 11 status_is '2 files waiting; .*outside Hours='
for ((i = 0; i < 3; i++)); do
        reload 'was read anew'
done
expect 3 status_is '2 files waiting; .*outside Hours='
# Off, and on again.
has_mark()
{
        # Descriptors come and go meanwhile: a file that is gone is no answer.
        grep --quiet --no-messages '^fanotify sdev:' "/proc/$service_pid/fdinfo"/*
}
has_mark || fail "no mark"
service_config Enabled=no
reload 'was read anew'
expect 3 status_is '^0 volumes watched'
! has_mark || fail "events of a volume that is not looked after"
service_config
reload 'was read anew'
expect 11 status_is '0 files waiting; 4 files moved'

# Twice, the second time while the first is still being read, which takes a while here: what was said last counts.
printf '[Volume /none/%d]\n' {1..20000} >>"$CONFIG"
reloads=$(grep --count '^RELOADING=1' "$TOLD")
kill -HUP "$service_pid"
wait_until 25 eval "(( \$(grep --count '^RELOADING=1' \"\$TOLD\") > reloads ))" || fail "no RELOADING"
service_config Enabled=no
kill -HUP "$service_pid"
expect 3 status_is '^0 volumes watched'
service_config
reload 'was read anew'
service_stop

# A start with a mistake in the volume's own section: it is left alone. With one where it limits us: nothing is moved.
fragment --files=2 --size=4M --name=third "$MNT"
remember third "$MNT"
service_config 'DailyWrites=lots'
service_start
expect 3 status_is '^1 mistake in the configuration. 0 volumes watched'
logged "$CONFIG:[0-9]+: Invalid value, ignoring: DailyWrites=lots" || fail "$(cat "$ERR")"
service_stop
service_config
printf '[Budget]\nDailyWrites=lots\n' >>"$CONFIG"
service_start
expect 10 is_swept
expect 11 status_is '^1 mistake in the configuration, nothing is moved. 1 volume watched, [0-9]+ files waiting; .*: the configuration has mistakes'
sleep 2
(($(runs "$MNT"/third*) > 100)) || fail "moved though the limits are broken"
service_stop
expect_same third

# No configuration where one was named.
status=0
"$DEFRAGD" --config="$SCRATCH/none" 2>"$ERR" || status=$?
[[ $status == 2 ]] || fail "status $status: $(cat "$ERR")"
volume_check volume
