/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* replay list LOG SEED [N]
 * replay early LOG SEED [N]
 * replay cut LOG STATE IMAGE ALWAYS AFTER KIND SEED
 *
 * What a disk may hold after the power went, from a record of everything that was written to it. The record is what QEMU's
 * blklogwrites driver and the kernel's dm-log-writes make: a header sector, then for each request a sector that describes it
 * and the data, in the order in which the requests were done.
 *
 * A disk with a volatile cache promises one thing: what was written before a flush began is there when the flush is done. Of
 * what was written since, anything may be there: all, some, parts of some, in any order.
 *
 * list prints the cuts that can be made, each as "AFTER KIND SEED", in the order of AFTER: every flush (and every write that is
 * durable by itself), and between two of them one cut at which everything so far has landed and one at which only some has. With
 * N, only so many, spread over the record. SEED chooses what is chosen by chance.
 *
 * early does that for cuts of this kind: as if the log of the file system was not ordered behind data that others wrote. Whoever
 * flushed those himself, before he had something logged that depends on them, loses nothing by it.
 *
 * cut makes IMAGE what the disk holds when the power goes after request AFTER:
 *
 *   all     every request so far has landed
 *   some    everything up to the last flush, and of each write since then all, nothing, or some of its 4 KiB
 *   early   AFTER is a single write between two flushes, as a log record is written: it has landed, and the flush before
 *           it has not happened: of the large writes (128 KiB and more) before that, some have landed as above
 *   forget  what no honest disk does: all, but half of the large writes are gone, although flushed
 *
 * What lies at ALWAYS and behind it has landed in any case: it is for the one who checks. STATE is a copy of the disk as it
 * was before the first request, and is taken along: it becomes what was durable at AFTER, STATE.at says how far that
 * is, so AFTER only ever grows. A record that is damaged or cut short is told, and is no cut. */

#include <endian.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tool.h"

/* drivers/md/dm-log-writes.c; everything is little-endian. */
#define LOG_MAGIC   UINT64_C(0x6a736677736872)
#define LOG_VERSION 1

typedef struct LogHeader {
        uint64_t magic;
        uint64_t version;
        uint64_t n_entries;
        uint32_t sector_bytes;
} LogHeader;

typedef struct LogEntry {
        uint64_t sector;
        uint64_t n_sectors;
        uint64_t flags;
        uint64_t mark_bytes;
} LogEntry;

#define FLAG_FLUSH   UINT64_C(1) /* everything that was done before is durable now, then comes the data */
#define FLAG_FUA     UINT64_C(2) /* the data is durable */
#define FLAG_DISCARD UINT64_C(4) /* no data */
#define FLAG_MARK    UINT64_C(8) /* text, not of the disk */
#define FLAG_ALL     (FLAG_FLUSH | FLAG_FUA | FLAG_DISCARD | FLAG_MARK | UINT64_C(16))

/* Disks write a physical sector wholly or not at all. File systems rely on that for their blocks, so smaller is no fair cut. */
#define TEAR_BYTES  4096
#define LARGE_BYTES (UINT64_C(128) << 10)
#define COPY_BYTES  (UINT64_C(1) << 20)

typedef struct Request {
        uint64_t offset, bytes, flags;
        const unsigned char *data; /* NULL: zeros */
} Request;

typedef struct Record {
        const char *name;
        Request *requests; /* the first is number 1 and at [1] */
        uint64_t n_requests;
} Record;

typedef enum Kind {
        KIND_ALL,
        KIND_SOME,
        KIND_EARLY,
        KIND_FORGET,
} Kind;

static const char *const kind_names[] = {"all", "some", "early", "forget"};

static uint64_t number_of_text(const char *text)
{
        char *end;
        unsigned long long number;

        errno = 0;
        number = strtoull(text, &end, 10);
        if (errno != 0 || end == text || *end != '\0' || *text == '-')
                die_plainly("not a number: %s", text);
        return number;
}

/* --- the record --- */

static void record_read(const char *name, Record *ret)
{
        const unsigned char *log;
        uint64_t n_bytes, at, sector_bytes;
        LogHeader header;
        struct stat status;
        int fd;

        fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &status) < 0)
                die("%s", name);
        n_bytes = (uint64_t)status.st_size;
        if (n_bytes < sizeof(header))
                die_plainly("%s: too short for a record of writes", name);
        log = mmap(NULL, n_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (log == MAP_FAILED)
                die("%s: mmap", name);
        (void)close(fd);
        memcpy(&header, log, sizeof(header));
        sector_bytes = le32toh(header.sector_bytes);
        if (le64toh(header.magic) != LOG_MAGIC || le64toh(header.version) != LOG_VERSION)
                die_plainly("%s: no record of writes, or of another version", name);
        if (sector_bytes < 512 || sector_bytes > 65536 || (sector_bytes & (sector_bytes - 1)) != 0)
                die_plainly("%s: sectors of %llu bytes", name, (unsigned long long)sector_bytes);
        ret->name = name;
        ret->n_requests = le64toh(header.n_entries);
        if (ret->n_requests > n_bytes / sector_bytes)
                die_plainly("%s: too short for %llu requests", name, (unsigned long long)ret->n_requests);
        ret->requests = calloc(ret->n_requests + 1, sizeof(*ret->requests));
        if (!ret->requests)
                die("buffer");

        at = sector_bytes;
        for (uint64_t i = 1; i <= ret->n_requests; i++) {
                Request *request = &ret->requests[i];
                uint64_t n_sectors;
                LogEntry entry;

                if (at + sector_bytes > n_bytes)
                        die_plainly("%s: cut short at request %llu of %llu", name, (unsigned long long)i,
                                    (unsigned long long)ret->n_requests);
                memcpy(&entry, log + at, sizeof(entry));
                at += sector_bytes;
                request->flags = le64toh(entry.flags);
                n_sectors = le64toh(entry.n_sectors);
                if (request->flags & ~FLAG_ALL || n_sectors > INT64_MAX / sector_bytes ||
                    le64toh(entry.sector) > INT64_MAX / sector_bytes - n_sectors)
                        die_plainly("%s: request %llu of %llu is damaged", name, (unsigned long long)i,
                                    (unsigned long long)ret->n_requests);
                if (request->flags & FLAG_MARK)
                        continue;
                request->offset = le64toh(entry.sector) * sector_bytes;
                request->bytes = n_sectors * sector_bytes;
                if (request->flags & FLAG_DISCARD)
                        continue;
                if (request->bytes > n_bytes - at)
                        die_plainly("%s: cut short in the data of request %llu of %llu", name,
                                    (unsigned long long)i, (unsigned long long)ret->n_requests);
                request->data = log + at;
                at += request->bytes;
        }
}

static bool is_write(const Request *request)
{
        return request->bytes > 0;
}

/* --- which cuts there are --- */

typedef struct Cut {
        uint64_t after;
        Kind kind;
} Cut;

/* Between two flushes, where first and last are the writes there. */
static size_t cuts_between(uint64_t first, uint64_t last, uint64_t *random, Cut *cuts)
{
        size_t n = 0;
        uint64_t span = last - first + 1, a, b;

        a = first + random_next(random) % span;
        b = first + random_next(random) % span;
        /* Everything, up to the last: that is the flush that follows. */
        if (a < last)
                cuts[n++] = (Cut){a, KIND_ALL};
        cuts[n++] = (Cut){b, KIND_SOME};
        if (n == 2 && a > b) {
                Cut first_cut = cuts[0];

                cuts[0] = cuts[1];
                cuts[1] = first_cut;
        }
        return n;
}

/* Every flush, and up to two between them. */
static size_t cuts_of_flushes(const Record *record, uint64_t *random, Cut *cuts)
{
        uint64_t first = 0, last = 0;
        size_t n_cuts = 0;

        for (uint64_t i = 1; i <= record->n_requests; i++) {
                const Request *request = &record->requests[i];

                if (request->flags & (FLAG_FLUSH | FLAG_FUA)) {
                        if (first > 0)
                                n_cuts += cuts_between(first, last, random, cuts + n_cuts);
                        first = last = is_write(request) && !(request->flags & FLAG_FUA) ? i : 0;
                        cuts[n_cuts++] = (Cut){i, KIND_ALL};
                } else if (is_write(request)) {
                        first = first > 0 ? first : i;
                        last = i;
                }
        }
        return n_cuts;
}

static bool is_flush_alone(const Record *record, uint64_t i)
{
        return record->requests[i].flags & FLAG_FLUSH && !is_write(&record->requests[i]);
}

static size_t cuts_of_single_writes(const Record *record, Cut *cuts)
{
        size_t n_cuts = 0;

        for (uint64_t i = 2; i < record->n_requests; i++)
                if (is_flush_alone(record, i - 1) && is_write(&record->requests[i]) &&
                    is_flush_alone(record, i + 1))
                        cuts[n_cuts++] = (Cut){i, KIND_EARLY};
        return n_cuts;
}

static void list(const Record *record, bool early, uint64_t seed, uint64_t n_wanted)
{
        Cut *cuts = calloc(record->n_requests * 3 + 3, sizeof(*cuts));
        uint64_t random = seed;
        size_t n_cuts;

        if (!cuts)
                die("buffer");
        n_cuts = early ? cuts_of_single_writes(record, cuts) : cuts_of_flushes(record, &random, cuts);
        if (n_cuts == 0)
                die_plainly("%s: no such cut in it", record->name);
        if (n_wanted == 0 || n_wanted > n_cuts)
                n_wanted = n_cuts;
        for (uint64_t i = 0; i < n_wanted; i++) {
                size_t from = i * n_cuts / n_wanted, to = (i + 1) * n_cuts / n_wanted;
                const Cut *one = &cuts[from + random_next(&random) % (to - from)];

                /* How it ended is always of interest. */
                if (i == n_wanted - 1)
                        one = &cuts[n_cuts - 1];
                printf("%llu %s %llu\n", (unsigned long long)one->after, kind_names[one->kind],
                       (unsigned long long)(random_next(&random) >> 1));
        }
        free(cuts);
}

/* --- a cut --- */

static void apply_part(int fd, const char *name, const Request *request, uint64_t from, uint64_t bytes)
{
        static unsigned char zeros[TEAR_BYTES];

        while (bytes > 0) {
                const unsigned char *data = request->data ? request->data + from : zeros;
                uint64_t step = request->data || bytes < TEAR_BYTES ? bytes : TEAR_BYTES;
                ssize_t n = pwrite(fd, data, step, (off_t)(request->offset + from));

                if (n <= 0)
                        die("%s: write", name);
                from += (uint64_t)n;
                bytes -= (uint64_t)n;
        }
}

static void apply(int fd, const char *name, const Request *request)
{
        apply_part(fd, name, request, 0, request->bytes);
}

/* All, nothing, or some of its pieces. */
static void apply_some(int fd, const char *name, const Request *request, uint64_t *random)
{
        uint64_t dice = random_next(random) % 4, end = request->offset + request->bytes;

        if (dice == 0)
                return;
        if (dice == 1) {
                apply(fd, name, request);
                return;
        }
        for (uint64_t at = request->offset; at < end;) {
                uint64_t next = at / TEAR_BYTES * TEAR_BYTES + TEAR_BYTES;

                if (next > end)
                        next = end;
                if (random_next(random) % 2 == 0)
                        apply_part(fd, name, request, at - request->offset, next - at);
                at = next;
        }
}

static uint64_t position_read(const char *name)
{
        unsigned long long at = 0;
        FILE *file = fopen(name, "re");

        if (!file) {
                if (errno != ENOENT)
                        die("%s", name);
                return 0;
        }
        if (fscanf(file, "%llu", &at) != 1)
                die_plainly("%s: no number", name);
        (void)fclose(file);
        return at;
}

static void position_write(const char *name, uint64_t at)
{
        FILE *file = fopen(name, "we");

        if (!file || fprintf(file, "%llu\n", (unsigned long long)at) < 0 || fclose(file) != 0)
                die("%s", name);
}

/* Holes stay holes. */
static void image_copy(int from_fd, int to_fd, uint64_t n_bytes, const char *name)
{
        static unsigned char buffer[COPY_BYTES];
        off_t at = 0;

        if (ftruncate(to_fd, 0) < 0)
                die("%s", name);
        if (ioctl(to_fd, FICLONE, from_fd) == 0)
                return;
        if (ftruncate(to_fd, (off_t)n_bytes) < 0)
                die("%s", name);
        while ((at = lseek(from_fd, at, SEEK_DATA)) >= 0) {
                off_t end = lseek(from_fd, at, SEEK_HOLE);

                while (at < end) {
                        size_t step = (uint64_t)(end - at) < COPY_BYTES ? (size_t)(end - at) : COPY_BYTES;
                        ssize_t n = pread(from_fd, buffer, step, at);

                        if (n <= 0 || pwrite(to_fd, buffer, (size_t)n, at) != n)
                                die("%s: copy", name);
                        at += n;
                }
        }
        if (errno != ENXIO)
                die("%s: SEEK_DATA", name);
}

static uint64_t file_bytes(int fd, const char *name)
{
        off_t end = lseek(fd, 0, SEEK_END);

        if (end < 0)
                die("%s", name);
        return (uint64_t)end;
}

static void cut(const Record *record, const char *state, const char *image, uint64_t always, uint64_t after,
                Kind kind, uint64_t seed)
{
        uint64_t durable = 0, at, n_bytes, random = seed;
        char position[4096];
        int state_fd, image_fd;

        if (after > record->n_requests)
                die_plainly("%s: has only %llu requests", record->name,
                            (unsigned long long)record->n_requests);
        if (snprintf(position, sizeof(position), "%s.at", state) >= (int)sizeof(position))
                die_plainly("%s: too long a name", state);
        state_fd = open(state, O_RDWR | O_CLOEXEC);
        if (state_fd < 0)
                die("%s", state);
        image_fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (image_fd < 0)
                die("%s", image);
        n_bytes = file_bytes(state_fd, state);
        for (uint64_t i = 1; i <= after; i++) {
                const Request *request = &record->requests[i];

                if (request->bytes > n_bytes || request->offset > n_bytes - request->bytes)
                        die_plainly("%s: request %llu reaches behind the end of %s", record->name,
                                    (unsigned long long)i, state);
                /* Its own data, if it has any, comes after the flush. */
                if (request->flags & FLAG_FLUSH)
                        durable = is_write(request) ? i - 1 : i;
        }

        if (kind == KIND_EARLY) {
                if (after < 2 || !is_write(&record->requests[after]) || !is_flush_alone(record, after - 1))
                        die_plainly("%s: request %llu is no single write", record->name,
                                    (unsigned long long)after);
                for (durable = after - 2; durable > 0 && !is_flush_alone(record, durable);)
                        durable--;
        }

        at = position_read(position);
        if (kind == KIND_FORGET) {
                /* Not a state to go on from. */
                if (at != 0)
                        die_plainly("%s: nothing can be forgotten any more", state);
                durable = 0;
        }
        if (at > durable)
                die_plainly("%s: is of request %llu already", state, (unsigned long long)at);
        for (; at < durable; at++)
                apply(state_fd, state, &record->requests[at + 1]);
        position_write(position, durable);

        image_copy(state_fd, image_fd, n_bytes, image);
        for (uint64_t i = durable + 1; i <= after; i++) {
                const Request *request = &record->requests[i];

                if (!is_write(request))
                        continue;
                switch (request->flags & FLAG_FUA || request->offset >= always ? KIND_ALL : kind) {
                case KIND_ALL:
                        apply(image_fd, image, request);
                        break;
                case KIND_SOME:
                        apply_some(image_fd, image, request, &random);
                        break;
                case KIND_EARLY:
                        if (i < after && request->bytes >= LARGE_BYTES)
                                apply_some(image_fd, image, request, &random);
                        else
                                apply(image_fd, image, request);
                        break;
                case KIND_FORGET:
                        if (request->bytes < LARGE_BYTES || random_next(&random) % 2 == 0)
                                apply(image_fd, image, request);
                        break;
                }
        }
        if (close(state_fd) < 0 || close(image_fd) < 0)
                die("close");
}

int main(int argc, char *argv[])
{
        Record record;

        if ((argc == 4 || argc == 5) && (strcmp(argv[1], "list") == 0 || strcmp(argv[1], "early") == 0)) {
                record_read(argv[2], &record);
                list(&record, *argv[1] == 'e', number_of_text(argv[3]),
                     argc == 5 ? number_of_text(argv[4]) : 0);
        } else if (argc == 9 && strcmp(argv[1], "cut") == 0) {
                Kind kind = KIND_ALL;

                while (strcmp(argv[7], kind_names[kind]) != 0)
                        if (++kind > KIND_FORGET)
                                die_plainly("no such kind: %s", argv[7]);
                record_read(argv[2], &record);
                cut(&record, argv[3], argv[4], number_of_text(argv[5]), number_of_text(argv[6]), kind,
                    number_of_text(argv[8]));
        } else {
                die_plainly("usage: replay list|early LOG SEED [N] | replay cut LOG STATE IMAGE ALWAYS "
                            "AFTER KIND "
                            "SEED");
        }
        free(record.requests);
        return fflush(stdout) == 0 ? 0 : STATUS_ERROR;
}
