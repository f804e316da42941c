#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A file that was fragmented before the start is found by the sweep, one that is written later by its events; both are moved, no byte is
# changed, both are told, and the service's own work does not wake it again.
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 120

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"

test_volume
fragment --files=4 --size=4M --name=early "$MNT"
volume_remount volume
remember early "$MNT"/early*
service_config
service_start
# Whoever looks at a file has it open, and it is busy: what was told comes first.
expect 11 status_is '4 files moved'
lies_in_at_most 4 "$MNT"/early* || fail "$(extents "$MNT"/early*)"
expect_same early
logged "$MNT/early0000: moved, .* by $(engine_name)" || fail "the record: $(cat "$ERR")"
expect 3 status_is '1 volume watched, 0 files waiting; 4 files moved: 16.0 MiB, [0-9]+ extents fewer$'

fragment --files=4 --size=4M --name=late "$MNT"
sync -f "$MNT"
remember late "$MNT"/late*
expect 11 status_is '8 files moved'
lies_in_at_most 4 "$MNT"/late* || fail "$(extents "$MNT"/late*)"
expect_same late
told X_DEFRAGD_MOVED_FILES=8 || fail "$(cat "$TOLD")"

# Nothing more comes of its own work: no file is moved twice, and the table of written files is empty.
lines=$(n_logged 'inode|moved')
sleep 5
[[ $(n_logged 'inode|moved') == "$lines" ]] || fail "it goes on: $(tail -n 5 "$ERR")"

service_stop
told STOPPING=1 || fail "$(cat "$TOLD")"
logged "$MNT: 8 moved \(32.0 MiB, [0-9]+ extents fewer\), 0 later, 0 skipped, 0 failed" || fail "the sum: $(cat "$ERR")"

# A short-lived file and one that is appended to all the time cost nothing.
service_config SettleSec=8s
service_start
expect 3 is_swept
for ((i = 0; i < 100; i++)); do
        dd if=/dev/zero of="$MNT/log" bs=64k count=1 oflag=append conv=notrunc status=none
        cp "$MNT/log" "$MNT/short-lived"
        rm "$MNT/short-lived"
        sleep 0.1
done
! logged 'inode|/log|short-lived' || fail "something was looked at: $(tail -n 5 "$ERR")"
service_stop
volume_check volume
