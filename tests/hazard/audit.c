/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 btrfs */
/* WHOLE_FILE_SYSTEMS: btrfs-zstd */
/* MUTANTS: AUDIT AUDIT:ext4 AUDIT:btrfs */
/* LIMIT: 240 */

/* What was committed is not what was promised, and what only looks like that.
 *
 * No kernel that we have gets a commit wrong, so its fault is made by hand: between the commit and the look at it the
 * device is written to at the file's new place, around the file system, and nobody's stamps move. Without the look the move
 * is a success, and the next reader gets something else. The other way round, whatever others may do to the file right
 * after the commit must not be taken for a fault: it would stop the volume. */

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs_tree.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "facts/btrfs_tree.h"
#include "facts/extent_map.h"
#include "lib-hazard.h"

#define PIECE_BYTES (64 * (size_t)KIB)
/* Five pieces of the copy: the look reads the first, the middle and the last. */
#define N_PIECES    40
#define BLOCK_BYTES ((size_t)4096)

/* So many files are made and grow old together; each deed comes to each place. */
#define N_FILES     27
#define N_ROUNDS    (getenv("WHOLE") ? 4U : 1U)
#define RACE_PIECES 6

/* The device below the volume, whose name the kernel knows. -1 where it cannot be written to while it is mounted. */
static int device_open(const Arena *arena)
{
        char link[64], target[256], path[300];
        ssize_t n;

        snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(arena_disk(arena)),
                 minor(arena_disk(arena)));
        n = readlink(link, target, sizeof(target) - 1);
        must(n > 0);
        target[n] = '\0';
        snprintf(path, sizeof(path), "/dev/%s", strrchr(target, '/') + 1);
        return open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
}

/* btrfs has addresses of its own, which its chunks lay out on the devices; here there is one device, and data are there once. */
static off_t place_of_address(const Arena *arena, uint64_t address)
{
        _cleanup_(btrfs_scan_done) BtrfsScan scan = {0};
        _cleanup_close_ int fd = open(arena->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const BtrfsKey first = {BTRFS_FIRST_CHUNK_TREE_OBJECTID, BTRFS_CHUNK_ITEM_KEY, 0};
        const BtrfsKey last = {BTRFS_FIRST_CHUNK_TREE_OBJECTID, BTRFS_CHUNK_ITEM_KEY, UINT64_MAX};
        BtrfsItem item;

        must(fd >= 0);
        must(btrfs_scan_begin(&scan, fd, BTRFS_CHUNK_TREE_OBJECTID, first, last, BTRFS_SCAN_SMALL) == 0);
        while (btrfs_scan_next(&scan, &item) > 0) {
                struct btrfs_chunk chunk;

                must(item.n_bytes >= sizeof(chunk));
                memcpy(&chunk, item.data, sizeof(chunk));
                if (address < item.key.offset || address - item.key.offset >= le64toh(chunk.length))
                        continue;
                must(le16toh(chunk.num_stripes) == 1);
                return (off_t)(address - item.key.offset + le64toh(chunk.stripe.offset));
        }
        hazard_die("an address without a chunk", __FILE__, __LINE__);
}

/* Where byte `offset` of the file lies on the device now. */
static off_t place_of(const Arena *arena, const Subject *subject, size_t offset)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC);

        must(fd >= 0 && extent_map_read(fd, offset, BLOCK_BYTES, false, 16, &map) == 0);
        must(map.n_extents == 1 && !map.extents[0].unplaced);
        return arena_is(arena, "btrfs") ? place_of_address(arena, map.extents[0].physical)
                                        : (off_t)map.extents[0].physical;
}

/* One bit, as a disk that puts a block somewhere else would change all of them. */
static void flip_on_device(int device_fd, off_t at)
{
        _cleanup_free_ uint8_t *block = NULL;

        must(posix_memalign((void **)&block, BLOCK_BYTES, BLOCK_BYTES) == 0);
        must(pread(device_fd, block, BLOCK_BYTES, at) == (ssize_t)BLOCK_BYTES);
        block[321] ^= 0x04;
        must(pwrite(device_fd, block, BLOCK_BYTES, at) == (ssize_t)BLOCK_BYTES);
}

/* Other openers of the file at the time of the look. */
typedef enum Opener { NOBODY, READER, WRITER } Opener;

/* A file that is old enough for its stamps to tell. */
static Subject *aged_file(const Arena *arena)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);

        /* On the others the move waits for it. */
        if (arena_is(arena, "btrfs"))
                pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        return subject;
}

/* The disk is right again; what was read meanwhile may still be cached. */
static void flip_back(int device_fd, off_t at, const Subject *subject)
{
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC);

        flip_on_device(device_fd, at);
        must(fd >= 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
}

/* The file system has nothing to do with it, and the look must find out. With a writer about it cannot know who it was. */
static void wrong_on_device(Arena *arena, int device_fd, size_t offset, Opener opener, const char *what)
{
        Subject *subject = aged_file(arena);
        _cleanup_close_ int other_fd = -EBADF;
        const RelocationResult *result;
        uint8_t block[BLOCK_BYTES];
        Move move;
        off_t at;

        move_begin(arena, subject, &move);
        /* The free space may be in pieces just now. */
        for (unsigned tries = 0; !move_until(&move, "audit"); tries++) {
                must(tries < 5);
                hazard_note(arena, "%s: %s before the commit", what,
                            outcome_name(relocation_result(move.relocation)->outcome));
                move_end(&move);
                move_begin(arena, subject, &move);
        }
        if (opener != NOBODY)
                other_fd =
                        open(subject->path, (opener == READER ? O_RDONLY | O_NOATIME : O_RDWR) | O_CLOEXEC);
        must(opener == NOBODY || other_fd >= 0);
        /* What the look reads is in the page cache, and right. */
        must(opener != READER ||
             pread(other_fd, block, sizeof(block), (off_t)offset) == (ssize_t)sizeof(block));
        at = place_of(arena, subject, offset);
        flip_on_device(device_fd, at);
        (void)move_until(&move, NULL);
        result = relocation_result(move.relocation);
        if (opener == WRITER) {
                if (result->outcome != OUTCOME_MOVED || result->trip.kind != TRIP_NONE)
                        hazard_wrong(arena, "%s: %s, though the one who has it open may have written", what,
                                     outcome_name(result->outcome));
        } else if (result->outcome == OUTCOME_MOVED && result->trip.kind == TRIP_NONE) {
                hazard_lost(arena, "%s: nobody noticed", what);
        } else if (result->outcome != OUTCOME_FAILED || result->reason != FAILED_AUDIT ||
                   result->trip.kind != TRIP_CONTENT || strcmp(result->trip.step, "audit") != 0 ||
                   result->trip.length == 0) {
                hazard_wrong(arena, "%s: %s, trip %d at %s", what, outcome_name(result->outcome),
                             (int)result->trip.kind, result->trip.step ? result->trip.step : "nothing");
        }
        move_end(&move);
        (void)fd_close(other_fd);
        other_fd = -EBADF;
        /* Only the one bit was wrong. */
        flip_back(device_fd, at, subject);
        (void)subject_check(arena, subject, what);
        subject_free(subject);
}

/* A region that ends before its last slice: what was committed of it is looked at as well. */
static void wrong_in_a_part(Arena *arena, int device_fd)
{
        Subject *subject = aged_file(arena);
        atomic_bool cancel = false;
        const RelocationResult *result;
        uint64_t wait_usec;
        Move move;
        const off_t old = place_of(arena, subject, 4096);
        off_t at = old;

        arena->options.cancel = &cancel;
        move_begin(arena, subject, &move);
        move_reach(&move, "commit");
        /* On btrfs a slice ends when the next one has begun. */
        while (at == old) {
                must(relocation_step(move.relocation, &wait_usec) == RELOCATION_AGAIN);
                must(strcmp(relocation_stage(move.relocation), "commit") == 0);
                at = place_of(arena, subject, 4096);
        }
        flip_on_device(device_fd, at);
        atomic_store(&cancel, true);
        (void)move_until(&move, NULL);
        result = relocation_result(move.relocation);
        if (result->trip.kind != TRIP_CONTENT)
                hazard_lost(arena, "a bit of the first slice, and the rest cancelled: %s, nobody noticed",
                            outcome_name(result->outcome));
        move_end(&move);
        arena->options.cancel = NULL;
        flip_back(device_fd, at, subject);
        (void)subject_check(arena, subject, "a bit of the first slice");
        subject_free(subject);
}

/* --- what others may do --- */

static void write_cached(const char *path, size_t offset, const uint8_t *from, size_t n_bytes, int flags)
{
        _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | flags);

        must(fd >= 0 && pwrite(fd, from, n_bytes, (off_t)offset) == (ssize_t)n_bytes);
}

static void store_mapped(const char *path, size_t offset, const uint8_t *from, size_t n_bytes, bool flush)
{
        _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
        uint8_t *memory;

        must(fd >= 0);
        memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
        must(memory != MAP_FAILED);
        memcpy(memory, from, n_bytes);
        if (flush)
                must(msync(memory, n_bytes, MS_SYNC) == 0);
        must(munmap(memory, n_bytes) == 0);
}

#define N_DEEDS 9

/* One of the things that change a file, at a place that the look reads. content: what is there already or will be. */
static void do_deed(unsigned deed, const char *path, size_t offset, const uint8_t *content,
                    size_t file_bytes)
{
        _cleanup_close_ int fd = -EBADF;

        switch (deed % N_DEEDS) {
        case 0:
                write_cached(path, offset, content, BLOCK_BYTES, 0);
                return;
        case 1:
                write_cached(path, offset, content, BLOCK_BYTES, O_SYNC);
                return;
        case 2:
                write_cached(path, offset, content, BLOCK_BYTES, O_DIRECT);
                return;
        case 3:
                store_mapped(path, offset, content, BLOCK_BYTES, false);
                return;
        case 4:
                store_mapped(path, offset, content, BLOCK_BYTES, true);
                return;
        case 5: /* without a descriptor */
                must(truncate(path, (off_t)offset) == 0 && truncate(path, (off_t)file_bytes) == 0);
                return;
        case 6:
                fd = open(path, O_RDWR | O_CLOEXEC);
                must(fd >= 0 && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                                          BLOCK_BYTES) == 0);
                return;
        case 7:
                fd = open(path, O_RDWR | O_CLOEXEC);
                must(fd >= 0);
                /* It gets shorter each time, and has to stay longer than what is cut out. */
                /* btrfs cannot cut out. */
                if (fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, (off_t)(offset / 2 / BLOCK_BYTES * BLOCK_BYTES),
                              BLOCK_BYTES) < 0)
                        must(errno == EINVAL || errno == EOPNOTSUPP);
                return;
        case 8:
                must(chmod(path, 0600) == 0 && chmod(path, 0640) == 0);
                return;
        }
}

/* Offsets in the first, the middle and the last piece of the copy of a file of RACE_PIECES. */
static size_t place_in_race(unsigned i)
{
        static const size_t places[] = {0, 2 * PIECE_BYTES + 8192, RACE_PIECES * PIECE_BYTES - 4096};

        return places[i % ELEMENTS(places)];
}

typedef struct Racer {
        const Subject *subject;
        uint8_t *block;
        unsigned number;
        atomic_bool go;
        atomic_uint n_done;
        atomic_bool stop;
} Racer;

static void *race(void *context)
{
        Racer *racer = context;

        while (!atomic_load(&racer->go))
                ;
        for (unsigned i = 0; !atomic_load(&racer->stop); i++) {
                do_deed(racer->number + i * (racer->number % 4 == 0), racer->subject->path,
                        place_in_race(racer->number + i), racer->block, racer->subject->bytes);
                atomic_fetch_add(&racer->n_done, 1);
        }
        return NULL;
}

typedef struct Tally {
        unsigned n_committed, n_raced, n_refused;
} Tally;

/* Steps to the end. Says when the breaker has tripped. */
static void finish(Arena *arena, Move *move, const char *what, unsigned number, Tally *tally)
{
        const RelocationResult *result;

        (void)move_until(move, NULL);
        result = relocation_result(move->relocation);
        if (result->trip.kind != TRIP_NONE || result->outcome == OUTCOME_FAILED)
                hazard_wrong(arena, "%s (deed %u): a false alarm: %s", what, number % N_DEEDS,
                             trip_text(result->trip.kind));
        if (result->bytes_moved > 0)
                tally->n_committed++;
        else
                tally->n_refused++;
        move_end(move);
}

/* Another process, or the same machine at least, at work on the file from the commit on. by_hand: exactly between the
 * commit and the look; else it goes round and round from just before the commit to the end. */
static void foreign_deeds(Arena *arena, bool by_hand, unsigned round, Tally *tally)
{
        Subject *subjects[N_FILES];
        _cleanup_free_ uint8_t *block = NULL;
        char name[32];

        must(posix_memalign((void **)&block, BLOCK_BYTES, BLOCK_BYTES) == 0);
        for (unsigned i = 0; i < N_FILES; i++) {
                snprintf(name, sizeof(name), "race-%u", i);
                subjects[i] = subject_new(arena, name, RACE_PIECES, PIECE_BYTES, 0);
        }
        for (unsigned i = 0; i < N_FILES; i++) {
                Racer racer = {.subject = subjects[i], .block = block, .number = i + round};
                pthread_t thread;
                Move move;

                memset(block, (int)(i + 1), BLOCK_BYTES);
                move_begin(arena, subjects[i], &move);
                if (!by_hand)
                        must(pthread_create(&thread, NULL, race, &racer) == 0);
                move_reach(&move, by_hand ? "audit" : "commit");
                if (by_hand) {
                        do_deed(i, subjects[i]->path, place_in_race(i / N_DEEDS), block, subjects[i]->bytes);
                        tally->n_raced++;
                } else {
                        atomic_store(&racer.go, true);
                        /* In every fourth try the commit is refused for it; in the others it has to come in between. */
                        while (i % 4 == 0 && atomic_load(&racer.n_done) == 0)
                                ;
                }
                finish(arena, &move, by_hand ? "after the commit" : "a race with the commit", i, tally);
                if (!by_hand) {
                        atomic_store(&racer.stop, true);
                        must(pthread_join(thread, NULL) == 0);
                        tally->n_raced += atomic_load(&racer.n_done) > 0;
                }
        }
        for (unsigned i = 0; i < N_FILES; i++)
                subject_free(subjects[i]);
}

/* btrfs finds wrong bits by itself in what has checksums: new files in the arena shall have none. */
static void without_checksums(const Arena *arena)
{
        _cleanup_close_ int fd = open(arena->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int flags = FS_NOCOW_FL;

        must(fd >= 0 && ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0);
}

static void scenario(Arena *arena)
{
        _cleanup_close_ int device_fd = device_open(arena);
        Tally tally = {0};

        if (device_fd < 0) {
                hazard_skip(arena, "the device cannot be written to while it is mounted: %s",
                            strerror(errno));
                return;
        }
        if (arena_is(arena, "btrfs"))
                without_checksums(arena);
        wrong_on_device(arena, device_fd, 4096, NOBODY, "a bit of the first piece");
        wrong_on_device(arena, device_fd, N_PIECES / 2 * PIECE_BYTES + 4096, NOBODY, "a bit in the middle");
        wrong_on_device(arena, device_fd, N_PIECES * PIECE_BYTES - 4096, NOBODY, "a bit of the last block");
        wrong_on_device(arena, device_fd, 0, READER, "a bit while somebody reads");
        wrong_on_device(arena, device_fd, 0, WRITER, "a bit while somebody may write");
        if (!arena_is(arena, "xfs"))
                wrong_in_a_part(arena, device_fd);
        if (arena->n_lost > 0)
                return;
        foreign_deeds(arena, true, 0, &tally);
        hazard_note(arena, "by hand: %u deeds after %u commits", tally.n_raced, tally.n_committed);
        if (tally.n_committed != N_FILES)
                hazard_wrong(arena, "%u of %u were not committed", tally.n_refused, N_FILES);
        tally = (Tally){0};
        for (unsigned round = 0; round < N_ROUNDS; round++)
                foreign_deeds(arena, false, round, &tally);
        hazard_note(arena, "races: %u, of %u committed and %u refused", tally.n_raced, tally.n_committed,
                    tally.n_refused);
        /* On ext4 a slice has a lease: who wants to race with its commit waits. */
        if (tally.n_committed < N_ROUNDS * N_FILES / 10 && !arena_is(arena, "ext4"))
                hazard_wrong(arena, "only %u of %u raced commits came to a look", tally.n_committed,
                             N_ROUNDS * N_FILES);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
