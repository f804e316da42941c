#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The exerciser finds what it is there to find, and says in a few operations what it takes: a byte that changes behind
# its back, and an engine without one of its protections.
# LIMIT: 300
# ENGINES: no

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

# expect_loss FILE MOST: of an exerciser's output: something was lost, and at most so many operations are left of the list.
expect_loss()
{
        local n

        n=$(sed -n 's/^.*shrunk to \([0-9]*\) operations in.*$/\1/p' "$1")
        if ! grep --quiet '^LOST: ' "$1" || [[ ! $n ]] || ((n > $2)); then
                cat "$1" >&2
                fail "${1##*/}: nothing was lost, or it takes ${n:-no} operations instead of $2"
        fi
        sed -n '/^shrunk/,/^which/p' "$1"
}

volume_make exchange exchange
volume_make plain plain

# A byte, without any engine. What is left of the list fails by itself, too, and no longer without the byte.
for at in 0 59; do
        status=0
        exerciser --seed="$at" --break-at="$at" --epochs=8 --threads=2 --length=60 "$SCRATCH/plain" >"$SCRATCH/byte-$at" || status=$?
        ((status == 1)) || fail "a wrong byte: status $status"
        expect_loss "$SCRATCH/byte-$at" 3
done
sed -n '/^shrunk/,/^which/p' "$SCRATCH/byte-59" | sed '1,2d;$d' >"$SCRATCH/list"
status=0
exerciser --operations="$SCRATCH/list" "$SCRATCH/plain" >"$SCRATCH/again" || status=$?
((status == 1)) || fail "the short list: status $status"
sed --in-place 's/!//' "$SCRATCH/list"
exerciser --operations="$SCRATCH/list" "$SCRATCH/plain" >"$SCRATCH/again"

# without PROTECTION VOLUME: the status of an exerciser that meets such an engine. A loss for which luck is needed may not come again, however
# often its list is tried: then another one is looked for.
without()
{
        local dir=$SCRATCH/$2/files mover status n

        mkdir -p "$dir"
        for ((n = 1; ; n++)); do
                status=0
                # What else a broken engine may come across is not the question here.
                "part-mover.without-$1" --board="$SCRATCH/board-$2" "$SCRATCH/$2" "$dir" >"$SCRATCH/mover-$2" &
                mover=$!
                exerciser --board="$SCRATCH/board-$2" --threads=6 --length=80 --seconds=60 --tries=48 --shrink=10 "$dir" >"$SCRATCH/$1-$2" ||
                        status=$?
                kill -TERM "$mover"
                wait "$mover" || true
                ((status == 1 && n < 3)) && grep --quiet ' operations did not fail again:$' "$SCRATCH/$1-$2" || return "$status"
                rm -rf "${dir:?}"/*
        done
}

start=$SECONDS
without ONE_COOKIE exchange &
other=$!
status=0
without FLUSH plain || status=$?
((status == 1)) || fail "without a flush between sample and copy: status $status"
status=0
wait "$other" || status=$?
((status == 1)) || fail "with a cookie taken again before the commit: status $status"
echo "both found and shrunk after $((SECONDS - start)) s"
# A race is not won every time; so not every list becomes as short as it could.
expect_loss "$SCRATCH/ONE_COOKIE-exchange" 79
expect_loss "$SCRATCH/FLUSH-plain" 79
