/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the small programs of the test bed share. They judge the product, so they use none of its code. */

#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define STATUS_WRONG 1 /* the answer is no, or data was lost */
#define STATUS_ERROR 2 /* the program itself could not do its work */

/* Without the exit handlers: what a leak checker would say of a program that gives up would hide why it gave up. */
#define die_because(number, ...)                                                                            \
        do {                                                                                                \
                error(0, number, __VA_ARGS__);                                                              \
                _exit(STATUS_ERROR);                                                                        \
        } while (0)
#define die(...)         die_because(errno, __VA_ARGS__)
#define die_plainly(...) die_because(0, __VA_ARGS__)

/* "4096", "64K", "16M", "2G". */
static inline uint64_t size_of_text(const char *text)
{
        char *end;
        unsigned long long number;

        errno = 0;
        number = strtoull(text, &end, 10);
        if (errno != 0 || end == text || *text == '-')
                die_plainly("not a number: %s", text);
        switch (*end) {
        case 'G':
                number *= 1024;
                __attribute__((fallthrough));
        case 'M':
                number *= 1024;
                __attribute__((fallthrough));
        case 'K':
                number *= 1024;
                end++;
                break;
        default:
                break;
        }
        if (*end != '\0')
                die_plainly("not a size: %s", text);
        return number;
}

/* splitmix64 */
static inline uint64_t random_next(uint64_t *state)
{
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

/* Is what is written to be compressible? Set where the volume compresses. */
static inline bool content_is_compressible(void)
{
        return getenv("COMPRESSIBLE_CONTENT") != NULL;
}

/* Fills n_bytes (any number) from a stream that key chooses. Compressible it consists of eight letters, and takes three to four eighths of the space. */
static inline void random_fill(void *buffer, size_t n_bytes, uint64_t key)
{
        unsigned char *bytes = buffer;
        const bool is_compressible = content_is_compressible();
        uint64_t state = key, word;

        for (size_t i = 0; i < n_bytes; i += sizeof(word)) {
                word = random_next(&state);
                if (is_compressible)
                        word = (word & UINT64_C(0x0707070707070707)) + UINT64_C(0x6161616161616161);
                memcpy(bytes + i, &word, n_bytes - i < sizeof(word) ? n_bytes - i : sizeof(word));
        }
}

static inline void *aligned_buffer(size_t n_bytes)
{
        void *buffer = aligned_alloc(4096, n_bytes);

        if (!buffer)
                die("buffer");
        return buffer;
}

/* Calls on_extent for every extent of the file, behind its end too, in order. */
static inline void for_each_extent(int fd, const char *name,
                                   void (*on_extent)(const struct fiemap_extent *extent, void *userdata),
                                   void *userdata)
{
        enum { N_EXTENTS = 4096 };
        struct fiemap *map = calloc(1, sizeof(*map) + N_EXTENTS * sizeof(struct fiemap_extent));
        uint64_t start = 0;
        bool last = false;

        if (!map)
                die("buffer");
        while (!last) {
                *map = (struct fiemap){
                        .fm_start = start,
                        .fm_length = FIEMAP_MAX_OFFSET - start,
                        .fm_flags = FIEMAP_FLAG_SYNC,
                        .fm_extent_count = N_EXTENTS,
                };
                if (ioctl(fd, FS_IOC_FIEMAP, map) < 0)
                        die("%s: FIEMAP", name);
                if (map->fm_mapped_extents == 0)
                        break;
                for (uint32_t i = 0; i < map->fm_mapped_extents; i++) {
                        on_extent(&map->fm_extents[i], userdata);
                        start = map->fm_extents[i].fe_logical + map->fm_extents[i].fe_length;
                        last = map->fm_extents[i].fe_flags & FIEMAP_EXTENT_LAST;
                }
        }
        free(map);
}
