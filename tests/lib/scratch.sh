# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the scripts in fs/, cli/, bench/ and the demo share: scratch volumes, and running defragd on them.
#
# A test begins with
#         . "$(dirname "$0")/../lib/scratch.sh"
#         test_begin "$@"
# and says in comments like "# LIMIT: 60" what tests/run has to know: seconds that it may take (60), "# KERNEL: PATTERN" for
# messages of the kernel that it causes on purpose, "# MUTANTS: NAME NAME:ENGINE" for protections that it is the proof of: without one of
# them it has to end with status 99, which only lost() gives, "# ENGINES: no" if it does not run once for each engine, or the engines
# that it does run for, "# WHOLE_ENGINES: NAME NAME" for more of them where it is asked for by name, "# ROOTS: bookworm trixie" if it runs once for each of these systems instead (lib/roots.sh), "# ASAN: no" and "# TSAN: no" if it is not worth
# repeating with these sanitizers, "# WHOLE: 1800" for the limit of a test that was asked for by name where a run of all tests
# has a sample of it ($WHOLE is set then). It can be run by itself, too. Status 77: skipped, the last line says why.
#
# $BUILD is the build directory (build/release), $SCRATCH a directory of the test's own.

set -Eeuo pipefail
shopt -s inherit_errexit
export LC_ALL=C

TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${BUILD:-$TESTS/../build/release}
BUILD=$(realpath --canonicalize-missing "$BUILD")
DEFRAGD=${DEFRAGD:-$BUILD/defragd}
TOOLS=$BUILD/tools
# A build with sanitizers has the programs that are the product's, and none of those that judge it.
export BUILD PATH=$TOOLS:$TESTS/../build/release/tools:$PATH:/usr/sbin:/sbin

. "$TESTS/lib/sandbox.sh"

fail()
{
        echo "${0##*/}:${BASH_LINENO[0]}: $*" >&2
        exit 1
}

# Something is gone, or was done that must never be: what a protection is there for, and what its mutant has to come to. Any
# other trouble is fail().
lost()
{
        echo "${0##*/}:${BASH_LINENO[0]}: LOST: $*" >&2
        exit 99
}

skip()
{
        echo "$*"
        exit 77
}

need_command()
{
        local name

        for name; do
                command -v "$name" >/dev/null || skip "needs $name"
        done
}

# Prints what a script runs once for each of: systems, or engines, or nothing.
test_variants()
{
        local roots engines

        roots=$(sed -n 's/^# ROOTS: //p' "$1")
        engines=$(sed -n 's/^# ENGINES: //p' "$1")
        if [[ $roots ]]; then
                echo "$roots"
        elif [[ $engines != no ]]; then
                echo "${engines:-exchange plain} $(sed -n 's/^# WHOLE_ENGINES: //p' "$1")"
        fi
}

# test_begin [ENGINE|ROOT]: goes on inside a sandbox, once for each engine (or system) if none is named.
test_begin()
{
        local variant status=0 worst=0

        ENGINE=${1:-}
        # shellcheck disable=SC2034  # the tests'
        ROOT=${1:-}
        if [[ ! $ENGINE && $(test_variants "$0") ]]; then
                for variant in $(test_variants "$0"); do
                        echo "--- $variant"
                        "$0" "$variant" || {
                                status=$?
                                ((status == 77 && worst != 0)) || worst=$status
                        }
                done
                exit "$worst"
        fi
        in_sandbox || exec "$BASH" "$TESTS/lib/sandbox.sh" "$BASH" "$0" "$@"
        [[ -x $DEFRAGD ]] || fail "$DEFRAGD is not built"
        CONFIG=$SCRATCH/defragd.conf
        # What the breaker stops in here is nobody else's business.
        export STATE_DIRECTORY=$SCRATCH/state-directory
        mkdir "$STATE_DIRECTORY"
        # Whatever the scratch volumes lie on, they are treated as disks, and down to the smallest file.
        printf '[Policy]\nSolidState=yes\nMinFileSize=4K\n' >"$CONFIG"
        OUT=$SCRATCH/out
        ERR=$SCRATCH/err
        trap 'echo "${0##*/}:$LINENO: failed: $BASH_COMMAND (status $?)" >&2' ERR
}

# wait_until SECONDS COMMAND...: asks again and again, by a clock; fails when the time is up.
wait_until()
{
        local deadline=$((SECONDS + $1))

        shift
        until "$@"; do
                ((SECONDS < deadline)) || return 1
                sleep "${POLL:-0.05}"
        done
}

# --- volumes ---

# file_system KIND: as mount(8) and /proc/filesystems call it.
file_system()
{
        case $1 in
        exchange | plain) echo xfs ;;
        ext4 | ext4-[12]k) echo ext4 ;;
        btrfs | btrfs-raid1 | btrfs-zstd) echo btrfs ;;
        *) fail "no kind of volume: $1" ;;
        esac
}

# image_format KIND FILE_OR_DEVICE [MKFS_OPTION...]
image_format()
{
        local kind=$1 image=$2 block=4096

        shift 2
        need_command "mkfs.$(file_system "$kind")"
        case $kind in
        exchange | plain)
                # SWAPEXT is only used where there is a reverse-mapping tree.
                mkfs.xfs -q -m "reflink=1,rmapbt=${RMAPBT:-1}" "$@" "$image"
                [[ $kind == plain ]] || exchange-bit on "$image"
                ;;
        ext4*)
                [[ $kind != ext4-1k ]] || block=1024
                [[ $kind != ext4-2k ]] || block=2048
                # Nothing is left for the kernel to write when it has time.
                mkfs.ext4 -q -F -b "$block" -E lazy_itable_init=0,lazy_journal_init=0 "$@" "$image"
                ;;
        # It talks of defaults that have changed.
        btrfs | btrfs-zstd) mkfs.btrfs --quiet --force "$@" "$image" >"$SCRATCH/mkfs.out" 2>&1 || { cat "$SCRATCH/mkfs.out" >&2 && return 1; } ;;
        btrfs-raid1) image_format_halves "$image" "$@" ;;
        esac
}

# One file system on both halves of an image.
image_format_halves()
{
        local image=$1 half=$(($(stat --format=%s "$1") / 2)) one

        shift
        for one in first second; do
                truncate --size "$half" "$SCRATCH/$one.half"
        done
        mkfs.btrfs --quiet --force --data raid1 --metadata raid1 "$@" "$SCRATCH"/{first,second}.half >"$SCRATCH/mkfs.out" 2>&1 || {
                cat "$SCRATCH/mkfs.out" >&2
                return 1
        }
        for one in first second; do
                dd if="$SCRATCH/$one.half" of="$image" bs=64K conv=notrunc,sparse oflag=seek_bytes seek="$([[ $one == first ]] && echo 0 || echo "$half")" status=none
                rm "$SCRATCH/$one.half"
        done
}

declare -A DEVICE KIND HOLD SECOND SECOND_HOLD

# image_attach NAME IMAGE KIND: its device in DEVICE[NAME], where there are two the other one in SECOND[NAME]. They live as long as this
# shell has them open or they are mounted, and the image as long as the devices: nothing to clean up.
image_attach()
{
        local name=$1 image=$2 half

        if [[ $3 != btrfs-raid1 ]]; then
                loop_attach "$image"
                DEVICE[$name]=$LOOP HOLD[$name]=$LOOP_HOLD
                return
        fi
        half=$(($(stat --format=%s "$image") / 2))
        loop_attach "$image" --sizelimit="$half"
        DEVICE[$name]=$LOOP HOLD[$name]=$LOOP_HOLD
        loop_attach "$image" --offset="$half" --sizelimit="$half"
        SECOND[$name]=$LOOP SECOND_HOLD[$name]=$LOOP_HOLD
}

# loop_attach IMAGE [OPTION...]: $LOOP goes when $LOOP_HOLD is closed and nobody else has it.
loop_attach()
{
        LOOP=$(losetup --find --show ${LOOP_DIRECT:+--direct-io=on} "${@:2}" "$1")
        device_is_ours "${LOOP#/dev/}"
        exec {LOOP_HOLD}<"$LOOP"
        losetup --detach "$LOOP"
}

# volume_make NAME KIND [SIZE [MKFS_OPTION...]]: mounted at $SCRATCH/NAME; its device in DEVICE[NAME]. The kinds: exchange and
# plain (XFS with and without the exchange-range feature), ext4, ext4-1k, ext4-2k (blocks of 4, 1 and 2 KiB), btrfs, btrfs-raid1 (two
# devices, everything on both), btrfs-zstd (compressed, and what the tools write can be). Where $IMAGES names a directory the image stays there, as NAME.image.
volume_make()
{
        local name=$1 kind=$2 size=${3:-2G} image=${IMAGES:-$SCRATCH}/$1.image

        need_command losetup mount
        truncate --size "$size" "$image"
        image_format "$kind" "$image" "${@:4}"
        KIND[$name]=$kind
        [[ $kind != btrfs-zstd ]] || export COMPRESSIBLE_CONTENT=yes
        image_attach "$name" "$image" "$kind"
        [[ ${IMAGES:-} ]] || rm "$image"
        mkdir -p "$SCRATCH/$name"
        volume_mount "$name"
}

volume_mount()
{
        local name=$1 type
        local -a options=()

        type=$(file_system "${KIND[$name]}")
        [[ ${KIND[$name]} != btrfs-zstd ]] || options=(-o compress-force=zstd:1)
        if ! mount -t "$type" "${options[@]}" "${@:2}" ${SECOND[$name]:+-o "device=${SECOND[$name]}"} "${DEVICE[$name]}" "$SCRATCH/$name" 2>"$SCRATCH/mount.err"; then
                grep -qw "$type" /proc/filesystems || skip "the kernel has no $type"
                [[ ${KIND[$name]} != exchange ]] || skip "this kernel's XFS has no exchange-range"
                cat "$SCRATCH/mount.err" >&2
                return 1
        fi
        # The kernel reads the bitmaps of all groups in the background, within seconds of the mount; before that its allocator does not know where
        # there is room. This reads them at once.
        [[ $type != ext4 ]] || cat "/proc/fs/ext4/${DEVICE[$name]#/dev/}/mb_groups" >/dev/null
}

# An unmounted volume goes, its device and its space are given back.
volume_forget()
{
        local hold=${HOLD[$1]}

        volume_unscan "$1"
        exec {hold}<&-
        hold=${SECOND_HOLD[$1]:-}
        [[ ! $hold ]] || exec {hold}<&-
        unset "SECOND[$1]" "SECOND_HOLD[$1]"
}

# The kernel keeps in mind which devices have parts of a btrfs; those of an unmounted one must go from there before others have its UUID.
volume_unscan()
{
        [[ ${KIND[$1]:-} == btrfs* ]] || return 0
        # It need not know them.
        btrfs -q device scan --forget "${DEVICE[$1]}" ${SECOND[$1]:+"${SECOND[$1]}"} 2>/dev/null || true
}

volume_umount()
{
        umount "$SCRATCH/$1"
}

# Sectors that were ever written to the device. Reading the device itself would show what the page cache remembers.
volume_written()
{
        awk '{ print $7 }' "/sys/block/${DEVICE[$1]#/dev/}/stat"
}

# Succeeds when nobody has the device of an unmounted volume.
volume_is_free()
{
        is-free "${DEVICE[$1]}"
}

# Unmounted, and nobody has it any more. The mounts that a process had for itself go a moment after it, on a busy machine some moments; whoever
# mounts the volume meanwhile gets it as it was, with its page cache, or shut down.
volume_release()
{
        volume_umount "$1" || return 1
        wait_until 25 volume_is_free "$1"
}

# Cold caches, and all space that was given back is really free.
volume_remount()
{
        volume_release "$1" || return 1
        volume_mount "$@"
}

# image_check KIND FILE_OR_DEVICE: the file system's own tool has nothing to say, and nothing is changed but the exchange-range
# feature, of which xfs_repair may know nothing.
image_check()
{
        local -a check

        case $1 in
        exchange | plain) check=(xfs_repair -n) ;;
        ext4*) check=(e2fsck -fn) ;;
        btrfs*) check=(btrfs check --readonly) ;;
        esac
        need_command "${check[0]}"
        [[ $1 != exchange ]] || exchange-bit off "$2"
        "${check[@]}" "$2" >"$SCRATCH/repair" 2>&1 ||
                {
                        tail -n 40 "$SCRATCH/repair" >&2
                        fail "${check[*]} complains about $2"
                }
}

# volume_check NAME: nothing is wrong with it. Leaves it unmounted, and without the exchange-range feature.
volume_check()
{
        local name=$1

        if mountpoint -q "$SCRATCH/$name"; then
                volume_release "$name"
        fi
        image_check "${KIND[$name]}" "${DEVICE[$name]}"
        [[ ${KIND[$name]} != exchange ]] || KIND[$name]=plain
}

# volume_recover NAME: mounted again after it was shut down. A crash leaves no page cache. But while somebody else has the device open, as we do, ext4
# leaves the page there in which its super block lies, and with blocks of 1 KiB descriptors of groups in it that nobody has committed: the next
# mount takes them for what is on the disk (seen on Linux 6.18, and without any move).
volume_recover()
{
        volume_release "$1" || return 1
        blockdev --flushbufs "${DEVICE[$1]}" || return 1
        volume_mount "$1"
}

# The volume of this test's engine: mounted at $MNT.
test_volume()
{
        # shellcheck disable=SC2034  # the tests'
        MNT=$SCRATCH/volume
        volume_make volume "$ENGINE" "$@"
}

# --- defragd ---

# defrag EXPECTED_STATUS ARGUMENT...: standard output in $OUT, standard error in $ERR, status in $status; several
# expected ones as "0|75".
defrag()
{
        local expected=$1

        shift
        status=0
        "$DEFRAGD" --once --config="$CONFIG" "$@" >"$OUT" 2>"$ERR" </dev/null || status=$?
        [[ "|$expected|" == *"|$status|"* ]] && return
        cat "$OUT" "$ERR" >&2
        fail "defragd --once $*: status $status, not $expected"
}

# said FILTER: what jq makes of the summary in $OUT; said_of PATH FILTER: of that file's object.
said()
{
        jq --raw-output --slurp "map(select(.summary)) | .[0] | $1" "$OUT"
}

said_of()
{
        jq --raw-output --slurp --arg path "$1" "map(select(.path == \$path)) | .[0] | $2" "$OUT"
}

# expect_outcome PATH OUTCOME[:REASON]
expect_outcome()
{
        local outcome

        # shellcheck disable=SC2016  # jq's
        outcome=$(said_of "$1" 'if . then .outcome + (if .reason then ":" + .reason else "" end) else "nothing" end')
        [[ $outcome == "$2" || $outcome == "$2":* ]] && return
        cat "$OUT" "$ERR" >&2
        [[ $outcome != moved* ]] || lost "$1: moved, and should be $2"
        fail "$1: $outcome, not $2"
}

# Is a file that somebody has open left alone by this test's engine? On btrfs the kernel copies, under its own locks.
leaves_open_files()
{
        [[ $ENGINE != btrfs* ]]
}

# How the engine of this test is called in reports.
engine_name()
{
        case $ENGINE in
        exchange) echo xfs-exchange ;;
        plain) echo xfs-swapext ;;
        ext4*) echo ext4-move-extent ;;
        btrfs*) echo btrfs-defrag-range ;;
        esac
}

# remember NAME PATH...: what must be the same later; expect_same NAME compares.
declare -A REMEMBERED
remember()
{
        REMEMBERED[$1]=$(printf '%q ' "${@:2}")
        filestate "${@:2}" >"$SCRATCH/state-$1"
}

expect_same()
{
        local -a paths

        eval "paths=(${REMEMBERED[$1]})"
        filestate "${paths[@]}" >"$SCRATCH/state-now"
        diff "$SCRATCH/state-$1" "$SCRATCH/state-now" >"$SCRATCH/diff" && return
        head -n 40 "$SCRATCH/diff" >&2
        lost "something is not as before"
}

# pieces_of_free_space DIRECTORY [N MOST UNIT]: N/2 of 1 to MOST times UNIT KiB (half a MiB to six MiB), and whatever lies together of
# them, the same each time.
pieces_of_free_space()
{
        local i n count=${2:-80} most=${3:-12} unit=${4:-512}

        RANDOM=1
        for ((i = 0; i < count; i++)); do
                n=$(((RANDOM % most + 1) * unit))
                head --bytes="${n}K" /dev/zero | tr '\0' x >"$1/fill$i"
        done
        sync --file-system "$1"
        for ((i = 0; i < count; i += 2)); do
                rm "$1/fill$i"
        done
        sync --file-system "$1"
}

runs()
{
        extents --total "$@"
}
