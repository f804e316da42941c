#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A program has the file mapped and a direct read from elsewhere into that mapping is in flight: its pages are pinned, and the device
# will write to them. Somebody makes the kernel drop the file's page cache. The read ends, successfully, in pages that are nobody's.
# LIMIT: 120
# ENGINES: no

. "$(dirname "$0")/../../lib/upstream.sh"
need xfs_fsr
program_make pinned-page
total=0 lost=0

# pinned NAME COMMAND...
pinned()
{
        local said line n

        rm --force "$MNT/file" "$MNT/donor"
        fragmented "$MNT/file" 16
        cp --reflink=never "$MNT/file" "$MNT/donor"
        fragmented "$MNT/source" 1 0xaa
        throttle reads
        exec {said}< <(throttled "$SCRATCH/pinned-page" read "$MNT/file" "$MNT/source")
        read -r -t 30 -u "$said" line && [[ $line == "in flight" ]]
        "${@:2}" >/dev/null 2>"$SCRATCH/err" || { head -n 1 "$SCRATCH/err" | sed "s,.*,$1: &,"; }
        throttle_lift
        read -r -t 30 -u "$said" line
        cat <&"$said" # until the program has ended
        exec {said}<&-
        sync --file-system "$MNT"
        n=$(differs "$MNT/file" 0 16384 0xaa)
        echo "$1: $line, $n of them are not in the file"
        total=$((total + 16384)) lost=$((lost + n))
}

volume_make -m rmapbt=1
pinned xfs_fsr xfs_fsr "$MNT/file"
pinned SWAPEXT xfs_io -c "swapext $MNT/donor" "$MNT/file"
pinned FIDEDUPERANGE xfs_io -c "dedupe $MNT/donor 0 0 1m" "$MNT/file"
umount "$MNT"
if volume_make_exchange; then
        pinned COMMIT_RANGE "$SCRATCH/pinned-page" commit "$MNT/file" "$MNT/donor"
        pinned "COMMIT_RANGE's DRY_RUN" "$SCRATCH/pinned-page" dry-run "$MNT/file" "$MNT/donor"
fi
verdict "$lost" "$total"
