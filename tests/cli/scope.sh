#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is not named is not touched, and Exclude=, MinFileSize= and MinExtents= hold.
# ENGINES: exchange plain btrfs
# LIMIT: 60

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume 1G
mkdir -p "$MNT/in/deeper" "$MNT/out"
fragment --files=2 --size=4M "$MNT/in"
fragment --files=2 --size=4M "$MNT/in/deeper"
fragment --files=2 --size=4M "$MNT/out"
fragment --files=1 --size=200K --piece=4K --name=small "$MNT/in"
ln -s ../out "$MNT/in/link"
# Another volume below it.
mkdir "$MNT/in/mounted"
mount -t tmpfs none "$MNT/in/mounted"
head -c 1M /dev/zero >"$MNT/in/mounted/file"
outside=$(runs "$MNT/out"/*)
printf '[Policy]\nSolidState=yes\nMinFileSize=256K\nExclude=%s/in/deeper/*1\n' "$MNT" >"$CONFIG"

defrag 0 --no-budget --json "$MNT/in"
umount "$MNT/in/mounted"
expect_outcome "$MNT/in/file0000" moved
expect_outcome "$MNT/in/file0001" moved
expect_outcome "$MNT/in/deeper/file0000" moved
expect_outcome "$MNT/in/deeper/file0001" skipped:excluded
(($(runs "$MNT/in/deeper/file0001") > 30)) || fail "an excluded file was moved"
grep -q 'mounted\|/out/' "$OUT" && fail "went where it should not: $(cat "$OUT")"
[[ $(runs "$MNT/out"/*) == "$outside" ]] || fail "touched what was not named"
(($(runs "$MNT/in/small0000") > 10)) || fail "a file below MinFileSize= was moved"
defrag 0 --no-budget --json "$MNT/in/small0000"
expect_outcome "$MNT/in/small0000" skipped:too-small

# A rate is a rate.
printf '[Policy]\nSolidState=yes\n[Volume %s]\nMaxRate=4M\n' "$MNT" >"$CONFIG"
start=${EPOCHREALTIME/./}
defrag 0 --json "$MNT/out"
usec=$((${EPOCHREALTIME/./} - start))
(($(said .bytes_moved) == 8 << 20)) || fail "$(said .)"
((usec > 900000)) || fail "8 MiB at 4 MiB/s in $usec us"
volume_check volume
