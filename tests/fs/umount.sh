#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# An administrator's umount and remount,ro succeed while files are moved, at worst after a moment; what was moved
# until then stays moved.
# ASAN: no
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 90

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume
fragment --files=32 --size=16M "$MNT"
volume_remount volume
remember files "$MNT"

# In the background, until the first file is done.
start()
{
        : >"$OUT"
        "$DEFRAGD" --once --config="$CONFIG" --json "$MNT" >"$OUT" 2>"$ERR" </dev/null &
        pid=$!
        wait_until 20 test -s "$OUT" || fail "nothing happens: $(cat "$ERR")"
}
finish()
{
        status=0
        wait "$pid" || status=$?
        cat "$ERR"
        tail -n 1 "$OUT"
}

# remount,ro meanwhile. A rate limit makes sure that it is still at work.
printf '[Budget]\nMaxRate=64M\n' >>"$CONFIG"
start
wait_until 10 mount -o remount,ro "$MNT" 2>"$SCRATCH/remount.err" || fail "remount,ro: $(cat "$SCRATCH/remount.err")"
written=$(volume_written volume)
finish
[[ $status == @(0|1|75) ]] || fail "status $status"
[[ $(said .skipped) -gt 0 ]] || fail "it did not notice"
[[ $(volume_written volume) == "$written" ]] || fail "written to after remount,ro"
mount -o remount,rw "$MNT"
expect_same files

# umount meanwhile, and the device is free at once.
start
wait_until 10 umount "$MNT" 2>"$SCRATCH/umount.err" || fail "umount: $(cat "$SCRATCH/umount.err")"
volume_is_free volume || fail "the device is still in use after umount"
finish
((status < 128)) || fail "status $status"
volume_mount volume
expect_same files

# Not even what it waits for between two regions is held.
sed -i 's/^MaxRate=.*/MaxRate=4M/' "$CONFIG"
start
wait_until 10 umount "$MNT" 2>"$SCRATCH/umount.err" || fail "umount while it waits: $(cat "$SCRATCH/umount.err")"
volume_is_free volume || fail "the device is still in use after umount"
kill -TERM "$pid" 2>/dev/null || true
finish
volume_mount volume
expect_same files

# Mounts that are private, as on a system without systemd: an umount does not reach another namespace by itself.
sed -i 's/^MaxRate=.*/MaxRate=64M/' "$CONFIG"
mount --make-private "$MNT"
start
wait_until 10 umount "$MNT" 2>"$SCRATCH/umount.err" || fail "umount of a private mount: $(cat "$SCRATCH/umount.err")"
wait_until 5 volume_is_free volume || fail "the device is still in use long after umount of a private mount"
finish
((status < 128)) || fail "status $status"
volume_mount volume
expect_same files

sed -i 's/^MaxRate=.*/MaxRate=infinity/' "$CONFIG"
volume_remount volume
defrag '0|75' --no-budget --json "$MNT"
expect_same files
volume_check volume
