#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kill -9 at any moment: every file is in its old or in its new place, whole, and nothing is left behind.
# LIMIT: 90
# ENGINES: exchange plain
# WHOLE_ENGINES: ext4 btrfs btrfs-zstd btrfs-raid1 ext4-1k ext4-2k

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume
fragment --files=32 --size=16M "$MNT"
volume_remount volume
remember files "$MNT"/file*
used=$(($(stat --file-system --format '(%b - %f) * %S' "$MNT")))

n_partial=0
for delay in 0.02 0.05 0.1 0.15 0.2 0.3 0.45 0.6; do
        "$DEFRAGD" --once --config="$CONFIG" --no-budget "$MNT" >"$OUT" 2>"$ERR" </dev/null &
        pid=$!
        sleep "$delay"
        kill -KILL "$pid" 2>/dev/null && n_partial=$((n_partial + 1))
        wait "$pid" || true
        expect_same files
        echo "killed after $delay s: $(runs "$MNT"/file*) extents"
done
((n_partial > 0)) || fail "it was always faster"

# Donors go with the process: no space is missing.
volume_remount volume
now=$(($(stat --file-system --format '(%b - %f) * %S' "$MNT")))
((now <= used + (1 << 20))) || fail "$((now - used)) bytes more are in use"
defrag 0 --no-budget --json "$MNT"
expect_same files
# On two halves 39 to 41 were left: btrfs gives out space in shorter stretches there.
most=40
[[ $ENGINE != btrfs-raid1 ]] || most=48
# What is compressed stays where it is as soon as it lies in few pieces and free space in many: 274 to 307 of 8192.
[[ $ENGINE != btrfs-zstd ]] || most=512
(($(runs "$MNT"/file*) <= most)) || fail "$(runs "$MNT"/file*) extents are left"
volume_check volume
