#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A file system that stops dead in the middle of the work: after the log was replayed every file is whole. btrfs cannot be stopped:
# there what lies on the disk at that moment is looked at.
# LIMIT: 120
# ENGINES: exchange plain
# WHOLE_ENGINES: ext4 btrfs btrfs-zstd btrfs-raid1 ext4-1k ext4-2k
# KERNEL: shutdown|returned error -5|[Ss]hutting down|[Ss]hut down|Please unmount|log I/O error|I/O error|[Mm]etadata I/O|JBD2: |EXT4-fs error|Aborting journal

. "$(dirname "$0")/../lib/scratch.sh"
. "$TESTS/lib/clones.sh"
test_begin "$@"

if [[ $ENGINE == btrfs* ]]; then
        clones_make_volume
else
        test_volume
fi
fragment --files=32 --size=16M "$MNT"
volume_remount volume
remember files "$MNT"/file*

delays=(0.1 0.25 0.4)
# Every slice is committed.
[[ $ENGINE != ext4* ]] || delays=(0.4 1 2)
for delay in "${delays[@]}"; do
        "$DEFRAGD" --once --config="$CONFIG" --no-budget "$MNT" >"$OUT" 2>"$ERR" </dev/null &
        pid=$!
        sleep "$delay"
        if [[ $ENGINE == btrfs* ]]; then
                cp --reflink=always "$IMAGE" "$CLONE"
        else
                # Without a flush of the log: as if the power was cut.
                xfs_io -x -c 'shutdown' "$MNT"
        fi
        status=0
        wait "$pid" || status=$?
        ((status < 128)) || fail "status $status: $(cat "$ERR")"
        if [[ $ENGINE == btrfs* ]]; then
                clone_mount
        else
                volume_recover volume
        fi
        # The breaker remembers, and somebody has looked at it.
        rm -f "$STATE_DIRECTORY"/stopped-*
        expect_same files
        echo "stopped after $delay s (status $status): $(runs "$MNT"/file*) extents"
        if [[ $ENGINE == btrfs* ]]; then
                clone_umount
                expect_same files
        fi
done
defrag 0 --no-budget --json "$MNT"
expect_same files
volume_check volume
