#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# DailyWrites= is spent in the ledger before it is spent on the disk: while the ledger cannot be stored, because the volume under it is
# frozen, nothing is moved. A crash at any instant can make the budget smaller, never larger.
# ENGINES: exchange
# WHOLE_ENGINES: ext4 btrfs
# TSAN: no
# ASAN: no
# LIMIT: 90
# MUTANTS: CHARGED_FIRST

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"

need_command fsfreeze
test_volume 320M
volume_make state exchange 320M
service_config DailyWrites=900M
mkdir -p "$SCRATCH/state"
service_start
expect 10 is_swept
fsfreeze --freeze "$SCRATCH/state"
# However this ends: what waits for a frozen volume cannot be killed.
trap 'fsfreeze --unfreeze "$SCRATCH/state" 2>/dev/null || true' EXIT
fragment --files=3 --size=2M "$MNT"
remember files "$MNT"
expect 35 status_is 'state directory does not answer|[1-9] files? moved'
! status_is '[1-9] files? moved' || lost "moved, and nothing on stable storage knows of it"
expect_same files
fsfreeze --unfreeze "$SCRATCH/state"
trap - EXIT
expect 11 status_is '3 files moved'
expect_same files
service_stop
volume_check volume
volume_check state
