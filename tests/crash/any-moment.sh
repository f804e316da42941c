#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A file system that stops dead in the middle of the work: after the log was replayed every file is whole.
# LIMIT: 120
# KERNEL: shutdown|[Ss]hutting down|Please unmount|log I/O error|I/O error|[Mm]etadata I/O

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume
fragment --files=32 --size=16M "$MNT"
volume_remount volume
remember files "$MNT"

for delay in 0.1 0.25 0.4; do
        "$DEFRAGD" --once --config="$CONFIG" --no-budget "$MNT" >"$OUT" 2>"$ERR" </dev/null &
        pid=$!
        sleep "$delay"
        # Without a flush of the log: as if the power was cut.
        xfs_io -x -c 'shutdown' "$MNT"
        status=0
        wait "$pid" || status=$?
        ((status < 128)) || fail "status $status: $(cat "$ERR")"
        volume_remount volume
        # The breaker remembers, and somebody has looked at it.
        rm -f "$STATE_DIRECTORY"/stopped-*
        expect_same files
        echo "stopped after $delay s (status $status): $(runs "$MNT"/*) extents"
done
defrag 0 --no-budget --json "$MNT"
expect_same files
volume_check volume
