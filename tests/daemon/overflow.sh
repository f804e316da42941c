#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# More events than the kernel keeps for us, while the service cannot read them: a sweep finds what was written.
# ENGINES: exchange
# WHOLE_ENGINES: ext4 btrfs
# TSAN: no
# ASAN: no
# LIMIT: 180

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"

test_volume 2G
service_config SettleSec=3s
service_start
expect 10 is_swept
kill -STOP "$service_pid"
limit=$(cat /proc/sys/fs/fanotify/max_queued_events)
((limit <= 100000)) || skip "fs.fanotify.max_queued_events is $limit"
mkdir "$MNT/many"
# Each of them a file of its own, since events of one file are merged.
(cd "$MNT/many" && seq "$((limit + 1000))" | xargs -n 500 touch)
(cd "$MNT/many" && seq "$((limit + 1000))" | xargs -n 500 sh -c 'for f; do : >"$f"; done' -)
command fragment --files=2 --size=4M "$MNT"
sync -f "$MNT"
sweeps=$(n_logged 'volume: swept')
kill -CONT "$service_pid"
expect 5 logged 'More was written than events could tell'
swept_again()
{
        (($(n_logged 'volume: swept') > sweeps))
}
expect 15 swept_again
expect 15 status_is '2 files moved'
service_stop
volume_check volume
