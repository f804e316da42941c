#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# On kernels that people have, files are moved by the engine that each offers, and are otherwise the same. By --once, and
# by the service as systemd starts it there: its sandbox holds, what an ordinary program fragments is moved in
# time and told, in 64 MiB of memory; what is frozen, be it a volume, the state directory or the journal, stops
# nothing else and is no reason for a restart; and a kill loses nothing. All of it in one boot, because that is what takes long.
# KERNELS: 6.1 6.12
# SAMPLE_KERNELS: 6.12
# LIMIT: 600

. "$(dirname "$0")/../lib/machine.sh"
. "$(dirname "$0")/../lib/machine-service.sh"
machine_begin "$@"

DISK_STUCK=808d8f7ab801440e81f09af4c91da54a
DISK_ANSWERS=385bbe9d53e24553a6c87a11d019bb2b
SETTLE=6
WATCHDOG=4

# frozen_for SECONDS: since $frozen_since, altogether.
frozen_for()
{
        (($(elapsed_msec "$frozen_since") >= $1 * 1000))
}

# --- disks ---

disks=()
for name in volume other limited; do
        image=$SCRATCH/$name.image
        truncate --size 512M "$image"
        mkfs.xfs -q -m reflink=1,rmapbt=1 "$image"
        case $KERNEL in
        6.1) ENGINE=plain ;;
        *)
                ENGINE=exchange
                exchange-bit on "$image"
                ;;
        esac
        disks+=("$image")
done
for name in state journal; do
        image=$SCRATCH/$name.image
        truncate --size 256M "$image"
        mkfs.ext4 -q "$image"
        disks+=("$image")
done
for name in ext4 btrfs; do
        image=$SCRATCH/$name.image
        truncate --size 512M "$image"
        image_format "$name" "$image"
        disks+=("$image")
done

machine_boot "$KERNEL" "${disks[@]}"
booted=${EPOCHREALTIME/./}
# shellcheck disable=SC2016  # the machine's shell
in_machine bash -euc '
        mkdir -p /srv/{volume,other,limited} /var/lib/defragd /var/log/journal /etc/defragd "/etc/systemd/system/$1.d"
        mount /dev/vdd /srv/volume
        mount /dev/vde /srv/other
        mount /dev/vdf /srv/limited
        mount /dev/vdg /var/lib/defragd
        journalctl --relinquish-var
        mount /dev/vdh /var/log/journal
        journalctl --flush
        printf "%s\n" "[Service]" WatchdogSec="$2" RestartSec=4s MemoryMax=64M >"/etc/systemd/system/$1.d/test.conf"
        printf "%s\n" "[Policy]" Enabled=no SolidState=yes MinFileSize=4K SettleSec="$3" "[Budget]" OnBattery=yes \
                "[Volume /srv/volume]" Enabled=yes DailyWrites=infinity \
                "[Volume /srv/other]" Enabled=yes DailyWrites=infinity \
                "[Volume /srv/limited]" Enabled=yes DailyWrites=64M >/etc/defragd/defragd.conf
        systemctl daemon-reload
' - "$SERVICE" "${WATCHDOG}s" "${SETTLE}s"

# --- once ---

in_machine fragment --files=8 --size=4M /srv/other
# Cold caches, and the space that was given back is really free.
in_machine bash -ec 'umount /srv/other && mount /dev/vde /srv/other'
before=$(in_machine bash -c 'extents --total /srv/other/file*')
((before > 400)) || fail "only $before extents to begin with"
state=$(in_machine filestate /srv/other)
status=0
in_machine defragd --once --no-budget --json --config=/dev/null /srv/other >"$OUT" 2>"$ERR" || status=$?
cat "$ERR"
((status == 0)) || fail "defragd: status $status"
after=$(in_machine bash -c 'extents --total /srv/other/file*')
echo "$before -> $after extents"
((after <= 16)) || fail "$after extents are left"
[[ $(said '.moved, .failed, .bytes_moved' | paste -sd ' ') == "8 0 $((32 << 20))" ]] || fail "summary: $(said .)"
[[ $(jq --raw-output 'select(.path) | .engine' "$OUT" | sort -u) == "$(engine_name)" ]] || fail "another engine"
in_machine bash -ec 'umount /srv/other && mount /dev/vde /srv/other'
[[ $(in_machine filestate /srv/other) == "$state" ]] || fail "something is not as before"
in_machine bash -c 'rm /srv/other/*'
echo "--once is done after $(elapsed_msec "$booted") ms"

# --- the service ---

in_machine systemctl enable --quiet --now "$SERVICE" || fail "does not start: $(journal)"
[[ $(property UnitFileState) == enabled && $(property ActiveState) == active ]] || fail "not active"
pid=$(property MainPID)
expect 5 status_is '^3 volumes watched, 0 files waiting$'

# --- found, moved, told ---

pause
in_machine fragment --files=4 --size=4M --piece=256K /srv/volume
start=${EPOCHREALTIME/./}
in_machine filestate /srv/volume >"$SCRATCH/state-volume"
go_on
expect $((SETTLE + 10)) moved 4
echo "moved $(elapsed_msec "$start") ms after the last was written (SettleSec=${SETTLE}s)"
same volume
in_machine systemctl status --no-pager --full "$SERVICE" >"$OUT"
sed 's/^/  | /' "$OUT"
grep -q 'Status: "3 volumes watched, 0 files waiting; 4 files moved: 16.0 MiB, [0-9]* extents fewer"' "$OUT" ||
        fail "systemctl status does not say it"
in_machine journalctl --sync
journal --output=json MESSAGE_ID="$FILE_MOVED" >"$OUT"
[[ $(jq --raw-output '.DEFRAGD_PATH + " " + .DEFRAGD_ENGINE' "$OUT" | sort) == \
        "$(printf "/srv/volume/file000%d $(engine_name)\n" 0 1 2 3)" ]] || fail "records: $(cat "$OUT")"
# Nothing that the sandbox refuses is missed.
journal --priority=warning --output=cat >"$OUT"
[[ ! -s $OUT ]] || fail "it complains: $(cat "$OUT")"

# --- the sandbox ---

group=/sys/fs/cgroup$(property ControlGroup)
[[ $group == */system.slice/system-defragd.slice/"$SERVICE" ]] || fail "in $group"
# The weights, for each controller that the kernel has and that knows weights.
# shellcheck disable=SC2016  # the machine's shell
in_machine bash -euc '
        cd "$1/.."
        for weight in cpu.weight io.weight io.bfq.weight; do
                if [[ -e $weight ]]; then echo "$weight $(head -n 1 $weight)"; fi
        done
        echo "controllers $(cat /sys/fs/cgroup/cgroup.controllers)"' - "$group" | tee "$OUT"
grep -q '^cpu.weight 10$' "$OUT" || fail "the weight of the processor"
grep '^io.weight ' "$OUT" | grep -qv ' default 10$' && fail "the weight of disks"

# SYS_ADMIN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, LEASE, FSETID and CHOWN, in every thread.
in_machine bash -c "cat /proc/$pid/task/*/status" >"$OUT"
(($(grep -c '^Name:' "$OUT") >= 4)) || fail "not all threads: $(grep '^Name:' "$OUT")"
for line in 'Seccomp: 2' 'NoNewPrivs: 1' 'CapBnd: 000000001020001f' 'CapInh: 0000000000000000' 'CapAmb: 0000000000000000'; do
        [[ $(grep "^${line%%:*}:" "$OUT" | tr '\t' ' ' | sort -u) == "$line" ]] ||
                fail "not $line: $(grep "^${line%%:*}:" "$OUT")"
done

# in_service GROUP COMMAND...: as root with all capabilities, but where the service is.
in_service()
{
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -c 'echo $$ >"$1/cgroup.procs" && exec nsenter --target "$2" --mount --net -- "${@:3}"' - \
                "$1" "$pid" "${@:2}"
}

# It is its control group that forbids what its name space would not: disks are for reading, other devices not even for that.
others=/sys/fs/cgroup/system.slice/machine-agent.service
in_service "$group" head -c 512 /dev/vdd >"$OUT" || fail "it cannot read disks, as an inventory of ext4 does"
# shellcheck disable=SC2016  # the machine's shell
in_service "$others" bash -c 'exec 3<>/dev/vdd' || fail "nobody can write to it"
# shellcheck disable=SC2016  # the machine's shell
in_service "$group" bash -c 'exec 3<>/dev/vdd' 2>"$ERR" && fail "it can write to disks"
grep -q 'Operation not permitted' "$ERR" || fail "$(cat "$ERR")"
in_service "$others" mknod /tmp/log c 1 11
in_service "$others" bash -c 'exec 3</tmp/log' || fail "nobody can read it"
in_service "$group" bash -c 'exec 3</tmp/log' 2>"$ERR" && fail "it reads other devices"
grep -q 'Operation not permitted' "$ERR" || fail "$(cat "$ERR")"
in_service "$group" rm /tmp/log
in_service "$group" touch /etc/defragd/new 2>"$ERR" && fail "it can write to /etc"
grep -q 'Read-only' "$ERR" || fail "$(cat "$ERR")"

# --- frozen: a volume and the state directory ---

pause
fragment_on volume 2 frozen
fragment_on limited 3 late
fragment_on other 2 meanwhile
in_machine fsfreeze --freeze /srv/volume
in_machine fsfreeze --freeze /var/lib/defragd
frozen_since=${EPOCHREALTIME/./}
go_on
expect $((SETTLE + 10)) moved 6
echo "moved on another disk $(elapsed_msec "$frozen_since") ms after the freeze"
same other
expect 16 status_is '/srv/volume: no answer'
expect 16 status_is 'The journal or the state directory does not answer'
echo "told $(elapsed_msec "$frozen_since") ms after the freeze: $(property StatusText)"
wait_until 60 frozen_for $((3 * WATCHDOG)) || fail "the clock stands still"
expect_same_process
# What nobody has charged yet is not moved.
moved 6 || fail "$(property StatusText)"
in_machine fsfreeze --unfreeze /srv/volume
in_machine fsfreeze --unfreeze /var/lib/defragd
expect 15 moved 11
expect 15 status_is_not 'answer'
expect_same_process
same volume limited

# --- frozen: the journal ---

pause
fragment_on volume 2 unheard
fragment_on other 2 unheard
in_machine journalctl --sync
in_machine fsfreeze --freeze /var/log/journal
frozen_since=${EPOCHREALTIME/./}
# Otherwise what it has to say would wait in the socket, and it would not wait itself.
echo "$(in_machine journal-fill) records wait for the journal"
go_on
expect $((SETTLE + 10)) moved 15
expect 16 status_is 'The journal or the state directory does not answer'
echo "told $(elapsed_msec "$frozen_since") ms after the freeze: $(property StatusText)"
wait_until 60 frozen_for $((3 * WATCHDOG)) || fail "the clock stands still"
expect_same_process
in_machine fsfreeze --unfreeze /var/log/journal
expect 15 status_is_not 'answer'
expect_same_process
same volume other
in_machine journalctl --sync
[[ $(n_told "$FILE_MOVED") == 15 ]] || fail "not all is told: $(journal --lines=30)"
for id in "$DISK_STUCK" "$DISK_ANSWERS"; do
        [[ $(n_told "$id" DEFRAGD_VOLUME=/srv/volume) == 1 ]] || fail "$(journal --lines=30)"
        [[ $(n_told "$id") == 3 ]] || fail "$(journal --lines=30)"
done

# --- memory, and a kill ---

in_machine bash -c "cd $group && cat memory.max memory.peak && cat memory.events" >"$OUT"
echo "at most $(($(sed -n 2p "$OUT") / 1024)) KiB of memory"
[[ $(sed -n 1p "$OUT") == $((64 << 20)) ]] || fail "another limit: $(cat "$OUT")"
grep -qx 'oom_kill 0' "$OUT" || fail "out of memory: $(cat "$OUT")"

pause
in_machine fragment --files=2 --size=4M --piece=256K --name=before /srv/volume
in_machine bash -euc "kill -KILL $pid && fragment --files=2 --size=4M --piece=256K --name=between /srv/volume"
echo "written while it is $(property SubState)"
in_machine filestate /srv/volume >"$SCRATCH/state-volume"
expect $((SETTLE + 14)) moved 4
[[ $(property MainPID) != "$pid" && $(property NRestarts) == 1 ]] || fail "$(property NRestarts) restarts"
same volume
in_machine systemctl stop "$SERVICE"
[[ $(property Result) == success ]] || fail "$(property Result): $(journal --lines=20)"
in_machine umount /srv/volume /srv/other /srv/limited

# --- the other file systems, in the same sandbox ---

# shellcheck disable=SC2016  # the machine's shell
in_machine bash -euc '
        mkdir /srv/ext4 /srv/btrfs
        mount /dev/vdi /srv/ext4
        mount /dev/vdj /srv/btrfs
        # The inventory has to find these.
        fragment --files=2 --size=4M --piece=256K --name=before /srv/ext4
        fragment --files=2 --size=4M --piece=256K --name=before /srv/btrfs
        printf "%s\n" "[Policy]" Enabled=no SolidState=yes MinFileSize=4K SettleSec="$1" "[Budget]" OnBattery=yes DailyWrites=infinity \
                "[Volume /srv/ext4]" Enabled=yes "[Volume /srv/btrfs]" Enabled=yes >/etc/defragd/defragd.conf
' - "${SETTLE}s"
for name in ext4 btrfs; do
        in_machine filestate "/srv/$name" >"$SCRATCH/state-$name"
done
in_machine systemctl start "$SERVICE" || fail "does not start: $(journal --lines=30)"
pid=$(property MainPID)
expect 15 moved 4
same ext4
# The kernel goes through a file by 256 KiB, as these pieces are, and leaves the last one where it is.
MOST_RUNS=2 same btrfs
pause
for name in ext4 btrfs; do
        fragment_on "$name" 2 late
done
go_on
expect $((SETTLE + 15)) moved 8
same ext4
MOST_RUNS=2 same btrfs
in_machine journalctl --sync
for name in ext4 btrfs; do
        [[ $(journal --output=json MESSAGE_ID="$FILE_MOVED" DEFRAGD_VOLUME="/srv/$name" | jq --raw-output .DEFRAGD_ENGINE | sort | uniq --count | xargs) == \
                "4 $(ENGINE=$name engine_name)" ]] || fail "records: $(journal --lines=30)"
done
in_machine systemctl stop "$SERVICE"
[[ $(property Result) == success ]] || fail "$(property Result): $(journal --lines=20)"
in_machine umount /srv/ext4 /srv/btrfs
echo "tested in $(elapsed_msec "$booted") ms"
machine_end

for image in "${disks[@]:0:3}"; do
        # This xfs_repair does not know the bit.
        [[ $ENGINE == plain ]] || exchange-bit off "$image"
        xfs_repair -n "$image" >"$SCRATCH/repair" 2>&1 || fail "xfs_repair -n complains: $(tail -n 40 "$SCRATCH/repair")"
done
image_check ext4 "$SCRATCH/ext4.image"
image_check btrfs "$SCRATCH/btrfs.image"
