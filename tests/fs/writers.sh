#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Programs that never stop writing, of four kinds, some of which keep the file open and some of which open it again
# and again, get back every byte.
# ASAN: no
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 120

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

KINDS=(buffered direct uring mmap)
test_volume
fragment --files=12 --size=16M "$MNT"
volume_remount volume

pids=()
for i in "${!KINDS[@]}"; do
        # Open all the time; open for a moment, with pauses in which it looks quiet; the same in a hurry.
        writer "${KINDS[i]}" "$MNT/$(printf 'file%04d' "$i")" --seed=$((i + 1)) --pause=2000 \
                >"$SCRATCH/writer-$i" &
        pids+=($!)
        writer "${KINDS[i]}" "$MNT/$(printf 'file%04d' $((i + 4)))" --seed=$((i + 5)) --pause=600000 --reopen \
                >"$SCRATCH/writer-$((i + 4))" &
        pids+=($!)
        writer "${KINDS[i]}" "$MNT/$(printf 'file%04d' $((i + 8)))" --seed=$((i + 9)) --pause=250000 --reopen \
                --block=512 >"$SCRATCH/writer-$((i + 8))" &
        pids+=($!)
done
all_ready()
{
        (($(grep --files-with-matches ready "$SCRATCH"/writer-* | wc -l || true) == 12))
}
wait_until 20 all_ready || fail "the writers do not start"

declare -A outcomes
deadline=$((SECONDS + 15))
while ((SECONDS < deadline)); do
        defrag '0|75' --no-budget --json "$MNT"
        while read -r outcome; do
                outcomes[$outcome]=$((${outcomes[$outcome]:-0} + 1))
        done < <(jq --raw-output 'select(.path) | .outcome' "$OUT")
        for i in "${!KINDS[@]}"; do
                outcome=$(said_of "$MNT/$(printf 'file%04d' "$i")" .outcome)
                ! leaves_open_files || [[ $outcome == @(busy|changed|optimal|null) ]] || fail "a file that is open all the time: $outcome"
        done
done
for outcome in "${!outcomes[@]}"; do
        echo "$outcome: ${outcomes[$outcome]}"
done

kill -TERM "${pids[@]}"
worst=0
for pid in "${pids[@]}"; do
        status=0
        wait "$pid" || status=$?
        # 1, data was lost, is the worst of all.
        ((status == 0 || worst == 1)) || worst=$status
done
grep -H . "$SCRATCH"/writer-* | grep -v ready
((worst != 1)) || fail "data was lost"
((worst == 0)) || fail "a writer ended with status $worst"
! leaves_open_files || [[ ${outcomes[busy]:-0} -gt 0 ]] || fail "nothing was ever busy"

# Now that they are quiet everything can be done, and stays what they wrote.
remember files "$MNT"
defrag 0 --no-budget --json "$MNT"
expect_same files
volume_remount volume
expect_same files
most=24
leaves_open_files || most=48
(($(runs "$MNT"/file*) <= most)) || fail "$(runs "$MNT"/file*) extents are left: $(extents "$MNT"/file*; cat "$OUT")"
volume_check volume
