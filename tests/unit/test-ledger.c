/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ledger's text, which is one for each ledger and nothing else, and its file, which is never lost. */

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checksum.h"
#include "base/cleanup.h"
#include "base/number.h"
#include "decide/queue.h"
#include "work/inventory.h"
#include "work/ledger.h"

#define UUID_A         "01234567-89ab-cdef-0123-456789abcdef"
#define UUID_B         "01234567-89ab-cdef-0123-456789abcdee"
#define VOLUME_NUMBERS " 20000 4096 -1 1 2 18446744073709551615 7\n"
#define VOLUME_A       "volume " UUID_A VOLUME_NUMBERS
#define VOLUME_B       "volume " UUID_B VOLUME_NUMBERS
#define FIRST_LINE     "defragd-ledger 1\n"

static char directory[] = "/tmp/test-ledger-XXXXXX";

/* --- text --- */

/* The lines with a first line before them and a right checksum behind them. */
static char *text_with(const char *first, const char *lines, size_t *ret_bytes)
{
        char *text;
        int n = asprintf(&text, "%s%schecksum 0123456789abcdef\n", first, lines);

        assert_true(n > 0);
        *ret_bytes = (size_t)n;
        snprintf(text + n - 17, 18, "%016" PRIx64 "\n", checksum_of(text, (size_t)n - 26));
        return text;
}

/* Parses a copy of exactly that many bytes, so that a sanitizer sees a step behind its end. */
static int parse_copy(const char *text, size_t n_bytes, Ledger *ret)
{
        _cleanup_free_ char *copy = malloc(n_bytes ? n_bytes : 1), *what = NULL;
        int r;

        assert_non_null(copy);
        memcpy(copy, text, n_bytes);
        r = ledger_parse(copy, n_bytes, ret, &what);
        assert_true(r >= 0);
        assert_int_equal(what != NULL, r > 0);
        if (what)
                assert_memory_equal(what, "line ", 5);
        return r;
}

static int parse_lines(const char *first, const char *lines)
{
        _cleanup_(ledger_done) Ledger ledger = {0};
        _cleanup_free_ char *text = NULL;
        size_t n_bytes;

        text = text_with(first, lines, &n_bytes);
        return parse_copy(text, n_bytes, &ledger);
}

static uint64_t random_seed;

static uint64_t random_next(void)
{
        random_seed ^= random_seed << 13;
        random_seed ^= random_seed >> 7;
        random_seed ^= random_seed << 17;
        return random_seed;
}

/* Ends of the range as often as what lies between. */
static uint64_t random_number(void)
{
        static const uint64_t edges[] = {0, 1, UINT32_MAX, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX};
        const uint64_t choice = random_next() % (2 * ELEMENTS(edges));

        return choice < ELEMENTS(edges) ? edges[choice] : random_next() >> random_next() % 64;
}

static char *random_name(void)
{
        static const char *const hostile[] = {"-",     "%",   "%0A", "\n",       "a b",      " ",
                                              "\\n",   "x\r", "\t",  "\xff\xfe", "checksum", "\n" VOLUME_B,
                                              "\xc3(", "--",  "%%",  "\x7f",     "\x01"};
        const size_t n = 1 + random_next() % 255;
        char *name;

        if (random_next() % 8 == 0)
                return NULL;
        if (random_next() % 2 == 0) {
                name = strdup(hostile[random_next() % ELEMENTS(hostile)]);
                assert_non_null(name);
                return name;
        }
        name = malloc(n + 1);
        assert_non_null(name);
        for (size_t i = 0; i < n; i++)
                name[i] = (char)(1 + random_next() % 255);
        name[n] = '\0';
        return name;
}

/* Most volumes have none. */
static uint32_t random_subvolume(void)
{
        return random_next() % 2 == 0 ? 0 : (uint32_t)random_number();
}

static void random_file(LedgerFile *ret)
{
        static const uint8_t states[] = {QUEUE_WAITING, QUEUE_COOLING, LEDGER_FOUND};

        *ret = (LedgerFile){
                .id = {random_number() | 1, random_subvolume(), (uint32_t)random_number()},
                .parent = {random_number(), random_subvolume(), (uint32_t)random_number()},
                .name = random_name(),
                .size_bytes = random_number(),
                .n_extents = random_number(),
                .not_before_sec = (int64_t)random_number(),
                .n_conflicts = (uint32_t)random_number(),
                .state = states[random_next() % ELEMENTS(states)],
        };
}

static Ledger random_ledger(void)
{
        Ledger ledger = {.n_volumes = random_next() % 4};

        ledger.volumes = calloc(ledger.n_volumes + 1, sizeof(*ledger.volumes));
        assert_non_null(ledger.volumes);
        for (size_t i = 0; i < ledger.n_volumes; i++) {
                LedgerVolume *volume = &ledger.volumes[i];

                *volume = (LedgerVolume){
                        .budget_day = (int64_t)random_number(),
                        .budget_charged_bytes = random_number(),
                        .sweep_finished_sec = (int64_t)random_number(),
                        .sweep_wanted = random_next() % 2,
                        .sweep_phase = (uint8_t)(random_next() % INVENTORY_PHASE_MAX_),
                        .sweep_cursor = {.inode = random_number(), .subvolume = random_subvolume()},
                        .sweep_offset = random_number(),
                        .n_files = random_next() % 12,
                };
                snprintf(volume->uuid, sizeof(volume->uuid), "%08x-89ab-cdef-0123-456789abcdef",
                         (unsigned)i);
                volume->files = calloc(volume->n_files + 1, sizeof(*volume->files));
                assert_non_null(volume->files);
                for (size_t j = 0; j < volume->n_files; j++)
                        random_file(&volume->files[j]);
        }
        return ledger;
}

static void assert_file_equal(const LedgerFile *a, const LedgerFile *b)
{
        assert_true(file_id_equal(a->id, b->id) && file_id_equal(a->parent, b->parent));
        assert_true(a->size_bytes == b->size_bytes && a->n_extents == b->n_extents);
        assert_true(a->not_before_sec == b->not_before_sec && a->n_conflicts == b->n_conflicts);
        assert_int_equal(a->state, b->state);
        assert_int_equal(!a->name, !b->name);
        if (a->name)
                assert_string_equal(a->name, b->name);
}

static void assert_ledger_equal(const Ledger *a, const Ledger *b)
{
        assert_int_equal(a->n_volumes, b->n_volumes);
        for (size_t i = 0; i < a->n_volumes; i++) {
                const LedgerVolume *v = &a->volumes[i], *w = &b->volumes[i];

                assert_string_equal(v->uuid, w->uuid);
                assert_true(v->budget_day == w->budget_day);
                assert_true(v->budget_charged_bytes == w->budget_charged_bytes);
                assert_true(v->sweep_finished_sec == w->sweep_finished_sec);
                assert_true(v->sweep_wanted == w->sweep_wanted && v->sweep_phase == w->sweep_phase);
                assert_true(v->sweep_cursor.inode == w->sweep_cursor.inode &&
                            v->sweep_cursor.subvolume == w->sweep_cursor.subvolume &&
                            v->sweep_offset == w->sweep_offset);
                assert_int_equal(v->n_files, w->n_files);
                for (size_t j = 0; j < v->n_files; j++)
                        assert_file_equal(&v->files[j], &w->files[j]);
        }
}

static void any_ledger_is_read_as_it_was_written(void **state)
{
        (void)state;
        random_seed = (uint64_t)time(NULL) * 2654435761 + 1;
        print_message("seed %" PRIu64 "\n", random_seed);
        for (unsigned i = 0; i < 2000; i++) {
                _cleanup_(ledger_done) Ledger ledger = random_ledger(), again = {0};
                _cleanup_free_ char *text = NULL;
                size_t n_bytes;

                assert_int_equal(ledger_format(&ledger, &text, &n_bytes), 0);
                assert_int_equal(parse_copy(text, n_bytes, &again), 0);
                assert_ledger_equal(&ledger, &again);
        }
}

static void an_empty_name_is_none(void **state)
{
        char empty[] = "";
        LedgerFile file = {.id = {.inode = 1, .generation = 1}, .name = empty, .state = QUEUE_WAITING};
        LedgerVolume volume = {.uuid = UUID_A, .files = &file, .n_files = 1};
        const Ledger ledger = {&volume, 1};
        _cleanup_(ledger_done) Ledger again = {0};
        _cleanup_free_ char *text = NULL;
        size_t n_bytes;

        (void)state;
        assert_int_equal(ledger_format(&ledger, &text, &n_bytes), 0);
        assert_int_equal(parse_copy(text, n_bytes, &again), 0);
        assert_null(again.volumes[0].files[0].name);
}

static char *sample_new(size_t *ret_bytes)
{
        return text_with(FIRST_LINE,
                         VOLUME_A "file 131 7 128 0 1048576 12 0 0 0 -\n"
                                  "file 132 7 128 0 1048576 12 -5 3 2 a%20b%0A\n" VOLUME_B
                                  "file 131 7 128 0 1048576 12 0 0 3 x\n",
                         ret_bytes);
}

static void a_changed_byte_is_never_accepted(void **state)
{
        _cleanup_free_ char *text = NULL;
        const size_t version_at = strlen(FIRST_LINE) - 2;
        size_t n_bytes;
        Ledger ledger;

        (void)state;
        text = sample_new(&n_bytes);
        assert_int_equal(parse_copy(text, n_bytes, &ledger), 0);
        ledger_done(&ledger);
        for (size_t i = 0; i < n_bytes; i++) {
                const char right = text[i];

                for (unsigned wrong = 0; wrong < 256; wrong++) {
                        const bool newer = i == version_at && wrong >= '2' && wrong <= '9';

                        if ((char)wrong == right)
                                continue;
                        text[i] = (char)wrong;
                        assert_int_equal(parse_copy(text, n_bytes, &ledger),
                                         newer ? LEDGER_NEWER : LEDGER_DAMAGED);
                }
                text[i] = right;
        }
}

static void a_text_that_is_cut_or_longer_is_damaged(void **state)
{
        _cleanup_free_ char *text = NULL, *longer = NULL;
        size_t n_bytes;
        Ledger ledger;

        (void)state;
        text = sample_new(&n_bytes);
        for (size_t n = 0; n < n_bytes; n++)
                assert_int_equal(parse_copy(text, n, &ledger), LEDGER_DAMAGED);
        assert_true(asprintf(&longer, "%s\n", text) > 0);
        assert_int_equal(parse_copy(longer, n_bytes + 1, &ledger), LEDGER_DAMAGED);
}

static void what_format_would_not_write_is_damaged_though_the_checksum_is_right(void **state)
{
        static const char *const bad[] = {
                "\n",
                "x\n",
                "file 131 7 128 0 1 1 0 0 0 -\n",
                "volume 01234567-89AB-cdef-0123-456789abcdef" VOLUME_NUMBERS,
                "volume 0123456789abcdef-0123-456789abcdef" VOLUME_NUMBERS,
                "volume  " UUID_A VOLUME_NUMBERS,
                "volume " UUID_A " 1 1 1 1 1 1\n",
                "volume " UUID_A " 1 1 1 1 1 1 1 1\n",
                "volume " UUID_A " 01 1 1 1 1 1 1\n",
                "volume " UUID_A " +1 1 1 1 1 1 1\n",
                "volume " UUID_A " -0 1 1 1 1 1 1\n",
                "volume " UUID_A " 1 -1 1 1 1 1 1\n",
                "volume " UUID_A " 1 1 1 2 1 1 1\n",
                "volume " UUID_A " 1 1 1 1 3 1 1\n",
                "volume " UUID_A " 1 1 1 1 1 18446744073709551616 1\n",
                "volume " UUID_A " 9223372036854775808 1 1 1 1 1 1\n",
                "volume " UUID_A " -9223372036854775809 1 1 1 1 1 1\n",
                "volume " UUID_A " 1 1 1 1 1 1 1 \n",
                "volume " UUID_A " 1 1 1 1 1 1 1\r\n",
                "volume " UUID_A " 1 1 1 1 1 1 1",
                VOLUME_A VOLUME_A,
                VOLUME_A VOLUME_B VOLUME_A,
                VOLUME_A "\n",
                VOLUME_A "file 0 7 128 0 1 1 0 0 0 -\n",
                VOLUME_A "file 131 7 128 0 1 1 0 0 1 -\n", /* QUEUE_RUNNING */
                VOLUME_A "file 131 7 128 0 1 1 0 0 4 -\n",
                VOLUME_A "file 131 7 128 0 1 1 0 0 18446744073709551618 -\n",
                VOLUME_A "file 131 4294967296 128 0 1 1 0 0 0 -\n",
                VOLUME_A "file 0131 7 128 0 1 1 0 0 0 -\n",
                VOLUME_A "file 131 7 128 0 1 1 0 0 0 \n",
                VOLUME_A "file 131 7 128 0 1 1 0 0 0\n",
                VOLUME_A "file 131 7 128 0 1 1 0 0 0 - \n",
                VOLUME_A "file 131 7 128 0 1 1 0 0 0 a b\n",
                VOLUME_A "file 131 7 128 0 1 1 0 0 0 a-b\n",
                VOLUME_A "file 131 7 128 0 1 1 0 0 0 %61\n",
                VOLUME_A "file 131 7 128 0 1 1 0 0 0 %0a\n",
                VOLUME_A "file 131 7 128 0 1 1 0 0 0 %00\n",
                VOLUME_A "file 131 7 128 0 1 1 0 0 0 %0\n",
                VOLUME_A "file 131 7 128 0 1 1 0 0 0 %\n",
                VOLUME_A "file 131 7 128 0 1 1 0 0 0 \xc3\xa4\n",
                VOLUME_A "file 131 7 128 0 1 1 0 0 0 a",
        };

        (void)state;
        assert_int_equal(parse_lines(FIRST_LINE, ""), 0);
        assert_int_equal(parse_lines(FIRST_LINE, VOLUME_A VOLUME_B), 0);
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                if (parse_lines(FIRST_LINE, bad[i]) != LEDGER_DAMAGED)
                        fail_msg("accepted: %s", bad[i]);
}

static void a_later_version_is_newer_whatever_follows(void **state)
{
        static const struct {
                const char *first;
                int expected;
        } cases[] = {
                {"defragd-ledger 2\n", LEDGER_NEWER},
                {"defragd-ledger 4294967295\n", LEDGER_NEWER},
                {"defragd-ledger 2\n\n\xff\n", LEDGER_NEWER},
                {"defragd-ledger 0\n", LEDGER_DAMAGED},
                {"defragd-ledger 02\n", LEDGER_DAMAGED},
                {"defragd-ledger +2\n", LEDGER_DAMAGED},
                {"defragd-ledger 2 \n", LEDGER_DAMAGED},
                {"defragd-ledger 2\r\n", LEDGER_DAMAGED},
                {"defragd-ledger 4294967296\n", LEDGER_DAMAGED},
                {"defragd-ledger  2\n", LEDGER_DAMAGED},
                {"defragd-ledger 2.0\n", LEDGER_DAMAGED},
                {"defragd-ledger\n", LEDGER_DAMAGED},
                {" defragd-ledger 2\n", LEDGER_DAMAGED},
                {"defragd-ledger 01\n", LEDGER_DAMAGED},
        };
        Ledger ledger;

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                assert_int_equal(parse_lines(cases[i].first, VOLUME_A), cases[i].expected);
                assert_int_equal(parse_copy(cases[i].first, strlen(cases[i].first), &ledger),
                                 cases[i].expected);
        }
}

static void the_line_that_is_wrong_is_told(void **state)
{
        _cleanup_free_ char *text = NULL, *what = NULL;
        size_t n_bytes;
        Ledger ledger;

        (void)state;
        text = text_with(FIRST_LINE, VOLUME_A "file 131 07 128 0 1 1 0 0 0 -\n" VOLUME_B, &n_bytes);
        assert_int_equal(ledger_parse(text, n_bytes, &ledger, &what), LEDGER_DAMAGED);
        assert_memory_equal(what, "line 3: ", 8);
}

/* --- file --- */

static int directory_new(void **state)
{
        (void)state;
        memset(directory + strlen(directory) - 6, 'X', 6);
        return mkdtemp(directory) ? 0 : -1;
}

static int on_leftover(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
        (void)status;
        (void)type;
        (void)ftw;
        return remove(path);
}

static int directory_free(void **state)
{
        (void)state;
        return nftw(directory, on_leftover, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *path_of(const char *name)
{
        static char path[128];

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        return path;
}

static void file_write(const char *name, const char *text)
{
        FILE *file = fopen(path_of(name), "we");

        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static void assert_holds(const char *name, const char *expected)
{
        char text[1024] = "";
        FILE *file = fopen(path_of(name), "re");

        assert_non_null(file);
        (void)fread(text, 1, sizeof(text) - 1, file);
        assert_int_equal(fclose(file), 0);
        assert_string_equal(text, expected);
}

static bool is_there(const char *name)
{
        struct stat status;

        return lstat(path_of(name), &status) == 0;
}

static int load(Ledger *ret)
{
        _cleanup_free_ char *what = NULL;
        int r = ledger_load(directory, ret, &what);

        assert_int_equal(what != NULL, r == LEDGER_DAMAGED || r == LEDGER_NEWER);
        return r;
}

static void what_was_stored_is_loaded(void **state)
{
        _cleanup_(ledger_done) Ledger ledger = {0};
        _cleanup_free_ char *text = NULL;
        struct stat status;
        size_t n_bytes;

        (void)state;
        assert_int_equal(load(&ledger), LEDGER_NONE);
        file_write("ledger.new", "left by a crash, and longer than what comes\n");
        text = sample_new(&n_bytes);
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(ledger_store(directory, text, n_bytes), 0);
                assert_false(is_there("ledger.new"));
                assert_holds("ledger", text);
        }
        assert_int_equal(stat(path_of("ledger"), &status), 0);
        assert_int_equal(status.st_mode & 07777, 0600);
        assert_int_equal(load(&ledger), 0);
        assert_int_equal(ledger.n_volumes, 2);
        assert_string_equal(ledger.volumes[0].files[1].name, "a b\n");
        assert_false(is_there("ledger.set-aside"));
}

static void a_link_left_in_place_of_the_new_file_is_not_followed(void **state)
{
        _cleanup_free_ char *text = NULL;
        size_t n_bytes;

        (void)state;
        file_write("other", "mine\n");
        assert_int_equal(symlink("other", path_of("ledger.new")), 0);
        text = sample_new(&n_bytes);
        assert_int_equal(ledger_store(directory, text, n_bytes), 0);
        assert_holds("other", "mine\n");
        assert_holds("ledger", text);
}

static void broken_and_newer_files_are_set_aside_and_none_is_overwritten(void **state)
{
        static const struct {
                const char *text, *aside;
                int expected;
        } cases[] = {
                {"", "ledger.set-aside", LEDGER_DAMAGED},
                {"junk\n", "ledger.set-aside.1", LEDGER_DAMAGED},
                {"defragd-ledger 2\nwhatever\n", "ledger.set-aside.2", LEDGER_NEWER},
                {FIRST_LINE, "ledger.set-aside.4", LEDGER_DAMAGED},
        };
        Ledger ledger;

        (void)state;
        file_write("ledger.set-aside.3", "taken\n");
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                file_write("ledger", cases[i].text);
                assert_int_equal(load(&ledger), cases[i].expected);
                assert_false(is_there("ledger"));
                assert_int_equal(load(&ledger), LEDGER_NONE);
        }
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_holds(cases[i].aside, cases[i].text);
        assert_holds("ledger.set-aside.3", "taken\n");
}

static void what_is_no_plain_file_of_sensible_size_is_set_aside(void **state)
{
        _cleanup_free_ char *text = NULL;
        struct stat status;
        size_t n_bytes;
        Ledger ledger;

        (void)state;
        text = sample_new(&n_bytes);
        file_write("good", text);
        assert_int_equal(symlink("good", path_of("ledger")), 0);
        assert_int_equal(load(&ledger), LEDGER_DAMAGED);
        assert_holds("good", text);
        assert_int_equal(mkfifo(path_of("ledger"), 0600), 0);
        assert_int_equal(load(&ledger), LEDGER_DAMAGED);
        assert_int_equal(mkdir(path_of("ledger"), 0700), 0);
        assert_int_equal(load(&ledger), LEDGER_DAMAGED);
        file_write("ledger", text);
        assert_int_equal(truncate(path_of("ledger"), (off_t)LEDGER_MAX_BYTES + 1), 0);
        assert_int_equal(load(&ledger), LEDGER_DAMAGED);

        assert_int_equal(lstat(path_of("ledger.set-aside"), &status), 0);
        assert_true(S_ISLNK(status.st_mode));
        assert_int_equal(lstat(path_of("ledger.set-aside.1"), &status), 0);
        assert_true(S_ISFIFO(status.st_mode));
        assert_int_equal(lstat(path_of("ledger.set-aside.2"), &status), 0);
        assert_true(S_ISDIR(status.st_mode));
        assert_int_equal(lstat(path_of("ledger.set-aside.3"), &status), 0);
        assert_true(S_ISREG(status.st_mode));
        assert_false(is_there("ledger"));
}

/* A limit on the size of files fails a write half way, as a full disk does. */
static void a_store_that_fails_leaves_the_old_one(void **state)
{
        struct rlimit old_limit, limit;
        _cleanup_free_ char *text = NULL;
        size_t n_bytes;
        int r;

        (void)state;
        text = sample_new(&n_bytes);
        file_write("ledger", "old\n");
        assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
        limit = (struct rlimit){n_bytes / 2, old_limit.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        r = ledger_store(directory, text, n_bytes);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old_limit), 0);
        assert_int_equal(r, -EFBIG);
        assert_holds("ledger", "old\n");
        assert_false(is_there("ledger.new"));
        assert_int_equal(ledger_store(directory, text, LEDGER_MAX_BYTES + 1), -EFBIG);
        assert_holds("ledger", "old\n");
        assert_int_equal(ledger_store("/nonexistent", text, n_bytes), -ENOENT);
}

#define WITH_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, directory_new, directory_free)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(any_ledger_is_read_as_it_was_written),
                cmocka_unit_test(an_empty_name_is_none),
                cmocka_unit_test(a_changed_byte_is_never_accepted),
                cmocka_unit_test(a_text_that_is_cut_or_longer_is_damaged),
                cmocka_unit_test(what_format_would_not_write_is_damaged_though_the_checksum_is_right),
                cmocka_unit_test(a_later_version_is_newer_whatever_follows),
                cmocka_unit_test(the_line_that_is_wrong_is_told),
                WITH_DIRECTORY(what_was_stored_is_loaded),
                WITH_DIRECTORY(a_link_left_in_place_of_the_new_file_is_not_followed),
                WITH_DIRECTORY(broken_and_newer_files_are_set_aside_and_none_is_overwritten),
                WITH_DIRECTORY(what_is_no_plain_file_of_sensible_size_is_set_aside),
                WITH_DIRECTORY(a_store_that_fails_leaves_the_old_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
