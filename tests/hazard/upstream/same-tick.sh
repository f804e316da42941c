#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A write in the clock tick of the sample leaves the stamps as they are, and the commit accepts.
# LIMIT: 120
# ENGINES: no

. "$(dirname "$0")/../../lib/upstream.sh"
program_make same-tick
volume_make -m rmapbt=1
for how in swapext swapext-after-stat; do
        "$SCRATCH/same-tick" $how "$MNT/file" "$MNT/donor" "${TRIES:-50}"
done | tee "$SCRATCH/said"
umount "$MNT"
if volume_make_exchange; then
        "$SCRATCH/same-tick" commit "$MNT/file" "$MNT/donor" "${TRIES:-50}" | tee --append "$SCRATCH/said"
fi
awk -F ', ' '{ lost += $3 } END { print lost ? "LOST: " lost " acknowledged writes" : "kept: all writes" }' "$SCRATCH/said"
