/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MUTANTS: APPENDER */

/* A log that is being appended to.
 *
 * XFS preallocates behind the end of a growing file, more the longer it grows, and gives it back when a descriptor that could write is
 * closed. Were ours such a one, every look at a live log would take its preallocation away, and it would fragment all the faster for
 * being looked after. So a read-only descriptor asks first whether anybody has it open for writing. */

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "facts/extent_map.h"
#include "lib-foreign.h"
#include "lib-hazard.h"

#define N_PIECES    64
#define PIECE_BYTES (64 * (size_t)KIB)
#define APPENDED    (32 * PIECE_BYTES)

typedef struct Appender {
        const char *path;
        uint8_t *bytes; /* shared; what it appends */
        size_t at;
} Appender;

static void appender_run(int socket, void *context)
{
        const Appender *appender = context;
        size_t done = 0;
        int fd;

        must(foreign_hear(socket) == 'a');
        fd = open(appender->path, O_WRONLY | O_APPEND | O_CLOEXEC);
        must(fd >= 0);
        while (done < APPENDED) {
                must(write(fd, appender->bytes + done, PIECE_BYTES) == (ssize_t)PIECE_BYTES);
                done += PIECE_BYTES;
                must(fdatasync(fd) == 0);
        }
        foreign_say(socket, 'a');
        /* Open until it is told to end. */
        (void)foreign_hear(socket);
        (void)close(fd);
}

/* What is allocated behind the end. */
static uint64_t preallocated(const Subject *subject)
{
        _cleanup_(extent_map_done) ExtentMap map = {0};
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_NOATIME | O_CLOEXEC);
        uint64_t bytes = 0;

        must(fd >= 0 && extent_map_read(fd, subject->bytes, UINT64_MAX - subject->bytes, false,
                                        EXTENT_MAP_MAX, &map) == 0);
        for (size_t i = 0; i < map.n_extents; i++)
                bytes += map.extents[i].length;
        return bytes;
}

static void scenario(Arena *arena)
{
        /* Some room at the end: it is cut off, and appended anew. */
        Subject *subject = subject_new(arena, "log", N_PIECES, PIECE_BYTES, 0);
        Appender context = {.path = subject->path, .bytes = shared_memory(APPENDED)};
        Foreign appender;
        uint64_t before, after;
        Move move;

        subject->bytes -= APPENDED;
        must(truncate(subject->path, (off_t)subject->bytes) == 0);
        foreign_start(&appender, appender_run, &context);
        must(subject_plan_write(subject, subject->bytes, APPENDED));
        for (size_t i = 0; i < APPENDED; i++)
                context.bytes[i] = subject->content[subject->bytes + i];
        must(foreign_ask(&appender, 'a') == 'a');
        subject->bytes += APPENDED;

        before = preallocated(subject);
        if (before == 0) {
                hazard_skip(arena, "this kernel preallocates nothing for an appender");
                (void)foreign_end(&appender);
                subject_free(subject);
                return;
        }
        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        move_begin(arena, subject, &move);
        (void)move_expect(arena, &move, "a live appender", "busy:open");
        after = preallocated(subject);
        hazard_note(arena, "preallocated behind EOF: %llu KiB, after a look at it %llu KiB",
                    (unsigned long long)(before / KIB), (unsigned long long)(after / KIB));
        if (after != before)
                hazard_lost(arena, "an appender's preallocation was taken away");
        (void)foreign_end(&appender);
        (void)move_whole(arena, subject, "when the appender is gone", "moved");
        (void)subject_check(arena, subject, "when the appender is gone");
        subject_free(subject);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
