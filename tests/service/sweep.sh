#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The sweep moves files from within the sandbox of its unit, owners and modes included, and gives way to the service.
# LIMIT: 600
# ROOTS: bookworm trixie
# ASAN: no

. "$(dirname "$0")/../lib/scratch.sh"
. "$(dirname "$0")/../lib/roots.sh"
. "$(dirname "$0")/../lib/booted.sh"
test_begin "$@"

# override UNIT LINE...: in [Service], for this test.
override()
{
        mkdir -p "$BOOTED/etc/systemd/system/$1.d"
        printf '%s\n' '[Service]' "${@:2}" >"$BOOTED/etc/systemd/system/$1.d/test.conf"
        in_booted systemctl daemon-reload
}

sweep_result()
{
        in_booted systemctl show --property=Result --value defragd-sweep.service
}

# Owners and modes that only a privileged daemon can give to a donor; SWAPEXT wants both files alike.
volume_make volume plain 1G
fragment --files=4 --size=8M --piece=64K "$SCRATCH/volume"
chown 1234:5678 "$SCRATCH/volume"/file*
chmod 400 "$SCRATCH/volume"/file*
volume_remount volume
before=$(runs "$SCRATCH/volume"/file*)
((before > 400)) || fail "only $before extents to begin with"
remember files "$SCRATCH/volume"

booted_begin
booted_volume volume
mkdir -p "$BOOTED/etc/defragd"
printf '[Policy]\nEnabled=no\nSolidState=yes\nMinFileSize=4K\n[Budget]\nDailyWrites=900M\n[Volume /srv/volume]\nEnabled=yes\n' \
        >"$BOOTED/etc/defragd/defragd.conf"

# --- while the service is active ---

# It is not the service that is looked at here.
override defragd.service Type=exec WatchdogSec=0 ExecStart= 'ExecStart=/bin/sleep infinity'
in_booted systemctl start defragd.service
in_booted systemctl start defragd-sweep.service || fail "a sweep that gives way fails"
[[ $(sweep_result) == exec-condition ]] || fail "the sweep did not give way: $(sweep_result)"

# --- while it is not ---

in_booted systemctl stop defragd.service
in_booted systemctl start defragd-sweep.service || fail "the sweep failed"
[[ $(sweep_result) == success ]] || fail "the sweep: $(sweep_result)"
in_booted journalctl --sync
in_booted journalctl --no-pager --output=cat --unit=defragd-sweep.service >"$OUT"
grep -q '^4 files: 4 moved; ' "$OUT" || fail "$(cat "$OUT")"
# What it has written is charged where the service would look for it.
in_booted cat /var/lib/defragd/ledger >"$OUT"
grep -Eq '^volume [0-9a-f-]{36} [0-9]+ 33[0-9]{6} ' "$OUT" || fail "not charged: $(cat "$OUT")"

# --- the timer ---

in_booted systemctl enable --quiet --now defragd-sweep.timer
[[ $(in_booted systemctl show --property=NextElapseUSecRealtime --value defragd-sweep.timer) ]] ||
        fail "the timer has no next time"

booted_end
volume_mount volume
after=$(runs "$SCRATCH/volume"/file*)
echo "$before -> $after extents"
((after <= 8)) || fail "$after extents are left"
expect_same files
volume_check volume
