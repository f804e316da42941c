#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A volume that is unmounted and mounted again while the worker of its disk is busy with another one: the worker, which comes late to let go
# of the mount before, does not let go of the new one.
# ENGINES: no
# LIMIT: 120

. "$(dirname "$0")/../lib/service.sh"
ENGINE=exchange
test_begin "$@"
ENGINE=exchange

# Loop devices on files that have names, so that it is seen that they lie on one disk.
test_volume 512M
for name in one two; do
        truncate --size 512M "$SCRATCH/$name.image"
        mkfs.xfs -q -m reflink=1,rmapbt=1 "$SCRATCH/$name.image"
        exchange-bit on "$SCRATCH/$name.image"
        mkdir "$SCRATCH/$name"
        mount -o loop "$SCRATCH/$name.image" "$SCRATCH/$name"
done
fragment --files=1 --size=64M --name=long "$SCRATCH/two"
{
        printf '[Policy]\nEnabled=no\nSolidState=yes\nSettleSec=1s\n[Budget]\nOnBattery=yes\nDailyWrites=infinity\nMaxRate=2M\n'
        printf '[Volume %s]\nEnabled=yes\n' "$SCRATCH/one" "$SCRATCH/two"
} >"$CONFIG"
service_start
expect 11 status_is "^2 volumes watched, .*$SCRATCH/two: moving, [1-9]"
loop=$(findmnt --noheadings --output SOURCE "$SCRATCH/one")
exec {hold}<"$loop"
wait_until 10 umount "$SCRATCH/one" || fail "umount"
expect 3 status_is '^1 volume watched'
mount "$loop" "$SCRATCH/one"
expect 3 status_is '1 volume being looked at'
# The worker stops with the file, and looks after the other volume.
kill -USR1 "$service_pid"
expect 11 status_is '^Paused. 2 volumes watched'
service_stop
umount "$SCRATCH/one" "$SCRATCH/two"
