#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# btrfs: while a balance has the file system for itself nothing is moved; afterwards it is.
# LIMIT: 60
# ENGINES: btrfs
# MUTANTS: EXCLUSIVE_OPERATION

. "$(dirname "$0")/../lib/scratch.sh"
test_begin "$@"

group=/sys/fs/cgroup/blkio/${SCRATCH##*/}
[[ -w /sys/fs/cgroup/blkio/blkio.throttle.read_bps_device ]] || skip "needs the blkio controller to make a balance last"

is_exclusive()
{
        part-btrfs facts "$MNT" | grep --quiet '^exclusive 1$'
}

test_volume
fragment --files=1 --size=8M "$MNT"
head --bytes=300M /dev/zero >"$MNT/ballast"
volume_remount volume
address=$(filefrag -v -b1 "$MNT/ballast" | awk '$1 ~ /^[0-9]+:$/ { at = $4 + 0 } END { print at }')
device=$(stat --format '%Hr:%Lr' "${DEVICE[volume]}")
echo "$group" >"$SCRATCH/control-groups"
mkdir "$group"
echo "$device 1048576" >"$group/blkio.throttle.read_bps_device"
(
        echo "$BASHPID" >"$group/cgroup.procs"
        exec btrfs balance start -dvrange="$address..$((address + 1))" "$MNT" >"$SCRATCH/balance" 2>&1
) &
wait_until 10 is_exclusive || fail "no balance: $(<"$SCRATCH/balance")"
defrag '0|75' --no-budget --json "$MNT/file0000"
is_exclusive || fail "the balance was over too soon"
# While it is moved itself a file looks shared, which would be for good.
[[ $(said_of "$MNT/file0000" .reason) == exclusive-operation ]] || lost "not left for later: $(<"$OUT")"
echo "$device 0" >"$group/blkio.throttle.read_bps_device"
btrfs balance cancel "$MNT" >"$SCRATCH/cancel" 2>&1 || true
wait || true
defrag 0 --no-budget --json "$MNT/file0000"
expect_outcome "$MNT/file0000" moved
volume_check volume
