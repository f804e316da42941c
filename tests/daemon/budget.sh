#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A file whose size is no multiple of a block costs its last block, too: what is charged for it is enough, and it is not tried over and over.
# ENGINES: no
# LIMIT: 120

. "$(dirname "$0")/../lib/service.sh"
ENGINE=exchange
test_begin "$@"
ENGINE=exchange

test_volume
# A lump is an eighth of it, and less than the file.
fragment --files=1 --size=4M "$MNT"
# Its last block has one byte in it.
printf x >>"$MNT/file0000"
volume_remount volume
remember files "$MNT"
service_config DailyWrites=16M
while [[ $(date +%H%M) == 235[5-9] ]]; do sleep 1; done
service_start
expect 11 status_is '1 file moved'
tries=$(n_logged 'inode .*: cancelled')
((tries <= 2)) || fail "tried $tries times: $(cat "$ERR")"
service_stop
expect_same files
volume_check volume
