#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# SharedExtents= in the service: without it what is shared stays shared; with it the log says what a file will cost before it
# is moved.
# TSAN: no
# ENGINES: exchange btrfs
# LIMIT: 120

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"

test_volume 1G
fragment --files=2 --size=4M "$MNT"
volume_remount volume
cp --reflink=always "$MNT/file0000" "$MNT/copy"
sync --file-system "$MNT"
volume_remount volume
before=$(runs "$MNT/copy")
sum=$(sha256sum <"$MNT/copy")

service_config
service_start
expect 11 status_is '0 files waiting; 1 file moved'
service_stop
! logged 'moving it takes' || fail "$(cat "$ERR")"
[[ $(runs "$MNT/copy") == "$before" ]] || fail "what is shared was moved"

service_config SharedExtents=yes
service_start
expect 11 status_is '0 files waiting; 2 files moved'
service_stop
# One of the two owners pays, and it is said before. (Of the other one it may be said as well: the old place of the first is given
# back in the background.)
logged 'moving it takes up to 4.0 MiB of space that it shares so far' || fail "$(cat "$ERR")"
said=$(grep --line-number 'moving it takes' "$ERR" | head -n 1 | cut --delimiter=: --fields=1)
moved=$(grep --line-number "$(sed -n "${said}s/^defragd: \(.*\): moving it takes.*/\1/p" "$ERR"): moved" "$ERR" |
        cut --delimiter=: --fields=1)
((said < moved)) || fail "said in line $said, moved in line $moved: $(cat "$ERR")"
volume_remount volume
lies_in_at_most 4 "$MNT/copy" "$MNT/file0000" || fail "$(runs "$MNT/copy" "$MNT/file0000") extents"
[[ $(sha256sum <"$MNT/copy") == "$sum" ]] || fail "the copy is another file"
volume_check volume
