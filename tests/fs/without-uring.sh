#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Where the kernel refuses io_uring, or the locked memory for its buffers, the same is done by pread and pwrite. Where it has a ring and no
# thread for what the ring may not do at once (a control group that is full), what is flushed is so by fsync, and on ext4 what is done beside
# the moves is done by hand.
# ENGINES: exchange plain ext4
# LIMIT: 60

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume 1G
fragment --files=4 --size=16M --name=whole "$MNT"
fragment --files=1 --size=16M --name=alone "$MNT"
fragment --files=4 --size=8000001 --pattern=d64K,h128K,u64K,d192K,h4K --name=mixed "$MNT"
volume_remount volume
remember files "$MNT"

# What the kernel grants goes through a ring, or this test would prove nothing.
defrag 0 -v --no-budget "$MNT/whole0000"
grep -q 'through io_uring' "$ERR" || skip "this kernel has no io_uring: $(head -n 1 "$ERR")"

PROGRAM=$DEFRAGD
for refused in setup register; do
        printf '#!/bin/bash\nexec without-uring %q %q "$@"\n' "$refused" "$PROGRAM" >"$SCRATCH/defragd"
        chmod +x "$SCRATCH/defragd"
        DEFRAGD=$SCRATCH/defragd
        case $refused in
        setup) which=(1 2) ;;
        register) which=(3 0) ;;
        esac
        for i in "${which[@]}"; do
                for file in "$MNT/whole000$i" "$MNT/mixed000$i"; do
                        before=$(runs "$file")
                        defrag 0 -v --no-budget "$file"
                        grep -q 'through pread and pwrite' "$ERR" || fail "$refused: $(cat "$ERR")"
                        echo "$refused: $before -> $(runs "$file") extents"
                        [[ $before == 1 || $(runs "$file") -lt $before ]] || fail "$refused: $file was not moved"
                done
        done
done
DEFRAGD=$PROGRAM

# What control groups this machine has is not the product's.
if [[ -d /sys/fs/cgroup/pids ]]; then
        group=/sys/fs/cgroup/pids/${SCRATCH##*/}
elif { echo +pids >/sys/fs/cgroup/cgroup.subtree_control; } 2>/dev/null; then
        group=/sys/fs/cgroup/${SCRATCH##*/}
else
        skip "needs a control group that counts tasks"
fi
echo "$group" >>"$SCRATCH/control-groups"
mkdir "$group"
echo 1 >"$group/pids.max"
# shellcheck disable=SC2016  # the inner shell's
printf '#!/bin/bash\necho $$ >%q/cgroup.procs\nexec %q "$@"\n' "$group" "$PROGRAM" >"$SCRATCH/defragd"
# Who looks for leaks needs a thread.
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
DEFRAGD=$SCRATCH/defragd
# fincore(1) opens the file.
volume_remount volume -o noatime
defrag 0 -v --no-budget "$MNT/alone0000"
grep -q 'through io_uring' "$ERR" || fail "no ring: $(cat "$ERR")"
echo "no thread: $(sed -n 's/^max //p' "$group/pids.events") refused, $(runs "$MNT/alone0000") extents"
(($(sed -n 's/^max //p' "$group/pids.events") > 0)) || fail "it had a thread"
(($(runs "$MNT/alone0000") < 10)) || fail "it was not moved"
need_command fincore
cached=$(fincore --bytes --noheadings --output RES "$MNT/alone0000")
((cached == 0)) || fail "$cached bytes of a cold file are cached"
expect_same files
volume_remount volume
expect_same files
volume_check volume
