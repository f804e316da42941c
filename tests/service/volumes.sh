#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Administrators mount, unmount and remount while the service is active, and it is never in their way; what they mount is looked after,
# wherever and however they do it. The weekly sweep does the same work only while the service does not.
# LIMIT: 900
# ROOTS: bookworm trixie
# ASAN: no

. "$(dirname "$0")/../lib/unit.sh"
test_begin "$@"

moved()
{
        status_is "0 files waiting; $1 files? moved"
}

# At once: no second attempt.
umount_now()
{
        local start=${EPOCHREALTIME/./}

        in_booted umount "$@" || fail "umount $*: $(property StatusText)"
        echo "umount $*: $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
}

# free_at_once NAME: nobody has its device.
free_at_once()
{
        volume_is_free "$1" || fail "the device of $1 is in use after umount"
}

# soon COMMAND...: it succeeds inside as soon as the region in progress is over.
soon()
{
        local start=${EPOCHREALTIME/./}

        wait_until 10 in_booted "$@" 2>"$ERR" || fail "$*: $(cat "$ERR")"
        echo "$*: $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
}

# works PATH NAME N: files that come there are moved, N in all then.
works()
{
        fragmented "$1" --files=1 --size=2M --name="$2"
        expect $((SETTLE + 10)) moved "$3"
        lies_in_at_most 1 "$(inside "$1")/${2}0000" || fail "$1/${2}0000 was not moved"
}

n_watched()
{
        status_is "^$1 volumes? watched, 0 files waiting(; [0-9]+ files? moved: [^;]*)?$"
}

twin_uuid=$(cat /proc/sys/kernel/random/uuid)
volume_make volume exchange 640M -m uuid="$twin_uuid"
volume_umount volume
volume_make twin exchange 640M -m uuid="$twin_uuid"
volume_umount twin
volume_make early exchange 512M
booted_begin
for name in volume twin early; do
        booted_device "$name"
done
in_booted mkdir -p /srv/volume /srv/second /srv/unit /tmp/below
# There before the service is, in a directory that its unit has another of.
in_booted mkdir -p /tmp/early
in_booted mount "${DEVICE[early]}" /tmp/early
declare -a sections=()
for path in /srv/volume /srv/unit /srv/second /tmp/below /tmp/early; do
        sections+=("[Volume $path]" 'Enabled=yes')
done
unit_config "${sections[@]}"
in_booted systemctl start defragd.service || fail "does not start: $(journal)"
pid=$(property MainPID)
expect 5 status_is '^0 volumes watched.*/tmp/early: '

# --- what the unit cannot see ---

property StatusText | sed 's/^/  | /'
umount_now /tmp/early
free_at_once early
in_booted mount "${DEVICE[early]}" /tmp/below
expect 5 status_is '/tmp/below: '
property StatusText | sed 's/^/  | /'
umount_now /tmp/below
free_at_once early
expect 5 status_is '^0 volumes watched, 0 files waiting$'

# --- mounted later, idle ---

in_booted mount "${DEVICE[volume]}" /srv/volume
expect 5 n_watched 1
works /srv/volume first 1
head -c 200M /dev/urandom >"$(inside /srv/volume)/data"
sum=$(sha256sum <"$(inside /srv/volume)/data")
umount_now /srv/volume
free_at_once volume
expect 5 n_watched 0
in_booted mount "${DEVICE[volume]}" /srv/volume
[[ $(sha256sum <"$(inside /srv/volume)/data") == "$sum" ]] || fail "not all was written"
in_booted rm /srv/volume/data
expect 5 n_watched 1
works /srv/volume again 2

in_booted mount -o remount,ro /srv/volume || fail "remount,ro while idle"
expect 5 n_watched 0
in_booted mount -o remount,rw /srv/volume
expect 5 n_watched 1
works /srv/volume writable 3

# --- in two places ---

in_booted mount --bind /srv/volume /srv/second
expect 5 n_watched 1
works /srv/second bound 4
umount_now /srv/volume
expect 5 n_watched 1
works /srv/second alone 5
umount_now /srv/second
free_at_once volume
expect 5 n_watched 0

# --- a copy beside it ---

in_booted mount "${DEVICE[volume]}" /srv/volume
expect 5 n_watched 1
in_booted mount -o nouuid "${DEVICE[twin]}" /srv/second
expect 5 status_is '^0 volumes watched.*same UUID.*same UUID'
for path in /srv/volume /srv/second; do
        fragmented "$path" --files=1 --size=2M --name=twin
done
sleep $((SETTLE + 3))
status_is '; 5 files moved' || fail "moved on a twin: $(property StatusText)"
umount_now /srv/second
free_at_once twin
expect $((SETTLE + 10)) moved 6
umount_now /srv/volume
free_at_once volume

# --- a unit of systemd's ---

printf '[Mount]\nWhat=%s\nWhere=/srv/unit\nType=xfs\n' "${DEVICE[twin]}" >"$BOOTED/etc/systemd/system/srv-unit.mount"
in_booted systemctl daemon-reload
in_booted systemctl start srv-unit.mount || fail "the mount unit does not start"
expect 5 n_watched 1
# The one that came while it had a twin.
expect $((SETTLE + 10)) moved 7
works /srv/unit mounted 8
in_booted systemctl stop srv-unit.mount || fail "the mount unit does not stop"
free_at_once twin
expect 5 n_watched 0

# --- while it works ---

unit_config "${sections[@]}" '[Budget]' 'MaxRate=8M'
in_booted systemctl reload defragd.service || fail "no reload"
in_booted mount "${DEVICE[volume]}" /srv/volume
fragmented /srv/volume --files=12 --size=10M --name=work
remember work "$(inside /srv/volume)"/work*
for how in 'umount /srv/volume' 'mount -o remount,ro /srv/volume' 'umount --lazy /srv/volume'; do
        expect 11 status_is '/srv/volume: moving'
        # shellcheck disable=SC2086  # words
        soon $how
        if [[ $how == *remount* ]]; then
                expect 5 n_watched 0
                written=$(volume_written volume)
                sleep 1
                [[ $(volume_written volume) == "$written" ]] || fail "written to after remount,ro"
                in_booted mount -o remount,rw /srv/volume
        else
                wait_until 10 volume_is_free volume || fail "the device is in use after $how"
                in_booted mount "${DEVICE[volume]}" /srv/volume
        fi
        expect_same work
done
[[ $(property MainPID) == "$pid" && $(property NRestarts) == 0 ]] || fail "restarted"

# --- the timer ---

unit_drop_in defragd-sweep.timer '[Timer]' OnCalendar= OnActiveSec=1s AccuracySec=1s RandomizedDelaySec=0

# swept RESULT: the sweep that the timer started is over. One that systemd has forgotten, or that never was, is a success, too, but
# has no end.
swept()
{
        [[ $(property Result defragd-sweep.service) == "$1" ]] &&
                [[ $(property ActiveState defragd-sweep.service) == inactive ]] &&
                [[ $(property InactiveEnterTimestampMonotonic defragd-sweep.service) != 0 ]]
}

in_booted systemctl start defragd-sweep.timer
expect 5 swept exec-condition
[[ $(property MainPID) == "$pid" ]] || fail "the sweep has disturbed the service"
in_booted systemctl stop defragd-sweep.timer defragd.service
[[ $(property Result) == success ]] || fail "$(property Result)"
(($(runs "$(inside /srv/volume)"/work*) > 24)) || fail "nothing was left for the sweep"
unit_config "${sections[@]}"
in_booted systemctl start defragd-sweep.timer
expect 20 swept success
in_booted systemctl is-active --quiet defragd-sweep.timer || fail "the timer has ended"
lies_in_at_most 24 "$(inside /srv/volume)"/work* || fail "not moved by the sweep: $(extents "$(inside /srv/volume)"/work*)"
expect_same work
umount_now /srv/volume
free_at_once volume
booted_end
volume_check volume
volume_check twin
volume_check early
