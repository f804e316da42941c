#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# --json: an object a line for every file with exactly these keys, then one with the totals, which add up.
# ENGINES: exchange plain ext4
# LIMIT: 60

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

FILE_KEYS='path inode volume engine outcome reason extents_before extents_after bytes_moved usec'
test_volume 1G
fragment --files=4 --size=8M "$MNT"
volume_remount volume
chmod +x "$MNT/file0003"
exec {held}<"$MNT/file0002"
defrag 75 --no-budget --json "$MNT"/file*
exec {held}<&-

# Every line is an object by itself.
while IFS= read -r line; do
        jq --exit-status . <<<"$line" >"$SCRATCH/object" 2>&1 || fail "not JSON: $line"
done <"$OUT"
jq 'select(.summary | not)' "$OUT" | jq --raw-output 'keys_unsorted | join(" ")' | sort -u >"$SCRATCH/keys"
[[ $(cat "$SCRATCH/keys") == "$FILE_KEYS" ]] || fail "keys: $(cat "$SCRATCH/keys")"
[[ $(tail -n 1 "$OUT" | jq .summary) == true ]] || fail "the last line is no summary"
[[ $(jq 'select(.summary)' "$OUT" | jq --slurp length) == 1 ]] || fail "not one summary"

expect_outcome "$MNT/file0000" moved
expect_outcome "$MNT/file0002" busy:open
expect_outcome "$MNT/file0003" skipped:executable
[[ $(said_of "$MNT/file0000" .engine) == "$(engine_name)" ]] || fail "engine"
[[ $(said_of "$MNT/file0000" .volume) == "$MNT" ]] || fail "volume"
[[ $(said_of "$MNT/file0000" .inode) == "$(stat --format %i "$MNT/file0000")" ]] || fail "inode"
[[ $(said_of "$MNT/file0000" .reason) == null ]] || fail "reason"
[[ $(said_of "$MNT/file0000" .bytes_moved) == $((8 << 20)) ]] || fail "bytes_moved"
[[ $(said_of "$MNT/file0000" .extents_after) == "$(runs "$MNT/file0000")" ]] || fail "extents_after"
for sum in bytes_moved extents_before extents_after; do
        [[ $(jq --slurp "map(select(.path) | .$sum) | add" "$OUT") == "$(said ".$sum")" ]] || fail "$sum does not add up"
done
[[ $(said '.files, .moved, .skipped, .busy, .optimal, .failed' | paste -sd ' ') == "4 2 1 1 0 0" ]] || fail "$(said .)"

# Text says the same in words.
defrag 0 --no-budget -v "$MNT"
tail -n 1 "$OUT" | grep -Eq '^[0-9]+ files?: [0-9]+ [a-z]+.*; [0-9]+ -> [0-9]+ extents, .* moved in ' || fail "the summary line: $(tail -n 1 "$OUT")"
defrag 0 --no-budget "$MNT/file0000"
grep -q "^$MNT/file0000: optimal" "$OUT" || fail "a file that was named has a line: $(cat "$OUT")"
# A report that cannot be written is a failure.
status=0
"$DEFRAGD" --once --config="$CONFIG" --json "$MNT" >/dev/full 2>"$ERR" || status=$?
((status == 1)) || fail "status $status with a full standard output"
