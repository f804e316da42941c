#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The exit status of --once says what became of it: 0, 1, 2, 75, and 128 + N after a signal.
# ENGINES: exchange plain ext4
# LIMIT: 60

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

test_volume 1G
fragment --files=8 --size=16M "$MNT"
volume_remount volume
chmod +x "$MNT/file0000"
exec {held}<"$MNT/file0001"
defrag 0 --no-budget "$MNT/file0000"   # skipped by policy
defrag 75 --no-budget "$MNT/file0001"  # busy
defrag 0 --no-budget "$MNT/file0002"   # moved
defrag 0 --no-budget "$MNT/file0002"   # optimal
defrag 1 --no-budget "$MNT/file0002" "$MNT/missing"
defrag 1 --no-budget "$MNT/file0001" "$MNT/missing"
defrag 2 --no-budget /proc
defrag 0 --no-budget /proc "$MNT/file0002" # not the only one
defrag 75 --no-budget "$MNT"
exec {held}<&-

# interrupted SIGNAL STATUS: with a rate that keeps it busy for long.
fragment --files=4 --size=64M --name=slow "$MNT"
volume_remount volume
printf '[Budget]\nMaxRate=8M\n' >>"$CONFIG"
interrupted()
{
        local pid status=0 start

        : >"$OUT"
        : >"$ERR"
        env --default-signal=INT "$DEFRAGD" --once --config="$CONFIG" "${@:3}" "$MNT" >"$OUT" 2>"$ERR" </dev/null &
        pid=$!
        wait_until 20 grep -q 'engine' "$ERR" || fail "does not begin"
        start=${EPOCHREALTIME/./}
        kill "-$1" "$pid"
        wait "$pid" || status=$?
        ((status == $2)) || fail "$1: status $status, not $2"
        ((${EPOCHREALTIME/./} - start < 5000000)) || fail "$1: took $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
}
remember files "$MNT"
interrupted INT 130
tail -n 1 "$OUT" | grep -q 'files\?: .*cancelled' || fail "no summary line: $(cat "$OUT")"
interrupted TERM 143 --json
[[ $(said .cancelled) -gt 0 ]] || fail "no summary: $(cat "$OUT")"
expect_same files
volume_check volume
