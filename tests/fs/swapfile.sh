#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Files that others find by their blocks are left alone: swap files, active or not; and so are files that are in use.
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 60
# MUTANTS: SWAP_SIGNATURE SWAP_SIGNATURE:btrfs

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

need_command mkswap fincore
test_volume
fragment --files=3 --size=8M "$MNT"
# One whose beginning, where the signature is, lies well.
fragment --files=1 --size=8M --name=head "$MNT"
fallocate --punch-hole --length 4M "$MNT/head0000"
dd if=/dev/urandom of="$MNT/head0000" bs=4M count=1 conv=notrunc,fsync status=none
chmod 0600 "$MNT"/*
for file in file0000 head0000; do
        mkswap "$MNT/$file" >/dev/null
done
sync --file-system "$MNT"
volume_remount volume
remember files "$MNT"
# fincore(1) maps the file.
volume_remount volume -o noatime
before=$(runs "$MNT/file0000")
before_head=$(runs "$MNT/head0000")
((before_head > 32)) || fail "$before_head extents"
exec {held}<"$MNT/file0001"
defrag '0|75' --no-budget --json "$MNT"
expect_outcome "$MNT/file0000" skipped:swapfile
if leaves_open_files; then
        expect_outcome "$MNT/file0001" busy:open
else
        expect_outcome "$MNT/file0001" moved
fi
expect_outcome "$MNT/file0002" moved
expect_outcome "$MNT/head0000" skipped:swapfile
[[ "$(runs "$MNT/file0000") $(runs "$MNT/head0000")" == "$before $before_head" ]] || lost "swap space was moved"
defrag '0|75' --dry-run --json "$MNT"
expect_outcome "$MNT/file0000" skipped:swapfile
expect_outcome "$MNT/head0000" skipped:swapfile
# They were looked at, and are as cold as before.
for file in file0000 head0000; do
        cached=$(fincore --bytes --noheadings --output RES "$MNT/$file")
        ((cached == 0)) || fail "$cached bytes of $file stay in the page cache"
done
exec {held}<&-
defrag 0 --no-budget --json "$MNT"
! leaves_open_files || expect_outcome "$MNT/file0001" moved
expect_same files
volume_check volume
