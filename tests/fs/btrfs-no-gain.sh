#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# btrfs: where free space is in smaller pieces than the file, nothing is moved, for the kernel would divide it further; where some of it is
# in one piece, the file comes to lie there.
# LIMIT: 90
# ENGINES: btrfs
# MUTANTS: GAIN

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

need_command xfs_io

# pieces N: files of 64 KiB, one behind the other, until there is no more space or there are N.
pieces()
{
        for ((i = 0; i < $1; i++)); do
                echo "open -f -d $MNT/piece$i"
                echo 'pwrite -q -b 64k 0 64k'
                echo close
        done | xfs_io >/dev/null 2>&1 || true
}

test_volume 300M --mixed
# Pieces of 1 MiB, the last one first.
for ((i = 23; i >= 0; i--)); do
        head --bytes=1M /dev/urandom | dd of="$MNT/file" bs=1M seek="$i" iflag=fullblock oflag=direct conv=notrunc,fsync status=none
done
fallocate --length 180M "$MNT/ballast"
pieces 1800
sync --file-system "$MNT"
for ((i = 0; i < 1800; i += 2)); do
        echo "$MNT/piece$i"
done | xargs rm --force
volume_remount volume
before=$(runs "$MNT/file")
free=$(part-btrfs free "$MNT")
echo "$before runs, $free bytes free"
((before >= 20 && free > 32 << 20)) || fail "not what was wanted: $before runs, $free bytes free"
remember file "$MNT/file"
defrag 75 --no-budget --json "$MNT/file"
expect_same file
((before >= $(runs "$MNT/file"))) || lost "$before runs before, $(runs "$MNT/file") now"
expect_outcome "$MNT/file" no-space:fragmented

rm "$MNT/ballast"
volume_remount volume
defrag 0 --no-budget --json "$MNT/file"
expect_same file
expect_outcome "$MNT/file" moved
(($(runs "$MNT/file") <= 2)) || fail "$(runs "$MNT/file") runs are left"
volume_check volume
