/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The form of Exclude= patterns; what they cover is config_excludes(). Private to facts/config*.c. Pure. */

#include <stdbool.h>

/* False when a "[" is never closed, which would then stand for nothing but itself. */
bool config_pattern_is_closed(const char *pattern);
