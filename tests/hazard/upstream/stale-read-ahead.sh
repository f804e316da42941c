#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Somebody reads a file while its owner collapses a range of it and then writes behind the new end. What was never written has to be zeros.
# LIMIT: 120
# ENGINES: no

. "$(dirname "$0")/../../lib/upstream.sh"
program_make stale-read-ahead
for bytes in 1024 2048 4096; do
        volume_make_ext4 '' -b "$bytes"
        "$SCRATCH/stale-read-ahead" "$MNT/file" "${SECONDS_EACH:-5}"
        umount "$MNT"
        exec {hold}<&-
done | tee "$SCRATCH/said"
n=$(grep --count ' instead of ' "$SCRATCH/said" || true)
((n)) && echo "LOST: on $n of 3 volumes a block shows where nothing was written" || echo "kept: zeros on 3 volumes"
