# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the scripts in powercut/ share: a machine works on a disk, everything that it writes is recorded, and then the power goes
# at every point of the record; what is on the disk then is mounted and judged, here.
#
#   fs_make IMAGE [OPTION...]  a file system of FS_BYTES in the image, which is larger
#   fs_check IMAGE NAME        says on standard output what is wrong with it, and fails, when it is not as it should be after it
#                              was mounted and unmounted
#
#   disk_fill                  puts more into $MNT/static, and N_STATIC says so; optional
#
# and FS_TYPE are what the script brings along for its file system. It is that of this machine's kernel that recovers, and
# that of the test machine's kernel that wrote the log.
#
# On each disk lie files that nobody writes any more (static/), which must stay as they were to the last bit at every
# point, and files of which one version after the other is made durable meanwhile (versions/, tools/versions.c): each must
# be of the last version that was acknowledged, or on the way to the next. Behind the file system lies the block that
# says which those are.
#
# What is not tried: a write that was in flight when a flush began counts as done before it if it was done before the flush was.

. "$(dirname "${BASH_SOURCE[0]}")/machine.sh"

FS_BYTES=$((512 << 20))
# UNIT[NAME]: bytes that the file system of that disk writes as one, where these are not 4096. PARTITIONS[NAME]: where its file system does
# not begin with the disk, or lies on several: a list of OFFSET:BYTES.
declare -A UNIT PARTITIONS
N_STATIC=12
STATIC_MORE=() # subvolumes in it
N_SPARSE=4 # of these: have preallocated places
N_VERSIONS=6
VERSION_BYTES=1000001
# What chance decides; another number, other points.
SEED=${SEED:-1}
# Points that fail before the rest is not tried any more.
POINTS_LOST_MAX=5

# A mistake here takes seconds, a machine that others keep busy takes minutes.
MACHINE_COMMAND_LIMIT=${POWERCUT_COMMAND_LIMIT:-400}

powercut_begin()
{
        machine_begin "$@"
        RAM=$SCRATCH/ram
        MNT=$SCRATCH/volume
        mkdir "$RAM" "$MNT"
        # The disks: some hundred megabytes, and nothing has to wait for a real one.
        mount -t tmpfs -o size=2G tmpfs "$RAM"
        expect_loss=
        n_points=0
        n_files=0
        n_lost=0
}

# loops_attach NAME IMAGE: what the file system of that disk lies on, in the image, is $LOOPS until loops_detach.
LOOPS=()
LOOP_HOLDS=()
loops_attach()
{
        local partition device hold

        for partition in ${PARTITIONS[$1]:-0:0}; do
                device=$(losetup --find --show --offset="${partition%:*}" --sizelimit="${partition#*:}" "$2")
                if [[ $expect_loss ]]; then
                        # What the kernel has to say of it is no fault of ours.
                        { echo "defragd-test: a-mutant has ${device#/dev/}" >/dev/kmsg; } 2>/dev/null || true
                else
                        device_is_ours "${device#/dev/}"
                fi
                exec {hold}<"$device"
                losetup --detach "$device"
                LOOPS+=("$device")
                LOOP_HOLDS+=("$hold")
        done
}

loops_detach()
{
        local hold

        # The next cut has the same UUID, and other devices: the kernel would put the two together.
        ((${#LOOPS[@]} < 2)) || btrfs -q device scan --forget "${LOOPS[@]}" 2>/dev/null || true
        for hold in "${LOOP_HOLDS[@]}"; do
                exec {hold}<&-
        done
        LOOPS=()
        LOOP_HOLDS=()
}

# loop_mount NAME IMAGE: at $MNT, until loop_umount.
loop_mount()
{
        local status=0

        loops_attach "$@"
        mount -t "$FS_TYPE" ${LOOPS[1]:+-o "device=${LOOPS[1]}"} "${LOOPS[0]}" "$MNT" 2>"$SCRATCH/mount.err" || status=$?
        ((status == 0)) || loops_detach
        return "$status"
}

loop_umount()
{
        umount "$MNT" || return
        loops_detach
}

# --- the disk ---

# disk_make NAME [OPTION...]: $RAM/NAME.base, as it is before the machine starts; the options are fs_make's.
disk_make()
{
        local base=$RAM/$1.base

        truncate --size $((FS_BYTES + (1 << 20))) "$base"
        fs_make "$base" "${@:2}"
        if ! loop_mount "$1" "$base"; then
                grep -qw "$FS_TYPE" /proc/filesystems || skip "the kernel has no $FS_TYPE"
                skip "this kernel does not mount what the machine's does: $(cat "$SCRATCH/mount.err")"
        fi
        mkdir "$MNT"/{static,versions}
        fragment --files=4 --size=2M --name=plain "$MNT/static"
        fragment --files="$N_SPARSE" --size=1500001 --pattern=d64K,h128K,u64K,d16K --name=sparse "$MNT/static"
        # So many pieces that their list does not fit into the inode.
        fragment --files=3 --size=1M --piece=8K --name=pieces "$MNT/static"
        fragment --files=1 --size=3333333 --tail=256K --name=tail "$MNT/static"
        ! declare -F disk_fill >/dev/null || disk_fill
        chown 1234:4321 "$MNT/static/plain0000" "$MNT/static/sparse0000"
        chmod 0640 "$MNT/static/plain0001"
        touch --date='2001-02-03 04:05:06.789' "$MNT/static/plain0002" "$MNT/static/pieces0000"
        setfattr --name=user.note --value=kept "$MNT/static/plain0003" "$MNT/static/sparse0001"
        fragment --files="$N_VERSIONS" --size="$VERSION_BYTES" --name=version "$MNT/versions"
        versions make "$MNT/versions" "$VERSION_BYTES"
        loop_umount
        loop_mount "$1" "$base"
        (cd "$MNT" && filestate static "${STATIC_MORE[@]}") >"$RAM/$1.static"
        loop_umount
        [[ $(grep -c '^file ' "$RAM/$1.static") == "$N_STATIC" ]] || fail "not $N_STATIC files"
        cp --sparse=always "$base" "$RAM/$1.disk"
}

# disk_work NAME DEVICE MOVED DEFRAGD [PAUSE [MOUNT_OPTION...]]: in the machine, on its disk: at least so many files are moved, while versions are
# written with pauses of so many milliseconds. The options are mount's, the partition among them where that is not the disk itself.
disk_work()
{
        local name=$1 start=${EPOCHREALTIME/./}
        local -a options=("${@:6}")

        ((${#options[@]})) || options=("$2")
        # shellcheck disable=SC2016  # the machine's shell
        in_machine bash -euc '
                [[ $(cat "/sys/block/${1#/dev/}/queue/write_cache") == "write back" ]]
                mkdir -p /srv/volume
                mount -t "$5" "${@:6}" /srv/volume
                printf "%s\n" "[Policy]" SolidState=yes MinFileSize=4K >/tmp/defragd.conf
                writer=
                if [[ $3 ]]; then
                        versions write /srv/volume/versions "$1" "$4" --pause="$3" >/tmp/versions &
                        writer=$!
                fi
                status=0
                "$2" --once --no-budget --json --config=/tmp/defragd.conf /srv/volume || status=$?
                if [[ $writer ]]; then
                        kill "$writer"
                        wait "$writer"
                        cat /tmp/versions >&2
                fi
                umount /srv/volume
                # 75: what is written meanwhile is not moved, and that is no failure.
                # Of a mutant the breaker may have seen what it did.
                [[ $2 != /srv/mutants/* || $status != 1 ]] || status=0
                exit $((status == 75 ? 0 : status))' - "$2" "$4" "${5:-}" "$FS_BYTES" "$FS_TYPE" "${options[@]}" >"$OUT" 2>"$ERR" ||
                fail "$name: $(cat "$OUT" "$ERR")"
        (($(said .moved) >= $3)) || fail "$name: $(cat "$OUT" "$ERR")"
        printf '%s: moved %d files of %d; %s; %d ms\n' "$name" "$(said .moved)" "$(said .files)" \
                "$(grep ' versions$' "$ERR" || echo 'no versions')" $(((${EPOCHREALTIME/./} - start) / 1000))
}

# --- points ---

# point_judge NAME IMAGE KIND: says what is lost, and fails then.
point_judge()
{
        local name=$1 image=$2 kind=$3 status=0

        if ! loop_mount "$name" "$image"; then
                echo "cannot be mounted: $(cat "$SCRATCH/mount.err")"
                return 1
        fi
        (cd "$MNT" && filestate static "${STATIC_MORE[@]}") >"$SCRATCH/static" 2>&1 || status=1
        diff "$RAM/$name.static" "$SCRATCH/static" || status=1
        # What a writer is promised rests on the order that this kind of cut breaks.
        if [[ $kind != early ]] &&
                ! versions check "$MNT/versions" "$image" "$FS_BYTES" "$VERSION_BYTES" --unit="${UNIT[$name]:-4096}" >"$SCRATCH/checked" 2>&1; then
                cat "$SCRATCH/checked"
                status=1
        fi
        loop_umount || fail "cannot be unmounted"
        fs_check "$image" "$name" || status=1
        return "$status"
}

# powercut_points NAME list|early [N]: the power goes at all points of this kind (tools/replay.c) of what was recorded of this
# disk, or at N of them. Counts.
powercut_points()
{
        local name=$1 which=$2 start=${EPOCHREALTIME/./} before=$n_points lost=0 each after kind seed

        each=$N_STATIC
        [[ $which == early ]] || each=$((each + N_VERSIONS))
        replay "$which" "$RAM/$name.record" "$SEED" "${@:3}" >"$RAM/cuts" || fail "no cuts"
        cp --sparse=always "$RAM/$name.base" "$RAM/state" || fail "no room"
        rm -f "$RAM/state.at"
        while read -r after kind seed; do
                replay cut "$RAM/$name.record" "$RAM/state" "$RAM/image" "$FS_BYTES" "$after" "$kind" "$seed" ||
                        fail "no cut after request $after"
                n_points=$((n_points + 1))
                n_files=$((n_files + each))
                point_judge "$name" "$RAM/image" "$kind" >"$SCRATCH/judged" && continue
                printf '%s: the power goes after request %s (%s, seed %s): ' "$name" "$after" "$kind" "$seed"
                head -n 20 "$SCRATCH/judged"
                lost=$((lost + 1))
                ((lost < POINTS_LOST_MAX)) || break
        done <"$RAM/cuts"
        n_lost=$((n_lost + lost))
        printf '%s: %d points (%s), %d with loss, %d ms\n' "$name" $((n_points - before)) "$which" "$lost" \
                $(((${EPOCHREALTIME/./} - start) / 1000))
        rm "$RAM"/{state,state.at,cuts}
}

# In a condition, so nothing in it may rely on -e.
# mutant_points NAME list|early [N]: is something lost without its protection, at one point at least? Stops at the first.
mutant_points()
{
        local n_points=0 n_files=0 n_lost=0 expect_loss=1 POINTS_LOST_MAX=1

        powercut_points "$@"
        ((n_lost > 0))
}

# powercut_controls NAME: what is lost is noticed. A disk that forgets donors it said were safe; a version that was
# acknowledged, and is not there; a record that is not whole.
powercut_controls()
{
        local name=$1 after expect_loss=1

        after=$(replay list "$RAM/$name.record" "$SEED" 1 | cut -d ' ' -f 1)
        cp --sparse=always "$RAM/$name.base" "$RAM/forgetful"
        replay cut "$RAM/$name.record" "$RAM/forgetful" "$RAM/image" "$FS_BYTES" "$after" forget "$SEED"
        point_judge "$name" "$RAM/image" forget >"$SCRATCH/judged" && fail "a disk that forgets is not noticed"
        # btrfs has checksums, and lets nobody read what is wrong.
        grep -qE '^>   content|Input/output error' "$SCRATCH/judged" ||
                fail "a disk that forgets loses no content: $(cat "$SCRATCH/judged")"
        echo "a disk that forgets what was flushed is noticed: $(grep -cE '^>   content|Input/output error' "$SCRATCH/judged") complaints"

        cp --sparse=always "$RAM/$name.base" "$RAM/forgetful"
        rm "$RAM/forgetful.at"
        replay cut "$RAM/$name.record" "$RAM/forgetful" "$RAM/image" "$FS_BYTES" "$after" all 0
        loop_mount "$name" "$RAM/image"
        versions check "$MNT/versions" "$RAM/image" "$FS_BYTES" "$VERSION_BYTES" --lie >"$SCRATCH/judged" &&
                fail "a version that is missing is not noticed"
        loop_umount
        echo "a version that is missing: $(grep -c '^lost: ' "$SCRATCH/judged") complaints"

        head --bytes=$(($(stat --format=%s "$RAM/$name.record") / 2)) "$RAM/$name.record" >"$RAM/short"
        replay list "$RAM/short" 1 >"$OUT" 2>"$ERR" && fail "half a record passes for one"
        grep -q 'cut short' "$ERR" || fail "half a record: $(cat "$ERR")"
        printf 'x' | dd of="$RAM/short" bs=1 seek=$((512 + 16 + 7)) conv=notrunc status=none
        replay list "$RAM/short" 1 >"$OUT" 2>"$ERR" && fail "a damaged record passes for one"
        grep -q 'request 1 of .* is damaged' "$ERR" || fail "a damaged record: $(cat "$ERR")"
        rm "$RAM"/{short,forgetful,forgetful.at}
}
