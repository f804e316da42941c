/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The copy: pieces of written extents go round a few buffers, each read, hashed, written; afterwards the same pieces are
 * read back from the donor and hashed again.
 *
 * A step drains what it started, so between steps nothing is in flight and the caller may stop, wait or close. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "base/protection.h"
#include "fs/copy.h"
#include "fs/copy_backend.h"

/* 8 x 512 KiB: four megabytes of locked memory stay below the 8 MiB that systems grant by default, and eight requests
 * in flight keep a disk and a flash device busy. */
#define N_SLOTS     8
#define PIECE_BYTES ((uint32_t)(512 * KIB))
/* Pieces a step: 16 MiB, a tenth of a second on a disk. */
#define STEP_PIECES 32

typedef struct Piece {
        uint64_t offset;       /* in the source */
        uint32_t bytes;        /* rounded up to the alignment */
        uint32_t source_bytes; /* of these, how many lie before EOF; the rest are zeros */
        XXH64_hash_t hash;
} Piece;

typedef struct Slot {
        void *buffer;
        CopyRequest request;
        size_t piece;
} Slot;

struct Copier {
        Aside *aside;
        CopyRing *ring;        /* NULL: pread and pwrite */
        CopyRing *unused_ring; /* it got no locked memory; closed at the end */
        void *memory;
        bool refused; /* the ring has taken a request and not passed it on: it would come with the next one */
        bool renew_ring;    /* it was given up */
        bool renew_buffers; /* and some of its requests may still be under way into them */
        Slot slots[N_SLOTS];

        int source_fd;
        int donor_fd;
        uint64_t donor_shift;
        uint32_t align_bytes;
        Piece *pieces;
        size_t n_pieces;
        size_t room;
        size_t next;        /* first piece that the copy has not begun */
        size_t next_verify; /* the same of the verification */
        CopyRequest flush;  /* of the donor */
        bool flushing;      /* it is in flight */
        uint64_t bytes;
};

/* Fresh pages, at that place if there is one. */
static void *buffers_map(void *place)
{
        void *memory = mmap(place, (size_t)N_SLOTS * PIECE_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | (place ? MAP_FIXED : 0), -1, 0);

        /* Other people's data stays out of core dumps; best effort, LimitCORE= says the same. */
        if (memory != MAP_FAILED)
                (void)madvise(memory, (size_t)N_SLOTS * PIECE_BYTES, MADV_DONTDUMP);
        return memory;
}

/* Returns 0, also where the kernel does not let us have one; -ENOMEM. */
static int ring_make(Copier *copier)
{
        void *buffers[N_SLOTS];
        CopyRing *ring = NULL;
        int r;

        for (unsigned i = 0; i < N_SLOTS; i++)
                buffers[i] = copier->slots[i].buffer;
        r = copy_ring_new(N_SLOTS, buffers, PIECE_BYTES, &ring);
        if (r == 0) {
                copier->ring = ring;
        } else {
                copy_ring_free(copier->unused_ring);
                copier->unused_ring = ring;
        }
        return r < 0 ? r : 0;
}

int copier_new(bool force_sync, Copier **ret)
{
        Copier *copier = calloc(1, sizeof(*copier));
        int r;

        if (!copier)
                return -ENOMEM;
        copier->memory = buffers_map(NULL);
        if (copier->memory == MAP_FAILED) {
                free(copier);
                return -ENOMEM;
        }
        for (unsigned i = 0; i < N_SLOTS; i++)
                copier->slots[i].buffer = (char *)copier->memory + (size_t)i * PIECE_BYTES;
        r = aside_new(force_sync, &copier->aside);
        if (r == 0 && !force_sync)
                r = ring_make(copier);
        if (r < 0) {
                copier_free(copier);
                return r;
        }
        *ret = copier;
        return 0;
}

Copier *copier_free(Copier *copier)
{
        if (copier) {
                aside_free(copier->aside);
                copy_ring_free(copier->ring);
                copy_ring_free(copier->unused_ring);
                (void)munmap(copier->memory, (size_t)N_SLOTS * PIECE_BYTES);
                free(copier->pieces);
                free(copier);
        }
        return NULL;
}

bool copier_uses_uring(const Copier *copier)
{
        return copier->ring;
}

Aside *copier_aside(const Copier *copier)
{
        return copier->aside;
}

uint64_t copier_bytes(const Copier *copier)
{
        return copier->bytes;
}

/* The rest of the region ends with that error; the next one gets a new ring. */
static void ring_give_up(Copier *copier, int error)
{
        copier->ring = copy_ring_free(copier->ring);
        copier->refused = false;
        copier->renew_ring = true;
        copier->flushing = false;
        copier->flush.result = error;
}

/* After a ring was given up. What it has left under way ends in pages that are no longer ours. Returns 0 or -ENOMEM. */
static int ring_renew(Copier *copier)
{
        if (copier->renew_buffers) {
                if (buffers_map(copier->memory) == MAP_FAILED)
                        return -ENOMEM;
                copier->renew_buffers = false;
        }
        if (copier->renew_ring) {
                if (ring_make(copier) < 0)
                        return -ENOMEM;
                copier->renew_ring = false;
        }
        return 0;
}

static int pieces_add(Copier *copier, uint64_t from, uint64_t to, uint64_t size_bytes)
{
        while (from < to) {
                uint64_t end = u64_min(to, from + PIECE_BYTES);

                if (copier->n_pieces == copier->room) {
                        size_t more = copier->room ? copier->room * 2 : 256;
                        Piece *grown = reallocarray(copier->pieces, more, sizeof(*grown));

                        if (!grown)
                                return -ENOMEM;
                        copier->pieces = grown;
                        copier->room = more;
                }
                copier->pieces[copier->n_pieces++] = (Piece){
                        .offset = from,
                        .bytes = (uint32_t)(u64_align_up(end, copier->align_bytes) - from),
                        .source_bytes = (uint32_t)(u64_min(end, size_bytes) - from),
                };
                from = end;
        }
        return 0;
}

int copier_begin(Copier *copier, int source_fd, int donor_fd, const ExtentMap *map, uint64_t size_bytes,
                 uint64_t donor_shift, uint32_t align_bytes)
{
        int r;

        assert(align_bytes > 0 && align_bytes <= PIECE_BYTES && PIECE_BYTES % align_bytes == 0);
        assert(!copier->flushing);
        r = ring_renew(copier);
        if (r < 0)
                return r;
        copier->source_fd = source_fd;
        copier->donor_fd = donor_fd;
        copier->donor_shift = donor_shift;
        copier->align_bytes = align_bytes;
        copier->n_pieces = copier->next = copier->next_verify = 0;
        copier->bytes = 0;

        for (size_t i = 0; i < map->n_extents;) {
                uint64_t from = map->extents[i].logical, to = from + map->extents[i].length;
                bool unwritten = map->extents[i].unwritten;

                for (i++; i < map->n_extents && !unwritten && !map->extents[i].unwritten &&
                          map->extents[i].logical == to;
                     i++)
                        to += map->extents[i].length;
                if ((unwritten && PROTECTED_BY(UNWRITTEN)) || from >= size_bytes)
                        continue;
                r = pieces_add(copier, from, u64_min(to, u64_align_up(size_bytes, align_bytes)), size_bytes);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Does one request by hand, the rest of a short one included; *result is bytes or -errno as io_uring gives it. */
static void request_finish(CopyRequest *request, uint32_t done, uint32_t wanted, uint32_t align_bytes)
{
        /* Direct I/O stops off the alignment only at EOF, and could not go on from there. */
        while (done < wanted && done % align_bytes == 0) {
                char *at = (char *)request->buffer + done;
                ssize_t n = request->kind == COPY_WRITE ? pwrite(request->fd, at, request->bytes - done,
                                                                 (off_t)(request->offset + done))
                                                        : pread(request->fd, at, request->bytes - done,
                                                                (off_t)(request->offset + done));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        request->result = -errno;
                        return;
                }
                if (n == 0)
                        break;
                done += (uint32_t)n;
        }
        request->result = (int)done;
}

static int request_start(Copier *copier, CopyRequest *request)
{
        int r;

        if (!copier->ring)
                return 0;
        if (copier->refused)
                return -ECANCELED;
        r = copy_ring_submit(copier->ring, request);
        copier->refused = copier->refused || r < 0;
        return r;
}

typedef enum Phase { PHASE_READ, PHASE_WRITE, PHASE_VERIFY } Phase;

static int slot_start(Copier *copier, unsigned index, size_t piece, Phase phase)
{
        Slot *slot = &copier->slots[index];
        const Piece *what = &copier->pieces[piece];

        slot->piece = piece;
        slot->request = (CopyRequest){
                .fd = phase == PHASE_READ ? copier->source_fd : copier->donor_fd,
                .slot = index,
                .buffer = slot->buffer,
                .bytes = what->bytes,
                .offset = phase == PHASE_READ ? what->offset : what->offset - copier->donor_shift,
                .kind = phase == PHASE_WRITE ? COPY_WRITE : COPY_READ,
        };
        return request_start(copier, &slot->request);
}

/* The request of a slot is done: what follows from it? Returns COPY_MORE when the slot has another request in flight,
 * 0 when the piece is finished, or what ends the step. */
static int slot_finished(Copier *copier, Slot *slot, bool verify)
{
        CopyRequest *request = &slot->request;
        Piece *piece = &copier->pieces[slot->piece];
        uint32_t wanted = request->kind == COPY_WRITE ? piece->bytes : piece->source_bytes;
        int r;

        /* Of a device mapper's disk that fails Linux 6.1 tells a ring to try again; pread(2) tells what is wrong. And where a ring may have no
         * thread for what it cannot do at once (pids.max), it has not tried. */
        if (request->result == -EAGAIN || request->result == -ECANCELED)
                request_finish(request, 0, wanted, copier->align_bytes);
        if (request->result >= 0 && (uint32_t)request->result < wanted)
                request_finish(request, (uint32_t)request->result, wanted, copier->align_bytes);
        if (request->result == -EIO && request->kind == COPY_READ && !verify)
                return COPY_UNREAD;
        if (request->result < 0)
                return request->result;
        if ((uint32_t)request->result < wanted)
                return request->kind == COPY_WRITE ? -EIO : (verify ? COPY_WRONG : COPY_SHORT);

        if (request->kind == COPY_WRITE) {
                copier->bytes += piece->bytes;
                return 0;
        }
        if (verify)
                return XXH3_64bits(slot->buffer, piece->source_bytes) == piece->hash ? 0 : COPY_WRONG;

        piece->hash = XXH3_64bits(slot->buffer, piece->source_bytes);
        memset((char *)slot->buffer + piece->source_bytes, 0, piece->bytes - piece->source_bytes);
        r = slot_start(copier, request->slot, slot->piece, PHASE_WRITE);
        return r < 0 ? r : COPY_MORE;
}

/* Next request that is done. Without a ring the one in the first slot is done here and now. */
static int request_wait(Copier *copier, CopyRequest **ret)
{
        CopyRequest *request = &copier->slots[0].request;
        int r;

        while (copier->ring) {
                r = copy_ring_wait(copier->ring, ret);
                if (r < 0) {
                        /* Nobody knows what is in flight any more. */
                        copier->renew_buffers = true;
                        ring_give_up(copier, r);
                        return r;
                }
                if (*ret != &copier->flush)
                        return 0;
                copier->flushing = false;
        }
        request_finish(request, 0,
                       request->kind == COPY_WRITE ? request->bytes
                                                   : copier->pieces[copier->slots[0].piece].source_bytes,
                       copier->align_bytes);
        *ret = request;
        return 0;
}

/* Pushes up to STEP_PIECES pieces from *next on through the slots. */
static int pump(Copier *copier, size_t *next, bool verify)
{
        const unsigned n_slots = copier->ring ? N_SLOTS : 1;
        size_t end = *next + u64_min(STEP_PIECES, copier->n_pieces - *next);
        unsigned in_flight = 0, idle[N_SLOTS], n_idle = 0;
        int r, result = 0;

        for (unsigned i = 0; i < n_slots; i++)
                idle[n_idle++] = i;
        for (;;) {
                CopyRequest *request;

                while (n_idle > 0 && *next < end && result == 0) {
                        r = slot_start(copier, idle[n_idle - 1], *next, verify ? PHASE_VERIFY : PHASE_READ);
                        if (r < 0) {
                                result = r;
                                break;
                        }
                        n_idle--;
                        in_flight++;
                        (*next)++;
                }
                if (in_flight == 0)
                        break;
                r = request_wait(copier, &request);
                if (r < 0)
                        return r;
                r = slot_finished(copier, &copier->slots[request->slot], verify);
                if (r == COPY_MORE)
                        continue;
                in_flight--;
                idle[n_idle++] = request->slot;
                if (r != 0 && result == 0)
                        result = r; /* the first trouble counts; the rest is only drained */
        }
        if (copier->refused)
                ring_give_up(copier, result);
        if (result != 0)
                return result;
        return *next < copier->n_pieces ? COPY_MORE : 0;
}

int copier_step(Copier *copier)
{
        return pump(copier, &copier->next, false);
}

int copier_verify_step(Copier *copier)
{
        assert(copier->next == copier->n_pieces);
        return pump(copier, &copier->next_verify, true);
}

/* One request at a time: three of them, and nothing else to do meanwhile. */
static int piece_check(Copier *copier, const Piece *piece, int fd)
{
        CopyRequest request = {
                .kind = COPY_READ,
                .fd = fd,
                .buffer = copier->slots[0].buffer,
                .bytes = piece->bytes,
                .offset = piece->offset,
        };

        request_finish(&request, 0, piece->source_bytes, copier->align_bytes);
        if (request.result < 0)
                return request.result;
        return (uint32_t)request.result >= piece->source_bytes &&
                               XXH3_64bits(request.buffer, piece->source_bytes) == piece->hash
                       ? 0
                       : COPY_WRONG;
}

int copier_sample_check(Copier *copier, int fd)
{
        const size_t n = copier->n_pieces;
        const size_t chosen[] = {0, n / 2, n > 0 ? n - 1 : 0};
        int r;

        assert(copier->next == n && !copier->flushing);
        for (size_t i = 0; i < ELEMENTS(chosen); i++) {
                if (n == 0 || (i > 0 && chosen[i] == chosen[i - 1]))
                        continue;
                r = piece_check(copier, &copier->pieces[chosen[i]], fd);
                if (r != 0)
                        return r;
        }
        return 0;
}

int copier_flush_begin(Copier *copier)
{
        int r;

        assert(!copier->flushing);
        copier->flush = (CopyRequest){.kind = COPY_FLUSH, .fd = copier->donor_fd};
        if (!PROTECTED_BY(DURABLE_DONOR))
                return 0;
        if (!copier->ring)
                return fdatasync(copier->donor_fd) < 0 ? -errno : 0;
        r = request_start(copier, &copier->flush);
        if (r < 0)
                ring_give_up(copier, r);
        copier->flushing = r >= 0;
        return r;
}

int copier_flush_wait(Copier *copier)
{
        while (copier->flushing) {
                CopyRequest *request;
                int r = copy_ring_wait(copier->ring, &request);

                /* It is the only one in flight: a step drains what it started. */
                copier->flushing = false;
                if (r < 0)
                        ring_give_up(copier, r);
        }
        /* The ring had no thread for it: nothing was tried. */
        if (copier->flush.result == -ECANCELED)
                return fdatasync(copier->donor_fd) < 0 ? -errno : 0;
        return copier->flush.result < 0 ? copier->flush.result : 0;
}

void copier_let_go(Copier *copier)
{
        if (copier->flushing)
                (void)copier_flush_wait(copier);
        if (copier->ring && copy_ring_let_go(copier->ring) < 0)
                ring_give_up(copier, 0);
        aside_let_go(copier->aside);
}
