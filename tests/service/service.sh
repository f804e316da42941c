#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The service as its administrator meets it: enabled and started, it finds what an ordinary program fragments, moves it, and says so in STATUS,
# in the journal and in its catalog; over kill -9, a restart, a hung main loop, a reload with mistakes and a stop under load.
# LIMIT: 900
# ROOTS: bookworm trixie
# ASAN: no

. "$(dirname "$0")/../lib/unit.sh"
test_begin "$@"

# Longer than it takes to write the files of a test.
SETTLE=5
V=/srv/volume

config()
{
        unit_config "[Volume $V]" Enabled=yes "$@"
}

moved()
{
        status_is "0 files waiting; $1 files? moved"
}

volume_make volume exchange 1G
booted_begin
booted_volume volume
config
in_booted systemctl enable --quiet --now defragd.service || fail "does not start: $(journal)"
[[ $(property ActiveState) == active && $(property Type) == notify ]] || fail "not active"
expect 5 status_is '^1 volume watched, 0 files waiting'
[[ $(property NFileDescriptorStore) == 1 ]] || fail "$(property NFileDescriptorStore) descriptors in the store"

# --- found, moved, told ---

fragment --files=4 --size=4M "$(inside "$V")"
remember files "$(inside "$V")"/file*
start=${EPOCHREALTIME/./}
expect $((SETTLE + 10)) moved 4
echo "moved $(((${EPOCHREALTIME/./} - start) / 1000)) ms after the last was written (SettleSec=${SETTLE}s)"
expect_same files
(($(runs "$(inside "$V")"/file*) <= 4)) || fail "$(extents "$(inside "$V")"/file*)"
in_booted systemctl status --no-pager --full defragd.service | sed 's/^/  | /'
in_booted systemctl status --no-pager --full defragd.service | grep -q 'Status: "1 volume watched, 0 files waiting; 4 files moved: 16.0 MiB' ||
        fail "systemctl status does not say it"

journal MESSAGE_ID=8bb3acedef2e43d0a96c6d1859d625e5 --output=json >"$OUT"
[[ $(jq --slurp length "$OUT") == 4 ]] || fail "not 4 records: $(cat "$OUT")"
for field in DEFRAGD_VOLUME DEFRAGD_INODE DEFRAGD_PATH DEFRAGD_ENGINE DEFRAGD_OUTCOME DEFRAGD_REASON DEFRAGD_EXTENTS_BEFORE \
        DEFRAGD_EXTENTS_AFTER DEFRAGD_BYTES DEFRAGD_USEC; do
        jq --exit-status --slurp --arg field "$field" 'all(has($field))' "$OUT" >/dev/null || fail "no $field"
done
[[ $(jq --raw-output .DEFRAGD_PATH "$OUT" | sort | paste -sd ' ') == "$V/file0000 $V/file0001 $V/file0002 $V/file0003" ]] ||
        fail "$(cat "$OUT")"
in_booted journalctl --update-catalog
journal --catalog --lines=1 MESSAGE_ID=8bb3acedef2e43d0a96c6d1859d625e5 | sed 's/^/  | /'
journal --catalog MESSAGE_ID=8bb3acedef2e43d0a96c6d1859d625e5 >"$OUT"
grep -q "Subject: A file lies better than before" "$OUT" || fail "no catalog entry: $(cat "$OUT")"
# All that was said until now has an entry, and no field is missing in it.
journal --catalog | grep '@[A-Z_]*@' && fail "a catalog entry with a field that is not there"

# Its own work, its records and its ledger do not wake it again.
before=$(journal --output=cat | wc -l)
sleep $((SETTLE + 4))
[[ $(journal --output=cat | wc -l) == "$before" ]] || fail "it goes on: $(journal --lines=5)"

# --- restarts, with events in between ---

for how in kill restart; do
        fragment --files=2 --size=4M --name="before-$how" "$(inside "$V")"
        if [[ $how == kill ]]; then
                pid=$(property MainPID)
                in_booted systemctl kill --signal=KILL defragd.service
                fragment --files=2 --size=4M --name="between-$how" "$(inside "$V")"
                expect 12 eval '[[ $(property ActiveState) == active && $(property MainPID) != '"$pid"' ]]'
        else
                in_booted systemctl restart defragd.service
        fi
        expect $((SETTLE + 12)) moved $([[ $how == kill ]] && echo 4 || echo 2)
        # The same group, under a name that says who has it now, and no second one.
        [[ $(property NFileDescriptorStore) == 1 ]] || fail "$(property NFileDescriptorStore) descriptors after $how"
done
journal --output=cat --identifier=defragd | grep --extended-regexp 'failed:|[Mm]istake|set aside' && fail "something went wrong"

# The main loop hangs: the watchdog sees it, and the next one goes on.
pid=$(property MainPID)
in_booted systemctl show --property=WatchdogUSec --value defragd.service | grep -q 30s || fail "no watchdog"
mkdir -p "$BOOTED/etc/systemd/system/defragd.service.d"
printf '[Service]\nWatchdogSec=3s\nRestartSec=1s\nTimeoutAbortSec=2s\n' >"$BOOTED/etc/systemd/system/defragd.service.d/watchdog.conf"
in_booted systemctl daemon-reload
in_booted systemctl restart defragd.service
pid=$(property MainPID)
in_booted sh -c "kill -STOP $pid"
expect 15 eval '[[ $(property ActiveState) == active && $(property MainPID) != '"$pid"' ]]'
journal_has 'Watchdog timeout' || fail "$(journal --lines=20)"
fragment --files=1 --size=4M --name=after-watchdog "$(inside "$V")"
expect $((SETTLE + 12)) moved 1

# A frozen volume is no reason: three times the watchdog's span, and no restart.
pid=$(property MainPID)
fragment --files=2 --size=4M --name=frozen "$(inside "$V")"
in_booted fsfreeze --freeze "$V"
expect 20 status_is "$V: no answer"
sleep 10
[[ $(property MainPID) == "$pid" ]] || fail "restarted because of a frozen volume"
in_booted fsfreeze --unfreeze "$V"
expect 12 moved 3
[[ $(property MainPID) == "$pid" ]] || fail "restarted"

# --- reload ---

config 'MaxRate=fast'
in_booted systemctl reload defragd.service 2>"$ERR" && fail "a reload with a mistake succeeds"
[[ $(property ActiveState) == active && $(property MainPID) == "$pid" ]] || fail "it did not survive the reload"
journal_has 'defragd.conf:11: Invalid value, ignoring: MaxRate=fast' || fail "the place is not named: $(journal --lines=10)"
config 'Enabled=observe'
in_booted systemctl reload defragd.service || fail "a reload without a mistake: $(journal --lines=10)"
journal_has 'The configuration was read anew' || fail "$(journal --lines=10)"
fragment --files=1 --size=4M --name=observed "$(inside "$V")"
expect $((SETTLE + 10)) status_is '1 would be moved'
config
in_booted systemctl reload defragd.service

# --- names ---

hostile=$'x\nSTOPPING=1\nSTATUS=gone'
mkdir "$(inside "$V")/$hostile"
fragment --files=1 --size=4M --name=in-there "$(inside "$V")/$hostile"
expect $((SETTLE + 10)) journal_has 'STOPPING=1.*STATUS=gone/in-there0000: moved'
[[ $(property ActiveState) == active ]] || fail "a name has stopped the service"
status_is 'watched' || fail "a name has become the status: $(property StatusText)"

# --- the end ---

# Under load.
fragment --files=8 --size=16M --name=load "$(inside "$V")"
config MaxRate=16M
in_booted systemctl reload defragd.service
expect $((SETTLE + 10)) status_is 'moving'
start=$SECONDS
in_booted systemctl stop defragd.service
((SECONDS - start <= 25)) || fail "$((SECONDS - start)) s to stop"
[[ $(property Result) == success ]] || fail "$(property Result): $(journal --lines=20)"
expect_same files
in_booted umount "$V" || fail "the volume is in use after the end"
wait_until 10 volume_is_free volume || fail "the device is in use after the end"
booted_end
volume_check volume
