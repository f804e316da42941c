#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Names of files that would stop the service, drive a terminal or break a record, had they not been escaped; and Exclude= in the service,
# by any of a file's names.
# ENGINES: exchange
# WHOLE_ENGINES: ext4 btrfs
# TSAN: no
# LIMIT: 120

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"

test_volume 1G
hostile=$'x\nSTOPPING=1\n\e[2J\xff\xfe'
long=$(printf 'n%.0s' {1..250})
mkdir "$MNT/$hostile" "$MNT/cache"
fragment --files=1 --size=2M --name="in-hostile" "$MNT/$hostile"
fragment --files=1 --size=2M --name="$hostile" "$MNT"
fragment --files=1 --size=2M --name="${long:0:240}" "$MNT"
fragment --files=1 --size=2M --name=hidden "$MNT/cache"
ln "$MNT/cache/hidden0000" "$MNT/innocent"
volume_remount volume
remember files "$MNT"
service_config "Exclude=$MNT/cache/**" "Exclude=**/*.iso"
service_start
expect 11 status_is '3 files moved'
expect_same files
! told STOPPING=1 || fail "a name reached the manager"
! LC_ALL=C grep --quiet --perl-regexp '[\x00-\x08\x0b-\x1f\x7f-\xff]' "$ERR" || fail "a name reached the log as it is"
logged 'x\\x0aSTOPPING=1\\x0a\\x1b\[2J\\xff\\xfe/in-hostile0000: moved' || fail "$(cat "$ERR")"

# By events, too: an excluded name, an excluded directory, a second name elsewhere.
fragment --files=1 --size=2M --name=disk "$MNT"
mv "$MNT/disk0000" "$MNT/disk.iso"
fragment --files=1 --size=2M --name=deep "$MNT/cache"
fragment --files=1 --size=2M --name=good "$MNT"
expect 11 status_is '4 files moved'
sleep 2
logged "$MNT/good0000: moved" || fail "$(cat "$ERR")"
! logged '(disk.iso|cache|innocent).*: moved' || fail "$(cat "$ERR")"
service_stop
volume_check volume
