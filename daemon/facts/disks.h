/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What kind of disk a volume lies on.
 *
 * Source: /sys/dev/block/MAJOR:MINOR. A partition is looked up as its disk. Loop devices, device mapper and md answer
 * for themselves: what the kernel says of their queue is what it found below them, but removable and local are not
 * handed up, so a logical volume on an iSCSI disk counts as local. */

#include <stdbool.h>
#include <sys/types.h>

typedef struct DiskFacts {
        bool rotational; /* seeks cost milliseconds; true also where the kernel does not say */
        bool removable;
        bool local; /* false behind a network: nbd, rbd, drbd, AoE, iSCSI, NVMe over fabrics. SCSI over Fibre
                            Channel counts as local */
} DiskFacts;

/* Returns 0 or -errno; -ENODEV when device is not a block device. */
int disk_facts_read(dev_t device, DiskFacts *ret);

/* The same with sysfs somewhere else, for tests. */
int disk_facts_read_in(const char *sysfs, dev_t device, DiskFacts *ret);
