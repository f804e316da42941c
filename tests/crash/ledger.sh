#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kill -9, and the power cut, before and after every system call with which the ledger is stored: what is read afterwards is the old or
# the new one, and the new one from the moment at which it was said to be stored. With an fsync that lies it gets lost; else this
# test would prove nothing.
# LIMIT: 120
# WHOLE: 900
# ENGINES: no
# ASAN: no
# KERNEL: shutdown|returned error -5|[Ss]hutting down|[Ss]hut down|Please unmount|log I/O error|I/O error|[Mm]etadata I/O

. "$(dirname "$0")/../lib/inject.sh"
test_begin "$@"

need_inject
need_command xfs_io
volume_make volume plain 512M
MNT=$SCRATCH/volume
STATE=$MNT/state
n_volumes=2
n_kills=0
n_stops=0

# old_stands: a ledger of $n_volumes is there and durable.
old_stands()
{
        mkdir -p "$STATE"
        rm -f "$STATE"/*
        part-ledger store "$STATE" "$n_volumes"
        sync --file-system "$MNT"
}

# store OPTION...: a new one with one volume more, while that happens; its status in $status.
store()
{
        status=0
        timeout 60 inject --below="$STATE" --report="$SCRATCH/report" "$@" \
                part-ledger store "$STATE" $((n_volumes + 1)) 2>"$SCRATCH/err" || status=$?
}

# expect_ledger PATTERN WHERE
expect_ledger()
{
        local there

        there=$(part-ledger load "$STATE")
        [[ $there =~ ^($1)$ ]] || fail "$2: $there, status $status; $(ls -l "$STATE")"
        # And it can be stored again, whatever has been left.
        part-ledger store "$STATE" 9
        [[ $(part-ledger load "$STATE") == "9 volumes" && ! -e $STATE/ledger.new ]] || fail "$2: $(ls -l "$STATE")"
}

old="$n_volumes volumes"
new="$((n_volumes + 1)) volumes"
old_stands
store
((status == 0)) || fail "$(cat "$SCRATCH/err")"
cp "$SCRATCH/report" "$SCRATCH/calls"
renamed=$(sed -n 's/ renameat 1$//p' "$SCRATCH/calls")
[[ $renamed ]] || fail "$(cat "$SCRATCH/calls")"

while read -r n name _ <&3; do
        for after in '' --after; do
                old_stands
                store --at="$n" --kill ${after:+"$after"}
                ((status == 137)) || fail "$name $after: status $status"
                if ((n < renamed)) || [[ $n == "$renamed" && ! $after ]]; then
                        expect_ledger "$old" "killed at $name $after"
                else
                        expect_ledger "$new" "killed at $name $after"
                fi
                n_kills=$((n_kills + 1))
                for mode in cut ${WHOLE:+flush}; do
                        old_stands
                        store --at="$n" --stop="$mode:$MNT" ${after:+"$after"} --kill
                        volume_remount volume
                        expect_ledger "$old|$new" "$mode at $name $after"
                        n_stops=$((n_stops + 1))
                done
        done
done 3<"$SCRATCH/calls"

# Said to be stored.
old_stands
store
((status == 0)) || fail "status $status"
xfs_io -x -c shutdown "$MNT"
volume_remount volume
expect_ledger "$new" "stored"
n_stops=$((n_stops + 1))

# The same, while fsync only says that it did something: that of the file, and that of the directory.
for k in 1 2; do
        old_stands
        store --at="fsync:$k" --lie
        ((status == 0)) || fail "status $status"
        xfs_io -x -c shutdown "$MNT"
        volume_remount volume
        there=$(part-ledger load "$STATE")
        echo "an fsync that lies ($k): $there"
        [[ $there != "$new" ]] || fail "nothing is lost without fsync: the power cut is none"
done
volume_check volume
echo "$n_kills kills, $n_stops shutdowns, 0 losses"
