#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The bed that the other tests here lie in: a system boots, a unit runs in it and writes to its journal, and a volume that is
# mounted later is seen by everybody, also from within the sandbox of defragd.service.
# LIMIT: 600
# ROOTS: bookworm trixie
# ASAN: no

. "$(dirname "$0")/../lib/scratch.sh"
. "$(dirname "$0")/../lib/roots.sh"
. "$(dirname "$0")/../lib/booted.sh"
test_begin "$@"

# In the service's sandbox, instead of the service: waits for a volume, says what it sees of it, and stays.
unit_of_sandbox()
{
        local unit=$BOOTED/etc/systemd/system/seen.service

        sed -e 's/^Type=.*/Type=exec/' -e '/^\(WatchdogSec\|Restart\)=/d' \
                -e 's|^ExecStart=.*|ExecStart=/bin/sh /root/seen|' \
                "$BOOTED/usr/lib/systemd/system/defragd.service" >"$unit"
        cat >"$BOOTED/root/seen" <<'SEEN'
until grep -q ' /srv/later ' /proc/1/mountinfo; do sleep 0.1; done
grep ' /srv/later ' /proc/1/mountinfo | sed 's/^/theirs: /'
grep ' /srv/later ' /proc/self/mountinfo | sed 's/^/ours: /'
cat /srv/later/greeting
touch /usr/written 2>/dev/null && echo "/usr is writable"
touch /var/lib/defragd/written && echo "the state directory is writable"
trap 'echo reloaded' HUP
echo done
while :; do sleep infinity & wait; done
SEEN
}

seen()
{
        in_booted journalctl --no-pager --output=cat --unit=seen.service >"$OUT"
}

# seen_line LINE: it has been written to the journal.
seen_line()
{
        seen
        grep -qx "$1" "$OUT"
}

start=${EPOCHREALTIME/./}
booted_begin
echo "$ROOT was up after $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
[[ $(in_booted systemctl list-units --failed --plain --no-legend) == "" ]] || fail "a unit failed"

in_booted systemd-run --quiet --wait --unit=hello.service echo "hello, journal"
in_booted journalctl --sync
in_booted journalctl --no-pager --output=cat --unit=hello.service | grep -qx "hello, journal" || fail "no journal"

unit_of_sandbox
in_booted systemctl daemon-reload
in_booted systemctl start seen.service

# A volume that has never been mounted in there.
volume_make later plain 512M
echo "hello, volume" >"$SCRATCH/later/greeting"
booted_volume later
wait_until 20 seen_line "done" || fail "the unit has not seen the volume: $(cat "$OUT")"
grep -q '^theirs: .* /srv/later .* - xfs /dev/loop' "$OUT" || fail "not in /proc/1/mountinfo: $(cat "$OUT")"
grep -q '^ours: .* /srv/later .* - xfs /dev/loop' "$OUT" || fail "the mount has not arrived: $(cat "$OUT")"
grep -qx 'hello, volume' "$OUT" || fail "the volume cannot be read: $(cat "$OUT")"
grep -qx '/usr is writable' "$OUT" && fail "/usr is writable"
grep -qx 'the state directory is writable' "$OUT" || fail "no state directory: $(cat "$OUT")"
[[ $(stat --format=%a "$BOOTED/var/lib/defragd") == 700 ]] || fail "the state directory is open to others"

# A reload reaches the daemon, but not with a mistake in the configuration.
mkdir -p "$BOOTED/etc/defragd"
printf '[Policy]\nNoSuchKey=1\n' >"$BOOTED/etc/defragd/defragd.conf"
in_booted systemctl reload seen.service 2>/dev/null && fail "a reload with a mistake"
seen_line reloaded && fail "a reload with a mistake has reached the daemon"
rm "$BOOTED/etc/defragd/defragd.conf"
in_booted systemctl reload seen.service || fail "no reload"
wait_until 10 seen_line reloaded || fail "the reload has not reached the daemon"

# The unit, which is still there, does not keep the volume.
in_booted systemctl is-active --quiet seen.service || fail "the unit has ended"
in_booted umount /srv/later
wait_until 10 volume_is_free later || fail "the volume is still in use"
booted_volume later
booted_end
wait_until 10 volume_is_free later || fail "the volume is in use by a system that is off"
volume_check later
