/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A whole configuration: main files and drop-ins in all three directories, which a line "--- N" separates. Whatever it says, the
 * settings are sound, a mistake is told and never widens what may be done, a line that was refused has no effect, and what came out
 * can be written and read once more. */

#include <ctype.h>
#include <inttypes.h>
#include <locale.h>
#include <wchar.h>
#include <wctype.h>

#include "base/number.h"
#include "facts/config.h"
#include "fuzz-tree.h"

static const char *const slots[] = {
        "etc/defragd/defragd.conf",
        "run/defragd/defragd.conf",
        "usr/lib/defragd/defragd.conf",
        "etc/defragd/defragd.conf.d/20-b.conf",
        "run/defragd/defragd.conf.d/10-a.conf",
        "usr/lib/defragd/defragd.conf.d/20-b.conf",
};
#define COMPLAINTS_MAX 256

typedef struct File {
        char *text; /* NULL: there is none */
        size_t n_bytes;
} File;

typedef struct Complaint {
        size_t slot;
        unsigned line; /* 0: the file */
        char text[320];
} Complaint;

typedef struct Complaints {
        Complaint of[COMPLAINTS_MAX];
        size_t n; /* all of them */
} Complaints;

static Complaints first, second;

static void on_complaint(const char *file, unsigned line, const char *text, void *userdata)
{
        Complaints *complaints = userdata;
        Complaint *complaint = &complaints->of[complaints->n];
        size_t slot = 0;

        require(strncmp(file, tree, strlen(tree)) == 0);
        while (slot < ELEMENTS(slots) && strcmp(file + strlen(tree) + 1, slots[slot]) != 0)
                slot++;
        require(slot < ELEMENTS(slots));
        require(strlen(text) < 400);
        for (const char *at = text; *at;) {
                mbstate_t state = {0};
                wchar_t c;
                size_t n = mbrtowc(&c, at, strlen(at), &state);

                require(n > 0 && n <= 4 && !iswcntrl((wint_t)c));
                at += n;
        }
        if (complaints->n++ < COMPLAINTS_MAX) {
                *complaint = (Complaint){.slot = slot, .line = line};
                snprintf(complaint->text, sizeof(complaint->text), "%s", text);
        }
}

static Config load(const File files[static ELEMENTS(slots)], Complaints *complaints)
{
        Config config;
        int r;

        for (size_t i = 0; i < ELEMENTS(slots); i++)
                if (files[i].text)
                        require(tree_file(slots[i], files[i].text, files[i].n_bytes));
        complaints->n = 0;
        r = config_load(tree, NULL, on_complaint, complaints, &config);
        require(r >= 0 && (size_t)r == complaints->n);
        tree_end();
        return config;
}

/* --- what always holds --- */

static void check_path(const char *path)
{
        const size_t n = strlen(path);

        require(path[0] == '/' && !strstr(path, "//") && !strstr(path, "/./") && !strstr(path, "/../"));
        require(n == 1 || path[n - 1] != '/');
}

static void check_settings(const VolumeConfig *settings)
{
        require(settings->enabled <= ENABLED_OBSERVE && settings->solid_state <= SOLID_STATE_NO);
        require(settings->settle_usec != USEC_INFINITY && settings->min_file_bytes != BYTES_INFINITY);
        require(settings->sweep_usec >= 60 * USEC_PER_SEC);
        require(settings->min_extents <= UINT32_MAX && settings->max_rate > 0);
        require(!settings->shared_extents);
        require(!settings->daily_writes.is_permille || settings->daily_writes.value <= 1000);
        require(settings->free_space_reserve.is_permille
                        ? settings->free_space_reserve.value <= 1000
                        : settings->free_space_reserve.value != BYTES_INFINITY);
        for (size_t i = 0; i < settings->n_excludes; i++)
                require(settings->excludes[i][0] == '/' || strncmp(settings->excludes[i], "**", 2) == 0);
}

static void check_sound(const Config *config)
{
        require(!config->defaults.mount_path && !config->defaults.broken && !config->defaults.enabled_here);
        check_settings(&config->defaults);
        require(config_for(config, "/no such volume") == &config->defaults || config->n_volumes > 0);
        for (size_t i = 0; i < config->n_volumes; i++) {
                check_path(config->volumes[i].mount_path);
                check_settings(&config->volumes[i]);
                require(config_for(config, config->volumes[i].mount_path) == &config->volumes[i]);
        }
}

/* A mistake stops what it may have been meant to limit, except in what only says when a file is looked at, or can
 * only have widened. */
static void check_never_widens(const Config *config, const Complaints *complaints)
{
        static const char *const harmless[] = {": SettleSec", ": Executables", ": SharedExtents",
                                               ": SweepSec"};
        static const char *const structural[] = {"Section name",      "NUL byte",      "Line too long",
                                                 "Neither a section", "A line cannot", "Unknown section",
                                                 "Not an absolute",   "Key before"};
        bool any_broken = config->limits_broken;

        for (size_t i = 0; i < config->n_volumes; i++)
                any_broken = any_broken || config->volumes[i].broken;
        if (complaints->n == 0)
                require(!any_broken);
        for (size_t i = 0; i < complaints->n && i < COMPLAINTS_MAX; i++) {
                const char *text = complaints->of[i].text;
                bool is_harmless = false;

                for (size_t j = 0; j < ELEMENTS(structural); j++)
                        if (strncmp(text, structural[j], strlen(structural[j])) == 0)
                                require(config->limits_broken);
                for (size_t j = 0; j < ELEMENTS(harmless); j++)
                        is_harmless = is_harmless || strstr(text, harmless[j]);
                require(any_broken || is_harmless);
        }
}

/* --- the same settings --- */

static void check_same_settings(const VolumeConfig *a, const VolumeConfig *b)
{
        require(a->enabled == b->enabled && a->settle_usec == b->settle_usec &&
                a->min_file_bytes == b->min_file_bytes && a->min_extents == b->min_extents &&
                a->solid_state == b->solid_state);
        require(a->executables == b->executables && a->shared_extents == b->shared_extents &&
                a->busy_files == b->busy_files && a->on_battery == b->on_battery);
        require(a->max_rate == b->max_rate && a->sweep_usec == b->sweep_usec);
        require(a->daily_writes_is_set == b->daily_writes_is_set && a->enabled_here == b->enabled_here);
        require(a->daily_writes.is_permille == b->daily_writes.is_permille &&
                a->daily_writes.value == b->daily_writes.value);
        require(a->free_space_reserve.is_permille == b->free_space_reserve.is_permille &&
                a->free_space_reserve.value == b->free_space_reserve.value);
        require(memcmp(&a->hours, &b->hours, sizeof(a->hours)) == 0);
        require(a->n_excludes == b->n_excludes);
        for (size_t i = 0; i < a->n_excludes; i++)
                require(strcmp(a->excludes[i], b->excludes[i]) == 0);
}

static void check_same(const Config *a, const Config *b)
{
        check_same_settings(&a->defaults, &b->defaults);
        require(a->n_volumes == b->n_volumes);
        for (size_t i = 0; i < a->n_volumes; i++) {
                require(strcmp(a->volumes[i].mount_path, b->volumes[i].mount_path) == 0);
                check_same_settings(&a->volumes[i], &b->volumes[i]);
        }
}

/* --- written --- */

static const char *yes_no(bool value)
{
        return value ? "yes" : "no";
}

static void put_bytes(FILE *out, const char *key, uint64_t bytes)
{
        if (bytes == BYTES_INFINITY)
                fprintf(out, "%s=infinity\n", key);
        else
                fprintf(out, "%s=%" PRIu64 "\n", key, bytes);
}

static void put_amount(FILE *out, const char *key, Amount amount)
{
        if (amount.is_permille)
                fprintf(out, "%s=%" PRIu64 ".%" PRIu64 "%%\n", key, amount.value / 10, amount.value % 10);
        else
                put_bytes(out, key, amount.value);
}

static void put_hours(FILE *out, const Schedule *hours)
{
        static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

        fputs("Hours=", out);
        for (unsigned day = 0; day < 7; day++)
                for (unsigned from = 0, to; from < 1440; from = to + (to == from)) {
                        for (to = from; to < 1440 && schedule_is_open(hours, day * 1440 + to);)
                                to++;
                        if (to > from)
                                fprintf(out, "%s %u:%02u-%u:%02u ", days[day], from / 60, from % 60, to / 60,
                                        to % 60);
                }
        fputc('\n', out);
}

/* A slash behind a path is taken away again, and keeps white space that belongs to it.
 *
 * general: the section's head comes before each kind of key. */
static void put_settings(FILE *out, const VolumeConfig *settings, bool general)
{
        static const char *const enabled[] = {"no", "yes", "observe"}, *const solid_state[] = {"auto", "yes",
                                                                                               "no"};

        if (general)
                fputs("[Policy]\n", out);
        if (general || settings->enabled_here)
                fprintf(out, "Enabled=%s\n", enabled[settings->enabled]);
        fprintf(out, "SettleSec=%" PRIu64 "us\nMinExtents=%" PRIu64 "\n", settings->settle_usec,
                settings->min_extents);
        put_bytes(out, "MinFileSize", settings->min_file_bytes);
        fprintf(out, "SolidState=%s\nExecutables=%s\nSharedExtents=no\nBusyFiles=%s\nExclude=\n",
                solid_state[settings->solid_state], yes_no(settings->executables),
                yes_no(settings->busy_files));
        for (size_t i = 0; i < settings->n_excludes; i++)
                fprintf(out, "Exclude=%s/\n", settings->excludes[i]);
        if (general)
                fputs("[Budget]\n", out);
        put_bytes(out, "MaxRate", settings->max_rate);
        if (settings->daily_writes_is_set)
                put_amount(out, "DailyWrites", settings->daily_writes);
        put_amount(out, "FreeSpaceReserve", settings->free_space_reserve);
        fprintf(out, "OnBattery=%s\n%s", yes_no(settings->on_battery), general ? "[Schedule]\n" : "");
        put_hours(out, &settings->hours);
        if (settings->sweep_usec == USEC_INFINITY)
                fputs("SweepSec=infinity\n", out);
        else
                fprintf(out, "SweepSec=%" PRIu64 "us\n", settings->sweep_usec);
}

static void check_written(const Config *config)
{
        File files[ELEMENTS(slots)] = {0};
        FILE *out = open_memstream(&files[0].text, &files[0].n_bytes);
        Config again;

        require(out);
        put_settings(out, &config->defaults, true);
        for (size_t i = 0; i < config->n_volumes; i++) {
                fprintf(out, "[Volume %s/]\n", config->volumes[i].mount_path);
                put_settings(out, &config->volumes[i], false);
        }
        require(fclose(out) == 0);
        again = load(files, &second);
        require(second.n == 0);
        check_same(config, &again);
        config_done(&again);
        free(files[0].text);
}

/* --- what was refused has no effect --- */

/* Line n, from 1, or NULL. */
static char *line_of(const File *file, unsigned n)
{
        char *at = file->text, *end = file->text + file->n_bytes;

        while (at && --n > 0) {
                at = memchr(at, '\n', (size_t)(end - at));
                at = at ? at + 1 : NULL;
        }
        return at < end ? at : NULL;
}

/* Makes comments of all lines that were complained about, except for the one of complaint number keep. Returns false where that changes what others mean: a head that was
 * refused takes its keys with it. */
static bool take_out_refused(File files[static ELEMENTS(slots)], const Complaints *complaints, size_t keep)
{
        for (size_t i = 0; i < complaints->n; i++) {
                const Complaint *complaint = &complaints->of[i];
                char *line, *at;

                if (i == COMPLAINTS_MAX || complaint->line == 0 || strstr(complaint->text, "NUL byte") ||
                    strstr(complaint->text, "too long"))
                        return false;
                line = at = line_of(&files[complaint->slot], complaint->line);
                require(line);
                if (complaint->line == 1 && strncmp(at, "\xef\xbb\xbf", 3) == 0)
                        at += 3;
                while (isspace((unsigned char)*at) && *at != '\n')
                        at++;
                if (*at != '[' && i != keep)
                        *line = '#';
        }
        return true;
}

static size_t n_heads(const Complaints *complaints)
{
        size_t n = 0;

        for (size_t i = 0; i < complaints->n; i++)
                n += strncmp(complaints->of[i].text, "Section name", 12) == 0 ||
                     strncmp(complaints->of[i].text, "Unknown section", 15) == 0 ||
                     strncmp(complaints->of[i].text, "Not an absolute", 15) == 0;
        return n;
}

/* "--- 3\n" ends one file and begins another; what comes first is number 0. */
static void split(char *text, size_t n_bytes, File files[static ELEMENTS(slots)])
{
        char *end = text + n_bytes, *begin = text;
        size_t slot = 0;

        for (char *line = text, *next; line <= end; line = next) {
                next = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
                next = next ? next + 1 : end + 1;
                if (line < end && !(end - line >= 5 && strncmp(line, "--- ", 4) == 0))
                        continue;
                if (!files[slot].text) {
                        files[slot].n_bytes = (size_t)(line - begin);
                        files[slot].text = malloc(files[slot].n_bytes + 1);
                        require(files[slot].text);
                        memcpy(files[slot].text, begin, files[slot].n_bytes);
                        files[slot].text[files[slot].n_bytes] = '\0';
                }
                if (line < end) {
                        slot = (unsigned char)line[4] % ELEMENTS(slots);
                        begin = next < end ? next : end;
                }
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
        _cleanup_free_ char *text = malloc(n_bytes + 1);
        File files[ELEMENTS(slots)] = {0};
        Config config, without;

        require(setlocale(LC_CTYPE, "C.UTF-8"));
        tree_begin();
        require(text);
        if (n_bytes > 0)
                memcpy(text, data, n_bytes);
        text[n_bytes] = '\0';
        split(text, n_bytes, files);

        config = load(files, &first);
        check_sound(&config);
        check_never_widens(&config, &first);
        check_written(&config);
        if (first.n > 0 && take_out_refused(files, &first, n_bytes % first.n)) {
                /* One mistake alone, behind which no other can hide. */
                without = load(files, &second);
                require(second.n >= 1);
                check_never_widens(&without, &second);
                config_done(&without);

                require(take_out_refused(files, &first, first.n));
                without = load(files, &second);
                require(second.n == n_heads(&first));
                check_same(&config, &without);
                config_done(&without);
        }
        config_done(&config);
        for (size_t i = 0; i < ELEMENTS(slots); i++)
                free(files[i].text);
        return 0;
}
