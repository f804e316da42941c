/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: ext4 */
/* MUTANTS: READ_LEASE:ext4 LEASE_YIELDED:ext4 ASK_FAST:ext4 */

/* Somebody opens the file between the sample and the commit, or while it is read for that.
 *
 * Read-ahead takes the size of the file first and then waits for whoever makes it shorter; the page behind the new end that it fills then
 * may be filled with a block from before the end, and shows when the file grows again (upstream/stale-read-ahead). So nothing of the
 * file is read into the page cache while somebody else has it, not even in order to find that it cannot be moved now. The lease that sees to
 * this makes others wait, so it goes back to whoever wants the file before the next piece is read; when he is gone soon, it is gone on with. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "facts/page_cache.h"
#include "fs/copy.h"
#include "lib-foreign.h"
#include "lib-hazard.h"

#define N_PIECES    64
#define PIECE_BYTES (64 * (size_t)KIB)
/* The first slice; the file is longer. And what is read of it again when it has moved. */
#define SLICE_BYTES (2 * (size_t)MIB)
#define AUDIT_BYTES (3 * 128 * KIB)
/* What the engine has to read of others than the file. */
#define OTHER_BYTES (16 * KIB)
/* The piece at which it has to be noticed that somebody waits, and some more; and what is asked for of the second slice until then. */
#define SOME_BYTES  (4 * 64 * KIB)
#define ASKED_BYTES (256 * KIB + OTHER_BYTES)

/* What this process has read, from the page cache and from disks, what was only asked for included. Returns false where the kernel does not
 * count. */
static bool bytes_read(uint64_t *ret)
{
        FILE *stream = fopen("/proc/self/io", "re");
        uint64_t called, disk;
        bool found;

        if (!stream)
                return false;
        found = fscanf(stream, "rchar: %" SCNu64 " wchar: %*u syscr: %*u syscw: %*u read_bytes: %" SCNu64,
                       &called, &disk) == 2;
        (void)fclose(stream);
        *ret = found ? called + disk : 0;
        return found;
}

/* Cold, so that read-ahead is seen. */
static void drop(const Subject *subject)
{
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_CLOEXEC);

        must(fd >= 0 && fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
}

static void opener_run(int socket, void *context)
{
        const char *path = context;
        int fd;

        must(foreign_hear(socket) == 'o');
        fd = open(path, O_RDWR | O_CLOEXEC);
        must(fd >= 0);
        foreign_say(socket, 'o');
        (void)foreign_hear(socket);
        (void)close(fd);
}

typedef struct Meeting {
        const char *path;
        pid_t mover;
        uint64_t offset;          /* from where on something has to be asked for */
        bool stays;               /* the opener, until he is told to go */
        _Atomic bool go, opening; /* of the opener */
        bool asked_first;         /* the next slice, before the first one was committed */
} Meeting;

/* Where read-ahead is asked for. */
static bool is_asked(const struct __ptrace_syscall_info *call, void *context)
{
        const Meeting *meeting = context;

        return call->op == PTRACE_SYSCALL_INFO_ENTRY && call->entry.nr == SYS_fadvise64 &&
               call->entry.args[1] >= meeting->offset && call->entry.args[3] == POSIX_FADV_WILLNEED;
}

/* Stops the mover there, has the opener open the file, and lets the mover go on when that is on its way. */
static void stopper_run(int socket, void *context)
{
        Meeting *meeting = context;

        if (!trace_when_told(socket, meeting->mover))
                return;
        trace_until(meeting->mover, is_asked, meeting);
        atomic_store(&meeting->go, true);
        while (!atomic_load(&meeting->opening))
                pause_usec(1000);
        /* From there into open() itself is not far. */
        pause_usec(200 * 1000);
        trace_end(meeting->mover);
        (void)foreign_hear(socket);
}

/* A disk that is slow to read: the first thing that is read takes a tenth of a second. */
static bool is_read(const struct __ptrace_syscall_info *call, void *context)
{
        (void)context;
        return call->op == PTRACE_SYSCALL_INFO_ENTRY && call->entry.nr == SYS_pread64;
}

static bool is_asked_or_committed(const struct __ptrace_syscall_info *call, void *context)
{
        Meeting *meeting = context;

        meeting->asked_first = is_asked(call, context);
        /* What was moved is waited for, and then committed. */
        return meeting->asked_first ||
               (call->op == PTRACE_SYSCALL_INFO_ENTRY && call->entry.nr == SYS_sync_file_range &&
                call->entry.args[3] & SYNC_FILE_RANGE_WAIT_AFTER);
}

static void slow_disk_run(int socket, void *context)
{
        Meeting *meeting = context;

        if (!trace_when_told(socket, meeting->mover))
                return;
        trace_until(meeting->mover, is_read, NULL);
        pause_usec(100 * 1000);
        trace_until(meeting->mover, is_asked_or_committed, meeting);
        trace_end(meeting->mover);
        (void)foreign_hear(socket);
}

static void met_run(int socket, void *context)
{
        Meeting *meeting = context;
        int fd;

        while (!atomic_load(&meeting->go))
                pause_usec(1000);
        atomic_store(&meeting->opening, true);
        fd = open(meeting->path, O_RDWR | O_CLOEXEC);
        must(fd >= 0);
        if (meeting->stays)
                (void)foreign_hear(socket);
        (void)close(fd);
}

static uint64_t resident(const Subject *subject, uint64_t offset)
{
        _cleanup_close_ int fd = open(subject->path, O_RDONLY | O_CLOEXEC);
        uint64_t bytes = 0;

        must(fd >= 0);
        return page_cache_resident(fd, offset, subject->bytes - offset, &bytes) < 0 ? 0 : bytes;
}

/* Without a ring what is done beside a move is done by this process, which can be traced. */
static void by_hand(Arena *arena)
{
        arena->copier = copier_free(arena->copier);
        must(copier_new(true, &arena->copier) == 0);
}

/* offset: nothing, or where the second slice begins, which is asked for while the first one moves. */
static void opened_in_the_middle(Arena *arena, uint64_t offset, bool stays)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        Meeting *meeting = shared_memory(sizeof(*meeting));
        uint64_t before, after;
        Foreign stopper, opener;
        Move move;

        *meeting = (Meeting){.path = subject->path, .mover = getpid(), .offset = offset, .stays = stays};
        foreign_start(&stopper, stopper_run, meeting);
        foreign_start(&opener, met_run, meeting);
        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        drop(subject);
        move_begin(arena, subject, &move);
        move_reach(&move, "commit");
        if (!bytes_read(&before) || foreign_ask(&stopper, 't') != 't') {
                hazard_skip(arena,
                            "nobody can be traced here, or the kernel does not count what a process reads");
                atomic_store(&meeting->go, true);
                move_end(&move);
        } else {
                (void)move_until(&move, NULL);
                must(bytes_read(&after));
                hazard_note(arena, "%" PRIu64 " bytes read, opened in the middle of slice %u %s",
                            after - before, offset > 0 ? 2 : 1, stays ? "to stay" : "for a moment");
                /* From the disk, and by call. */
                if (stays &&
                    after - before > (offset > 0 ? 2 * (offset + AUDIT_BYTES) + ASKED_BYTES : SOME_BYTES))
                        hazard_lost(arena, "somebody had to wait until a slice was read");
                (void)move_expect(arena, &move, "opened in the middle of the reading",
                                  stays ? "busy:open" : "moved");
                if (resident(subject, offset) > 0)
                        hazard_lost(arena, "what was asked for too early is in the page cache still");
        }
        (void)foreign_end(&opener);
        (void)foreign_end(&stopper);
        (void)subject_check(arena, subject, "opened in the middle of the reading");
        subject_free(subject);
}

static void asked_of_a_slow_disk(Arena *arena)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        Meeting *meeting = shared_memory(sizeof(*meeting));
        Foreign disk;
        Move move;

        *meeting = (Meeting){.mover = getpid(), .offset = SLICE_BYTES};
        foreign_start(&disk, slow_disk_run, meeting);
        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        drop(subject);
        move_begin(arena, subject, &move);
        move_reach(&move, "commit");
        if (foreign_ask(&disk, 't') == 't') {
                (void)move_expect(arena, &move, "on a slow disk", "moved");
                if (meeting->asked_first)
                        hazard_lost(arena, "a commit, for which others wait, had to wait for what a slow "
                                           "disk was asked for");
        } else {
                hazard_skip(arena, "nobody can be traced here");
                move_end(&move);
        }
        (void)foreign_end(&disk);
        (void)subject_check(arena, subject, "on a slow disk");
        subject_free(subject);
}

static void opened_before(Arena *arena)
{
        Subject *subject = subject_new(arena, "file", N_PIECES, PIECE_BYTES, 0);
        uint64_t before, after;
        Foreign opener;
        Move move;

        foreign_start(&opener, opener_run, subject->path);
        pause_usec(arena->volume.guard_nsec / NSEC_PER_USEC);
        drop(subject);
        move_begin(arena, subject, &move);
        move_reach(&move, "commit");
        must(foreign_ask(&opener, 'o') == 'o');
        if (!bytes_read(&before)) {
                hazard_skip(arena, "this kernel does not count what a process reads");
                move_end(&move);
        } else {
                (void)move_until(&move, NULL);
                must(bytes_read(&after));
                hazard_note(arena, "%" PRIu64 " bytes read while somebody else had the file",
                            after - before);
                if (after - before > OTHER_BYTES)
                        hazard_lost(arena, "a file was read into the page cache beside a writer");
                (void)move_refused(arena, &move, "opened before the commit", "busy:open");
        }
        (void)foreign_end(&opener);
        (void)subject_check(arena, subject, "opened before the commit");
        (void)move_whole(arena, subject, "when nobody has it", "moved");
        (void)subject_check(arena, subject, "when nobody has it");
        subject_free(subject);
}

static void scenario(Arena *arena)
{
        opened_before(arena);
        opened_in_the_middle(arena, 0, true);
        opened_in_the_middle(arena, 0, false);
        by_hand(arena);
        opened_in_the_middle(arena, SLICE_BYTES, true);
        opened_in_the_middle(arena, SLICE_BYTES, false);
        asked_of_a_slow_disk(arena);
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
