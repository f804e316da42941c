/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Protections that a test's program can be built without, to show that their test fails then.
 *
 * PROTECTED_BY(LEASE) is 1 in every binary that is installed. Only a compiler flag, -DDEFRAGD_WITHOUT_LEASE=1, makes
 * it 0: there is no variable, option or environment that could (tests/mutants/installed.sh looks). Each name is explained
 * in docs/SAFETY.md, and stands in .c files only: these are what tests/CMakeLists.txt compiles once more. */

#ifndef PROTECTED_BY
#define PROTECTED_BY(name) (!DEFRAGD_WITHOUT_##name)
#endif

#ifndef DEFRAGD_WITHOUT_SAME_TICK
#define DEFRAGD_WITHOUT_SAME_TICK 0 /* age guard; stamps asked for before the cookie and equal to it */
#endif
#ifndef DEFRAGD_WITHOUT_LEASE
#define DEFRAGD_WITHOUT_LEASE 0 /* write lease at the sample */
#endif
#ifndef DEFRAGD_WITHOUT_COMMIT_LEASE
#define DEFRAGD_WITHOUT_COMMIT_LEASE 0 /* write lease again around SWAPEXT */
#endif
#ifndef DEFRAGD_WITHOUT_ONE_COOKIE
#define DEFRAGD_WITHOUT_ONE_COOKIE 0 /* the cookie is older than the first read and never refreshed */
#endif
#ifndef DEFRAGD_WITHOUT_FLUSH
#define DEFRAGD_WITHOUT_FLUSH 0 /* dirty data is written back between the sample and the copy */
#endif
#ifndef DEFRAGD_WITHOUT_VERIFY
#define DEFRAGD_WITHOUT_VERIFY 0 /* the donor is read back and compared before the commit */
#endif
#ifndef DEFRAGD_WITHOUT_DURABLE_DONOR
#define DEFRAGD_WITHOUT_DURABLE_DONOR 0 /* the donor is flushed to stable storage before the commit */
#endif
#ifndef DEFRAGD_WITHOUT_REVERSE_MAP
#define DEFRAGD_WITHOUT_REVERSE_MAP 0 /* SWAPEXT only where there is a reverse-mapping tree */
#endif
