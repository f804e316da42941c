#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Everything that happens to a service, in any order and at any moment: volumes come and go, are frozen and thawed, read-only and not, the
# configuration is reloaded with and without mistakes, it is paused, told to stop and started anew, while files are fragmented and moved. Then
# all settles: it answers, looks after all volumes, moves what is new, holds no more descriptors than before, and stops. No byte is changed.
#
# The order is random: SEED=N repeats one that was printed. STRESS_SECONDS=N, or MINUTES=N, for a longer time than 8 s.
# ENGINES: exchange
# WHOLE_ENGINES: ext4 btrfs
# LIMIT: 240

. "$(dirname "$0")/../lib/service.sh"
test_begin "$@"
need_command fsfreeze

SEED=${SEED:-$((${EPOCHREALTIME/./} % 32768))}
DURATION=${STRESS_SECONDS:-$((${MINUTES:-0} > 0 ? 60 * ${MINUTES:-0} : 8))}
echo "SEED=$SEED STRESS_SECONDS=$DURATION"
RANDOM=$SEED

VOLUMES=(volume second third)
# What a volume is: away, ro, rw, frozen.
declare -A STATE_OF N_DONE
KEPT=()
n_batches=0
n_steps=0

# Replaced in one go, as editors do.
configure()
{
        local volume

        {
                printf '[Policy]\nEnabled=no\nSolidState=yes\nMinFileSize=4K\nSettleSec=1s\n'
                printf '[Budget]\nOnBattery=yes\nDailyWrites=infinity\n'
                for volume in "${VOLUMES[@]}"; do
                        printf '[Volume %s]\n' "$SCRATCH/$volume"
                        case $1 in
                        all) echo Enabled=yes ;;
                        some) ((RANDOM % 3)) && echo Enabled=yes || echo Enabled=no ;;
                        observe) echo Enabled=observe ;;
                        slow) printf 'Enabled=yes\nMaxRate=%sM\n' $((RANDOM % 8 + 1)) ;;
                        mistaken) printf 'Enabled=yes\nMaxRate=fast\n' ;;
                        esac
                done
        } >"$CONFIG.new"
        mv "$CONFIG.new" "$CONFIG"
}

reload()
{
        kill -HUP "$service_pid" || fail "it has ended: $(tail -n 40 "$ERR")"
}

# Somebody else may be at it for a moment, we among them.
retry()
{
        wait_until 60 "$@" 2>"$SCRATCH/retry.err" || fail "$*: $(cat "$SCRATCH/retry.err")"
}

# mount_again NAME rw|ro. After a lazy umount it is still there, and cannot be read-only now if it was not, until the service has let go of
# it. So does the other mount of it keep it as it is, and then mount(8) makes a read-only mount of one that is so already, if it was not told --rw.
mount_again()
{
        local -A option=([rw]=--rw [ro]=--read-only)

        if [[ $1 == volume ]] && mountpoint --quiet "$SCRATCH/bound" &&
                [[ $(findmnt --noheadings --output FS-OPTIONS "$SCRATCH/bound") != "$2"* ]]; then
                retry umount "$SCRATCH/bound"
        fi
        retry mount -t "$(file_system "${KIND[$1]}")" "${option[$2]}" "${DEVICE[$1]}" "$SCRATCH/$1"
}

# New files in pieces, whose content and metadata are remembered.
fragment_some()
{
        local prefix=$SCRATCH/$1/batch$((n_batches++))-

        # The seed is of the content. Not while it is paused, as in other tests.
        command fragment --files=2 --size=1M --name="${prefix##*/}" --seed="$n_batches" "$SCRATCH/$1"
        KEPT+=("$prefix")
        filestate "$prefix"* >>"$SCRATCH/kept"
}

# A random thing that can be done to a volume in its state.
volume_step()
{
        local name=$1 step
        local mount=$SCRATCH/$1
        local -a steps

        case ${STATE_OF[$name]} in
        away) steps=(mount mount-ro) ;;
        ro) steps=(remount-rw umount umount-lazy) ;;
        frozen) steps=(thaw) ;;
        rw) steps=(fragment fragment fragment fragment remount-ro umount umount-lazy bounce freeze write) ;;
        esac
        step=${steps[RANDOM % ${#steps[@]}]}
        N_DONE[$step]=$((${N_DONE[$step]:-0} + 1))
        case $step in
        mount)
                mount_again "$name" rw
                STATE_OF[$name]=rw
                ;;
        mount-ro)
                mount_again "$name" ro
                STATE_OF[$name]=ro
                ;;
        umount)
                retry umount "$mount"
                STATE_OF[$name]=away
                ;;
        umount-lazy)
                umount --lazy "$mount"
                STATE_OF[$name]=away
                ;;
        bounce)
                retry umount "$mount"
                mount_again "$name" rw
                ;;
        remount-rw)
                mount --options remount,rw "$mount"
                STATE_OF[$name]=rw
                ;;
        remount-ro)
                retry mount --options remount,ro "$mount"
                STATE_OF[$name]=ro
                ;;
        freeze)
                fsfreeze --freeze "$mount"
                STATE_OF[$name]=frozen
                ;;
        thaw)
                fsfreeze --unfreeze "$mount"
                STATE_OF[$name]=rw
                ;;
        fragment) fragment_some "$name" ;;
        write)
                head -c $((RANDOM * 8)) /dev/urandom >"$mount/scribble"
                ((RANDOM % 2)) || rm "$mount/scribble"
                ;;
        esac
}

thaw_volumes()
{
        local name

        for name in "${VOLUMES[@]}"; do
                if [[ ${STATE_OF[$name]} == frozen ]]; then
                        fsfreeze --unfreeze "$SCRATCH/$name"
                        STATE_OF[$name]=rw
                fi
        done
}

# A random thing that can be done to the service.
service_step()
{
        local -a steps=(all some observe slow mistaken storm pause continue bind restart)
        local step=${steps[RANDOM % ${#steps[@]}]} i

        N_DONE[$step]=$((${N_DONE[$step]:-0} + 1))
        case $step in
        all | some | observe | slow | mistaken)
                configure "$step"
                reload
                ;;
        storm)
                for ((i = 0; i < 5; i++)); do
                        configure some
                        reload
                done
                ;;
        pause) kill -USR1 "$service_pid" ;;
        continue) kill -USR2 "$service_pid" ;;
        bind)
                if mountpoint --quiet "$SCRATCH/bound"; then
                        retry umount "$SCRATCH/bound"
                elif [[ ${STATE_OF[volume]} == rw ]]; then
                        mount --bind "$SCRATCH/volume" "$SCRATCH/bound"
                fi
                ;;
        restart)
                # A frozen volume would keep it; that is daemon/frozen's.
                thaw_volumes
                log_check
                service_stop
                configure all
                service_start
                ;;
        esac
}

log_check()
{
        ! logged 'Assertion|ThreadSanitizer|AddressSanitizer|runtime error|set aside' || fail "$(cat "$ERR")"
}

# Descriptors of the service but for those of the moment: files on volumes.
n_descriptors()
{
        find "/proc/$service_pid/fd" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l
}

# New files on each volume are found and moved. Nobody looks at the files themselves meanwhile: who opens one is in its way.
all_is_well()
{
        local name=$1 volume

        expect 20 status_is '^3 volumes watched, '
        for volume in "${VOLUMES[@]}"; do
                fragment --files=1 --size=1M --name="$name" "$SCRATCH/$volume"
        done
        for volume in "${VOLUMES[@]}"; do
                expect 20 logged "$SCRATCH/$volume/${name}0000: moved"
        done
        expect 10 status_is '^3 volumes watched, [0-9]+ files? waiting; [0-9]+ files? moved'
}

mkdir "$SCRATCH/bound"
for name in "${VOLUMES[@]}"; do
        volume_make "$name" "$ENGINE" 320M
        STATE_OF[$name]=rw
done
configure all
service_start
all_is_well first
descriptors_before=$(n_descriptors)

deadline=$((SECONDS + DURATION))
while ((SECONDS < deadline)); do
        if ((RANDOM % 4)); then
                volume_step "${VOLUMES[RANDOM % ${#VOLUMES[@]}]}"
        else
                service_step
        fi
        n_steps=$((n_steps + 1))
        service_is_alive || fail "it has ended by itself: $(tail -n 60 "$ERR")"
        # From nothing to long enough for a file to be moved.
        ((RANDOM % 3)) || sleep "0.$((RANDOM % 10))"
done

thaw_volumes
for name in "${VOLUMES[@]}"; do
        case ${STATE_OF[$name]} in
        away) mount_again "$name" rw ;;
        ro) mount --options remount,rw "$SCRATCH/$name" ;;
        esac
done
! mountpoint --quiet "$SCRATCH/bound" || retry umount "$SCRATCH/bound"
# One that was full is left alone for hours, but not after it is mounted anew.
for name in "${VOLUMES[@]}"; do
        logged "^defragd: $SCRATCH/$name: .*full" || continue
        retry umount "$SCRATCH/$name"
        mount_again "$name" rw
done
configure all
kill -USR2 "$service_pid"
reload
all_is_well last
# What it opened for a moment is closed again.
no_leak()
{
        (($(n_descriptors) <= descriptors_before))
}
expect 10 no_leak
log_check
service_stop

for step in "${!N_DONE[@]}"; do
        echo "$step ${N_DONE[$step]}"
done | sort | paste --serial --delimiters=,
echo "$n_steps steps, ${#KEPT[@]} times two files"
for prefix in "${KEPT[@]}"; do
        filestate "$prefix"* >>"$SCRATCH/kept-now"
done
((${#KEPT[@]} == 0)) || diff "$SCRATCH/kept" "$SCRATCH/kept-now" >"$SCRATCH/diff" ||
        fail "something is not as before: $(head -n 40 "$SCRATCH/diff")"
for name in "${VOLUMES[@]}"; do
        volume_check "$name"
done
