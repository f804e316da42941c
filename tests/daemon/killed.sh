#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Killed without warning, again and again and at any moment: no byte is changed, nothing is left behind, the ledger is whole, and in the
# end everything is found and moved.
# ASAN: no
# TSAN: no
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 240

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"

test_volume
fragment --files=24 --size=8M "$MNT"
volume_remount volume
remember files "$MNT"
service_config
for ((i = 0; i < 12; i++)); do
        service_start
        # From the first moments, in which it probes and charges, to the middle of the work.
        sleep "0.0$((i * 5 % 10))"
        sleep "0.$((i % 4))"
        kill -KILL "$service_pid"
        wait "$service_pid" 2>/dev/null || true
        expect_same files
        ((i != 6)) || volume_remount volume
done
ls "$STATE"
[[ ! -e $STATE/ledger.set-aside ]] || fail "a ledger was damaged"

# What is written while nobody is there is found at the next start.
fragment --files=2 --size=4M --name=meanwhile "$MNT"
remember all "$MNT"
service_start
idle()
{
        # Not what it said before it knew of anything.
        is_swept && status_is '^1 volume watched, 0 files waiting; [0-9]+ files? moved: [^;]*$'
}
expect 15 idle
expect_same all
(($(runs "$MNT"/*) <= 2 * 26)) || fail "$(extents "$MNT"/*)"
service_stop
volume_check volume
