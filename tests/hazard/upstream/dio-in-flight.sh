#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# An asynchronous direct write is on its way to a slow device; xfs_fsr copies the file, its old content, and swaps. Then the
# write ends, successfully, in blocks that are no longer the file's.
# LIMIT: 120
# ENGINES: no

. "$(dirname "$0")/../../lib/upstream.sh"
need fio xfs_fsr
volume_make -m rmapbt=1
fragmented "$MNT/file" 16
throttle writes
stamp=$(stat --format %z "$MNT/file")
throttled fio --name=write --filename="$MNT/file" --ioengine=libaio --direct=1 --rw=write --offset=320k --size=64k --bs=64k \
        --buffer_pattern=0xaa --allow_file_create=0 --output="$SCRATCH/fio" &
touched "$MNT/file" 30 # the write was accepted,
sleep 0.2              # and is on its way
echo "extents: $(extents "$MNT/file")"
xfs_fsr "$MNT/file"
echo "extents after xfs_fsr: $(extents "$MNT/file")"
throttle_lift
wait $!
grep --only-matching 'err= *[0-9]*' "$SCRATCH/fio"
sync --file-system "$MNT"
verdict "$(differs "$MNT/file" $((320 * 1024)) 65536 0xaa)" 65536
