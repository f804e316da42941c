#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A sweep that was stopped in the middle goes on where it was, with what it had found, and is followed by a whole one: nobody knows what
# was written while the service was away.
# ENGINES: exchange
# ASAN: no
# TSAN: no
# LIMIT: 240

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"

test_volume 1G
# First in the order of inodes: found before the stop.
fragment --files=2 --size=2M --name=early "$MNT"
for ((i = 0; i < 40; i++)); do
        mkdir "$MNT/$i"
        (cd "$MNT/$i" && seq 5000 | xargs touch)
done
sync -f "$MNT"
# Nothing is moved: it is the queue that is looked at.
service_config SettleSec=1h

# A sweep takes a moment only: until one was met in its first pass.
cursor=0
for ((i = 0; i < 40 && cursor == 0; i++)); do
        service_start
        expect 5 logged 'volume: watching'
        sleep "0.$((i % 4))$((i * 7 % 10))"
        service_stop
        cursor=$(awk '$1 == "volume" && $7 == 1 { print $8 }' "$STATE/ledger")
        cursor=${cursor:-0}
        if ((cursor == 0)); then
                rm -f "$STATE/ledger"
        fi
done
((cursor > 0)) || fail "no sweep was met in the middle: $(cat "$STATE/ledger")"
echo "stopped at inode $cursor, in try $i"
(($(grep --count '^file .* 3 -$' "$STATE/ledger") == 2)) || fail "what it had found is not in the ledger: $(cat "$STATE/ledger")"

service_start
# Between two sweeps lie ten times as long as the first one took, which on a busy machine is more than a second.
expect 40 eval '(($(n_logged "volume: swept") >= 2))'
mapfile -t seen < <(sed -n 's/.*volume: swept, \([0-9]*\) of \([0-9]*\) files.*/\1 \2/p' "$ERR")
echo "swept: ${seen[*]/%/;}"
read -r found files <<<"${seen[0]}"
((found == 2)) || fail "what was found before the stop is lost: ${seen[*]}"
((files < 200002)) || fail "it did not go on, it began anew"
read -r found files <<<"${seen[1]}"
((found == 2 && files == 200002)) || fail "no whole sweep after it: ${seen[*]}"
expect 3 status_is '^1 volume watched, 2 files waiting'
service_stop
volume_check volume
