/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FILE_SYSTEMS: xfs ext4 */
/* MUTANTS: SAME_MAP UNWRITTEN */

/* What a file means beyond its bytes: holes, preallocation inside and behind EOF, extent size hints, the rest of the last
 * block.
 *
 * After a move the map of holes, unwritten and written places is the same, all stamps and attributes are, and what lies behind
 * EOF in the last block reads as zeros, also after the file has grown over it. Every file is moved, none only checked. */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "lib-hazard.h"

#define BLOCK ((size_t)4096)

static const struct {
        const char *layout;
        size_t piece_bytes;
        size_t pieces_inside; /* EOF lies behind so many pieces */
        size_t odd_bytes;     /* and so many bytes more */
        uint32_t hint_bytes;
} files[] = {
        {"wwwwwwwwwwwwwwww", 64 * KIB, 16, 0, 0},
        {"wwwwwwwwwwwwwwww", BLOCK, 16, 0, 0},
        /* Sizes that are no multiple of anything, within the last piece. */
        {"wwwwwwwwwwwwwwww", 64 * KIB, 15, 1, 0},
        {"wwwwwwwwwwwwwwww", 64 * KIB, 15, 511, 0},
        {"wwwwwwwwwwwwwwww", 64 * KIB, 15, 512, 0},
        {"wwwwwwwwwwwwwwww", 64 * KIB, 15, BLOCK - 1, 0},
        {"wwwwwwwwwwwwwwww", 64 * KIB, 15, BLOCK + 1, 0},
        {"wwwwwwwwwwwwwwww", BLOCK, 15, 1000, 0},
        /* Holes and preallocation in every neighbourhood, at the start and at the end. */
        {"w.wuw..wwu.uw.wuuw", 64 * KIB, 18, 0, 0},
        {"..wwwwuuwwww.wwwwww.", 64 * KIB, 20, 0, 0},
        {"uwuwuwuwuwuwuwuwuwu", 16 * KIB, 19, 0, 0},
        {"w.w.w.w.w.w.w.w.w.w", BLOCK, 18, 123, 0},
        /* Preallocated only. */
        {"uuuuuuuuuuuuuuuu", 64 * KIB, 16, 0, 0},
        /* Preallocation behind EOF, directly and after a gap. */
        {"wwwwwwwwwwwwuuuu", 64 * KIB, 12, 0, 0},
        {"wwwwwwwwwwwwuuuu", 64 * KIB, 11, 4321, 0},
        {"wwuw.wwwwuww..uu", 64 * KIB, 12, 0, 0},
        {"wwuw.wwwwuwu.uuu", 64 * KIB, 11, 77, 0},
        /* Extent size hints, of a power of two and not. */
        {"wwwwwwwwwwwwwwww", 64 * KIB, 16, 0, 64 * KIB},
        {"wwuw.wwwwuww.www", 64 * KIB, 16, 0, 64 * KIB},
        {"wwuw.wwwwuww.www", 96 * KIB, 16, 0, 96 * KIB},
        {"wwuwwwwwwuwwuu", 64 * KIB, 12, 0, 64 * KIB},
        {"w.wuw..wwu.uw.wuuw", 64 * KIB, 18, 0, 16 * KIB},
        /* Holes inside of a hint's unit, which an allocation by the hint would fill. */
        {"w.wuw..wwu.uw.wuuw", 16 * KIB, 18, 0, 64 * KIB},
        {"..wwwwuuwwww.wwwww....", 16 * KIB, 22, 0, 64 * KIB},
};

/* A program may store behind EOF in the last page of a mapping; the file system has to make zeros of it. */
static void scribble_behind_eof(const Subject *subject)
{
        size_t page = subject->bytes - subject->bytes % BLOCK;
        _cleanup_close_ int fd = open(subject->path, O_RDWR | O_CLOEXEC);
        uint8_t *memory;

        if (subject->bytes % BLOCK == 0)
                return;
        memory = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)page);
        must(memory != MAP_FAILED);
        memset(memory + subject->bytes % BLOCK, 'X', BLOCK - subject->bytes % BLOCK);
        must(munmap(memory, BLOCK) == 0);
}

static void check_behind_eof(Arena *arena, Subject *subject, const char *what)
{
        size_t page = subject->bytes - subject->bytes % BLOCK, old_bytes = subject->bytes;
        _cleanup_close_ int fd = open(subject->path, O_RDWR | O_CLOEXEC);
        const uint8_t *memory;

        must(fd >= 0);
        if (subject->bytes % BLOCK != 0) {
                memory = mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, fd, (off_t)page);
                must(memory != MAP_FAILED);
                for (size_t i = subject->bytes % BLOCK; i < BLOCK; i++)
                        if (memory[i] != 0) {
                                hazard_lost(arena, "%s: byte %zu behind EOF is not zero", what,
                                            page + i - subject->bytes);
                                break;
                        }
                must(munmap((void *)(uintptr_t)memory, BLOCK) == 0);
        }
        fd = fd_close(fd);
        /* As far as there is a model; behind the old end it says zeros. */
        subject->bytes = subject->room_bytes;
        memset(subject->content + old_bytes, 0, subject->bytes - old_bytes);
        must(truncate(subject->path, (off_t)subject->bytes) == 0);
        (void)subject_check(arena, subject, what);
}

static void one(Arena *arena, size_t index, bool scribble)
{
        size_t size_bytes = files[index].pieces_inside * files[index].piece_bytes + files[index].odd_bytes;
        Subject *subject = subject_new_laid_out(arena, "file", files[index].layout, files[index].piece_bytes,
                                                size_bytes, files[index].hint_bytes);
        uint64_t runs_before = subject_runs(subject);
        Metadata *before, *after;
        char what[96];
        Move move;

        snprintf(what, sizeof(what), "file %zu, %s x %zu, %zu bytes", index, files[index].layout,
                 files[index].piece_bytes, size_bytes);
        must(setxattr(subject->path, "user.colour", "green", 5, 0) == 0);
        before = metadata_read(subject->path, true);
        move_begin(arena, subject, &move);
        if (scribble) {
                if (move_until(&move, "commit"))
                        scribble_behind_eof(subject);
                (void)move_expect(arena, &move, what, "changed:written moved");
        } else {
                if (move_expect(arena, &move, what, "moved") && subject_runs(subject) >= runs_before)
                        hazard_wrong(arena, "%s: in %llu runs after all", what,
                                     (unsigned long long)subject_runs(subject));
                after = metadata_read(subject->path, true);
                (void)metadata_check(arena, before, after, what);
                metadata_free(after);
        }
        (void)subject_check(arena, subject, what);
        check_behind_eof(arena, subject, what);
        metadata_free(before);
        subject_free(subject);
}

static void scenario(Arena *arena)
{
        for (size_t i = 0; i < ELEMENTS(files); i++) {
                one(arena, i, false);
                if (files[i].odd_bytes > 0)
                        one(arena, i, true);
        }
}

int main(int argc, char **argv)
{
        return hazard_main(argc, argv, scenario);
}
