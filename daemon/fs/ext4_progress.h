/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a job on ext4 remembers from slice to slice, in its cookie: how far it is, what of the region was in the page cache before
 * anything was read, and what some of it held. Private to the engine. */

#include "base/number.h"
#include "fs/cache_note.h"
#include "fs/engine.h"

/* Slices end with a piece of what is known of the page cache. */
#define PROGRESS_PIECE_BYTES CACHE_NOTE_PIECE_BYTES

/* Samples that the audit compares: from the beginning, the middle and the end of the region. */
#define PROGRESS_SAMPLES_MAX  3
#define PROGRESS_SAMPLE_BYTES (128 * KIB)

typedef struct ProgressSample {
        uint64_t offset;
        uint64_t n_bytes;
        uint64_t checksum;
} ProgressSample;

typedef struct Progress {
        uint64_t at;          /* all in front of it is done */
        uint64_t asked;       /* as far as here it was asked for */
        uint64_t ahead;       /* as far as here it is asked for while a slice moves; 0: nothing is */
        uint64_t slice_bytes; /* of the next one, at most */
        uint64_t call_bytes;  /* of a slice that one call may move */
        uint64_t
                write_error; /* errno of the first that this slice met, also where it went back then; 0: none */
        uint64_t reads_fast; /* to ask for a slice keeps nobody waiting for long */
        uint64_t n_samples;
        ProgressSample samples[PROGRESS_SAMPLES_MAX];
        CacheNote cache;
} Progress;
_Static_assert(sizeof(Progress) <= sizeof(EngineCookie), "the cookie has room");

Progress progress_load(const EngineJob *job);
void progress_store(EngineJob *job, const Progress *progress);

/* What is allocated between two holes. */
typedef struct Stretch {
        uint64_t offset;
        uint64_t n_bytes;
        uint64_t physical; /* of its first block, before */
} Stretch;

/* The first stretch at or behind from, cut at end. Returns false when there is none. */
bool stretch_next(const ExtentMap *map, uint64_t from, uint64_t end, Stretch *ret);

/* In how many runs a stretch lies, and how long the first of them is. */
uint64_t stretch_runs(const ExtentMap *map, const Stretch *stretch);
uint64_t stretch_first_run_bytes(const ExtentMap *map, const Stretch *stretch);

/* How much is allocated. */
uint64_t stretches_bytes(const ExtentMap *map, uint64_t from, uint64_t end);

/* Reads samples from the device and notes their checksums. Returns 0 or -errno. */
int progress_note_samples(const EngineJob *job, Progress *progress);

/* Reads them again, through fd. Returns 0, COPY_WRONG (also when the file ends early) or -errno. */
int progress_recheck(const EngineJob *job, int fd);
