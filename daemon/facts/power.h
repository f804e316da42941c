/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Does the machine run on battery?
 *
 * Source: /sys/class/power_supply (Documentation/ABI/testing/sysfs-class-power). A machine runs on battery when it has a
 * battery of its own (type Battery, scope not Device) that is discharging and no supply of another kind that is online. Anything that the kernel
 * does not say counts as mains: a desktop has no battery. */

#include <stdbool.h>

/* Returns 0 or -errno. sysfs: "/sys" in production. Does not wait for any device. */
int power_on_battery(const char *sysfs, bool *ret);
