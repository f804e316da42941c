/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The text of the ledger:
 *
 *     defragd-ledger 1
 *     volume UUID BUDGET_DAY CHARGED SWEPT WANTED PHASE CURSOR OFFSET
 *     file INODE GENERATION PARENT PARENT_GENERATION SIZE EXTENTS NOT_BEFORE CONFLICTS STATE NAME
 *     checksum XXXXXXXXXXXXXXXX
 *
 * Numbers are decimal. INODE, PARENT and CURSOR are written INODE@SUBVOLUME where there is a subvolume. A name is written byte by byte, with %XX for what is not printable ASCII, and "-" for none. What was read is
 * written once more and must give the same text: so there is one text for each ledger, and no second set of rules. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/cleanup.h"
#include "base/number.h"
#include "decide/queue.h"
#include "work/inventory.h"
#include "work/ledger.h"

_Static_assert((int)LEDGER_FOUND >= (int)QUEUE_STATE_MAX_, "LEDGER_FOUND is no QueueState");

#define MAGIC          "defragd-ledger "
/* "checksum " and 16 digits and the newline. */
#define CHECKSUM_BYTES (sizeof("checksum ") - 1 + 16 + 1)

/* --- writing --- */

static void put_name(FILE *out, const char *name)
{
        if (!name || !name[0]) {
                fputs(" -\n", out);
                return;
        }
        fputc(' ', out);
        for (const unsigned char *at = (const unsigned char *)name; *at; at++)
                if (*at <= ' ' || *at > '~' || *at == '%' || *at == '-')
                        fprintf(out, "%%%02X", *at);
                else
                        fputc(*at, out);
        fputc('\n', out);
}

static void put_inode(FILE *out, uint64_t inode, uint32_t subvolume)
{
        fprintf(out, " %" PRIu64, inode);
        if (subvolume != 0)
                fprintf(out, "@%" PRIu32, subvolume);
}

static void put_id(FILE *out, FileId id)
{
        put_inode(out, id.inode, id.subvolume);
        fprintf(out, " %" PRIu32, id.generation);
}

static void put_file(FILE *out, const LedgerFile *file)
{
        fputs("file", out);
        put_id(out, file->id);
        put_id(out, file->parent);
        fprintf(out, " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRIu32 " %u", file->size_bytes,
                file->n_extents, file->not_before_sec, file->n_conflicts, file->state);
        put_name(out, file->name);
}

static void put_volume(FILE *out, const LedgerVolume *volume)
{
        fprintf(out, "volume %s %" PRId64 " %" PRIu64 " %" PRId64 " %d %u", volume->uuid, volume->budget_day,
                volume->budget_charged_bytes, volume->sweep_finished_sec, volume->sweep_wanted,
                volume->sweep_phase);
        put_inode(out, volume->sweep_cursor.inode, volume->sweep_cursor.subvolume);
        fprintf(out, " %" PRIu64 "\n", volume->sweep_offset);
        for (size_t i = 0; i < volume->n_files; i++)
                put_file(out, &volume->files[i]);
}

int ledger_format(const Ledger *ledger, char **ret_text, size_t *ret_bytes)
{
        _cleanup_free_ char *text = NULL;
        char *whole;
        size_t n_bytes;
        int failed;
        FILE *out = open_memstream(&text, &n_bytes);

        if (!out)
                return -ENOMEM;
        fprintf(out, MAGIC "%d\n", LEDGER_VERSION);
        for (size_t i = 0; i < ledger->n_volumes; i++)
                put_volume(out, &ledger->volumes[i]);
        /* What did not fit into memory. */
        failed = ferror(out);
        if (fclose(out) != 0 || failed)
                return -ENOMEM;
        whole = realloc(text, n_bytes + CHECKSUM_BYTES + 1);
        if (!whole)
                return -ENOMEM;
        text = NULL;
        (void)snprintf(whole + n_bytes, CHECKSUM_BYTES + 1, "checksum %016" PRIx64 "\n",
                       checksum_of(whole, n_bytes));
        *ret_text = whole;
        *ret_bytes = n_bytes + CHECKSUM_BYTES;
        return 0;
}

/* --- reading --- */

typedef struct Reader {
        const char *at, *end;
        unsigned line; /* the one that at is in, from 1 */
        const char *what;
} Reader;

/* Remembers what is wrong. Returns LEDGER_DAMAGED. */
static int damaged(Reader *reader, const char *what)
{
        reader->what = what;
        return LEDGER_DAMAGED;
}

/* Takes the text away if it comes next. */
static bool take_text(Reader *reader, const char *text)
{
        const size_t n = strlen(text);

        if ((size_t)(reader->end - reader->at) < n || memcmp(reader->at, text, n) != 0)
                return false;
        reader->at += n;
        return true;
}

/* Digits; the comparison at the end refuses what has leading zeros. */
static bool take_number(Reader *reader, uint64_t max, uint64_t *ret)
{
        uint64_t value = 0;
        const char *begin = reader->at;

        for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
                const uint64_t digit = (uint64_t)(*reader->at - '0');

                if (digit > max || value > (max - digit) / 10)
                        return false;
                value = 10 * value + digit;
        }
        *ret = value;
        return reader->at > begin && value <= max;
}

static bool take_u64(Reader *reader, uint64_t *ret)
{
        return take_text(reader, " ") && take_number(reader, UINT64_MAX, ret);
}

static bool take_u32(Reader *reader, uint32_t *ret)
{
        uint64_t value;

        if (!take_text(reader, " ") || !take_number(reader, UINT32_MAX, &value))
                return false;
        *ret = (uint32_t)value;
        return true;
}

static bool take_inode(Reader *reader, uint64_t *ret_inode, uint32_t *ret_subvolume)
{
        uint64_t subvolume = 0;

        if (!take_u64(reader, ret_inode) ||
            (take_text(reader, "@") && !take_number(reader, UINT32_MAX, &subvolume)))
                return false;
        *ret_subvolume = (uint32_t)subvolume;
        return true;
}

static bool take_id(Reader *reader, FileId *ret)
{
        return take_inode(reader, &ret->inode, &ret->subvolume) && take_u32(reader, &ret->generation);
}

static bool take_u8(Reader *reader, uint64_t max, uint8_t *ret)
{
        uint64_t value;

        if (!take_text(reader, " ") || !take_number(reader, max, &value))
                return false;
        *ret = (uint8_t)value;
        return true;
}

static bool take_i64(Reader *reader, int64_t *ret)
{
        uint64_t value;
        bool negative;

        if (!take_text(reader, " "))
                return false;
        negative = take_text(reader, "-");
        if (!take_number(reader, (uint64_t)INT64_MAX + negative, &value))
                return false;
        *ret = (int64_t)(negative ? 0 - value : value);
        return true;
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* " NAME\n". Returns 0, LEDGER_DAMAGED or -ENOMEM. */
static int take_name(Reader *reader, char **ret)
{
        const char *end;
        char *name, *to;

        if (!take_text(reader, " "))
                return damaged(reader, "no name");
        if (take_text(reader, "-\n")) {
                *ret = NULL;
                return 0;
        }
        end = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
        if (!end || end == reader->at)
                return damaged(reader, "no name");
        name = to = malloc((size_t)(end - reader->at) + 1);
        if (!name)
                return -ENOMEM;
        while (reader->at < end) {
                int high, low;

                if (*reader->at != '%') {
                        *to++ = *reader->at++;
                        continue;
                }
                high = end - reader->at > 2 ? hex_digit(reader->at[1]) : -1;
                low = end - reader->at > 2 ? hex_digit(reader->at[2]) : -1;
                if (high < 0 || low < 0 || high + low == 0) {
                        free(name);
                        return damaged(reader, "a name with a wrong escape");
                }
                *to++ = (char)(16 * high + low);
                reader->at += 3;
        }
        *to = '\0';
        reader->at++;
        *ret = name;
        return 0;
}

/* Behind "file". */
static int take_file(Reader *reader, LedgerVolume *volume)
{
        LedgerFile file = {0}, *grown;
        int r;

        if (!take_id(reader, &file.id) || !take_id(reader, &file.parent) ||
            !take_u64(reader, &file.size_bytes) || !take_u64(reader, &file.n_extents) ||
            !take_i64(reader, &file.not_before_sec) || !take_u32(reader, &file.n_conflicts) ||
            !take_u8(reader, LEDGER_FOUND, &file.state))
                return damaged(reader, "not the numbers of a file");
        if (file.state == QUEUE_RUNNING)
                return damaged(reader, "a file that is being worked on");
        if (file.id.inode == 0)
                return damaged(reader, "a file without an inode");
        r = take_name(reader, &file.name);
        if (r != 0)
                return r;
        /* Grown by doubling: the count is the room whenever it is a power of two. */
        if ((volume->n_files & (volume->n_files - 1)) == 0) {
                grown = reallocarray(volume->files, volume->n_files ? 2 * volume->n_files : 1,
                                     sizeof(*grown));
                if (!grown) {
                        free(file.name);
                        return -ENOMEM;
                }
                volume->files = grown;
        }
        volume->files[volume->n_files++] = file;
        return 0;
}

static bool is_uuid(const char *text)
{
        for (size_t i = 0; i < 36; i++) {
                const bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;

                if (is_dash ? text[i] != '-'
                            : !((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
                        return false;
        }
        return true;
}

/* Behind "volume". */
static int take_volume(Reader *reader, Ledger *ledger)
{
        LedgerVolume volume = {0}, *grown;
        uint8_t wanted;

        if (!take_text(reader, " ") || reader->end - reader->at < 36 || !is_uuid(reader->at))
                return damaged(reader, "no UUID");
        memcpy(volume.uuid, reader->at, 36);
        reader->at += 36;
        if (!take_i64(reader, &volume.budget_day) || !take_u64(reader, &volume.budget_charged_bytes) ||
            !take_i64(reader, &volume.sweep_finished_sec) || !take_u8(reader, 1, &wanted) ||
            !take_u8(reader, INVENTORY_PHASE_MAX_ - 1, &volume.sweep_phase) ||
            !take_inode(reader, &volume.sweep_cursor.inode, &volume.sweep_cursor.subvolume) ||
            !take_u64(reader, &volume.sweep_offset) || !take_text(reader, "\n"))
                return damaged(reader, "not the numbers of a volume");
        volume.sweep_wanted = wanted;
        for (size_t i = 0; i < ledger->n_volumes; i++)
                if (strcmp(ledger->volumes[i].uuid, volume.uuid) == 0)
                        return damaged(reader, "the same volume once more");
        if (ledger->n_volumes == LEDGER_MAX_VOLUMES)
                return damaged(reader, "too many volumes");
        grown = reallocarray(ledger->volumes, ledger->n_volumes + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        ledger->volumes = grown;
        ledger->volumes[ledger->n_volumes++] = volume;
        return 0;
}

/* The first line. Returns 0, LEDGER_DAMAGED or LEDGER_NEWER. */
static int take_version(Reader *reader)
{
        uint64_t version;

        /* No later version will write another first line, so this one is not left to the comparison at the end. */
        if (!take_text(reader, MAGIC))
                return damaged(reader, "not a ledger");
        if (take_text(reader, "0") || !take_number(reader, UINT32_MAX, &version) || !take_text(reader, "\n"))
                return damaged(reader, "no version");
        if (version > LEDGER_VERSION) {
                reader->what = "made by a later version";
                return LEDGER_NEWER;
        }
        reader->line++;
        return 0;
}

/* All between the first line and the checksum. */
static int take_lines(Reader *reader, Ledger *ledger)
{
        int r;

        while (reader->at < reader->end) {
                if (take_text(reader, "volume"))
                        r = take_volume(reader, ledger);
                else if (ledger->n_volumes > 0 && take_text(reader, "file"))
                        r = take_file(reader, &ledger->volumes[ledger->n_volumes - 1]);
                else
                        r = damaged(reader, "not a volume or a file");
                if (r != 0)
                        return r;
                reader->line++;
        }
        return 0;
}

/* Is it the one text that there is for what it says? */
static int compare(Reader *reader, const Ledger *ledger, const char *text, size_t n_bytes)
{
        _cleanup_free_ char *again = NULL;
        size_t n_again, same = 0;
        int r;

        r = ledger_format(ledger, &again, &n_again);
        if (r < 0)
                return r;
        if (n_again == n_bytes && memcmp(again, text, n_bytes) == 0)
                return 0;
        reader->line = 1;
        for (; same < n_again && same < n_bytes && again[same] == text[same]; same++)
                reader->line += text[same] == '\n';
        return damaged(reader, "a number or a name that was not written so");
}

int ledger_parse(const char *text, size_t n_bytes, Ledger *ret, char **ret_what)
{
        _cleanup_(ledger_done) Ledger ledger = {0};
        Reader reader = {.at = text, .end = text + n_bytes, .line = 1};
        char checksum[CHECKSUM_BYTES + 1];
        int r;

        r = take_version(&reader);
        if (r == 0 && n_bytes < CHECKSUM_BYTES)
                r = damaged(&reader, "cut short");
        if (r == 0) {
                (void)snprintf(checksum, sizeof(checksum), "checksum %016" PRIx64 "\n",
                               checksum_of(text, n_bytes - CHECKSUM_BYTES));
                reader.end -= CHECKSUM_BYTES;
                if (reader.end < reader.at || memcmp(reader.end, checksum, CHECKSUM_BYTES) != 0)
                        r = damaged(&reader, "the checksum at its end is wrong");
        }
        if (r == 0)
                r = take_lines(&reader, &ledger);
        if (r == 0)
                r = compare(&reader, &ledger, text, n_bytes);
        if (r < 0)
                return r;
        if (r != 0) {
                if (asprintf(ret_what, "line %u: %s", reader.line, reader.what) < 0)
                        return -ENOMEM;
                return r;
        }
        *ret = TAKE(ledger, (Ledger){0});
        return 0;
}

void ledger_done(Ledger *ledger)
{
        for (size_t i = 0; i < ledger->n_volumes; i++) {
                for (size_t j = 0; j < ledger->volumes[i].n_files; j++)
                        free(ledger->volumes[i].files[j].name);
                free(ledger->volumes[i].files);
        }
        free(ledger->volumes);
        *ledger = (Ledger){0};
}
