#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Whoever copies, by the page cache or past it: what was in there stays, what was not is not there afterwards, not even of a file that was
# only looked at, and so nothing is left dirty.
# LIMIT: 60
# ENGINES: exchange plain ext4 ext4-1k btrfs
# MUTANTS: CACHE_REFILL:ext4

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

need_command fincore
# Bytes of the file that are in the page cache.
cached()
{
        fincore --bytes --noheadings --output RES "$1" | tr -d ' '
}

test_volume 512M
fragment --files=3 --size=32M --piece=64K "$MNT"
volume_remount volume
defrag 0 --dry-run --no-budget "$MNT"/file*
for i in 0 1 2; do
        (($(cached "$MNT/file000$i") == 0)) || lost "looked at only, and $(cached "$MNT/file000$i") bytes of it are cached"
done
# Of the second the middle, of the third everything.
dd if="$MNT/file0001" of=/dev/null bs=1M skip=8 count=8 status=none
cat "$MNT/file0002" >/dev/null
middle=$(cached "$MNT/file0001")
all=$(cached "$MNT/file0002")
defrag 0 --no-budget --json "$MNT"/file*
for i in 0 1 2; do
        expect_outcome "$MNT/file000$i" moved
        echo "file000$i: $(cached "$MNT/file000$i") bytes cached"
done
# A few pages are where the kernel does not let go of them, or let go of them by itself.
(($(cached "$MNT/file0000") <= 1 << 20)) || lost "the cache is full of what nobody read: $(cached "$MNT/file0000") bytes"
# On XFS, where the page cache of the whole region goes with the swap, only what was cached by half or more is read again.
now=$(cached "$MNT/file0001")
[[ $(file_system "$ENGINE") == xfs ]] || ((now >= middle - middle / 10 && now <= middle + (1 << 20))) || lost "$middle bytes were cached, now $now"
(($(cached "$MNT/file0002") >= all - all / 10)) || lost "what was cached is gone: $(cached "$MNT/file0002") of $all bytes"
volume_check volume
