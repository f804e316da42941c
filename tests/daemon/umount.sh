#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Umount and remount,ro of a volume that is looked after succeed: at once while the service is idle, at worst after one region while it
# works, and then the device is free. What comes back is looked after again.
# ASAN: no
# ENGINES: exchange ext4 btrfs
# LIMIT: 240

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"

test_volume
service_config
service_start
expect 10 is_swept

# 200 MB written, and gone at once.
head -c 200M /dev/urandom >"$MNT/data"
sum=$(sha256sum <"$MNT/data")
volume_umount volume || fail "umount while idle"
volume_is_free volume || fail "the device is in use after umount"
expect 3 status_is '^0 volumes watched'
volume_mount volume
[[ $(sha256sum <"$MNT/data") == "$sum" ]] || fail "not all was written"
expect 3 status_is '^1 volume watched'
rm "$MNT/data"

# The marks are gone with the first mount: it is watched by new ones.
fragment --files=2 --size=4M --name=again "$MNT"
expect 11 status_is '2 files moved'

# Umounted and mounted again faster than anybody could have seen it.
for ((i = 0; i < 5; i++)); do
        # It may be at the look that each mount brings.
        wait_until 10 umount "$MNT" 2>"$SCRATCH/umount.err" || fail "umount $i: $(cat "$SCRATCH/umount.err")"
        volume_mount volume
done
expect 3 status_is '^1 volume watched'
fragment --files=2 --size=4M --name=once-more "$MNT"
expect 11 status_is '4 files moved'

# The administrator's own ro.
mount -o remount,ro "$MNT" || fail "remount,ro while idle"
expect 3 status_is '^0 volumes watched'
mount -o remount,rw "$MNT"
expect 3 status_is '^1 volume watched'
service_stop

# While it works; a rate so low that it must be at it, between two regions most of the time.
fragment --files=16 --size=16M --name=work "$MNT"
volume_remount volume
remember work "$MNT"
service_config MaxRate=16M
service_start
expect 11 status_is 'moving'
wait_until 10 umount "$MNT" 2>"$SCRATCH/umount.err" || fail "umount: $(cat "$SCRATCH/umount.err")"
volume_is_free volume || fail "the device is in use after umount"
volume_mount volume
expect_same work
expect 11 status_is 'moving'
wait_until 10 mount -o remount,ro "$MNT" 2>"$SCRATCH/remount.err" || fail "remount,ro: $(cat "$SCRATCH/remount.err")"
expect 3 status_is '^0 volumes watched'
written=$(volume_written volume)
sleep 1
[[ $(volume_written volume) == "$written" ]] || fail "written to after remount,ro"
mount -o remount,rw "$MNT"

# A lazy umount, with everything closed: the device is free as soon as the region is over.
expect 11 status_is 'moving'
umount --lazy "$MNT"
expect 2 volume_is_free volume
volume_mount volume

# Mounts that are private: an umount does not reach our namespace by itself.
expect 3 status_is '^1 volume watched'
mount --make-private "$MNT"
wait_until 10 umount "$MNT" 2>"$SCRATCH/umount.err" || fail "umount of a private mount: $(cat "$SCRATCH/umount.err")"
expect 2 volume_is_free volume
volume_mount volume
expect_same work
service_stop
volume_check volume
