/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The step machine of one file.
 *
 * Two things are kept apart here: what becomes of a region (the engine's verdict) and what becomes of the file (the
 * outcome). A conflict costs one region; trouble that would meet every region ends the file. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "base/units.h"
#include "facts/extent_map.h"
#include "facts/file_facts.h"
#include "fs/audit.h"
#include "fs/engine.h"
#include "work/assess.h"
#include "work/relocation.h"

/* A file that is written again and again while we wait for it to be old enough is not quiet. */
#define MAX_YOUNG_WAITS 4
/* Plans made anew because the file no longer lay as planned. */
#define MAX_REPLANS     3
/* Regions that may be refused before the file is left for later: it is being written all over. */
#define MAX_CONFLICTS   3
typedef enum Stage {
        STAGE_LOOK,
        STAGE_OPEN,
        STAGE_SAMPLE,
        STAGE_RESERVE,
        STAGE_COPY,
        STAGE_VERIFY,
        STAGE_COMMIT,
        STAGE_AUDIT,
        STAGE_FINISH,
        STAGE_END,
        STAGE_MAX_
} Stage;

static const char *const stage_names[] = {
        [STAGE_LOOK] = "look",       [STAGE_OPEN] = "open",   [STAGE_SAMPLE] = "sample",
        [STAGE_RESERVE] = "reserve", [STAGE_COPY] = "copy",   [STAGE_VERIFY] = "verify",
        [STAGE_COMMIT] = "commit",   [STAGE_AUDIT] = "audit", [STAGE_FINISH] = "finish",
        [STAGE_END] = "end",
};
_Static_assert(ELEMENTS(stage_names) == STAGE_MAX_, "every stage has a name");

struct Relocation {
        FsVolume *volume;
        Copier *copier;
        const Candidate *candidate;
        const RelocationOptions *options;

        Stage stage;
        PlanLimits limits;
        Policy policy;
        Plan plan;
        size_t region;       /* index of the one in progress */
        bool part_committed; /* of that one; the rest is not */
        bool any_committed;
        FileFacts looked; /* the file when it was planned */
        int root_fd;      /* locked, while a region is in progress */
        EngineJob job;
        unsigned n_young, n_replans, n_conflicts;
        uint64_t owed_usec;      /* to be waited before the next region because of MaxRate= */
        uint64_t spent_bytes;    /* of options->max_bytes: regions that were begun, committed or not */
        uint64_t unshared_bytes; /* by the regions that are committed */
        uint64_t start_usec;
        Outcome trouble; /* worst thing that happened to a region; OUTCOME_MOVED when nothing did */
        Reason trouble_reason;
        int trouble_error;
        RelocationResult result;
};

int relocation_new(FsVolume *volume, Copier *copier, const Candidate *candidate,
                   const RelocationOptions *options, Relocation **ret)
{
        Relocation *relocation = calloc(1, sizeof(*relocation));

        if (!relocation)
                return -ENOMEM;
        relocation->volume = volume;
        relocation->copier = copier;
        relocation->candidate = candidate;
        relocation->options = options;
        relocation->limits = options->limits;
        relocation->policy = options->policy;
        relocation->root_fd = relocation->job.target_fd = relocation->job.donor_fd = -EBADF;
        relocation->start_usec = clock_monotonic_usec();
        relocation->trouble = OUTCOME_MOVED;
        *ret = relocation;
        return 0;
}

/* Counts what the region in progress has moved; it is counted once. */
static void relocation_take_committed(Relocation *relocation)
{
        relocation->part_committed = false;
        relocation->any_committed = true;
        relocation->result.bytes_moved += relocation->job.bytes_moved;
        relocation->unshared_bytes += relocation->job.region.shared_bytes;
}

/* Lets go of everything on the volume: the engine's descriptors, then the root and with it the lock. */
static void relocation_let_go(Relocation *relocation)
{
        if (relocation->part_committed)
                relocation_take_committed(relocation);
        if (relocation->volume->engine)
                relocation->volume->engine->close(&relocation->job);
        relocation->root_fd = fd_close(relocation->root_fd);
}

Relocation *relocation_free(Relocation *relocation)
{
        if (relocation) {
                relocation_let_go(relocation);
                plan_done(&relocation->plan);
                free(relocation);
        }
        return NULL;
}

const char *relocation_stage(const Relocation *relocation)
{
        return stage_names[relocation->stage];
}

const RelocationResult *relocation_result(const Relocation *relocation)
{
        return &relocation->result;
}

/* The engine that the volume has, or the one that its facts promise until it is proven. */
static const Engine *relocation_engine(const Relocation *relocation)
{
        const FsVolume *volume = relocation->volume;

        return volume->engine ? volume->engine : fs_volume_promised_engine(volume);
}

static RelocationStep relocation_end(Relocation *relocation, Outcome outcome, Reason reason, int error)
{
        RelocationResult *result = &relocation->result;

        relocation_let_go(relocation);
        result->outcome = outcome;
        result->reason = reason;
        result->error = error;
        result->usec = clock_monotonic_usec() - relocation->start_usec;
        result->engine = relocation_engine(relocation)->name;
        result->owed_usec = relocation->owed_usec;
        result->bytes_spent = relocation->spent_bytes;
        relocation->stage = STAGE_END;
        log_debug("inode %llu: %s%s%s, %llu -> %llu runs, %llu bytes",
                  (unsigned long long)relocation->candidate->id.inode, outcome_name(outcome),
                  reason == REASON_NONE ? "" : ":", reason_name(reason),
                  (unsigned long long)result->runs_before, (unsigned long long)result->runs_after,
                  (unsigned long long)result->bytes_moved);
        return RELOCATION_DONE;
}

/* Remembers what has tripped the breaker; the first counts. */
static void relocation_trip(Relocation *relocation, TripKind kind, int error)
{
        Trip *trip = &relocation->result.trip;

        if (kind == TRIP_NONE || trip->kind != TRIP_NONE)
                return;
        *trip = (Trip){.kind = kind, .error = error, .step = stage_names[relocation->stage]};
        if (relocation->stage >= STAGE_OPEN && relocation->stage <= STAGE_AUDIT) {
                trip->offset = relocation->plan.regions[relocation->region].offset;
                trip->length = relocation->plan.regions[relocation->region].length;
        }
}

static RelocationStep relocation_end_by_error(Relocation *relocation, int error)
{
        Reason why;
        const Outcome outcome = assess_error(error, &why);

        if (outcome != OUTCOME_FAILED)
                return relocation_end(relocation, outcome, why, 0);
        relocation_trip(relocation, breaker_judge_error(-error, false), -error);
        return relocation_end(relocation, OUTCOME_FAILED, REASON_NONE, -error);
}

/* Opens the volume for the next step of work. Returns true, or false with *ret_step saying how it ended. */
static bool relocation_enter(Relocation *relocation, RelocationStep *ret_step)
{
        int r;

        assert(relocation->root_fd < 0);
        r = fs_volume_open_locked(relocation->volume);
        if (r >= 0) {
                relocation->root_fd = r;
                return true;
        }
        if (r == -EWOULDBLOCK || r == -EBUSY)
                *ret_step = relocation_end(relocation, OUTCOME_BUSY,
                                           r == -EBUSY ? BUSY_EXCLUSIVE : BUSY_LOCKED, 0);
        else
                *ret_step = relocation_end_by_error(relocation, r);
        return false;
}

/* Proves the engine when the first file of a volume is about to be moved. Returns false when the file cannot be worked on. */
static bool relocation_prove_engine(Relocation *relocation, RelocationStep *ret_step)
{
        FsVolume *volume = relocation->volume;
        Outcome outcome;
        Reason why;
        int error = 0;

        if (volume->engine ||
            fs_volume_probe(volume, relocation->root_fd, &relocation->candidate->parent, 1, &error) == 0)
                return true;
        log_debug("%s: no engine: %s", volume->uuid, error < 0 ? strerror(-error) : "a wrong answer");
        outcome = assess_probe_error(error, &why);
        if (outcome == OUTCOME_FAILED)
                relocation_trip(relocation, breaker_judge_error(-error, false), -error);
        *ret_step = relocation_end(relocation, outcome, why, outcome == OUTCOME_FAILED ? -error : 0);
        return false;
}

/* Remembers the worst that happened. */
static void relocation_note_trouble(Relocation *relocation, Outcome outcome, Reason reason, int error)
{
        if (!outcome_is_graver(outcome, relocation->trouble))
                return;
        relocation->trouble = outcome;
        relocation->trouble_reason = reason;
        relocation->trouble_error = error;
}

/* Takes over what was seen. first: the result speaks of the file as it was before anything was done. */
static void relocation_take(Relocation *relocation, Assessment *assessment, bool first)
{
        RelocationResult *result = &relocation->result;

        plan_done(&relocation->plan);
        relocation->plan = TAKE(assessment->plan, (Plan){0});
        relocation->looked = assessment->facts;
        relocation->region = 0;
        result->size_bytes = assessment->facts.size_bytes;
        result->runs_after = relocation->plan.runs_before;
        if (first) {
                result->runs_before = relocation->plan.runs_before;
                result->bytes_planned = relocation->plan.bytes;
        }
        result->bytes_shared =
                u64_max(result->bytes_shared, relocation->unshared_bytes + relocation->plan.shared_bytes);
}

/* No more regions: what there is now is counted next. */
static RelocationStep relocation_finish_next(Relocation *relocation)
{
        relocation_let_go(relocation);
        relocation->stage = STAGE_FINISH;
        return RELOCATION_AGAIN;
}

/* STAGE_LOOK */
static RelocationStep relocation_look(Relocation *relocation)
{
        _cleanup_(assessment_done) Assessment assessment = {0};
        const Engine *planned_for = relocation_engine(relocation);
        const bool first = relocation->n_replans == 0;
        const Reason refusal =
                relocation->volume->engine ? REASON_NONE : fs_volume_refusal(relocation->volume);
        RelocationStep step;
        int said;

        if (refusal != REASON_NONE)
                return relocation_end(relocation, OUTCOME_SKIPPED, refusal, 0);
        if (!relocation_enter(relocation, &step))
                return step;
        relocation->limits.whole_file = planned_for->whole_file;
        assess_widen(relocation->volume, relocation->root_fd, planned_for,
                     relocation->options->max_sliced_bytes, &relocation->limits);
        relocation->policy.engine_keeps_privileges = planned_for->keeps_privileges;
        said = assess_file(relocation->volume, relocation->root_fd, relocation->candidate->id, planned_for,
                           &relocation->limits, &relocation->policy, relocation->options->dry_run,
                           &assessment);
        if (said < 0)
                return relocation_end_by_error(relocation, said);
        relocation_take(relocation, &assessment, first);
        if (said != 0 && !first) {
                /* What came of a plan that went stale is for the last count to say. */
                if (said == ASSESS_SKIP)
                        relocation_note_trouble(relocation, OUTCOME_SKIPPED, assessment.reason, 0);
                return relocation_finish_next(relocation);
        }
        if (said == ASSESS_SKIP)
                return relocation_end(relocation, OUTCOME_SKIPPED, assessment.reason, 0);
        if (said == ASSESS_OPTIMAL)
                return relocation_end(relocation, OUTCOME_OPTIMAL, REASON_NONE, 0);
        if (relocation->options->dry_run) {
                relocation->result.runs_after = relocation->plan.runs_after;
                return relocation_end(relocation, OUTCOME_SKIPPED, SKIP_DRY_RUN, 0);
        }
        if (!relocation_prove_engine(relocation, &step))
                return step;
        relocation_let_go(relocation);
        /* Another engine than was promised may want another plan. */
        relocation->stage = planned_for == relocation->volume->engine ? STAGE_OPEN : STAGE_LOOK;
        return RELOCATION_AGAIN;
}

/* The region is over, committed or not. Lets go and moves on to the next one. */
static RelocationStep relocation_next_region(Relocation *relocation, RelocationStep step)
{
        uint64_t rate = relocation->options->max_rate;

        relocation_let_go(relocation);
        if (rate != BYTES_INFINITY && rate > 0)
                relocation->owed_usec += relocation->job.bytes_moved * USEC_PER_SEC / rate;
        relocation->region++;
        relocation->n_young = 0;
        relocation->stage = relocation->region < relocation->plan.n_regions ? STAGE_OPEN : STAGE_FINISH;
        return step;
}

/* Translates what an engine's step said about the region into what is done with the file. */
static RelocationStep relocation_refused(Relocation *relocation, int said, uint64_t *ret_wait_usec)
{
        Reason why = relocation->job.reason;

        if (said < 0) {
                relocation_trip(relocation, breaker_judge_error(-said, relocation->stage == STAGE_COMMIT),
                                -said);
                relocation_note_trouble(relocation, OUTCOME_FAILED, REASON_NONE, -said);
                return relocation_finish_next(relocation);
        }
        switch ((EngineVerdict)said) {
        case ENGINE_CHANGED:
                relocation_note_trouble(relocation, OUTCOME_CHANGED, why, 0);
                if (++relocation->n_conflicts < MAX_CONFLICTS)
                        return relocation_next_region(relocation, RELOCATION_AGAIN);
                break;
        case ENGINE_BUSY:
                relocation_note_trouble(relocation, OUTCOME_BUSY, why, 0);
                break;
        case ENGINE_NO_SPACE:
                if (why == NO_SPACE_FRAGMENTED) {
                        /* Only this region found nothing better; that is no trouble if another one moves. */
                        if (relocation->trouble == OUTCOME_MOVED)
                                relocation->trouble_reason = why;
                        return relocation_next_region(relocation, RELOCATION_AGAIN);
                }
                relocation_note_trouble(relocation, OUTCOME_NO_SPACE, why, 0);
                break;
        case ENGINE_NO_GAIN:
                if (why != REASON_NONE && relocation->trouble == OUTCOME_MOVED)
                        relocation->trouble_reason = why;
                return relocation_next_region(relocation, RELOCATION_AGAIN);
        case ENGINE_SKIP:
                relocation_note_trouble(relocation, OUTCOME_SKIPPED, why, 0);
                break;
        case ENGINE_YOUNG:
                if (++relocation->n_young <= MAX_YOUNG_WAITS) {
                        relocation_let_go(relocation);
                        relocation->stage = STAGE_OPEN;
                        *ret_wait_usec = relocation->job.wait_usec;
                        return RELOCATION_WAIT;
                }
                relocation_note_trouble(relocation, OUTCOME_CHANGED, why, 0);
                break;
        case ENGINE_STALE:
                if (++relocation->n_replans <= MAX_REPLANS) {
                        relocation_let_go(relocation);
                        relocation->stage = STAGE_LOOK;
                        return RELOCATION_AGAIN;
                }
                relocation_note_trouble(relocation, OUTCOME_CHANGED, why, 0);
                break;
        case ENGINE_DONE:
        case ENGINE_MORE:
                assert(false);
        }
        return relocation_finish_next(relocation);
}

static void relocation_job_init(Relocation *relocation)
{
        relocation->job = (EngineJob){
                .volume = relocation->volume,
                .root_fd = relocation->root_fd,
                .target = relocation->candidate->id,
                .parents = &relocation->candidate->parent,
                .n_parents = 1,
                .limits = &relocation->limits,
                .policy = &relocation->policy,
                .looked = &relocation->looked,
                .reserve_bytes = relocation->options->reserve_bytes,
                .copier = relocation->copier,
                .region = relocation->plan.regions[relocation->region],
                .target_fd = -EBADF,
                .donor_fd = -EBADF,
        };
}

/* Is what was committed not what was promised? */
static bool relocation_audit_is_wrong(Relocation *relocation)
{
        TripKind kind;
        int error;

        if (audit_region(&relocation->job, &kind, &error) != AUDIT_WRONG)
                return false;
        relocation_trip(relocation, kind, error);
        relocation_note_trouble(relocation, OUTCOME_FAILED, error != 0 ? REASON_NONE : FAILED_AUDIT, error);
        return true;
}

/* A region that ends early may have slices in their new place. How many runs it would have had in the end is not known. */
static void relocation_audit_part(Relocation *relocation)
{
        if (!relocation->part_committed)
                return;
        relocation->job.runs_after = UINT32_MAX;
        (void)relocation_audit_is_wrong(relocation);
}

/* One step of the engine's, from STAGE_OPEN to STAGE_COMMIT. */
static RelocationStep relocation_engine_step(Relocation *relocation, uint64_t *ret_wait_usec)
{
        const Engine *engine = relocation->volume->engine;
        int (*const calls[])(EngineJob * job) = {
                [STAGE_OPEN] = engine->open,       [STAGE_SAMPLE] = engine->sample,
                [STAGE_RESERVE] = engine->reserve, [STAGE_COPY] = engine->copy,
                [STAGE_VERIFY] = engine->verify,   [STAGE_COMMIT] = engine->commit,
        };
        RelocationStep step;
        int said;

        if (relocation->stage == STAGE_OPEN) {
                if (relocation->owed_usec > 0) {
                        *ret_wait_usec = relocation->owed_usec;
                        relocation->owed_usec = 0;
                        return RELOCATION_WAIT;
                }
                if (relocation->plan.regions[relocation->region].bytes >
                    relocation->options->max_bytes -
                            u64_min(relocation->options->max_bytes, relocation->spent_bytes)) {
                        relocation_note_trouble(relocation, OUTCOME_CANCELLED, CANCELLED_BUDGET, 0);
                        relocation->stage = STAGE_FINISH;
                        return RELOCATION_AGAIN;
                }
                if (!relocation_enter(relocation, &step))
                        return step;
                relocation_job_init(relocation);
                relocation->spent_bytes += relocation->job.region.bytes;
        }

        said = calls[relocation->stage] ? calls[relocation->stage](&relocation->job) : (int)ENGINE_DONE;
        if (relocation->stage == STAGE_COMMIT && engine->by_slices && relocation->job.bytes_moved > 0)
                relocation->part_committed = true; /* also by a slice that went wrong */
        if (said == ENGINE_MORE)
                return RELOCATION_AGAIN;
        if (said != ENGINE_DONE) {
                if (said >= 0)
                        relocation_audit_part(relocation);
                return relocation_refused(relocation, said, ret_wait_usec);
        }
        if (relocation->stage == STAGE_COMMIT) {
                const uint32_t before = relocation->job.region.n_runs, after = relocation->job.runs_after;

                relocation_take_committed(relocation);
                relocation->result.runs_after -=
                        u64_min(relocation->result.runs_after, before > after ? before - after : 0);
        }
        relocation->stage++;
        return RELOCATION_AGAIN;
}

/* STAGE_AUDIT */
static RelocationStep relocation_audit(Relocation *relocation)
{
        return relocation_audit_is_wrong(relocation) ? relocation_finish_next(relocation)
                                                     : relocation_next_region(relocation, RELOCATION_REGION);
}

/* STAGE_FINISH: counts what there is now; a promise is not a result. */
static RelocationStep relocation_finish(Relocation *relocation)
{
        RelocationResult *result = &relocation->result;
        Outcome outcome = relocation->trouble;
        Reason reason = relocation->trouble_reason;

        if (relocation->any_committed) {
                const int r = assess_runs(relocation->volume, relocation->candidate->id,
                                          relocation->looked.size_bytes, &result->runs_after);
                if (r < 0)
                        relocation_trip(relocation, breaker_judge_error(-r, false), -r);
        }
        if (outcome == OUTCOME_MOVED) {
                if (result->runs_after < result->runs_before)
                        reason = REASON_NONE;
                else if (reason == NO_SPACE_FRAGMENTED)
                        outcome = OUTCOME_NO_SPACE;
                else if (reason == SKIP_WOULD_GROW)
                        outcome = OUTCOME_SKIPPED;
                else
                        /* Committed, and nothing is to be seen of it? It was undone meanwhile. */
                        outcome = relocation->any_committed ? OUTCOME_CHANGED : OUTCOME_OPTIMAL;
                if (outcome == OUTCOME_CHANGED)
                        reason = CHANGED_WRITTEN;
        }
        return relocation_end(relocation, outcome, reason, relocation->trouble_error);
}

RelocationStep relocation_step(Relocation *relocation, uint64_t *ret_wait_usec)
{
        const atomic_bool *cancel = relocation->options->cancel;

        if (relocation->stage == STAGE_END)
                return RELOCATION_DONE;
        /* What was committed is looked at in any case. */
        if (cancel && atomic_load(cancel) && relocation->stage != STAGE_FINISH &&
            relocation->stage != STAGE_AUDIT) {
                relocation_audit_part(relocation);
                relocation_let_go(relocation);
                relocation_note_trouble(relocation, OUTCOME_CANCELLED, REASON_NONE, 0);
                relocation->stage = STAGE_FINISH;
        }
        if (relocation->stage == STAGE_LOOK)
                return relocation_look(relocation);
        if (relocation->stage <= STAGE_COMMIT)
                return relocation_engine_step(relocation, ret_wait_usec);
        return relocation->stage == STAGE_AUDIT ? relocation_audit(relocation)
                                                : relocation_finish(relocation);
}
