#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A volume that is full, or nearly so: nothing is moved, nothing is lost, and it says so.
# ASAN: no
# ENGINES: exchange ext4
# WHOLE_ENGINES: plain
# LIMIT: 60

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume 1G
fragment --files=4 --size=16M "$MNT"
volume_remount volume
free_bytes()
{
        echo $(($(stat --file-system --format '%a * %S' "$MNT")))
}
# fill_up LEFT: takes all free space but that many bytes.
fill_up()
{
        local at=0 step=$((64 << 20))

        while ((step >= 4096)); do
                if (($(free_bytes) >= step + $1)) &&
                        fallocate --offset "$at" --length "$step" "$MNT/ballast" 2>/dev/null; then
                        at=$((at + step))
                else
                        step=$((step / 2))
                fi
        done
}

# Within the reserve (5 % of 1 GiB), though there is room for any single file.
: >"$MNT/ballast"
fill_up $((40 << 20))
remember files "$MNT"/file*
defrag 75 --no-budget --json "$MNT"/file*
for file in "$MNT"/file*; do
        expect_outcome "$file" no-space:reserve
done
expect_same files

# Without a reserve as far as there is room; never an error, and always better than before or as before.
printf '[Budget]\nFreeSpaceReserve=0\n' >>"$CONFIG"
fill_up $((6 << 20))
before=$(runs "$MNT"/file*)
defrag '0|75' --no-budget --json "$MNT"/file*
[[ $(said .failed) == 0 ]] || fail "failures: $(cat "$OUT")"
after=$(runs "$MNT"/file*)
echo "6 MiB free: $before -> $after extents"
((after <= before)) || fail "$before -> $after extents"
expect_same files

# Full to the last block.
fill_up 0
dd if=/dev/zero of="$MNT/last" bs=4k status=none 2>/dev/null || true
echo "$(free_bytes) bytes free"
before=$(runs "$MNT"/file*)
defrag '0|75' --no-budget --json "$MNT"/file*
[[ $(said .failed) == 0 ]] || fail "failures: $(cat "$OUT")"
(($(runs "$MNT"/file*) <= before)) || fail "more extents than before"
expect_same files

# Only pieces are free: what would become no better is not moved.
rm -f "$MNT/ballast" "$MNT/last"
volume_remount volume
fragment --keep-filler --name=late --size=8M "$MNT"
sync --file-system "$MNT"
remember late "$MNT/late0000"
before=$(runs "$MNT/late0000")
defrag '0|75' --no-budget --json "$MNT/late0000"
after=$(runs "$MNT/late0000")
echo "free space in pieces: $before -> $after extents, $(said_of "$MNT/late0000" '.outcome, .reason' | paste -sd :)"
((after <= before)) || fail "$before -> $after extents"
expect_same late
volume_check volume
