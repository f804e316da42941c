# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the reproducers in hazard/upstream share: an XFS of their own. From here on a script runs as root in a sandbox (lib/sandbox.sh) that takes
# everything with it at the end.
#
#       volume_make [MKFS_OPTION...]    1 GiB, mounted at $MNT, its device is $DEVICE
#       volume_make_ext4 [MOUNT_OPTION [MKFS_OPTION...]]        an ext4 instead
#       volume_make_exchange            the same with the exchange-range feature; fails where that cannot be had
#       program_make NAME               compiles NAME.c to $SCRATCH/NAME, or finds it in $PROGRAMS
#       fragmented FILE PIECES [BYTE]   pieces of 64 KiB of that byte, each an extent of its own
#       throttle reads|writes           for members of a group the device does 1 KiB a second,
#       throttled COMMAND...            which this becomes (to be called in the background),
#       throttle_lift                   until then
#       extents FILE                            how many it has
#       touched FILE SECONDS                    waits until its ctime is not $stamp any more
#       differs FILE OFFSET LENGTH BYTE         how many bytes there are not that byte, in blocks of 4 KiB
#       verdict LOST_BYTES ACKNOWLEDGED_BYTES
#
# They say what they saw and end with a line "LOST: ..." or "kept: ...". Either is status 0: it depends on the kernel. Status 77: it cannot be
# tried here, the last line says why; anything else: the script is broken.

set -Eeuo pipefail
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
HERE=$(cd "$(dirname "$0")" && pwd)
LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BUILD=${BUILD:-$LIB/../../build/release}
. "$LIB/sandbox.sh"
in_sandbox || exec "$BASH" "$LIB/sandbox.sh" "$BASH" "$0" "$@"
trap 'echo "${0##*/}:$LINENO: failed: $BASH_COMMAND (status $?)" >&2' ERR
MNT=$SCRATCH/mnt
echo "# ${0##*/}, Linux $(uname -r), $(xfs_io -V)"

cannot()
{
        echo "$*"
        exit 77
}

need()
{
        local name

        for name; do
                command -v "$name" >/dev/null || cannot "needs $name"
        done
}

image_make()
{
        need mkfs.xfs xfs_io
        rm --force "$SCRATCH/image"
        truncate --size 1G "$SCRATCH/image"
        mkfs.xfs -q "$@" "$SCRATCH/image"
}

image_mount()
{
        DEVICE=$(losetup --find --show "$SCRATCH/image")
        device_is_ours "${DEVICE#/dev/}"
        # It lives as long as it is open or mounted.
        exec {hold}<"$DEVICE"
        losetup --detach "$DEVICE"
        mkdir -p "$MNT"
        mount -t "${1:-xfs}" ${2:+-o "$2"} "$DEVICE" "$MNT"
}

volume_make_ext4()
{
        need mkfs.ext4 xfs_io
        truncate --size 1G "$SCRATCH/image"
        mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "${@:2}" "$SCRATCH/image"
        image_mount ext4 "${1:-}"
}

volume_make()
{
        image_make "$@"
        image_mount
}

volume_make_exchange()
{
        # mkfs.xfs 6.10 can set the feature; for older ones there is a tool of ours.
        image_make -i exchange=1 2>/dev/null ||
                { image_make -m rmapbt=1 && "$BUILD/tools/exchange-bit" on "$SCRATCH/image" 2>/dev/null; } ||
                { echo "# no volume with exchange-range: neither mkfs.xfs nor $BUILD/tools/exchange-bit" && return 1; }
        image_mount 2>/dev/null || { echo "# this kernel has no exchange-range" && return 1; }
}

program_make()
{
        [[ ! -x ${PROGRAMS:-}/$1 ]] || { cp "$PROGRAMS/$1" "$SCRATCH" && return; }
        need cc
        [[ -e /usr/include/xfs/xfs.h ]] || cannot "needs xfslibs-dev"
        cc -std=gnu17 -O2 -Wall -Wextra -D_GNU_SOURCE -o "$SCRATCH/$1" "$HERE/$1.c"
}

fragmented()
{
        local piece

        # From standard input: what is said with -c goes to each of the open files.
        {
                echo "open -f -d $MNT/between"
                for ((piece = 0; piece < $2; piece++)); do
                        echo "file 0"
                        echo "pwrite -q -S ${3:-0x11} -b 64k $((piece * 64))k 64k"
                        echo "file 1"
                        echo "pwrite -q -b 64k $((piece * 64))k 64k"
                done
        } | xfs_io -f -d "$1" >/dev/null
        sync --file-system "$MNT"
}

throttle()
{
        local device

        device=$(lsblk --nodeps --noheadings --output MAJ:MIN "$DEVICE")
        if [[ -w /sys/fs/cgroup/blkio/blkio.throttle.write_bps_device ]]; then
                group=/sys/fs/cgroup/blkio/${SCRATCH##*/}
                rule=$group/blkio.throttle.${1%s}_bps_device slow="$device 1024" free="$device 0"
        elif { echo +io >/sys/fs/cgroup/cgroup.subtree_control; } 2>/dev/null; then
                group=/sys/fs/cgroup/${SCRATCH##*/}
                rule=$group/io.max slow="$device ${1:0:1}bps=1024" free="$device ${1:0:1}bps=max"
        else
                cannot "no control group of this machine can slow a device down"
        fi
        echo "$group" >>"$SCRATCH/control-groups"
        mkdir -p "$group"
        echo "$slow" >"$rule"
}

throttled()
{
        # shellcheck disable=SC2016  # the inner shell's
        exec "$BASH" -c 'echo $$ >"$1/cgroup.procs"; exec "${@:2}"' - "$group" "$@"
}

throttle_lift()
{
        echo "$free" >"$rule"
}

extents()
{
        xfs_bmap "$1" | grep --count '\.\..*: [0-9]'
}

touched()
{
        local deadline=$((SECONDS + $2))

        until [[ $(stat --format %z "$1") != "$stamp" ]]; do
                ((SECONDS < deadline)) || return 1
                sleep 0.05
        done
}

# What is on the disk, whatever the page cache has.
differs()
{
        head --bytes "$3" /dev/zero | tr '\0' "\\$(printf %03o "$4")" >"$SCRATCH/wanted"
        dd if="$1" of="$SCRATCH/found" iflag=direct,skip_bytes,count_bytes bs=64k skip="$2" count="$3" status=none
        { cmp --verbose "$SCRATCH/found" "$SCRATCH/wanted" || true; } | wc --lines
}

verdict()
{
        if (($1)); then
                echo "LOST: $1 of $2 acknowledged bytes"
        else
                echo "kept: all of $2 acknowledged bytes"
        fi
}
