#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# While nobody can tell what the breaker has stopped, nothing is moved, and it is said so; a minute later the state directory is read again, and
# the work goes on by itself.
# ENGINES: exchange
# WHOLE_ENGINES: btrfs
# LIMIT: 400
# ASAN: no
# TSAN: no

. "$(dirname "$0")/../lib/service.sh"
. "$(dirname "$0")/../lib/inject.sh"
test_begin "$@"
need_inject

test_volume
fragment --files=2 --size=2M "$MNT"
volume_remount volume
remember files "$MNT"
service_config
PROGRAM=$DEFRAGD
DEFRAGD=$SCRATCH/defragd
mkdir "$SCRATCH/state"
# The first open is the service's own, of the directory; the second one reads what is in there.
printf '#!/bin/bash\nexec inject --below=%q --report=%q --at=openat:2 --fail=EMFILE %q "$@"\n' "$SCRATCH/state" \
        "$SCRATCH/report" "$PROGRAM" >"$DEFRAGD"
chmod +x "$DEFRAGD"
service_start
expect 5 logged 'The state directory cannot be read \(Too many open files\): no volume is worked on'
expect 5 status_is "$MNT: STOPPED by the breaker: the state directory cannot be read$"
expect 5 logged "$MNT: stopped by the breaker: the state directory cannot be read; nothing is moved on it until it can be"
! logged ': moved, ' || fail "moved: $(cat "$ERR")"
# A minute and a move: five times that at most.
expect 72 status_is '2 files moved'
lies_in_at_most 2 "$MNT"/file* || fail "$(extents "$MNT"/file*)"
[[ $(n_logged 'The state directory cannot be read') == 1 ]] || fail "$(cat "$ERR")"
service_stop
expect_same files
volume_check volume
