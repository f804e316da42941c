#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The power goes while files on XFS are moved: by SWAPEXT on Linux 6.1, by an exchange of ranges on 6.12. Not a bit is lost
# that was on the disk, or that anybody was told is. And without the protection something is.
# KERNELS: 6.1 6.12
# ENGINES: no
# MUTANTS: DURABLE_DONOR REVERSE_MAP KEEPS_UNWRITTEN
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
n_moved=$N_STATIC
# Only SWAPEXT has need of these, that of 6.1.
if [[ $ENGINE == plain ]]; then
        disk_make REVERSE_MAP 0
        disk_make KEEPS_UNWRITTEN
        disks+=("$RAM/REVERSE_MAP.disk>$RAM/REVERSE_MAP.record" "$RAM/KEEPS_UNWRITTEN.disk>$RAM/KEEPS_UNWRITTEN.record")
        # It would turn what is preallocated into data.
        n_moved=$((N_STATIC - N_SPARSE))
fi
mkdir "$RAM/mutants.tree"
cp --recursive "$BUILD"/mutants/{DURABLE_DONOR,REVERSE_MAP,KEEPS_UNWRITTEN} "$RAM/mutants.tree"
image_make "$RAM/mutants.tree" "$RAM/mutants" 32M
rm --recursive "$RAM/mutants.tree"

machine_boot "$KERNEL" "${disks[@]}" "$RAM/mutants"
devices=(/dev/vd{d..z})
in_machine bash -ec 'mkdir /srv/mutants && mount -o ro "$1" /srv/mutants' - "${devices[${#disks[@]}]}"
for ((i = 0; i < ${#disks[@]}; i++)); do
        name=$(basename "${disks[i]%.disk>*}")
        case $name in
        # All that nobody writes to and can be moved, at least.
        product)
                disk_work "$name" "${devices[i]}" "$n_moved" /usr/sbin/defragd 500
                n_unwritten=$(grep -c '"reason":"unwritten"' "$OUT" || true)
                echo "$n_unwritten files are left alone for their preallocated places"
                ;;
        # Without the tree SWAPEXT refuses many.
        *) disk_work "$name" "${devices[i]}" 3 "/srv/mutants/$name/defragd" ;;
        esac
done
machine_end

powercut_controls product
if [[ $ENGINE == plain ]]; then
        # Where the kernel keeps such places the product moves them, too, and is judged by that.
        ((n_unwritten == 0)) || mutant_points KEEPS_UNWRITTEN list 1 || fail "nothing is lost without KEEPS_UNWRITTEN"
        # It is this machine's kernel that cannot recover from that; another may.
        mutant_points REVERSE_MAP list 20 || echo "this kernel recovers from it"
fi
# The record of the exchange is not to depend on donors that only the kernel's own flush before it makes durable.
mutant_points DURABLE_DONOR early || fail "nothing is lost without DURABLE_DONOR"
powercut_points product early ${SAMPLE:+5}
powercut_points product list ${SAMPLE:+"$SAMPLE"}
echo "$n_points points, $n_files files checked, $n_lost lost"
((n_lost == 0))
