#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Which volumes are looked after: enabled ones alone, wherever else they are mounted; not what an administrator mounted read-only, not two
# with one UUID, not one that opted out.
# ENGINES: exchange btrfs
# LIMIT: 180

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"

test_volume 512M
volume_make other exchange 512M
fragment --files=2 --size=4M "$SCRATCH/other"
volume_remount other
remember other "$SCRATCH/other"
service_config
service_start
expect 10 is_swept
expect 3 status_is '^1 volume watched'

# What we have no engine for is told once a volume, to whoever asks for such detail.
mkdir "$SCRATCH/foreign" "$SCRATCH/foreign-again"
mount -t tmpfs none "$SCRATCH/foreign"
expect 3 logged '/foreign: skipped:unsupported-filesystem \(tmpfs\)'
mount --bind "$SCRATCH/foreign" "$SCRATCH/foreign-again"
umount "$SCRATCH/foreign-again"
mount --bind "$SCRATCH/foreign" "$SCRATCH/foreign-again"
expect 3 status_is '^1 volume watched'
(($(n_logged '/foreign(-again)?: skipped:unsupported-filesystem') == 1)) || fail "told again: $(cat "$ERR")"
umount "$SCRATCH/foreign-again" "$SCRATCH/foreign"

# Another mount of a volume does not undo what its section says.
mkdir "$SCRATCH/second"
mount --bind "$SCRATCH/other" "$SCRATCH/second"
sed -i "s|^Enabled=no|Enabled=yes|; \$a [Volume $SCRATCH/other]\nEnabled=no" "$CONFIG"
kill -HUP "$service_pid"
expect 3 logged 'was read anew'
expect 3 status_is '^1 volume watched'
umount "$SCRATCH/second"
service_stop
expect_same other

# A copy of a volume, mounted beside it: both are left alone, until one of them goes.
image=$SCRATCH/twin.image
volume_umount other
cp --sparse=always "${DEVICE[other]}" "$image"
volume_mount other
service_config
printf '[Volume %s]\nEnabled=yes\n[Volume %s]\nEnabled=yes\n' "$SCRATCH/other" "$SCRATCH/twin" >>"$CONFIG"
service_start
expect 11 status_is '^2 volumes watched, .*2 files moved'
# Of another only a directory is mounted, as in a container.
volume_make part ext4 64M
mkdir "$SCRATCH/part/directory" "$SCRATCH/directory" "$SCRATCH/twin"
mount --bind "$SCRATCH/part/directory" "$SCRATCH/directory"
umount "$SCRATCH/part"
mount -o loop,nouuid "$image" "$SCRATCH/twin"
expect 5 status_is '^1 volume watched.*same UUID'
fragment --files=1 --size=4M --name=new "$SCRATCH/other"
fragment --files=1 --size=4M --name=new "$SCRATCH/twin"
sleep 3
! logged '(twin|other)/new.*moved' || fail "moved on a twin: $(cat "$ERR")"
# Said once, however often the table changes for other reasons.
warned=$(n_logged 'same UUID')
for ((i = 0; i < 5; i++)); do
        mount -t tmpfs none "$SCRATCH/second"
        umount "$SCRATCH/second"
done
mount --bind "$SCRATCH/volume" "$SCRATCH/second"
expect 3 status_is '^1 volume watched.*same UUID'
umount "$SCRATCH/second"
(($(n_logged 'same UUID') == warned)) || fail "$(cat "$ERR")"
umount "$SCRATCH/twin"
# The table has changed, so the service looks at what it has not chosen yet, for a moment.
wait_until 25 umount "$SCRATCH/directory"
expect 11 status_is '^2 volumes watched, .*3 files moved'
service_stop

# Hidden by another mount, and seen again.
service_start
expect 10 is_swept
mount -t tmpfs none "$SCRATCH/other"
expect 5 status_is '^1 volume watched.*other: something else is mounted over it'
logged 'other: .*\(skipped:hidden\)' || fail "$(cat "$ERR")"
umount "$SCRATCH/other"
expect 5 status_is '^2 volumes watched'
fragment --files=1 --size=4M --name=seen-again "$SCRATCH/other"
expect 11 logged 'other/seen-again0000: moved'
service_stop

# Opted out as a whole.
setfattr -n trusted.defragd.enabled -v no "$SCRATCH/other"
service_start
expect 5 status_is '^1 volume watched.*other: opted-out'
service_stop

# Nothing could be moved on it: it is neither watched nor swept.
RMAPBT=0 volume_make unsafe plain 512M
cp "$CONFIG" "$CONFIG.before"
service_config
printf '[Volume %s]\nEnabled=yes\n' "$SCRATCH/unsafe" >>"$CONFIG"
service_start
expect 5 status_is "^1 volume watched.*unsafe: has neither exchange-range"
! logged "$SCRATCH/unsafe: (watching|swept)" || fail "$(cat "$ERR")"
service_stop
mv "$CONFIG.before" "$CONFIG"

# Read-only from the beginning, and one mount of it that is.
mount -o remount,ro "$SCRATCH/other"
service_start
expect 5 status_is '^1 volume watched, 0 files'
service_stop
volume_check volume
