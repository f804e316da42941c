#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What others do to a file while it is moved wins: truncate, punch, append, rename, delete, chmod, a clock put back.
# ASAN: no
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 90

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume
fragment --files=8 --size=16M "$MNT"
volume_remount volume
for round in 1 2; do
        "$DEFRAGD" --once --config="$CONFIG" --no-budget --json "$MNT" >"$OUT" 2>"$ERR" </dev/null &
        pid=$!
        n=0
        while kill -0 "$pid" 2>/dev/null; do
                n=$((n + 1))
                # It opens without waiting, and so may meet a lease of ours (docs/SAFETY.md).
                until truncate --size=$((16000000 + n)) "$MNT/file0000" 2>"$SCRATCH/refused"; do
                        grep --quiet 'temporarily unavailable' "$SCRATCH/refused" || fail "$(cat "$SCRATCH/refused")"
                done
                xfs_io -c "fpunch $((n % 200 * 65536)) 64k" "$MNT/file0001"
                printf 'line %d\n' "$n" >>"$MNT/file0002"
                mv "$MNT/file0003" "$MNT/renamed" && mv "$MNT/renamed" "$MNT/file0003"
                chmod $((600 + n % 2 * 40)) "$MNT/file0004"
                touch -d '2001-02-03' "$MNT/file0005"
                xfs_io -c "pwrite -q -S $((n % 256)) $((n % 200 * 65536)) 64k" "$MNT/file0006"
                setfattr -n user.n -v "$n" "$MNT/file0007"
        done
        status=0
        wait "$pid" || status=$?
        [[ $status == @(0|75) ]] || fail "status $status: $(cat "$OUT" "$ERR")"
        echo "round $round: $n changes, $(said '.moved, .changed, .busy' | paste -sd ' ') moved, changed, busy"
        # What was done last must be what is there.
        [[ $(stat --format %s "$MNT/file0000") == $((16000000 + n)) ]] || fail "truncate was undone"
        xfs_io -c "pread -q -v $((n % 200 * 65536)) 64k" "$MNT/file0001" | grep -qv ' 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ' &&
                fail "a punch was undone"
        [[ $(tail -n 1 "$MNT/file0002") == "line $n" ]] || fail "an append was lost"
        [[ -f $MNT/file0003 ]] || fail "a rename was undone"
        [[ $(stat --format %a "$MNT/file0004") == $((600 + n % 2 * 40)) ]] || fail "chmod was undone"
        [[ $(stat --format %y "$MNT/file0005") == 2001-02-03* ]] || fail "a time stamp was undone"
        [[ $(getfattr --only-values -n user.n --absolute-names "$MNT/file0007") == "$n" ]] || fail "setfattr was undone"
        rm "$MNT/file0003"
        fragment --files=1 --size=16M --name=new "$MNT"
        mv "$MNT/new0000" "$MNT/file0003"
done
volume_check volume
