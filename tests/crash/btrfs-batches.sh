#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# btrfs: where free space is in pieces slices are marked, all of a file here, and then written one after the other. Killed before any call of
# that, the power cut there, and refused there: the file is whole each time, in its old or in its new place, and of what is left the next run
# makes the same.
# LIMIT: 120
# ENGINES: btrfs

. "$(dirname "$0")/../lib/inject.sh"
test_begin "$@"
need_inject

N_POINTS=8
N_FILES=$((N_POINTS * 2 + 6))
clones_make_volume 2G
fragment --files="$N_FILES" --size=24M --piece=64K "$MNT"
pieces_of_free_space "$MNT"
volume_remount volume
remember files "$MNT"
n_taken=0

take()
{
        FILE=$(printf '%s/file%04d' "$MNT" "$n_taken")
        n_taken=$((n_taken + 1))
        # shellcheck disable=SC2034  # of file_is_same
        STATES[$FILE]=$(filestate "$FILE")
        BEFORE=$(runs "$FILE")
}

take
calls >"$SCRATCH/calls"
echo "undisturbed: $BEFORE -> $(runs "$FILE") runs"
# The probe has its own, before.
sed -n '/ flock 2$/,$p' "$SCRATCH/calls" | grep -E ' (ioctl-DEFRAG_RANGE|sync_file_range) ' >"$SCRATCH/moves"
awk '$2 == "sync_file_range" { written = 1 } $2 == "ioctl-DEFRAG_RANGE" { n++; late += written }
        END { exit !(n > 8 && !late) }' "$SCRATCH/moves" || fail "not all of it is marked before it is written: $(cat "$SCRATCH/moves")"
mapfile -t points < <(awk -v n="$N_POINTS" '{ line[NR] = $2 ":" $3 } END { for (i = 1; i <= n; i++) print line[int(NR * i / n)] }' "$SCRATCH/moves")

n_kills=0
n_cuts=0
for point in "${points[@]}"; do
        take
        injected --at="$point" --kill
        [[ $HIT && $status == 137 ]] || wrong "not killed"
        file_is_same
        (($(runs "$FILE") <= BEFORE)) || wrong "more runs than before"
        n_kills=$((n_kills + 1))

        take
        injected --at="$point" --clone="$IMAGE:$CLONE"
        [[ $HIT ]] || wrong "nothing happened"
        outcome_is_sensible
        clone_mount || wrong "what is on the disk cannot be mounted"
        file_is_same
        clone_umount
        file_is_same
        n_cuts=$((n_cuts + 1))
done
for point in "${points[1]}" "${points[5]}"; do
        for error in EIO ENOSPC; do
                take
                injected --at="$point" --fail="$error"
                [[ $HIT ]] || wrong "nothing happened"
                ((status != 0)) || wrong "nobody noticed"
                file_is_same
                outcome_is_sensible
        done
done
expect_same files
rm -f "$STATE_DIRECTORY"/stopped-*
defrag 0 --no-budget "$MNT"/file*
expect_same files
after=$(runs "$MNT"/file*)
((after <= N_FILES * 2)) || fail "$after runs of $N_FILES files are left"
volume_check volume
echo "$n_kills kills, $n_cuts images, 0 losses; at ${points[*]}; $after runs of $N_FILES files in the end"
