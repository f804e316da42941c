/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A file that is written in all ways there are, and a model in memory of what must be in it. */

#include <linux/aio_abi.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "board.h"

#define BLOCK_BYTES  ((size_t)4096)
#define SOURCE_BYTES (16 * BLOCK_BYTES) /* of the file that direct reads into a mapping come from */
#define FLIGHT_MAX   32                 /* requests of a kind in flight at the same time */

typedef enum WriteKind {
        WRITE_BUFFERED,
        WRITE_DIRECT,
        WRITE_URING,
        WRITE_AIO,
        WRITE_MMAP,
        WRITE_PINNED, /* direct I/O into a shared mapping */
        WRITE_KINDS_
} WriteKind;

/* Of all processes together, in memory that they share. */
typedef struct Tally {
        _Atomic uint64_t n_writes[WRITE_KINDS_];
        _Atomic uint64_t
                n_met; /* writes done while the engine was between sample and commit of that very file */
        _Atomic uint64_t n_operations, n_checks, n_rests, n_rests_met, n_epochs;
        _Atomic uint32_t n_lost;
        atomic_bool stop;
} Tally;

typedef struct ModelFile {
        /* Set by the owner. */
        const char *directory;
        char name[32];
        Board *board; /* NULL: nobody moves anything */
        Tally *tally;
        size_t room_bytes;  /* it grows no larger than this */
        uint64_t rest_usec; /* longest rest */
        bool verbose;       /* say what each operation did */

        /* The file. fd and direct_fd are open or closed together; the mapping may outlive them. */
        int fd, direct_fd, source_fd;
        unsigned char *mapping; /* of room_bytes, or NULL */
        uint64_t inode;
        bool renamed, linked;

        /* The model. Behind the end it is zero. */
        unsigned char *content, *clone, *source;
        size_t n_bytes, n_clone_bytes;
        bool has_clone, knows_mtime, has_attribute;
        mode_t mode;
        struct timespec mtime;
        uint64_t attribute;

        unsigned char *buffer; /* room_bytes, aligned */
        size_t align_bytes;    /* of direct I/O */
        struct io_uring ring;
        bool has_ring;        /* io_uring may be used here */
        bool forgets_old_end; /* see model_before_direct */
        aio_context_t aio;
        char did[200];       /* what the last operation did */
        char complaint[200]; /* what was found to be wrong */
} ModelFile;

/* What a check says. Trouble of the test itself ends the program. */
#define MODEL_SAME 0
#define MODEL_LOST 1

/* Memory, ring and context; and their release. */
void model_init(ModelFile *file);
void model_done(ModelFile *file);

/* A new, empty file. The names of an earlier one are removed. */
void model_begin(ModelFile *file, uint64_t seed);
/* Removes the file and its clone. */
void model_end(ModelFile *file);

/* Opens it when it is not open. Returns MODEL_*: metadata that nobody has touched must be as they were. */
int model_open(ModelFile *file);
/* Closes it; nobody is left who could be seen, unless the mapping stays. */
void model_close(ModelFile *file, bool keep_mapping);
void model_map(ModelFile *file);

/* Returns MODEL_*; a range, as a reader of the page cache or as the device has it. All of the file: its size
 * as well. */
int model_compare(ModelFile *file, size_t from, size_t to, bool direct);
int model_check(ModelFile *file, bool direct);
int model_check_clone(ModelFile *file);

/* The paths, in a buffer of the caller's. */
typedef struct ModelPath {
        char text[256];
} ModelPath;
ModelPath model_path(const ModelFile *file);
ModelPath model_path_of(const ModelFile *file, const char *suffix);

/* Before direct writes that may make the file longer: on ext4 with blocks smaller than a page what is stored behind the old end afterwards is
 * lost, without anybody else (docs/UPSTREAM.md, store-behind-old-end). Elsewhere it does nothing. */
void model_before_direct(ModelFile *file);

/* The file was written: tells model and tally. */
void model_wrote(ModelFile *file, WriteKind kind, size_t offset, const unsigned char *bytes, size_t n_bytes);
/* A new size: what is cut off becomes zero. */
void model_resize(ModelFile *file, size_t n_bytes);

void model_say(ModelFile *file, const char *format, ...) __attribute__((format(printf, 2, 3)));
void model_complain(ModelFile *file, const char *format, ...) __attribute__((format(printf, 2, 3)));
