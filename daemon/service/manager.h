/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The service: the main thread and what it knows.
 *
 * It waits for nobody. It never opens a file on a volume, never writes a file and never sends to the journal: workers and
 * the writer do, and answer by letters. After every event it attends to its volumes, sends what can be sent, and arms one
 * timer for the next moment at which anything could be different. */

#include <stdbool.h>

/* config_file: NULL for the usual files; borrowed. verbose: debug messages, too. Returns the exit status. */
int manager_run(const char *config_file, bool verbose);
