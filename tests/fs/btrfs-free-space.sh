#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# btrfs: where free space is in pieces, some as long as what is written at a time and shorter than the file, files do not come to lie in more
# runs than btrfs filesystem defragment leaves, which writes each as a whole. So much is marked there before it is written: whoever is killed or
# cancelled in the middle of it leaves files that are whole, and nothing of them in the page cache.
# LIMIT: 60
# ENGINES: btrfs

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

aged()
{
        volume_make "$1" btrfs 1G
        fragment --files=4 --size=32M --piece=64K "$SCRATCH/$1"
        pieces_of_free_space "$SCRATCH/$1"
        volume_remount "$1"
}

aged peer
btrfs -q filesystem defragment -f "$SCRATCH"/peer/file*
sync --file-system "$SCRATCH/peer"
theirs=$(runs "$SCRATCH"/peer/file*)
volume_forget peer

aged volume
MNT=$SCRATCH/volume
remember files "$MNT"
defrag 0 --no-budget "$MNT"/file*
expect_same files
ours=$(runs "$MNT"/file*)
echo "$ours runs; btrfs filesystem defragment leaves $theirs"
((ours <= theirs)) || fail "$ours runs, and $theirs would do"
volume_check volume
volume_forget volume

need_command fincore
aged ended
MNT=$SCRATCH/ended
volume_remount ended -o noatime
remember ended "$MNT"
for signal in TERM KILL; do
        for delay in 0.06 0.08 0.1 0.15 0.2; do
                volume_remount ended -o noatime
                status=0
                timeout --signal="$signal" "$delay" "$DEFRAGD" --once --config="$CONFIG" --no-budget "$MNT"/file* >"$OUT" 2>"$ERR" || status=$?
                ((status == 124 || status == 137 || status == 0 || status == 75)) || fail "$signal after $delay s: status $status: $(cat "$ERR")"
                cached=$(fincore --bytes --noheadings --output RES "$MNT"/file* | awk '{ n += $1 } END { print n }')
                echo "$signal after $delay s: status $status, $(runs "$MNT"/file*) runs, $cached bytes cached"
                [[ $signal == KILL ]] || ((cached <= 1 << 20)) || lost "$cached bytes are cached"
                expect_same ended
        done
done
volume_check ended
