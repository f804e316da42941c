#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A disk is pulled out under a mounted volume, while the service has nothing to do there and in the middle of a move. The
# service goes on, as the same process, with its other volume; says that the disk is gone; keeps nobody from unmounting
# what is left, and forgets it then. Another disk that gets the same name and number is a volume like any other. The same
# one, plugged in again, is what it was, goes on where it stopped, and no file on it has lost anything.
# KERNELS: 6.12
# SAMPLE: no
# LIMIT: 600
# KERNEL: sd[a-z]|dev 8:|XFS \(sda\)

. "$(dirname "$0")/../lib/machine.sh"
. "$(dirname "$0")/../lib/machine-service.sh"
machine_begin "$@"

FILE_FAILED=3c2b149be6d5474985f093f7e45ffb47
VOLUME_STOPPED=a753cb1445a44cba8ad68d56b261f966
SETTLE=6

# --- the machine ---

# image NAME MKFS_OPTION...
image()
{
        truncate --size 512M "$SCRATCH/$1.image"
        mkfs.xfs -q -m reflink=1,rmapbt=1 "${@:2}" "$SCRATCH/$1.image"
        [[ $KERNEL == 6.1 ]] || exchange-bit on "$SCRATCH/$1.image"
}

images=(other first second)
for name in "${images[@]}"; do
        image "$name"
done
# Two units of one adapter, which are taken out and put in by way of sysfs.
MACHINE_DEVICES=(-device "virtio-scsi-pci,id=bay")
for unit in 0 1; do
        MACHINE_DEVICES+=(-drive "if=none,id=unit$unit,format=raw,cache=unsafe,discard=unmap,file=$SCRATCH/${images[unit + 1]}.image"
                -device "scsi-hd,bus=bay.0,scsi-id=0,lun=$unit,drive=unit$unit")
done
machine_boot "$KERNEL" "$SCRATCH/other.image"
booted=${EPOCHREALTIME/./}

# unit_pull: whatever is on /dev/sda.
unit_pull()
{
        in_machine bash -c 'echo 1 >/sys/block/sda/device/delete'
}

unit_is_there()
{
        in_machine test -b /dev/sda
}

# unit_put UNIT: is /dev/sda then, with the number that every first disk has.
unit_put()
{
        # There are other adapters, which have no such unit.
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -c 'for host in /sys/class/scsi_host/*; do
                if [[ $(cat "$host/proc_name") == *[Vv]irtio* ]]; then echo "0 0 $1" >"$host/scan"; fi
        done' - "$1"
        wait_until 120 unit_is_there || fail "unit $1 does not come: $(in_machine ls /sys/block)"
        [[ $(in_machine stat --format='%Hr:%Lr' /dev/sda) == 8:0 ]] || fail "another number"
}

wait_until 300 unit_is_there || fail "no disk: $(in_machine ls /sys/block)"
# shellcheck disable=SC2016  # the machine's shell
in_machine bash -euc '
        udevadm settle
        for disk in /sys/block/sd*; do echo 1 >"$disk/device/delete"; done
        mkdir -p /srv/{volume,other} /etc/defragd "/etc/systemd/system/$1.d"
        mount /dev/vdd /srv/other
        printf "%s\n" "[Service]" WatchdogSec=15s RestartSec=4s >"/etc/systemd/system/$1.d/test.conf"
        printf "%s\n" "[Policy]" Enabled=no SolidState=yes MinFileSize=4K SettleSec="$2" "[Budget]" OnBattery=yes \
                DailyWrites=infinity "[Volume /srv/volume]" Enabled=yes "[Volume /srv/other]" Enabled=yes \
                >/etc/defragd/defragd.conf
        systemctl daemon-reload
' - "$SERVICE" "${SETTLE}s"
unit_put 0
in_machine mount /dev/sda /srv/volume
in_machine systemctl start "$SERVICE" || fail "does not start: $(journal)"
pid=$(property MainPID)
expect 5 status_is '^2 volumes watched, 0 files waiting$'
echo "ready after $(elapsed_msec "$booted") ms"

# --- parts ---

# The number of files in the journal that were moved.
n_moved()
{
        in_machine journalctl --sync
        n_told "$FILE_MOVED" "$@"
}

has_moved()
{
        (($(n_moved DEFRAGD_VOLUME="/srv/$1") == $2))
}

# What happens to one volume is nothing to another.
other_goes_on()
{
        local before

        before=$(n_moved DEFRAGD_VOLUME=/srv/other)
        pause
        fragment_on other 1 "other$before-"
        go_on
        expect $((SETTLE + 10)) has_moved other $((before + 1))
        same other
        in_machine bash -c 'rm /srv/other/*'
}

# expect_stopped N: so often was it told, as what it is.
expect_stopped()
{
        expect 10 status_is '/srv/volume: its disk was taken away'
        in_machine journalctl --sync
        (($(n_told "$VOLUME_STOPPED" DEFRAGD_VOLUME=/srv/volume DEFRAGD_REASON='No such device') == $1)) ||
                fail "it was not told that the disk is gone: $(journal --lines=30)"
}

# Nobody is kept from unmounting what is left, and it is forgotten then. $1: how.
expect_forgotten()
{
        in_machine umount ${1:+"$1"} /srv/volume || fail "cannot be unmounted: $(in_machine ls -l "/proc/$pid/fd")"
        expect 5 status_is '^1 volume watched, 0 files waiting[^/]*$'
        expect_same_process
}

# Nothing is lost, whichever half of it was done. Right after a mount, nothing is remembered: it is read from the disk.
expect_content()
{
        in_machine filestate /srv/volume >"$SCRATCH/state-now"
        diff "$SCRATCH/state-$1" "$SCRATCH/state-now" >"$SCRATCH/diff" ||
                fail "it is not as it was: $(head -n 40 "$SCRATCH/diff")"
}

# --- nothing to do ---

pause
in_machine fragment --files=3 --size=4M --piece=256K --name=pending /srv/volume
in_machine sync --file-system /srv/volume
in_machine filestate /srv/volume >"$SCRATCH/state-first"
unit_pull
# Somebody looks when they have settled, or when they may be moved.
go_on
other_goes_on
expect_stopped 1
expect_forgotten
echo "pulled out and unmounted after $(elapsed_msec "$booted") ms"

# --- another one of the same name ---

n_failed=$(n_told "$FILE_FAILED")
unit_put 1
in_machine mount /dev/sda /srv/volume
expect 5 status_is '^2 volumes watched, 0 files waiting'
pause
fragment_on volume 2 second
go_on
expect $((SETTLE + 10)) has_moved volume 2
same volume
# It is asked for nothing that it does not have: not by a sweep, not by what was waiting on the other.
(($(n_told "$FILE_FAILED") == n_failed)) || fail "it was asked for another's files: $(journal --lines=30)"
unit_pull
# Nothing that is waited for, nothing that is said.
expect_forgotten --lazy
(($(n_told "$VOLUME_STOPPED") == 1)) || fail "$(journal --lines=30)"
echo "another one after $(elapsed_msec "$booted") ms"

# --- the first one again ---

unit_put 0
in_machine mount /dev/sda /srv/volume
expect_content first
expect $((SETTLE + 10)) has_moved volume 5
expect 5 status_is '^2 volumes watched, 0 files waiting'
cp "$SCRATCH/state-first" "$SCRATCH/state-volume"
same volume
echo "the first one again after $(elapsed_msec "$booted") ms"

# --- in the middle of a move ---

pause
in_machine bash -c 'rm /srv/volume/*'
in_machine fragment --size=32M --piece=64K --name=large /srv/volume
in_machine sync --file-system /srv/volume
in_machine filestate /srv/volume >"$SCRATCH/state-large"
go_on
# The donor has no name. Nothing is started to look for it: a process takes too long here.
# shellcheck disable=SC2016  # the machine's shell
in_machine bash -c '
        end=$((SECONDS + 60))
        until find "/proc/$1/fd" -lname "/srv/volume/* (deleted)" -print -quit | grep -q .; do
                ((SECONDS < end)) || exit 1
        done
        echo 1 >/sys/block/sda/device/delete' - "$pid" || fail "it moves nothing: $(property StatusText)"
expect_stopped 2
(($(n_told "$FILE_FAILED" DEFRAGD_VOLUME=/srv/volume) == n_failed + 1)) || fail "not told: $(journal --lines=30)"
other_goes_on
expect_forgotten --lazy
unit_put 0
in_machine mount /dev/sda /srv/volume
expect_content large
expect $((SETTLE + 20)) has_moved volume 6
cp "$SCRATCH/state-large" "$SCRATCH/state-volume"
same volume
expect_same_process
in_machine systemctl stop "$SERVICE"
[[ $(property Result) == success ]] || fail "$(property Result): $(journal --lines=20)"
in_machine umount /srv/volume /srv/other
echo "tested in $(elapsed_msec "$booted") ms"
machine_end

for name in "${images[@]}"; do
        # One was pulled out and never seen again: its log is played back here.
        mkdir "$SCRATCH/recovered"
        mount -o loop,nouuid "$SCRATCH/$name.image" "$SCRATCH/recovered"
        umount "$SCRATCH/recovered"
        rmdir "$SCRATCH/recovered"
        # This xfs_repair does not know the bit.
        [[ $KERNEL == 6.1 ]] || exchange-bit off "$SCRATCH/$name.image"
        xfs_repair -n "$SCRATCH/$name.image" >"$SCRATCH/repair" 2>&1 ||
                fail "xfs_repair -n complains: $(tail -n 40 "$SCRATCH/repair")"
done
