/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What kind of disk a volume lies on.
 *
 * Source: /sys/dev/block/MAJOR:MINOR. A partition is looked up as its disk. Loop devices, device mapper and md answer
 * for themselves: what the kernel says of their queue is what it found below them, but removable and local are not
 * handed up, so a logical volume on an iSCSI disk counts as local. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct DiskFacts {
        bool rotational; /* seeks cost milliseconds; true also where the kernel does not say */
        bool removable;
        bool local; /* false behind a network: nbd, rbd, drbd, AoE, iSCSI, NVMe over fabrics. SCSI over Fibre
                            Channel counts as local */
        bool copies_on_write; /* thin-provisioned, deduplicated, or with a snapshot below: what is moved takes space there once
                                 more. Known of LVM alone, which says in the names of its layers what they are; the tables of device
                                 mapper are asked by way of a device that a sandbox does not have */
} DiskFacts;

/* Returns 0 or -errno; -ENODEV when device is not a block device. */
int disk_facts_read(dev_t device, DiskFacts *ret);

/* The same with sysfs somewhere else, for tests. */
int disk_facts_read_in(const char *sysfs, dev_t device, DiskFacts *ret);

/* Has the disk been taken away, be it mounted or not? sysfs forgets it at once, the number lives on until nobody has it open any more.
 * False also when nothing can be found out. */
bool disk_is_gone(dev_t device);

/* The same with sysfs somewhere else, for tests. */
bool disk_is_gone_in(const char *sysfs, dev_t device);

/* The physical disks that device lies on; of an anonymous one (btrfs) those of all members of the pool that source, a member as the mount
 * table names it, belongs to: partitions are looked up as their disk, loop devices as the disks of the file system
 * that holds their file, device mapper and md as all of their members. A device that nothing can be found below (the file of
 * a loop device lies on tmpfs, or is deleted) is its own. Returns their number, at most max, ascending and each once; -errno. */
int disk_roots_read(dev_t device, const char *source, dev_t *ret_disks, size_t max);

/* The same with sysfs somewhere else, for tests: there the files of loop devices are looked up below file_root. */
int disk_roots_read_in(const char *sysfs, const char *file_root, dev_t device, const char *source,
                       dev_t *ret_disks, size_t max);
