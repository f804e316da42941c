#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The device goes in the middle of the work: every read and write on it fails from one moment to the next. It ends by itself, says so,
# and what the owner had on stable storage is there when the device comes back.
# ASAN: no
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 120
# KERNEL: shutdown|returned error -5|[Ss]hutting down|shut down|Please unmount|I/O [Ee]rror|I/O error|[Mm]etadata I/O|Unmount and run|[Ll]og I/O|EXT4-fs error|Aborting journal|JBD2: |BTRFS:? (error|warning)

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

# The device is a file on a file system of its own, which is shut down.
volume_make below plain 1G
MNT=$SCRATCH/volume
image=$SCRATCH/below/image
truncate --size=512M "$image"
image_format "$ENGINE" "$image"
mkdir "$MNT"
KIND[volume]=$ENGINE
attach()
{
        local hold

        DEVICE[volume]=$(losetup --find --show "$image")
        device_is_ours "${DEVICE[volume]#/dev/}"
        # It goes with the mount, or with this shell if it cannot be mounted.
        exec {hold}<"${DEVICE[volume]}"
        losetup --detach "${DEVICE[volume]}"
        volume_mount volume
        exec {hold}<&-
}
attach
fragment --files=8 --size=8M "$MNT"
volume_umount volume
attach
remember files "$MNT"

for when in early late; do
        printf '[Policy]\nSolidState=yes\nMinFileSize=4K\n[Budget]\nMaxRate=64M\n' >"$CONFIG"
        : >"$OUT"
        sync --file-system "$MNT"
        sync --file-system "$SCRATCH/below"
        "$DEFRAGD" --once --config="$CONFIG" --json "$MNT" >"$OUT" 2>"$ERR" </dev/null &
        pid=$!
        [[ $when == early ]] || wait_until 20 test -s "$OUT" || fail "nothing happens: $(cat "$ERR")"
        xfs_io -x -c shutdown "$SCRATCH/below"
        wait_until 40 eval "! kill -0 $pid 2>/dev/null" || fail "it hangs: $(cat "$ERR")"
        status=0
        wait "$pid" || status=$?
        echo "$when: status $status, $(said '.moved, .failed' | paste -sd ' ') moved, failed: $(tail -n 1 "$ERR")"
        ((status > 0 && status < 128)) || fail "status $status: $(cat "$OUT" "$ERR")"
        volume_umount volume
        wait_until 20 umount "$SCRATCH/below" || fail "the device below is in use"
        volume_mount below
        attach
        expect_same files
        # Somebody has looked at it.
        rm "$STATE_DIRECTORY"/stopped-* || fail "the breaker has not stopped it"
done
defrag '0|75' --no-budget --json "$MNT"
expect_same files
volume_umount volume
attach
expect_same files
volume_umount volume
image_check "$ENGINE" "$image"
