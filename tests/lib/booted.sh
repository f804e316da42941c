# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Boots a root of lib/roots.sh in a container, so that defragd is tested as a unit of a real systemd. Wants lib/scratch.sh
# and lib/roots.sh; a boot takes one to two seconds.
#
# The container lives in the sandbox of the test and ends with it. What could outlive a process are control groups:
# systemd's get one to themselves, which lib/sandbox.sh removes. Devices are not restricted by control groups in there, nor
# is there udev; limits on memory and I/O need not be enforced either.

# control_groups: makes a group of this sandbox's own below the present one, in the hierarchies that systemd uses, and
# goes there.
control_groups()
{
        local id controllers path mount group

        while IFS=: read -r id controllers path; do
                if [[ $id == 0 ]]; then
                        mount=$(findmnt --noheadings --first-only --output TARGET --types cgroup2) || continue
                elif [[ $controllers == name=systemd ]]; then
                        mount=$(findmnt --noheadings --first-only --output TARGET --types cgroup \
                                --options name=systemd) || continue
                else
                        continue
                fi
                group=${mount%/}${path%/}/${SCRATCH##*/}
                # First the note, then the group.
                echo "$group" >>"$SCRATCH/control-groups"
                mkdir "$group"
                echo 0 >"$group/cgroup.procs"
        done </proc/self/cgroup
}

# Finds process 1 of the container below that of systemd-nspawn; it is no child of its own from the start.
booted_find_init()
{
        local pid
        local -a children

        # No newline ends it.
        read -ra children <"/proc/$BOOTED_NSPAWN/task/$BOOTED_NSPAWN/children" || ((${#children[@]})) || return 1
        for pid in "${children[@]}"; do
                if grep --quiet '^NSpid:.*[[:space:]]1$' "/proc/$pid/status" 2>/dev/null &&
                        [[ -e /proc/$pid/root/run/systemd/system ]]; then
                        BOOTED_INIT=$pid
                        return 0
                fi
        done
        return 1
}

booted_is_up()
{
        local state

        if ! kill -0 "$BOOTED_NSPAWN" 2>/dev/null; then
                tail -n 20 "$SCRATCH/console" >&2
                skip "$ROOT does not boot in a container here"
        fi
        booted_find_init || return 1
        # Not a question of its exit status: that of "degraded" is 1.
        state=$(in_booted systemctl is-system-running 2>/dev/null) || true
        [[ $state == running || $state == degraded ]]
}

# What the system inside had to say, when a test fails.
booted_on_exit()
{
        local status=$?

        ((status == 0 || status == 77)) && return
        tail -n 10 "$SCRATCH/console" >&2
        [[ $BOOTED_INIT ]] || return 0
        timeout 5 nsenter --target "$BOOTED_INIT" --mount --pid --uts --ipc \
                journalctl --no-pager --lines=40 >&2 2>/dev/null || true
}

# booted_begin [NSPAWN_OPTION...]: installs this build in $ROOT and boots it. Its files are at $BOOTED.
BOOTED_INIT=
booted_begin()
{
        need_command systemd-nspawn nsenter findmnt
        BOOTED=$SCRATCH/booted
        root_install "$ROOT" "$BOOTED"
        # There are no modules to load for a container.
        ln -s /dev/null "$BOOTED/etc/systemd/system/systemd-modules-load.service"
        mkdir -p "$BOOTED/var/log/journal"
        # systemd-nspawn leaves directories there.
        mount -t tmpfs tmpfs /run
        control_groups
        SYSTEMD_SECCOMP=0 systemd-nspawn --directory="$BOOTED" --machine="$ROOT" --register=no --keep-unit \
                --capability=all --console=pipe "$@" --boot </dev/null >"$SCRATCH/console" 2>&1 &
        BOOTED_NSPAWN=$!
        trap booted_on_exit EXIT
        # Nothing of ours is started yet: it is the machine that cannot do it.
        wait_until 120 booted_is_up || skip "$ROOT is not up in a container after two minutes"
        # For lib/sandbox.sh, which thaws what a test froze.
        echo "$BOOTED_INIT" >"$SCRATCH/booted-init"
}

# in_booted COMMAND...: runs it inside, as root, with nothing of our environment.
in_booted()
{
        nsenter --target "$BOOTED_INIT" --mount --pid --uts --ipc \
                env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C TERM=dumb SYSTEMD_PAGER= "$@"
}

# booted_mount NAME PATH [MOUNT_OPTION...]: a volume of volume_make, mounted inside at PATH instead of here.
booted_mount()
{
        booted_device "$1"
        in_booted mkdir -p "$2"
        # shellcheck disable=SC2153  # of lib/scratch.sh
        in_booted mount -t "$(file_system "${KIND[$1]}")" "${@:3}" "${DEVICE[$1]}" "$2"
}

# booted_device NAME: a volume of volume_make is unmounted here, and its device is known inside.
booted_device()
{
        local device=${DEVICE[$1]}

        if mountpoint -q "$SCRATCH/$1"; then
                volume_umount "$1"
        fi
        in_booted sh -c "[ -b $device ] || mknod $device b 7 ${device#/dev/loop}"
}

# booted_volume NAME [MOUNT_OPTION...]: at /srv/NAME.
booted_volume()
{
        booted_mount "$1" "/srv/$1" "${@:2}"
}

# booted_end: powers the system off, which takes what is mounted there along.
booted_end()
{
        local status=0

        # It may be gone before systemctl is.
        in_booted systemctl poweroff >/dev/null 2>&1 || true
        wait_until 60 booted_is_off || fail "$ROOT is not off after a minute"
        wait "$BOOTED_NSPAWN" || status=$?
        BOOTED_INIT=
        ((status == 0)) || fail "systemd-nspawn: status $status"
}

booted_is_off()
{
        # A child that has ended and was not waited for can still be signalled.
        grep --quiet '^State:[[:space:]]*Z' "/proc/$BOOTED_NSPAWN/status" 2>/dev/null || ! kill -0 "$BOOTED_NSPAWN" 2>/dev/null
}
