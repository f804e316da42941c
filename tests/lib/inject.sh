# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Bad days at chosen system calls of `defragd --once`, for the scripts in fault/ and crash/. A script begins with
#         . "$(dirname "$0")/../lib/inject.sh"
#         test_begin "$@"
# and gets what lib/scratch.sh has, too. Files of two shapes lie ready in $MNT: one that is all data, and one with holes, preallocated
# places and an odd end. One is used until it was moved, then the next one.
#
# What an engine calls its commit is known here and nowhere else.

. "$(dirname "${BASH_SOURCE[0]}")/scratch.sh"
. "$TESTS/lib/clones.sh"

commit_call()
{
        case $ENGINE in
        exchange) echo ioctl-COMMIT_RANGE ;;
        plain) echo ioctl-SWAPEXT ;;
        ext4*) echo ioctl-MOVE_EXT ;;
        btrfs*) echo ioctl-DEFRAG_RANGE ;;
        esac
}

# commit_point < CALLS: the first of them that is about the file, as NAME:K; the probe has its own, before.
commit_point()
{
        awk -v name="$(commit_call)" '$2 == "flock" && $3 == 2 { begun = 1 }
                begun && $2 == name { print $2 ":" $3; exit }'
}

need_inject()
{
        local why

        why=$(inject true 2>&1) || skip "system calls cannot be followed here: $why"
}

# --- files ---

declare -A PATTERN=([whole]=d1M [mixed]="d64K,h64K,u64K,d128K,h4K") FILES_LEFT=() STATES=()
N_FILES=48
generation=0

# files_make: a volume, and files of both shapes on it.
files_make()
{
        need_inject
        if [[ $ENGINE == btrfs* ]]; then
                # It moves nothing that is preallocated.
                PATTERN[mixed]=${PATTERN[mixed]/u64K,/}
                clones_make_volume "${1:-512M}"
        else
                test_volume "${1:-512M}"
        fi
        files_renew
}

# More of them, when the ones of a shape have been used up.
files_renew()
{
        local shape

        rm -f "$MNT"/*-*
        generation=$((generation + 1))
        for shape in whole mixed; do
                fragment --files="$N_FILES" --size=$((500001)) --piece=8K --pattern="${PATTERN[$shape]}" \
                        --seed="$((generation * 2 + ${#shape} % 2))" --name="$shape$generation-" "$MNT"
                FILES_LEFT[$shape]=$N_FILES
        done
        volume_remount volume
        for FILE in "$MNT"/*-*; do
                STATES[$FILE]=$(filestate "$FILE")
        done
        baseline_inodes=$(inodes_used)
        baseline_bytes=$(bytes_used)
}

# file_take SHAPE: the current file of that shape in $FILE, the runs it has in $BEFORE.
file_take()
{
        local most=3

        # One that was moved, though it was killed then. On btrfs it may lie in four runs, which are optimal.
        [[ $ENGINE != btrfs* ]] || most=7
        while :; do
                ((FILES_LEFT[$1] > 0)) || files_renew
                FILE=$MNT/$1$generation-$(printf %04d $((N_FILES - FILES_LEFT[$1])))
                BEFORE=$(runs "$FILE")
                ((BEFORE <= most)) || break
                FILES_LEFT[$1]=$((FILES_LEFT[$1] - 1))
        done
}

file_is_same()
{
        local now

        now=$(filestate "$FILE")
        [[ $now == "${STATES[$FILE]}" ]] && return
        diff <(echo "${STATES[$FILE]}") <(echo "$now") >&2 || true
        wrong "the file is not as before"
}

# All files, also those of which nothing was wanted.
files_are_same()
{
        for FILE in "$MNT"/*-*; do
                file_is_same
        done
}

# --- leftovers ---

inodes_used()
{
        echo $(($(stat --file-system --format '%c - %d' "$MNT")))
}

bytes_used()
{
        echo $(($(stat --file-system --format '(%b - %f) * %S' "$MNT")))
}

# Nobody holds anything: the volume goes at once. When it is there again, there is not an inode more than before, and no space is
# missing; what extent trees of files that were moved take less or more is no matter.
nothing_is_left()
{
        local inodes bytes

        volume_remount volume || fail "the volume is held"
        inodes=$(inodes_used)
        bytes=$(bytes_used)
        ((inodes == baseline_inodes)) || fail "$inodes inodes, not $baseline_inodes: a donor is left"
        ((bytes <= baseline_bytes + (1 << 20))) || fail "$((bytes - baseline_bytes)) bytes more are in use"
}

# Nothing is wrong with it; it is mounted again afterwards.
volume_is_whole()
{
        local kind=${KIND[volume]}

        volume_check volume
        [[ $kind != exchange ]] || exchange-bit on "${DEVICE[volume]}"
        KIND[volume]=$kind
        volume_mount volume
}

# --- one run ---

# injected OPTION... [-- FILE...]: one run on $FILE (and those) with what inject(1) is told; $RUN is put before the program. Its status in $status, where something happened in $HIT
# ("NAME K" or nothing).
RUN=()
injected()
{
        local -a files=("$FILE")
        local file

        OPTIONS=()
        while (($#)) && [[ $1 != -- ]]; do
                OPTIONS+=("$1")
                shift
        done
        (($# == 0)) || files+=("${@:2}")
        # What is called depends on what of a file is in the page cache: nothing, whatever was looked at before.
        for file in "${files[@]}"; do
                dd if="$file" iflag=nocache count=0 status=none
        done
        # The breaker remembers the errors of the last run.
        rm -f "$STATE_DIRECTORY"/stopped-*
        status=0
        # The search for leaks stops all threads by ptrace(2), which is taken: it would wait for ever.
        ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 timeout --kill-after=5 60 \
                inject --from="$MNT" --report="$SCRATCH/report" "${OPTIONS[@]}" "${RUN[@]}" \
                "$DEFRAGD" --once --config="$CONFIG" --no-budget --json "${files[@]}" \
                >"$OUT" 2>"$ERR" </dev/null || status=$?
        HIT=$(sed -n 's/^\*[0-9]* //p;T;q' "$SCRATCH/report")
}

# injected_until_hit SHAPE NAME:K OPTION...: one run on a file of that shape. On btrfs what a run calls depends on how free space lies: there one
# that does not make the call is a run without a fault, after which the next file is tried. Fails where the call is not made at all: that may
# be so where a ring is waited for as often as events come, and where the trees are looked into once more because a compressed slice was not there yet,
# and nowhere else; $HIT is empty then. missed_few N, at the end: that happened with few
# of N points only.
HIT_TRIES=6
n_missed=0
injected_until_hit()
{
        local n

        for ((n = 1; ; n++)); do
                file_take "$1"
                injected --at="$2" "${@:3}"
                [[ ! $HIT ]] || return 0
                ((status != 137)) || wrong "killed for nothing"
                file_is_same
                outcome_is_sensible
                if [[ $2 == io_uring_enter:* ]]; then
                        n_missed=$((n_missed + 1))
                        return 0
                fi
                [[ $ENGINE == btrfs* ]] && ((n < HIT_TRIES)) && continue
                [[ $ENGINE == btrfs-zstd && $2 == ioctl-TREE_SEARCH_V2:* ]] || wrong "nothing happened"
                n_missed=$((n_missed + 1))
                return 0
        done
}

missed_few()
{
        ((n_missed * 10 <= $1)) || fail "$n_missed of $1 points were not there"
}

told_about_run()
{
        echo "inject ${OPTIONS[*]} (${HIT:-nothing happened}), status $status" >&2
        cat "$OUT" "$ERR" >&2
}

# wrong TEXT: of the last run.
wrong()
{
        told_about_run
        fail "$*"
}

# The run came to an end by itself, and what it says is so. What became of the file is in $OUTCOME, nothing where it did not come to that.
outcome_is_sensible()
{
        local now said

        ((status != 124 && status != 137)) || wrong "it hangs"
        now=$(runs "$FILE")
        ((now <= BEFORE)) || wrong "$now runs, $BEFORE before"
        case $status in
        0 | 1 | 2 | 75) ;;
        *) wrong "a status that means nothing" ;;
        esac
        OUTCOME=
        read -r -d '' said <"$OUT" || true
        if [[ $said =~ \"outcome\":\"([a-z-]*)\" ]]; then
                OUTCOME=${BASH_REMATCH[1]}
        fi
        case $OUTCOME in
        moved) ((status == 0 && now < BEFORE)) || wrong "not moved" ;;
        optimal) ((status == 0)) || wrong "not this status" ;;
        # The only file, and not supported.
        skipped) [[ $status == 0 || ($status == 2 && -s $ERR) ]] || wrong "not this status" ;;
        changed | busy | no-space | cancelled) ((status == 75)) || wrong "not this status" ;;
        failed) ((status == 1)) || wrong "not this status" ;;
        '') [[ $status != 0 && -s $ERR ]] || wrong "it does not say why" ;;
        *) wrong "what is that?" ;;
        esac
}

# --- where ---

# calls OPTION...: what an undisturbed run calls, one "N NAME K" a line, on standard output. Where two calls take turns for long (the
# probe looks at 64 stamps in a row) only the first and the last are of interest.
calls()
{
        injected "$@"
        ((status == 0)) || wrong "without anything"
        awk '
                {
                        line[NR] = $0
                        name[NR] = $2
                }
                END {
                        for (i = 1; i <= NR; i++) {
                                turn = i > 8 && i <= NR - 4
                                for (k = -8; turn && k <= 4; k++)
                                        turn = name[i + k] == name[i + k % 2]
                                if (!turn || name[i] == name[i + 1])
                                        print line[i]
                        }
                }' "$SCRATCH/report"
}
