#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Other people's programs that write and verify, fio and stress-ng, on a volume whose files an engine that never rests moves
# (part-mover): none of them finds anything wrong.
# LIMIT: 180
# ENGINES: exchange plain
# WHOLE_ENGINES: ext4 btrfs btrfs-raid1 ext4-1k ext4-2k

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"
need_command fio stress-ng

seconds=$((${MINUTES:-0} ? MINUTES * 60 : 12))
test_volume
mkdir "$MNT/files" "$MNT/files/fio" "$MNT/files/stress"
part-mover "$MNT" "$MNT/files/fio" "$MNT/files/stress" >"$SCRATCH/mover" &
mover=$!

# Behind fio: it takes all that it gets. Much of what it makes lives for a moment only.
nice --adjustment=19 stress-ng --temp-path "$MNT/files/stress" --verify --timeout "${seconds}s" --metrics-brief \
        --hdd 1 --hdd-bytes 4M --hdd-opts wr-rnd,rd-rnd,fsync --iomix 1 --iomix-bytes 4M --aiol 1 \
        --fallocate 1 --fallocate-bytes 2M --fpunch 1 --seek 1 --seek-size 1M --sync-file 1 \
        --sync-file-bytes 1M --mmap 1 --mmap-bytes 2M --mmap-file --rename 1 --utime 1 --xattr 1 \
        >"$SCRATCH/stress" 2>&1 &
stress=$!

# fio_run SEED [OPTION...]
fio_run()
{
        local status=0

        FILES=$MNT/files/fio SEED=$1 fio "${@:2}" --aux-path="$SCRATCH" --output="$SCRATCH/fio" "$TESTS/soak/programs.fio" \
                >"$SCRATCH/fio.err" 2>&1 || status=$?
        ((status == 0)) && return
        cat "$SCRATCH/fio.err" "$SCRATCH/fio" >&2
        fail "fio $*: status $status"
}

files_were_moved()
{
        (($(runs "$MNT/files/fio"/*) < n_runs / 2))
}

# Written and verified; written anew while the moves of what was written before go on; and verified, also when all is
# moved.
n_rounds=0
deadline=$((SECONDS + seconds))
while ((SECONDS < deadline || n_rounds == 0)); do
        n_rounds=$((n_rounds + 1))
        rm -f "$MNT/files/fio"/*
        fio_run "$n_rounds"
        fio_run "$((n_rounds + 1000000))"
        fio_run "$((n_rounds + 1000000))" --verify_only=1
        n_runs=$(runs "$MNT/files/fio"/*)
        ((n_runs <= 192)) || wait_until 60 files_were_moved || fail "$n_runs extents are not moved"
        fio_run "$((n_rounds + 1000000))" --verify_only=1
done

status=0
wait "$stress" || status=$?
((status == 0)) || {
        cat "$SCRATCH/stress" >&2
        fail "stress-ng: status $status"
}
grep --quiet 'successful run completed' "$SCRATCH/stress" || {
        cat "$SCRATCH/stress" >&2
        fail "stress-ng has not done its work"
}
kill -TERM "$mover"
wait "$mover" || {
        cat "$SCRATCH/mover" >&2
        fail "the engine failed"
}
echo "$n_rounds rounds of fio"
grep -v ready "$SCRATCH/mover"
grep --quiet '[1-9][0-9]* moves accepted' "$SCRATCH/mover" || fail "nothing was moved"

defrag '0|75' --no-budget --json "$MNT"
fio_run "$((n_rounds + 1000000))" --verify_only=1
volume_check volume
