#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The queue outlives a kill -9 but for its last half minute, and a clean stop altogether; a file that was moved is not moved again
# soon, though it became fragmented again.
# ENGINES: exchange
# WHOLE_ENGINES: ext4 btrfs
# TSAN: no
# LIMIT: 240

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"

test_volume
service_config Hours='Mon 00:00-00:01'
# Outside of these hours; the minute itself is waited for.
while [[ $(date +%u%H%M) == 10000 ]]; do sleep 1; done
service_start
expect 3 status_is '^1 volume watched'
# Only events: no sweep is made outside of the hours.
fragment --files=3 --size=4M "$MNT"
expect 11 status_is '^1 volume watched, 3 files waiting; .*: outside Hours='
in_ledger()
{
        [[ $(grep --count '^file ' "$STATE/ledger" 2>/dev/null) == "$1" ]]
}
expect 30 in_ledger 3
kill -KILL "$service_pid"
wait "$service_pid" 2>/dev/null || true
service_start
expect 3 status_is '^1 volume watched, 3 files waiting; .*: outside Hours='
service_stop
in_ledger 3 || fail "$(cat "$STATE/ledger")"

service_config
service_start
expect 11 status_is '3 files moved'
service_stop
# The file as it was before, in pieces again.
fragment --into="$MNT/file0000" --offset=0 --length=4M "$MNT" || true
fragment --files=1 --size=4M --name=new "$MNT"
service_start
expect 11 status_is '1 file moved'
expect 5 is_swept
! logged 'file0000: moved' || fail "moved twice in a day"
grep '^file ' "$STATE/ledger"
service_stop
volume_check volume
