/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* May this file be moved at all? Looks at facts alone, not at how it lies. Pure. */

#include "decide/outcome.h"
#include "facts/file_facts.h"

typedef struct Policy {
        uint64_t min_file_bytes;
        bool executables;             /* files with an execute bit, too */
        bool busy_files;              /* files that are in use, where the engine can */
        bool engine_keeps_privileges; /* the volume's engine leaves setuid and capabilities alone */
} Policy;

/* REASON_NONE when it may. */
Reason policy_judge(const Policy *policy, const FileFacts *facts);
