#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A frozen volume, a frozen state directory, a frozen journal: three times the watchdog's span without a restart, another volume is
# worked on meanwhile, STATUS says what does not answer. After the thaw what waited is moved, and all of it is told.
# LIMIT: 900
# ROOTS: bookworm trixie
# ASAN: no

. "$(dirname "$0")/../lib/unit.sh"
test_begin "$@"

WATCHDOG=4
FROZEN=(/srv/volume /var/lib/defragd /var/log/journal)
MOVED_ID=8bb3acedef2e43d0a96c6d1859d625e5

need_command fsfreeze jq

thaw()
{
        local path

        for path in "${FROZEN[@]}"; do
                in_booted timeout 5 fsfreeze --unfreeze "$path" 2>/dev/null || true
        done
}

# The journal, which is shown when a test fails, may be among what is frozen.
on_exit()
{
        local status=$?

        [[ ! $BOOTED_INIT ]] || thaw
        set +e
        (exit "$status")
        booted_on_exit
}

# So many files were moved, and nothing waits.
moved()
{
        status_is "0 files waiting; $1 files? moved"
}

# So many were moved, and another waits.
moved_of()
{
        status_is "1 file waiting; $1 files? moved"
}

# Restarts of the service and of the journal, and who they are.
lives()
{
        echo "$(property MainPID) $(property NRestarts) $(property MainPID systemd-journald.service)"
}

# hold_frozen PATH START STATUS: PATH, frozen at START, stays so for three times the watchdog's span, and until STATUS says it.
hold_frozen()
{
        expect 20 status_is "$3"
        wait_until $((WATCHDOG * 3 + 1)) eval "((SECONDS > $2 + $((WATCHDOG * 3))))"
        [[ $(lives) == "$before" ]] || fail "restarted while $1 was frozen: $(lives), was $before"
        echo "$1: frozen for $((SECONDS - $2)) s"
        property StatusText | sed 's/^/  | /'
        in_booted fsfreeze --unfreeze "$1"
}

# after_thaw PATH N: N files were moved in all, STATUS is as before, nobody was restarted.
after_thaw()
{
        expect 12 moved "$2"
        expect 12 eval '! status_is "not answer|no answer"'
        [[ $(lives) == "$before" ]] || fail "restarted after $1 was thawed: $(lives), was $before"
        lies_in_at_most "$2" "$(inside /srv/volume)"/file* "$(inside /srv/other)"/file* || fail "not moved after all"
}

volume_make volume exchange 512M
volume_make other exchange 512M
volume_make state exchange 512M
volume_make journal exchange 512M
booted_begin
trap on_exit EXIT
booted_volume volume
booted_volume other
booted_mount state /var/lib/defragd
booted_mount journal /var/log/journal
in_booted systemctl restart systemd-journald.service
in_booted journalctl --flush
in_booted journalctl --sync
compgen -G "$(inside /var/log/journal)/*/system.journal" >/dev/null || fail "the journal is not on its volume"

# What is moved on the one is charged first, in the ledger; what is moved on the other depends on nothing.
unit_config '[Volume /srv/volume]' 'Enabled=yes' 'DailyWrites=80M' '[Volume /srv/other]' 'Enabled=yes'
unit_drop_in defragd.service '[Service]' "WatchdogSec=${WATCHDOG}s" 'RestartSec=1s'
in_booted systemctl start defragd.service || fail "does not start: $(journal)"
[[ $(property WatchdogUSec) == "${WATCHDOG}s" ]] || fail "the watchdog is at $(property WatchdogUSec)"
expect 5 status_is '^2 volumes watched, 0 files waiting$'
before=$(lives)

# --- a volume ---

fragmented /srv/volume --files=1 --size=4M --name=file-volume
in_booted fsfreeze --freeze /srv/volume
start=$SECONDS
fragmented /srv/other --files=1 --size=4M --name=file-volume
expect 11 moved_of 1
hold_frozen /srv/volume "$start" '/srv/volume: no answer'
after_thaw /srv/volume 2

# --- the state directory ---

in_booted fsfreeze --freeze /var/lib/defragd
start=$SECONDS
# More than what is left of what was charged for the first.
fragmented /srv/volume --files=1 --size=16M --name=file-state
fragmented /srv/other --files=1 --size=4M --name=file-state
expect 11 moved_of 3
hold_frozen /var/lib/defragd "$start" 'state directory does not answer'
after_thaw /var/lib/defragd 4

# --- the journal ---

# More than a socket holds, and less than the service keeps.
in_booted fsfreeze --freeze /var/log/journal
start=$SECONDS
fragmented /srv/other --files=40 --size=256K --piece=16K --name=file-journal
expect 11 moved 44
hold_frozen /var/log/journal "$start" 'The journal .*does not answer'
after_thaw /var/log/journal 44

# --- what was told ---

all_told()
{
        journal MESSAGE_ID=$MOVED_ID --output=json >"$OUT"
        [[ $(jq --raw-output .DEFRAGD_PATH "$OUT" | sort | uniq | wc -l) == 44 && $(wc -l <"$OUT") == 44 ]]
}
expect 5 all_told
journal --output=cat >"$OUT"
for line in '/srv/volume: no answer' '/srv/volume: answers again' 'the state directory: no answer' 'the state directory: answers again'; do
        grep --quiet --fixed-strings -- "$line" "$OUT" || fail "not told: $line: $(cat "$OUT")"
done
grep 'records were lost' "$OUT" && fail "records were lost, and there was room for them"

# --- more than the service keeps ---

in_booted fsfreeze --freeze /var/log/journal
fragmented /srv/other --files=600 --size=64K --piece=16K --name=file-lost
expect 30 moved 644
in_booted fsfreeze --unfreeze /var/log/journal
after_thaw /var/log/journal 644
expect 5 journal_has 'records were lost'
n_lost=$(sed -n 's/^\([0-9]*\) records were lost.*/\1/p' "$OUT" | paste -sd +)
n_told=$(journal MESSAGE_ID=$MOVED_ID --output=cat | wc -l)
echo "records of 644 files: $n_told told, $n_lost lost"
# What was told of the silence itself may be among them.
((n_told + n_lost >= 644 && n_told + n_lost <= 646)) || fail "records are missing"

in_booted systemctl stop defragd.service
[[ $(property Result) == success ]] || fail "$(property Result)"
booted_end
for name in volume other state journal; do
        volume_check "$name"
done
