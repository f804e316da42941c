/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The cheap answers first: attributes, then the map, and only for a file that would be moved a look into it. */

#include <errno.h>
#include <fcntl.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/protection.h"
#include "decide/breaker.h"
#include "facts/extent_map.h"
#include "facts/swap_signature.h"
#include "work/assess.h"

/* A whole-file engine needs the whole map at once: 160 MB of memory for the worst file. */
#define WHOLE_FILE_EXTENTS_MAX 4000000

void assess_widen(const FsVolume *volume, int root_fd, const Engine *engine, uint64_t max_sliced_bytes,
                  PlanLimits *limits)
{
        uint64_t free_bytes;

        if (!engine->by_slices)
                return;
        limits->max_region_runs = UINT32_MAX;
        if (fs_volume_free_bytes(volume, root_fd, &free_bytes) < 0)
                return;
        /* Where MaxRate= wants pauses after less than the longest region it gets them. */
        if (limits->max_region_bytes >= PLAN_REGION_BYTES)
                limits->max_tied_bytes = u64_min(PLAN_SLICED_BYTES, free_bytes / 8);
        limits->max_region_bytes =
                u64_max(limits->max_region_bytes, u64_min(max_sliced_bytes, free_bytes / 8));
}

/* Everything that is allocated, for an engine that can only move all of it. */
static uint64_t map_bytes(const ExtentMap *map)
{
        uint64_t bytes = 0;

        for (size_t i = 0; i < map->n_extents; i++)
                bytes += map->extents[i].length;
        return bytes;
}

static int assess_layout(const FsVolume *volume, int fd, FileId id, const PlanLimits *limits, bool may_flush,
                         Assessment *assessment)
{
        const FileSystemType *type = volume->facts.type;
        _cleanup_(extent_map_done) ExtentMap map = {0};
        size_t most = limits->whole_file ? WHOLE_FILE_EXTENTS_MAX : EXTENT_MAP_MAX;
        int r;

        r = fs_volume_map_read(volume, fd, id, 0, UINT64_MAX, false, most, &map);
        if (r < 0)
                return r;
        /* Data that has no place yet gets one; a file that is being written right now will be refused later. */
        if (extent_map_any_unplaced(&map) && (!map.any_encoded || type->map_decode) && may_flush) {
                extent_map_done(&map);
                r = fs_volume_map_read(volume, fd, id, 0, UINT64_MAX, true, most, &map);
                if (r < 0)
                        return r;
        }
        if (limits->whole_file && !map.complete)
                return -EFBIG;
        if (map.n_extents > 1 && type->map_tie) {
                r = type->map_tie(fd, id, &map);
                if (r < 0)
                        return r;
        }

        r = plan_make(&map, assessment->facts.size_bytes, limits, &assessment->plan);
        if (r < 0)
                return r;
        if (limits->whole_file && assessment->plan.n_regions == 1) {
                Region *whole = &assessment->plan.regions[0];

                /* Blocks behind EOF go along: they have to be reserved, too. */
                whole->bytes = u64_max(whole->bytes, map_bytes(&map));
        }
        return 0;
}

int assess_file(const FsVolume *volume, int root_fd, FileId id, const Engine *engine, PlanLimits *limits,
                const Policy *policy, bool dry_run, Assessment *ret)
{
        _cleanup_(assessment_done) Assessment assessment = {0};
        _cleanup_close_ int fd = -EBADF;
        bool swap = false;
        int r;

        fd = fs_volume_inode_open(volume, root_fd, id, O_RDONLY | O_NONBLOCK);
        if (fd < 0)
                return fd;
        r = file_facts_read(fd, &assessment.facts);
        if (r < 0)
                return r;
        assessment.reason = policy_judge(policy, &assessment.facts);
        r = assessment.reason == REASON_NONE ? fs_volume_file_refusal(volume, fd, &assessment.reason) : 0;
        if (r < 0)
                return r;
        if (assessment.reason != REASON_NONE) {
                *ret = TAKE(assessment, (Assessment){0});
                return ASSESS_SKIP;
        }

        limits->block_bytes = volume->facts.block_bytes;
        limits->unit_bytes = u64_max(assessment.facts.extent_hint_bytes, limits->block_bytes);
        r = assess_layout(volume, fd, id, limits, !dry_run, &assessment);
        if (r < 0)
                return r;
        if (assessment.plan.n_regions == 0) {
                r = ASSESS_OPTIMAL;
                if (assessment.plan.blocked_by_sharing) {
                        assessment.reason = SKIP_SHARED;
                        r = ASSESS_SKIP;
                } else if (assessment.plan.blocked_by_encoding) {
                        assessment.reason = SKIP_COMPRESSED;
                        r = ASSESS_SKIP;
                }
                *ret = TAKE(assessment, (Assessment){0});
                return r;
        }

        if (dry_run || !engine->finds_swap) {
                r = swap_signature_read(fd, assessment.facts.size_bytes,
                                        volume->facts.type->stale_read_ahead, &swap);
                if (r < 0)
                        return r;
        }
        swap = swap && PROTECTED_BY(SWAP_SIGNATURE);
        if (swap)
                assessment.reason = SKIP_SWAPFILE;
        *ret = TAKE(assessment, (Assessment){0});
        return swap ? ASSESS_SKIP : 0;
}

void assessment_done(Assessment *assessment)
{
        plan_done(&assessment->plan);
}

int assess_runs(const FsVolume *volume, FileId id, uint64_t size_bytes, uint64_t *ret)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        _cleanup_close_ int root_fd = fs_volume_open(volume), fd = -EBADF;
        int r;

        if (root_fd < 0)
                return 1;
        fd = fs_volume_inode_open(volume, root_fd, id, O_RDONLY | O_NONBLOCK);
        if (fd < 0)
                return fd;
        r = fs_volume_map_read(volume, fd, id, 0, u64_align_up(size_bytes, volume->facts.block_bytes), false,
                               EXTENT_MAP_MAX, &map);
        if (r < 0)
                return r;
        if (!map.complete)
                return 1;
        *ret = extent_map_runs(&map);
        return 0;
}

Outcome assess_error(int error, Reason *ret)
{
        switch (-error) {
        case EWOULDBLOCK:
                *ret = BUSY_OPEN;
                return OUTCOME_BUSY;
        case ESTALE:
        case ENOENT:
                *ret = SKIP_VANISHED;
                return OUTCOME_SKIPPED;
        case EROFS:
                *ret = SKIP_READ_ONLY;
                return OUTCOME_SKIPPED;
        case ENOKEY: /* nobody has told the kernel its key */
                *ret = SKIP_ENCRYPTED;
                return OUTCOME_SKIPPED;
        default:
                *ret = REASON_NONE;
                return OUTCOME_FAILED;
        }
}

Outcome assess_probe_error(int error, Reason *ret)
{
        *ret = REASON_NONE;
        /* The disk's, or the kernel's. */
        if (breaker_judge_error(-error, false) != TRIP_NONE)
                return OUTCOME_FAILED;
        switch (-error) {
        case ENOMEM:
        case ENFILE:
        case EMFILE:
        case EINTR:
        case EAGAIN:
        case ENODEV:
        case ENXIO:
                return OUTCOME_FAILED;
        case ENOSPC:
                *ret = NO_SPACE_FULL;
                return OUTCOME_NO_SPACE;
        case EDQUOT:
                *ret = SKIP_QUOTA;
                return OUTCOME_SKIPPED;
        case EROFS:
                *ret = SKIP_READ_ONLY;
                return OUTCOME_SKIPPED;
        case EOPNOTSUPP:
                *ret = SKIP_NO_LEASES;
                return OUTCOME_SKIPPED;
        default:
                *ret = SKIP_NO_ENGINE;
                return OUTCOME_SKIPPED;
        }
}
