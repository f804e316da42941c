/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The order of the questions decides which word a person reads: first what no setting changes, from what
 * the file is to what its owner asked for, then what a line in the configuration would change. */

#include <linux/fs.h>
#include <linux/stat.h>

#include "base/number.h"
#include "base/protection.h"
#include "decide/policy.h"

/* Bits of st_mode as inode(7) fixes them. sys/stat.h has names for them, but system calls as well, and
 * this floor makes none; test-policy.c holds them against each other. */
#define MODE_TYPE       0170000U
#define MODE_REGULAR    0100000U
#define MODE_PRIVILEGES 0006000U /* setuid, setgid */
#define MODE_EXECUTE    0000111U

/* statx tells what the file system does right now, the xflags what is stored with the inode. Either is
 * enough: a file may be marked for DAX without being in that state, and an old kernel leaves attributes
 * out of its mask. */
static const struct {
        uint64_t attributes;
        uint32_t xflags;
        Reason reason;
} refusals[] = {
        {STATX_ATTR_ENCRYPTED, 0, SKIP_ENCRYPTED},
        {STATX_ATTR_VERITY, 0, SKIP_VERITY},
        {STATX_ATTR_DAX, FS_XFLAG_DAX, SKIP_DAX},
        {0, FS_XFLAG_REALTIME, SKIP_REALTIME},
        {STATX_ATTR_IMMUTABLE, FS_XFLAG_IMMUTABLE, SKIP_IMMUTABLE},
        {STATX_ATTR_APPEND, FS_XFLAG_APPEND, SKIP_APPEND_ONLY},
        {0, PROTECTED_BY(NODEFRAG) ? FS_XFLAG_NODEFRAG : 0, SKIP_NODEFRAG},
};

Reason policy_judge(const Policy *policy, const FileFacts *facts)
{
        if ((facts->mode & MODE_TYPE) != MODE_REGULAR)
                return SKIP_NOT_A_FILE;

        for (size_t i = 0; i < ELEMENTS(refusals); i++)
                if ((facts->attributes & refusals[i].attributes) || (facts->xflags & refusals[i].xflags))
                        return refusals[i].reason;

        if (facts->opted_out && PROTECTED_BY(OPTED_OUT))
                return SKIP_OPTED_OUT;
        if (facts->size_bytes < policy->min_file_bytes)
                return SKIP_TOO_SMALL;

        /* Our O_RDWR open blocks an exec while it lasts, whoever of owner, group and others may run the
         * file. */
        if (PROTECTED_BY(EXECUTABLES) && !policy->executables && (facts->mode & MODE_EXECUTE))
                return SKIP_EXECUTABLE;

        /* Setgid without the group's execute bit once asked for mandatory locks and runs nobody's
         * program, but an engine that strips privileges strips that bit as well. */
        if (PROTECTED_BY(PRIVILEGED) && !policy->engine_keeps_privileges &&
            ((facts->mode & MODE_PRIVILEGES) || facts->has_capabilities))
                return SKIP_PRIVILEGED;

        return REASON_NONE;
}
