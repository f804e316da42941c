#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# ext4: what a ring was asked for under a lease is over before the lease goes back: whoever opens the file then finds nobody reading it.
# LIMIT: 60
# ENGINES: ext4
# MUTANTS: RING_IDLE

. "$(dirname "$0")/../lib/inject.sh"
test_begin "$@"
need_inject

test_volume 1G
fragment --files=1 --size=64M --piece=24K "$MNT"
volume_remount volume
remember files "$MNT"
FILE=$MNT/file0000
calls >"$SCRATCH/calls"
expect_same files
reading=$("$DEFRAGD" --once -v --dry-run --config="$CONFIG" "$FILE" 2>&1)
[[ $reading == *'through io_uring'* ]] || skip "this kernel has no io_uring"

# With the lease of a commit: asked, moved, and the transaction on the disk. From the ring nothing is heard but by a call.
sed -n '/ flock 2$/,$p' "$SCRATCH/calls" | awk '
        $2 == "ioctl-MOVE_EXT" { moved = 1; heard = 0 }
        $2 == "fsync" && moved { durable = 1; heard = 0 }
        $2 == "io_uring_enter" { heard = 1 }
        $2 == "fcntl-SETLEASE" && durable { n++; n_early += !heard; moved = durable = 0 }
        END { print n + 0, n_early + 0 }' >"$SCRATCH/slices"
read -r n_slices n_early <"$SCRATCH/slices"
echo "$n_slices slices, $n_early of them let the lease go while the ring may have been at work"
((n_slices >= 3)) || fail "only $n_slices slices: $(cat "$SCRATCH/calls")"
((n_early == 0)) || lost "$n_early of $n_slices slices let the lease go early"
volume_check volume
