# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What a crash leaves of a volume that cannot be shut down (btrfs): the image that its device is on is cloned, in one moment, and
# mounted instead of it. All that was written to the device is there, flushed or not; what disks forget is for powercut/.

# clones_make_volume [SIZE [MKFS_OPTION...]]: as test_volume of lib/scratch.sh.
clones_make_volume()
{
        # Everything twice, and what the clone has anew.
        volume_make images exchange 6G
        local IMAGES=$SCRATCH/images
        test_volume "$@"
        IMAGE=$IMAGES/volume.image
        CLONE=$IMAGES/clone
}

# The clone comes to $MNT instead of the volume, which has the same UUID; clone_umount looks it over, and the volume is there again.
clone_mount()
{
        volume_umount volume
        volume_unscan volume
        KIND[clone]=$ENGINE
        image_attach clone "$CLONE" "$ENGINE"
        mount -t btrfs ${SECOND[clone]:+-o "device=${SECOND[clone]}"} "${DEVICE[clone]}" "$MNT"
}

clone_umount()
{
        umount "$MNT"
        image_check "$ENGINE" "${DEVICE[clone]}"
        volume_forget clone
        volume_mount volume
}
