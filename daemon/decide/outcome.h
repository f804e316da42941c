/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What became of one file: the words that the journal, the bus, --json, the man page and the exit status share. */

#include <stdbool.h>
#include <stdint.h>

typedef enum Outcome {
        OUTCOME_MOVED,     /* at least one region lies better than before */
        OUTCOME_OPTIMAL,   /* nothing worth doing */
        OUTCOME_SKIPPED,   /* policy or safety; the reason says which */
        OUTCOME_CHANGED,   /* written meanwhile; later */
        OUTCOME_BUSY,      /* in use; later */
        OUTCOME_NO_SPACE,  /* no room, or no room that is less fragmented */
        OUTCOME_CANCELLED, /* somebody asked us to stop */
        OUTCOME_FAILED,    /* an errno that nobody expected */
        OUTCOME_MAX_
} Outcome;

typedef enum Reason {
        REASON_NONE,
        /* of OUTCOME_SKIPPED */
        SKIP_SHARED,      /* every bad region touches extents that other files own too */
        SKIP_PRIVILEGED,  /* setuid, setgid or file capabilities, which the engine would strip */
        SKIP_EXECUTABLE,  /* an execute bit, and Executables=no */
        SKIP_SWAPFILE,    /* active, or formatted as one */
        SKIP_ENCRYPTED,   /* fscrypt */
        SKIP_VERITY,      /* fs-verity */
        SKIP_DAX,         /* mapped without a page cache */
        SKIP_REALTIME,    /* lives on the realtime device */
        SKIP_IMMUTABLE,   /* immutable attribute */
        SKIP_APPEND_ONLY, /* append-only attribute */
        SKIP_NODEFRAG,    /* FS_XFLAG_NODEFRAG */
        SKIP_OPTED_OUT,   /* xattr user.defragd=off, or trusted.defragd.enabled=no on the root directory */
        SKIP_EXCLUDED,    /* Exclude= */
        SKIP_TOO_SMALL,   /* below MinFileSize= */
        SKIP_TOO_FEW_EXTENTS,        /* below MinExtents= */
        SKIP_SOLID_STATE,            /* SolidState=no on flash */
        SKIP_READ_ONLY,              /* the administrator mounted it so */
        SKIP_UNSUPPORTED_FILESYSTEM, /* no engine for this type */
        SKIP_NOT_A_FILE,             /* not a regular file */
        SKIP_QUOTA,                  /* EDQUOT; the owner is near a limit; or SWAPEXT under quota */
        SKIP_INODE_FORMAT,           /* SWAPEXT cannot fit the two inodes' forks into each other */
        SKIP_UNWRITTEN,       /* preallocated places, which SWAPEXT of this kernel would turn into data */
        SKIP_INDIRECT_MAPPED, /* mapped block by block, as on ext2 and ext3: the file, or all of the volume */
        SKIP_INLINE_DATA,     /* lies in its inode */
        SKIP_JOURNALLED_DATA, /* its data go through the journal: the file, or data=journal */
        SKIP_BIGALLOC,        /* ext4 that allocates in clusters of blocks */
        SKIP_COMPRESSED,      /* would not be encoded as it is if it were written now */
        SKIP_WOULD_GROW, /* its old place would stay taken, because other parts of it are in use; or it would be compressed less */
        SKIP_ZONED,          /* a file system on zones, which reclaims them itself */
        SKIP_DEGRADED,       /* a device of the file system is missing */
        SKIP_SEED,           /* lies in part on a device that is never written */
        SKIP_NO_ENGINE,      /* the probes found no engine that works on this volume */
        SKIP_CRASH_UNSAFE,   /* a crash could cost data, or the volume, with the only engine that there is */
        SKIP_NO_LEASES,      /* fs.leases-enable=0 */
        SKIP_DUPLICATE_UUID, /* two mounted volumes with one UUID */
        SKIP_HIDDEN, /* its mount point leads elsewhere: another mount covers it, or our private /tmp does */
        SKIP_REMOVABLE,     /* removable or network-backed disk */
        SKIP_COPY_ON_WRITE, /* thin-provisioned disk, or one with a snapshot below */
        SKIP_VANISHED,      /* deleted before we came to it */
        SKIP_DRY_RUN,       /* would be worked on */
        /* of OUTCOME_CHANGED and OUTCOME_BUSY */
        CHANGED_WRITTEN, /* the kernel refused the commit, or a stamp moved */
        CHANGED_CLOCK,   /* the wall clock was set meanwhile */
        CHANGED_FUTURE,  /* its change time lies in the future */
        BUSY_OPEN,       /* no lease: open, mapped or in flight */
        BUSY_LOCKED,     /* another instance works on the volume */
        BUSY_EXCLUSIVE,  /* balance, replace or the like has the file system for itself */
        /* of OUTCOME_CANCELLED */
        CANCELLED_BUDGET, /* the rest would exceed what may be written today */
        /* of OUTCOME_NO_SPACE */
        NO_SPACE_RESERVE,    /* would dip into FreeSpaceReserve= */
        NO_SPACE_FULL,       /* ENOSPC */
        NO_SPACE_FRAGMENTED, /* free space is no better than where the file lies */
        /* of OUTCOME_FAILED, where there is no errno to tell */
        FAILED_AUDIT,   /* what was committed is not what was promised */
        FAILED_STOPPED, /* the breaker has stopped the volume, now or long ago */
        REASON_MAX_
} Reason;

/* "moved", "no-space"; "swapfile", "unsupported-filesystem". REASON_NONE is "". Never NULL. Pure. */
const char *outcome_name(Outcome outcome);
/* The order in which a person would want to know. Pure. */
bool outcome_is_graver(Outcome outcome, Outcome than);
const char *reason_name(Reason reason);
