#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Files that are written, mapped, cut, cloned and renamed in all ways (exerciser), while an engine that never rests moves them
# (part-mover): every byte is there, moves are accepted and refused, and the volume is in order.
# Kernels that were built to debug ext4 say when two unwritten extents were merged while one was being written. They do so for the
# writers alone: once in each of two runs of 100 s of the exerciser without any engine. Of a file that is being moved they must not.
# KERNEL: EXT4-fs warning .* ext4_convert_unwritten_extents_endio:[0-9]+: Inode \([0-9]+\) finished: extent logical block
# LIMIT: 180
# ENGINES: exchange plain ext4 btrfs btrfs-zstd
# WHOLE_ENGINES: btrfs-raid1 ext4-1k ext4-2k

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

# What the kernel has said of a file while it was being moved.
said_while_moved()
{
        dmesg | awk -v device="${DEVICE[volume]#/dev/}" '
                FNR == NR {
                        inode[++n] = $1
                        begun[n] = $2
                        ended[n] = $3
                        next
                }
                { now = match($0, /[0-9]+\.[0-9]+/) ? substr($0, RSTART, RLENGTH) * 1000000 : 0 }
                match($0, /part-mover at [0-9]+/) {
                        offset = now - substr($0, RSTART + 14, RLENGTH - 14)
                        n_lines = 0
                }
                index($0, "EXT4-fs warning (device " device ")") && match($0, /Inode \([0-9]+/) {
                        for (i = 1; i <= n; i++)
                                if (inode[i] == substr($0, RSTART + 7, RLENGTH - 7) && now - offset >= begun[i] - 5000 &&
                                    now - offset <= ended[i] + 5000)
                                        line[++n_lines] = $0
                }
                END { for (i = 1; i <= n_lines; i++) print line[i] }' "$SCRATCH/moves" -
}

seconds=$((${MINUTES:-0} ? MINUTES * 60 : 16))
test_volume
mkdir "$MNT/files"
part-mover --board="$SCRATCH/board" --log="$SCRATCH/moves" --guard=0 --linger=2000 "$MNT" "$MNT/files" >"$SCRATCH/mover" &
mover=$!
status=0
exerciser --board="$SCRATCH/board" --processes=2 --threads=6 --seconds="$seconds" "$MNT/files" || status=$?
((status != 1)) || fail "data was lost"
((status == 0)) || fail "the exerciser ended with status $status"

kill -TERM "$mover"
wait "$mover" || {
        cat "$SCRATCH/mover"
        fail "the engine failed"
}
grep -v ready "$SCRATCH/mover"
said=$(said_while_moved)
[[ ! $said ]] || fail "the kernel complained of a file while it was moved: $said"

# Of what is left, nobody uses anything: now defragd itself. XFS gives back what it has allocated ahead of a writer when it forgets the inode.
volume_remount volume
remember files "$MNT/files"
defrag '0|75' --no-budget --json "$MNT"
expect_same files
volume_remount volume
expect_same files
volume_check volume

grep --quiet '[1-9][0-9]* moves accepted' "$SCRATCH/mover" || fail "nothing was moved"
met='(changed [1-9]'
# What is compressed is not moved while anybody has it open for writing.
[[ $ENGINE != btrfs-zstd ]] || met='[1-9] busy:open'
grep --quiet "$met" "$SCRATCH/mover" || fail "no writer ever met a move"
