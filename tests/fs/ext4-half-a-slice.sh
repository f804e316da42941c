#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# ext4: the kernel refuses in the middle of a slice. What it has moved until then goes back: the file lies as it did, block by block. Where it
# refuses that, too, there are at least no more runs than before.
# LIMIT: 60
# ENGINES: ext4
# WHOLE_ENGINES: ext4-1k ext4-2k
# MUTANTS: WHOLE_SLICES:ext4
# ASAN: no

. "$(dirname "$0")/../lib/inject.sh"
test_begin "$@"
files_make

layout()
{
        filefrag -v "$FILE" | grep '^ *[0-9]*:'
}

# The stretches of such a file are several, with holes between: at which call is the last of them?
file_take mixed
calls >"$SCRATCH/calls"
last=$(awk -v name="$(commit_call)" '$2 == name { k = $3 } END { print name ":" k }' "$SCRATCH/calls")
first=$(commit_point <"$SCRATCH/calls")
((${last#*:} >= ${first#*:} + 2)) || fail "no slice of several calls: $first to $last"

# On the way back a page may be busy for a moment, too.
for error in EIO EIO-then-EBUSY EBUSY; do
        file_take mixed
        before=$BEFORE
        layout >"$SCRATCH/before"
        then=()
        [[ $error != *-then-* ]] || then=(--then="${error#*-then-}")
        injected --at="$last" --fail="${error%%-*}" "${then[@]}"
        [[ $error != *-then-* ]] || (($(grep --count '^\*' "$SCRATCH/report") == 2)) || wrong "nothing came back"
        [[ $HIT ]] || wrong "nothing happened"
        grep '"path"' "$OUT"
        ((status != 0)) || [[ $error == EBUSY ]] || wrong "nobody noticed"
        file_is_same
        if [[ $error == EIO* ]]; then
                layout | cmp - "$SCRATCH/before" || lost "half of it is in a new place"
                grep --quiet '"bytes_moved":0,' "$OUT" || wrong "what was taken back is counted"
        else
                # Once busy is no reason.
                (($(runs "$FILE") < before)) || wrong "not moved"
        fi
done
# From the last call on, then from the one before it on, and so on: what is left of a slice is the beginning of the next run.
file_take mixed
for ((k = ${last#*:}; k >= ${first#*:}; k--)); do
        before=$(runs "$FILE")
        injected --at="${last%:*}:$k" --fail=EIO --for-ever
        file_is_same
        echo "refused from call $k on: $before runs, then $(runs "$FILE")"
        (($(runs "$FILE") <= before)) || lost "$(runs "$FILE") runs, $before before"
done
# A slice that takes several calls: the last one of a file of 24 MiB, which begins at 14 MiB. In the middle of it the kernel refuses, once, or the way
# back as well, or for ever, or is busy for a moment.
big_take()
{
        FILE=$MNT/big-$1
        fragment --files=1 --size=24M --piece=64K --name=big "$MNT"
        mv "$MNT/big0000" "$FILE"
        volume_remount volume
        STATES[$FILE]=$(filestate "$FILE")
        BEFORE=$(runs "$FILE")
}

big_take 0
calls >"$SCRATCH/calls"
rm "$FILE"
mapfile -t all < <(sed -n '/ flock 2$/,$p' "$SCRATCH/calls" | awk -v name="$(commit_call)" '$2 == name { print $3 }')
((${#all[@]} >= 7)) || fail "no slice of several calls: ${all[*]}"
second=$(commit_call):${all[-2]}
first_block=$((14 << 20 >> 12))
end_of_it()
{
        layout | awk -v first="$first_block" -v scale="$(($(stat --file-system --format=%S "$MNT") / 1024))" '{ split($2, at, /\.\./); if (at[1] * scale / 4 >= first) print $2, $3, $4, $5 }'
}
for how in '--fail=EIO' '--fail=EIO --then=EBUSY' '--fail=EBUSY'; do
        big_take "${how//[^A-Z]/}"
        end_of_it >"$SCRATCH/before"
        [[ -s $SCRATCH/before ]] || fail "nothing of it lies behind 14 MiB"
        # shellcheck disable=SC2086  # several options
        injected --at="$second" $how
        [[ $HIT ]] || wrong "nothing happened"
        file_is_same
        echo "$how at $second: $BEFORE runs, then $(runs "$FILE")"
        if [[ $how == *EIO* ]]; then
                ((status != 0)) || wrong "nobody noticed"
                end_of_it | cmp - "$SCRATCH/before" || lost "half of the slice is in a new place"
                (($(runs "$FILE") < BEFORE)) || wrong "the slices before it have not moved"
        else
                ((status == 0 && $(runs "$FILE") <= 2)) || wrong "not moved"
        fi
        rm "$FILE"
done
for k in "${all[@]: -4}"; do
        big_take "ever-$k"
        injected --at="$(commit_call):$k" --fail=EIO --for-ever
        [[ $HIT ]] || wrong "nothing happened"
        file_is_same
        echo "refused from call $k on: $BEFORE runs, then $(runs "$FILE")"
        (($(runs "$FILE") <= BEFORE)) || lost "$(runs "$FILE") runs, $BEFORE before"
        rm "$FILE"
done
nothing_is_left
volume_is_whole
