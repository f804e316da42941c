#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# sandbox.sh COMMAND [ARGUMENT...] runs a command so that it cannot leave anything behind, however it ends.
#
# The command gets a mount and a process namespace of its own, and a scratch directory below /var/tmp that $SCRATCH names.
# Whoever watches from outside (this script, until the command has ended) kills the namespaces with everything in them
# when it is told to stop, and removes the scratch directory; if it is itself killed, so are they, and an heir that does
# nothing but wait for its end removes the rest. With the last process the mounts go, with the mounts the loop devices,
# which are all set to autoclear. /proc is that of the namespace, so "init's" mount table, /proc/1/mountinfo, is the
# command's own, and no program here sees a process outside.
#
# Control groups that are noted in $SCRATCH/control-groups are removed with all that is below them.
#
# What others have mounted on loop devices is let go of inside: a copy of a mount keeps its device busy.

set -euo pipefail

in_sandbox()
{
        [[ ${SANDBOX_INIT:-} && -d ${SCRATCH:-} ]]
}

# What the kernel says of the device from here on is ours (kernel_complaints of tests/run): the names of loop devices are
# given out again, also to a test that runs beside us.
device_is_ours()
{
        [[ ${SANDBOX_DEVICES:-} ]] || return 0
        echo "$1" >>"$SANDBOX_DEVICES"
        { echo "defragd-test: $SANDBOX_DEVICES has $1" >/dev/kmsg; } 2>/dev/null || true
}

# Process 1 of the new namespaces: makes them what the opening comment promises and becomes the command.
sandbox_init()
{
        local target

        if mountpoint -q /; then
                # Slave, so that nothing gets out; shared within, as systemd has it, so that an umount here reaches the
                # namespaces of the programs that we test.
                mount --make-rslave /
                mount --make-rshared /
        else
                # In a chroot whose root is no mount point, mount propagation cannot be set: become the root
                # of a mount of the same tree.
                mkdir "$SCRATCH/root"
                mount --rbind / "$SCRATCH/root"
                mount --make-rslave "$SCRATCH/root"
                exec chroot "$SCRATCH/root" "$BASH" "${BASH_SOURCE[0]}" --init "$PWD" "$@"
        fi
        mount -t proc -o nosuid,nodev,noexec proc /proc
        while read -r _ target; do
                case $SCRATCH/ in
                "$target"/*) ;;
                *) umount --lazy "$target" 2>/dev/null || true ;;
                esac
        done < <(findmnt --raw --noheadings --output SOURCE,TARGET | grep '^/dev/loop' | grep -v ' /$' || true)
        exec "$@"
}

# Nothing frozen may stay so: what waits for it could not be killed.
thaw_all()
{
        local pid=$1 target

        while read -r _ _ _ _ target _; do
                [[ $target == "$SCRATCH"/* || $target == /var/tmp/*/root"$SCRATCH"/* ]] || continue
                timeout 5 nsenter --target "$pid" --mount --root fsfreeze --unfreeze "$target" 2>/dev/null || true
        done <"/proc/$pid/mountinfo" 2>/dev/null || true
        # The same in a container (lib/booted.sh), whose process 1 is known by its id in here.
        [[ -e $SCRATCH/booted-init ]] || return 0
        # shellcheck disable=SC2016  # the inner shell's
        timeout 10 nsenter --target "$pid" --mount --root --pid "$BASH" -c \
                'read -r init <"$1/booted-init"
                while read -r _ _ _ _ target _; do
                        [[ $target == /srv/* || $target == /var/lib/defragd || $target == /var/log/journal ]] || continue
                        timeout 5 nsenter --target "$init" --mount fsfreeze --unfreeze "$target"
                done <"/proc/$init/mountinfo"' - "$SCRATCH" 2>/dev/null || true
}

# Removes the control groups that were noted, the innermost first; fails while there is still somebody in one.
remove_control_groups()
{
        local group

        while read -r group; do
                # Only our own: named like the scratch directory.
                [[ $group == /sys/fs/cgroup/*/"${SCRATCH##*/}" || $group == /sys/fs/cgroup/"${SCRATCH##*/}" ]] || continue
                [[ ! -d $group ]] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || return
        done <"$SCRATCH/control-groups" 2>/dev/null || return
}

# Removes what the namespaces have left, when all of their processes are gone or about to go.
sandbox_remove()
{
        local target deadline

        # Only in a chroot on a host with shared mounts can anything of the namespace have come out to us.
        while read -r _ _ _ _ target _; do
                [[ $target == "$SCRATCH"/* ]] && umount --lazy "$target" 2>/dev/null
        done < <(tac /proc/self/mountinfo) || true
        # The last of them may take a moment.
        deadline=$((SECONDS + 20))
        until { [[ ! -e $SCRATCH/control-groups ]] || remove_control_groups; } &&
                rm -rf --one-file-system "$SCRATCH" 2>/dev/null; do
                if ((SECONDS >= deadline)); then
                        rm -rf --one-file-system "$SCRATCH" || true
                        break
                fi
                sleep 0.1
        done
}

# Waits until nobody has the other end of its standard input any more.
sandbox_heir()
{
        trap '' INT TERM HUP
        cat >/dev/null
        [[ ! -d $SCRATCH ]] || sandbox_remove
}

sandbox_end()
{
        local init

        trap '' INT TERM HUP
        if [[ ${sandbox_pid:-} ]] && kill -0 "$sandbox_pid" 2>/dev/null; then
                # The only child of unshare(1) is process 1 of the namespace.
                # No newline ends it, which is no success for read.
                read -r init _ 2>/dev/null <"/proc/$sandbox_pid/task/$sandbox_pid/children" || true
                [[ ! ${init:-} ]] || thaw_all "$init"
                kill -KILL "$sandbox_pid" 2>/dev/null || true
                wait "$sandbox_pid" 2>/dev/null || true
        fi
        sandbox_remove
}

sandbox_run()
{
        local status=0 alive

        if ((EUID != 0)); then
                echo "needs root"
                return 77
        fi
        SCRATCH=$(mktemp --directory "${SANDBOX_PARENT:-/var/tmp}/defragd-test.XXXXXX")
        export SCRATCH SANDBOX_INIT=1
        trap sandbox_end EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM
        trap 'exit 129' HUP
        # In a session of its own: what kills us may kill our whole process group.
        exec {alive}> >(exec setsid "$BASH" "${BASH_SOURCE[0]}" --heir >/dev/null 2>&1)
        # In the background, so that a signal is answered at once; a shell makes such commands deaf to SIGINT, and
        # programs that are started deaf stay so.
        setpriv --pdeathsig KILL \
                unshare --mount --propagation unchanged --pid --fork --kill-child=KILL \
                env --default-signal=INT,QUIT,PIPE "$BASH" "${BASH_SOURCE[0]}" --init "$PWD" "$@" <&0 {alive}>&- &
        sandbox_pid=$!
        wait "$sandbox_pid" || status=$?
        return "$status"
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
        if [[ ${1:-} == --init ]]; then
                cd "$2"
                shift 2
                sandbox_init "$@"
        elif [[ ${1:-} == --heir ]]; then
                sandbox_heir
        else
                sandbox_run "$@"
        fi
fi
