#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A file that somebody has open for writing is moved on btrfs, where the kernel copies and nobody waits; with BusyFiles=no it is left
# until he has let go.
# ENGINES: btrfs
# LIMIT: 60

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume 1G
fragment --files=2 --size=4M "$MNT"
volume_remount volume
remember files "$MNT"/file000{0,1}
for name in file0000 file0001; do
        ((before = $(runs "$MNT/$name"))) || true
        ((before > 10)) || fail "$name: $before extents to begin with"
        exec {writer}<>"$MNT/$name"
        printf '[Policy]\nSolidState=yes\nMinFileSize=4K\nBusyFiles=no\n' >"$CONFIG"
        defrag 75 --no-budget --json "$MNT/$name"
        expect_outcome "$MNT/$name" busy:open
        (($(runs "$MNT/$name") == before)) || fail "$name: lies otherwise than before"
        if [[ $name == file0000 ]]; then
                sed -i 's/BusyFiles=no/BusyFiles=yes/' "$CONFIG"
        else
                exec {writer}<&-
        fi
        defrag 0 --no-budget --json "$MNT/$name"
        expect_outcome "$MNT/$name" moved
        [[ $name == file0001 ]] || exec {writer}<&-
done
expect_same files
volume_check volume
