#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A volume with more fragmented files than a sweep keeps: when those are done it is swept again, until all are, and then no
# more.
# ENGINES: exchange
# WHOLE_ENGINES: ext4 btrfs
# SAMPLE: no
# ASAN: no
# TSAN: no
# LIMIT: 600

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"

room=$(part-inventory --room)
((room > 0)) || fail "how many does a sweep keep?"
n_files=$((room + 300))
test_volume 2G
fragment --files="$n_files" --size=32K --piece=8K "$MNT"
volume_remount volume
before=$(runs "$MNT"/file*)
service_config
service_start
expect 100 status_is "0 files waiting; $n_files files moved"
wait_until 60 eval "((\$(n_logged 'volume: swept') >= 2))" || fail "not swept again: $(grep swept "$ERR")"
sed -n 's/.*\(swept, .*\)/\1/p' "$ERR"
[[ $(sed -n 's/.*volume: swept, \([0-9]*\) of.*/\1/p' "$ERR" | head -n 2 | paste -sd ' ') == "$room 300" ]] ||
        fail "$(grep swept "$ERR")"
swept=$(n_logged 'volume: swept')
sleep 5
(($(n_logged 'volume: swept') == swept)) || fail "it goes on sweeping: $(grep swept "$ERR")"
service_stop
volume_remount volume
lies_in_at_most $((n_files * 3 / 2)) "$MNT"/file* || fail "$before -> $(runs "$MNT"/file*) extents"
volume_check volume
