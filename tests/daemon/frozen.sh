#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A frozen volume stops its own worker and nothing else: another disk goes on, STATUS says what is the matter, and so it is with the
# volume under the state directory. After the thaw all goes on, and nothing is lost.
# ASAN: no
# ENGINES: exchange
# LIMIT: 300

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"

need_command fsfreeze
test_volume
volume_make other "$ENGINE" 1G
volume_make state "$ENGINE" 512M
service_config
printf '[Volume %s]\nEnabled=yes\n' "$SCRATCH/other" >>"$CONFIG"
service_start
expect 10 is_swept
expect 10 logged "$SCRATCH/other: swept"

fragment --files=4 --size=8M "$MNT"
remember frozen "$MNT"
fsfreeze --freeze "$MNT"
# It has to write to find out.
expect 20 status_is "$MNT: no answer"
fragment --files=2 --size=4M "$SCRATCH/other"
remember other "$SCRATCH/other"
expect 11 status_is '2 files moved'
fsfreeze --unfreeze "$MNT"
expect 11 status_is '6 files moved: 40.0 MiB'
expect_same frozen
expect_same other
logged 'answers again' || fail "$(cat "$ERR")"
[[ $(status_now) != *'no answer'* ]] || fail "$(status_now)"

# Told to stop while a worker is in the kernel: it goes, or rather its main thread does, and with the thaw all of it.
fragment --files=4 --size=8M --name=last "$MNT"
remember last "$MNT"
fsfreeze --freeze "$MNT"
expect 20 status_is "$MNT: no answer"
kill -TERM "$service_pid"
expect 5 told 'EXTEND_TIMEOUT_USEC=[0-9]+'
fsfreeze --unfreeze "$MNT"
expect 5 service_is_gone
status=0
wait "$service_pid" || status=$?
((status == 0)) || fail "status $status"
expect_same last

# The state directory on a frozen volume: what is charged already is moved; more is not, and it says so.
rm -rf "$SCRATCH/state"/*
service_start
expect 10 is_swept
expect 11 status_is '4 files moved'
fsfreeze --freeze "$SCRATCH/state"
expect 35 status_is 'state directory does not answer'
fragment --files=2 --size=4M --name=more "$MNT"
expect 11 status_is '6 files moved'
fsfreeze --unfreeze "$SCRATCH/state"
wait_until 30 eval '[[ $(status_now) != *"does not answer"* ]]' || fail "$(status_now)"
service_stop
volume_check volume
volume_check other
volume_check state
