#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Idle for a minute with three idle volumes of its own: no thread of it wakes up but for the watchdog, and at most 8 MiB are resident
# (release build).
# TSAN: no
# ASAN: no
# ENGINES: exchange ext4 btrfs
# LIMIT: 180

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"

test_volume 512M
service_config
for name in second third; do
        volume_make "$name" exchange 512M
        printf '[Volume %s]\nEnabled=yes\n' "$SCRATCH/$name" >>"$CONFIG"
done
fragment --files=2 --size=4M "$MNT"
volume_remount volume
service_start
expect 15 status_is '^3 volumes watched, 0 files waiting; 2 files moved[^;]*$'

# The ledger, the copier's memory, the last look for silence: all of that is over half a minute after the last move.
sleep 35
switches()
{
        awk '/ctxt_switches/ { n += $2 } END { print n }' /proc/"$service_pid"/task/*/status
}
before=$(switches)
sleep 60
after=$(switches)
echo "$((after - before)) switches in 60 s"
((after == before)) || fail "$((after - before)) wake-ups in a minute"
resident=$(awk '/^VmRSS/ { print $2 }' "/proc/$service_pid/status")
awk '/^(VmRSS|RssAnon|RssFile)/' "/proc/$service_pid/status"
[[ $BUILD != */release ]] || ((resident <= 8192)) || fail "$resident KiB are resident"
service_stop
