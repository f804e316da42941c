#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Where the kernel refuses io_uring, or the locked memory for its buffers, the same is done by pread and pwrite.
# LIMIT: 60

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume 1G
fragment --files=4 --size=16M --name=whole "$MNT"
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
expect_same files
volume_remount volume
expect_same files
volume_check volume
