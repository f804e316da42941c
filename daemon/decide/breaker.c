/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Why equal stamps are proof enough. The sampled ctime was older than the age guard when it was sampled, so whoever changes
 * the file afterwards gives it another one, be it in the same clock tick as the look itself; and every way to change data
 * moves ctime before it touches them. Only truncate(2) shows its new size first, and only a reader that has no lease can
 * see that: a truncate waits for one. */

#include <assert.h>
#include <errno.h>

#include "base/number.h"
#include "decide/breaker.h"

/* FS_XFLAG_HASATTR: goes on and off with extended attributes of the file system's own, which move no stamp. */
#define XFLAG_HASATTR UINT32_C(0x80000000)

TripKind breaker_judge_error(int error, bool at_commit)
{
        switch (error) {
        case 0:
                return TRIP_NONE;
        case EIO:
        case ENODATA:   /* medium error */
        case EREMOTEIO: /* the target failed */
        case EILSEQ:    /* protection information does not fit */
        case ETIMEDOUT: /* no answer from the device */
        case ENOLINK:   /* the path to it failed */
                return TRIP_DEVICE;
        case EUCLEAN: /* EFSCORRUPTED */
        case EBADMSG: /* EFSBADCRC */
                return TRIP_CORRUPTION;
        case ESHUTDOWN:
                return TRIP_SHUTDOWN;
        case ENOMEM:
        case EINTR:
        case EAGAIN:
        case ENODEV: /* unmounted, or the device was taken away */
        case ENXIO:
        case ENOSPC:
        case EDQUOT:
        case EROFS:
        case ESTALE:
        case ENOENT:
        case EBUSY:
        case EFBIG: /* would have more extents than the inode can count */
                return TRIP_NONE;
        default:
                return at_commit ? TRIP_COMMIT : TRIP_NONE;
        }
}

typedef struct Place {
        uint64_t from, to;
        bool unwritten;
} Place;

/* The next stretch of the map below end that is all written or all preallocated, wherever its extents lie. */
static bool next_place(const ExtentMap *map, size_t *at, uint64_t end, Place *ret)
{
        const Extent *extent = &map->extents[*at];

        if (*at == map->n_extents || extent->logical >= end)
                return false;
        *ret = (Place){extent->logical, extent->logical, extent->unwritten};
        for (; *at < map->n_extents; (*at)++) {
                extent = &map->extents[*at];
                if (extent->logical != ret->to || extent->unwritten != ret->unwritten)
                        break;
                ret->to += extent->length;
        }
        ret->to = u64_min(ret->to, end);
        return true;
}

static bool same_places(const ExtentMap *a, const ExtentMap *b, uint64_t end)
{
        size_t at_a = 0, at_b = 0;

        for (;;) {
                Place in_a, in_b;
                const bool any_a = next_place(a, &at_a, end, &in_a);
                const bool any_b = next_place(b, &at_b, end, &in_b);

                if (!any_a || !any_b)
                        return any_a == any_b;
                if (in_a.from != in_b.from || in_a.to != in_b.to || in_a.unwritten != in_b.unwritten)
                        return false;
        }
}

static bool any_shared(const ExtentMap *map)
{
        for (size_t i = 0; i < map->n_extents; i++)
                if (map->extents[i].shared)
                        return true;
        return false;
}

static bool same_attributes(const FileFacts *a, const FileFacts *b)
{
        return file_facts_same(a, b) && (a->xflags | XFLAG_HASATTR) == (b->xflags | XFLAG_HASATTR) &&
               a->extent_hint_bytes == b->extent_hint_bytes && a->project_id == b->project_id;
}

/* The gravest difference. The number of blocks of the inode is none: the blocks of its extent tree count in it, and the tree
 * is smaller afterwards. What the region has allocated is in the map. */
static TripKind first_difference(const AuditFacts *facts)
{
        if (facts->content_differs)
                return TRIP_CONTENT;
        if (!facts->map->complete || !same_places(facts->map_sampled, facts->map, facts->end))
                return TRIP_LAYOUT;
        /* Somebody who deduplicates breaks a run in two without moving a stamp. */
        if (extent_map_runs(facts->map) > facts->runs_allowed && !any_shared(facts->map))
                return TRIP_RUNS;
        /* A stat may see half of a change: what counts is there both times. */
        if (!same_attributes(facts->sampled, facts->before) &&
            !same_attributes(facts->sampled, facts->after))
                return TRIP_ATTRIBUTES;
        return TRIP_NONE;
}

/* Has nobody changed anything between the sample and the end of the look, as far as stamps tell? */
static bool same_stamps(const FileFacts *sampled, const FileFacts *seen)
{
        return sampled->inode == seen->inode && file_stamp_equal(sampled->ctime, seen->ctime);
}

AuditAnswer breaker_judge_audit(const AuditFacts *facts, TripKind *ret_kind)
{
        const TripKind kind = first_difference(facts);

        if (kind == TRIP_NONE)
                return AUDIT_SAME;
        if (!facts->is_quiet || facts->clock_stepped || !same_stamps(facts->sampled, facts->before) ||
            !same_stamps(facts->sampled, facts->after))
                return AUDIT_DOUBTFUL;
        *ret_kind = kind;
        return AUDIT_WRONG;
}

static const char *const texts[] = {
        [TRIP_NONE] = "nothing",
        [TRIP_DEVICE] = "the device gave an error",
        [TRIP_CORRUPTION] = "the file system found itself damaged",
        [TRIP_SHUTDOWN] = "the file system has shut itself down",
        [TRIP_COMMIT] = "the exchange failed in an unexpected way",
        [TRIP_CONTENT] = "after the move something else is read than was copied",
        [TRIP_LAYOUT] = "after the move other places are holes, preallocated or written than before",
        [TRIP_RUNS] = "after the move the region lies in more pieces than was prepared",
        [TRIP_ATTRIBUTES] = "after the move size, times, mode, owner or flags are not what they were",
};
static_assert(ELEMENTS(texts) == TRIP_MAX_, "a trip has no text");

const char *trip_text(TripKind kind)
{
        return (size_t)kind < ELEMENTS(texts) ? texts[kind] : "unknown";
}
