/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The breaker: what must never happen on a volume, and stops it until a person has looked at it.
 *
 * Two questions, both pure. Does an error say that the device or the file system is not to be trusted any more? And
 * does what was seen after a commit say that the commit did something else than it promised? A false alarm stops a volume
 * for good, so the second has three answers: what somebody else may have done in the meantime is no mismatch. */

#include <stdbool.h>
#include <stdint.h>

#include "facts/extent_map.h"
#include "facts/file_facts.h"

typedef enum TripKind {
        TRIP_NONE,
        TRIP_DEVICE,     /* the device gave an error */
        TRIP_CORRUPTION, /* the file system found itself damaged */
        TRIP_SHUTDOWN,   /* the file system has shut itself down */
        TRIP_COMMIT,     /* the commit failed in a way that it has no reason for */
        TRIP_CONTENT,    /* after a commit: something else is read than was copied */
        TRIP_LAYOUT,     /* after a commit: other places are holes, preallocated or written than before */
        TRIP_RUNS,       /* after a commit: more runs than the donor had */
        TRIP_ATTRIBUTES, /* after a commit: size, times, mode, owner or flags are not what they were */
        TRIP_MAX_
} TripKind;

/* What tripped it. */
typedef struct Trip {
        TripKind kind;
        int error;               /* errno, positive; 0: it was no error */
        const char *step;        /* of the step machine, constant */
        uint64_t offset, length; /* of the region, bytes; length 0: none was begun */
} Trip;

/* What an errno (positive) says, that a step ended with. at_commit: of the commit, where every error that it has no reason
 * to give is a surprise, too. Device errors include the ones that the block layer has finer names for: a medium error of a
 * SCSI or NVMe disk reaches a direct read as ENODATA, not as EIO. Not among them is that the volume is gone (ENODEV,
 * ESTALE): an umount looks like that. */
TripKind breaker_judge_error(int error, bool at_commit);

/* What a look at a committed region has seen. Maps are of the region alone. */
typedef struct AuditFacts {
        const FileFacts *sampled; /* when freshness was sampled, long before the commit */
        const FileFacts *before;  /* before the other things were looked at */
        const FileFacts *after;   /* and after that */
        bool is_quiet; /* nobody had it open for writing from before to after, and nobody could open it so */
        bool clock_stepped; /* the wall clock was set since the sample: its stamps prove nothing */
        const ExtentMap *map_sampled;
        const ExtentMap *map;
        uint64_t end;          /* of what counts in the maps: EOF, rounded up to a block */
        uint64_t runs_allowed; /* that the region may lie in */
        bool content_differs;  /* of the pieces that were read again */
} AuditFacts;

typedef enum AuditAnswer {
        AUDIT_SAME,
        AUDIT_DOUBTFUL, /* something differs, and somebody else may have done that */
        AUDIT_WRONG,    /* something differs, and it was us or what lies below us */
} AuditAnswer;

/* *ret_kind is written on AUDIT_WRONG alone. */
AuditAnswer breaker_judge_audit(const AuditFacts *facts, TripKind *ret_kind);

/* A clause for a person: "the device gave an error". Never NULL. */
const char *trip_text(TripKind kind);
