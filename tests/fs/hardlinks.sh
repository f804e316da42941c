#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A file is one file, whatever it is called and however often: looked at once, all names stay.
# ENGINES: exchange plain ext4 btrfs
# LIMIT: 60

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume
mkdir -p "$MNT/a/b" "$MNT/c"
fragment --size=16M "$MNT/a"
ln "$MNT/a/file0000" "$MNT/a/b/second"
ln "$MNT/a/file0000" "$MNT/c/third"
ln -s "$MNT/a/file0000" "$MNT/c/symbolic"
volume_remount volume
remember file "$MNT/a/file0000" "$MNT/a/b/second" "$MNT/c/third"

defrag 0 --no-budget --json "$MNT/a" "$MNT/c" "$MNT/c/third"
[[ $(jq 'select(.path)' "$OUT" | jq --slurp length) == 1 ]] || fail "looked at more than once: $(cat "$OUT")"
[[ $(said '.files, .moved' | paste -sd ' ') == "1 1" ]] || fail "summary: $(said .)"
(($(runs "$MNT/c/third") <= 2)) || fail "not moved"
expect_same file

defrag 0 --no-budget --json "$MNT"
[[ $(said '.moved, .bytes_moved' | paste -sd ' ') == "0 0" ]] || fail "summary: $(said .)"
# Named through a symbolic link: what it leads to.
defrag 0 --json "$MNT/c/symbolic"
[[ $(said '.files, .optimal' | paste -sd ' ') == "1 1" ]] || fail "summary: $(said .)"
expect_same file
volume_check volume
