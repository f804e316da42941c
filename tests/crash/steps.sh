#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kill -9, and the file system shut down as if the power was cut, before every system call of a run and after the commit: then every
# file is whole, in its old or in its new place, with all of its metadata; no donor is left; the volume is in order. btrfs cannot be shut
# down: there what lies on the disk at that moment is mounted.
# LIMIT: 200
# WHOLE: 3600
# ENGINES: exchange plain ext4 btrfs btrfs-zstd
# WHOLE_ENGINES: btrfs-raid1 ext4-1k ext4-2k
# KERNEL: shutdown|returned error -5|[Ss]hutting down|[Ss]hut down|Please unmount|log I/O error|I/O error|[Mm]etadata I/O|JBD2: |EXT4-fs error|Aborting journal

. "$(dirname "$0")/../lib/inject.sh"
test_begin "$@"

n_kills=0
n_stops=0

# In order and nothing left, from time to time.
look_closely()
{
        local n=$((n_kills + n_stops))

        if ((n % 100 == 0)); then
                echo "$n_kills kills, $n_stops shutdowns so far"
                files_are_same
                volume_is_whole
        elif ((n % 20 == 0)); then
                nothing_is_left
        fi
}

# killed SHAPE NAME:K [--after]
killed()
{
        # Fewer events of a ring than the last time.
        injected_until_hit "$1" "$2" --kill "${@:3}"
        [[ $HIT ]] || return 0
        ((status == 137)) || wrong "not killed"
        file_is_same
        (($(runs "$FILE") <= BEFORE)) || wrong "more runs than before"
        n_kills=$((n_kills + 1))
        look_closely
}

# stopped SHAPE flush|cut|clone NAME:K [OPTION...]
stopped()
{
        local how=--stop=$2:$MNT

        [[ $2 != clone ]] || how=--clone=$IMAGE:$CLONE
        injected_until_hit "$1" "$3" "$how" "${@:4}"
        [[ $HIT ]] || return 0
        [[ $status == 137 && " $* " == *" --kill "* ]] || ((status < 124)) || wrong "it did not take that"
        if [[ $2 == clone ]]; then
                clone_mount || wrong "what is on the disk cannot be mounted"
                file_is_same
                clone_umount
        else
                volume_recover volume || wrong "the volume cannot be mounted any more"
        fi
        file_is_same
        [[ " $* " == *" --kill "* ]] || outcome_after_stop
        n_stops=$((n_stops + 1))
        # Recovery frees what had no name, in the background.
        wait_until 25 inodes_are_as_before || wrong "$(inodes_used) inodes, not $baseline_inodes: a donor is left"
        look_closely
}

inodes_are_as_before()
{
        (($(inodes_used) == baseline_inodes))
}

# What was called moved is moved, crash or not, where the engine promises that it lasts.
outcome_after_stop()
{
        if [[ $ENGINE == plain ]] && grep -q '"outcome":"moved"' "$OUT"; then
                return 0
        fi
        outcome_is_sensible
}

# points N < LIST: N of the lines, evenly spread; all of them for 0.
points()
{
        awk -v n="$1" '{ line[NR] = $2 ":" $3 } END { for (i = 1; i <= NR; i++)
                if (n == 0 || int(i * n / NR) != int((i - 1) * n / NR)) print line[i] }'
}

# every_point SHAPE FROM KILLS STOPS [MODE...]: so many of each, besides what is done around the commit: killed from that call on, stopped in
# these ways in the region, where the file is at stake.
every_point()
{
        local point mode commit
        local -a modes=("${@:5}")

        [[ $ENGINE != btrfs* ]] || modes=(clone)
        file_take "$1"
        calls >"$SCRATCH/calls"
        commit=$(commit_point <"$SCRATCH/calls")
        [[ $commit ]] || wrong "no commit: $(cat "$SCRATCH/calls")"
        for point in $(sed -n "/ $2\$/,\$p" "$SCRATCH/calls" | points "$3"); do
                killed "$1" "$point"
        done
        killed "$1" "$commit"
        killed "$1" "$commit" --after
        for mode in "${modes[@]}"; do
                for point in $(sed -n '/ flock 2$/,$p' "$SCRATCH/calls" | points "$4"); do
                        stopped "$1" "$mode" "$point"
                done
                stopped "$1" "$mode" "$commit" --kill
                stopped "$1" "$mode" "$commit" --kill --after
        done
}

files_make
if [[ ${WHOLE:-} ]]; then
        every_point mixed 'openat 1' 0 0 cut flush
        RUN=(without-uring setup)
        every_point whole 'flock 2' 0 0 cut
else
        every_point mixed 'openat 1' 13 2 cut flush
fi
nothing_is_left
files_are_same
volume_is_whole
missed_few $((n_kills + n_stops))
echo "$n_kills kills, $n_stops shutdowns, 0 losses"
