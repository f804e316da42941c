#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The power goes while files on XFS are moved: by SWAPEXT on Linux 6.1, by an exchange of ranges on 6.12. Not a bit is lost
# that was on the disk, or that anybody was told is. And without the protection something is.
# KERNELS: 6.1 6.12
# ENGINES: no
# MUTANTS: DURABLE_DONOR REVERSE_MAP
# LIMIT: 500
# WHOLE: 3600

. "$(dirname "$0")/../lib/powercut.sh"
powercut_begin "$@"

FS_TYPE=xfs

# fs_make IMAGE [RMAPBT]
fs_make()
{
        mkfs.xfs -q -m "reflink=1,rmapbt=${2:-1}" -d "size=$FS_BYTES,agcount=2" "$1"
        [[ $ENGINE == plain ]] || exchange-bit on "$1"
}

fs_check()
{
        # This xfs_repair does not know the bit.
        [[ $ENGINE == plain ]] || exchange-bit off "$1"
        xfs_repair -n -f "$1" >"$SCRATCH/repair" 2>&1 && ! grep -q '^ALERT' "$SCRATCH/repair" && return
        tail -n 20 "$SCRATCH/repair"
        return 1
}

SAMPLE=20
[[ ! ${WHOLE:-} ]] || SAMPLE=

case $KERNEL in
6.1) ENGINE=plain ;;
*) ENGINE=exchange ;;
esac

disk_make product
disk_make DURABLE_DONOR
disks=("$RAM/product.disk>$RAM/product.record" "$RAM/DURABLE_DONOR.disk>$RAM/DURABLE_DONOR.record")
# Only SWAPEXT has need of this one.
if [[ $ENGINE == plain ]]; then
        disk_make REVERSE_MAP 0
        disks+=("$RAM/REVERSE_MAP.disk>$RAM/REVERSE_MAP.record")
fi
image_make "$BUILD/mutants" "$RAM/mutants" 64M

machine_boot "$KERNEL" "${disks[@]}" "$RAM/mutants"
devices=(/dev/vd{d..z})
in_machine bash -ec 'mkdir /srv/mutants && mount -o ro "$1" /srv/mutants' - "${devices[${#disks[@]}]}"
for ((i = 0; i < ${#disks[@]}; i++)); do
        name=$(basename "${disks[i]%.disk>*}")
        if [[ $name == product ]]; then
                disk_work "$name" "${devices[i]}" /usr/sbin/defragd 500
        else
                disk_work "$name" "${devices[i]}" "/srv/mutants/$name/defragd"
        fi
done
machine_end

powercut_controls product
[[ $ENGINE == exchange ]] || mutant_points REVERSE_MAP list
# The record of the exchange is not to depend on donors that only the kernel's own flush before it makes durable.
mutant_points DURABLE_DONOR early
powercut_points product early ${SAMPLE:+5}
powercut_points product list ${SAMPLE:+"$SAMPLE"}
echo "$n_points points, $n_files files checked, $n_lost lost"
((n_lost == 0))
