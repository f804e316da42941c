/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* An engine moves one region of one file, in steps, so that nothing can be lost.
 *
 * open -> sample -> reserve -> copy ... -> verify ... -> commit -> close. The steps are called in this order, each
 * until it no longer says ENGINE_MORE; close is always called, also after a refusal. A step that an engine has no
 * need of is NULL. Nothing is retried with a weaker call: what a step refuses is what became of the region.
 *
 * One thread a job. Every step may block for as long as the device needs. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "decide/outcome.h"
#include "decide/plan.h"
#include "decide/policy.h"
#include "facts/extent_map.h"
#include "facts/file_facts.h"
#include "facts/file_id.h"
#include "fs/volume.h"

typedef struct Copier Copier;

/* Positive results of a step, next to 0 (done) and -errno (unexpected). job->reason goes with the first five. */
typedef enum EngineVerdict {
        ENGINE_DONE = 0,
        ENGINE_CHANGED,  /* written meanwhile */
        ENGINE_BUSY,     /* in use */
        ENGINE_NO_SPACE, /* no room, or none that is better */
        ENGINE_SKIP,     /* policy or safety forbids it */
        ENGINE_NO_GAIN, /* nothing to be gained here; other regions are another matter. The reason may be none */
        ENGINE_YOUNG, /* changed a moment ago: try again after job->wait_usec, with nothing held meanwhile */
        ENGINE_STALE, /* the region no longer lies as it was planned: plan anew */
        ENGINE_MORE,  /* call the same step again; a good moment to look whether to stop */
} EngineVerdict;

/* The freshness sample: opaque to everybody but the engine that took it. */
typedef union EngineCookie {
        uint64_t words[40];
} EngineCookie;

typedef struct EngineJob {
        /* What to do; set by the caller, who also owns what is pointed to. */
        const FsVolume *volume;
        int root_fd; /* of the volume, locked */
        FileId target;
        const FileId *parents; /* directories near the target to make the donor in, best first */
        size_t n_parents;
        const PlanLimits *limits;
        const Policy *policy;
        const FileFacts *looked; /* the target when the region was planned */
        uint64_t reserve_bytes;  /* free space that must stay */
        Copier *copier;
        Region region; /* of a whole-file engine: everything that is allocated, behind EOF included */

        /* What the engine holds between the steps. */
        int target_fd;
        int donor_fd;
        FileFacts sampled; /* the target at the sample */
        bool was_quiet; /* nobody had it open for writing or mapped then: what changes later moves a stamp */
        EngineCookie cookie;
        int64_t clock_offset_nsec; /* at the sample */
        ExtentMap map;             /* of the region, after the sample */
        uint64_t donor_shift;      /* target offset minus donor offset */
        uint64_t cached_bytes;     /* of the region in the page cache before the commit */

        /* What came of it. */
        Reason reason;
        uint64_t wait_usec;
        uint32_t runs_after;  /* of the region, as the donor was laid out */
        uint64_t bytes_moved; /* bytes written to the donor; counted also when the commit is refused */
} EngineJob;

typedef struct Engine {
        const char *name;      /* in every record: "xfs-exchange" */
        bool whole_file;       /* cannot commit less than a file */
        bool by_slices;        /* a region may be longer than what is locked at once */
        bool keeps_privileges; /* setuid and file capabilities survive */
        bool kernel_copies;    /* the page cache stays as it is */
        bool finds_swap;       /* looks itself, when it samples, whether it is swap space */
        int (*open)(EngineJob *job);
        int (*sample)(EngineJob *job);
        int (*reserve)(EngineJob *job);
        int (*copy)(EngineJob *job);
        int (*verify)(EngineJob *job);
        /* With ENGINE_MORE a part of the region is committed. */
        int (*commit)(EngineJob *job);
        /* Before the audit: brings to an end what commit has left under way; of the file's data nothing when it said ENGINE_DONE. Returns 0 or
         * -errno. NULL: it leaves nothing. */
        int (*settle)(EngineJob *job);
        /* The audit: does what was sampled of the region's content, read anew through fd (O_RDONLY | O_DIRECT), hold what it held before
         * the commit? Returns 0, COPY_WRONG or -errno. Asked only when job->was_quiet. NULL: there is nothing to compare. */
        int (*recheck)(const EngineJob *job, int fd);
        void (*close)(EngineJob *job);
} Engine;

/* XFS_IOC_START_COMMIT and COMMIT_RANGE: by regions, where the volume has the feature. */
extern const Engine engine_xfs_exchange;
/* XFS_IOC_SWAPEXT: whole files, every XFS. */
extern const Engine engine_xfs_swapext;
/* EXT4_IOC_MOVE_EXT: by slices of a region, each durable before the next. */
extern const Engine engine_ext4_move;
/* BTRFS_IOC_DEFRAG_RANGE: by regions, every btrfs; the kernel copies. */
extern const Engine engine_btrfs_defrag;
