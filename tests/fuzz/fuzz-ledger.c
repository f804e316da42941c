/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The ledger, twice from the same bytes: as its text (the checksum is put in, or the fuzzer would never get behind it), and as what
 * is in it, which is written and read. */

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>

#include "base/checksum.h"
#include "base/cleanup.h"
#include "decide/queue.h"
#include "fuzz.h"
#include "work/inventory.h"
#include "work/ledger.h"

#define CHECKSUM_BYTES 26

static void check_sound(const Ledger *ledger)
{
        require(ledger->n_volumes <= LEDGER_MAX_VOLUMES);
        for (size_t i = 0; i < ledger->n_volumes; i++) {
                const LedgerVolume *volume = &ledger->volumes[i];

                require(strlen(volume->uuid) == 36);
                require(volume->sweep_phase < INVENTORY_PHASE_MAX_);
                for (size_t j = 0; j < i; j++)
                        require(strcmp(ledger->volumes[j].uuid, volume->uuid) != 0);
                for (size_t j = 0; j < volume->n_files; j++) {
                        require(file_id_is_set(volume->files[j].id));
                        require(volume->files[j].state <= LEDGER_FOUND &&
                                volume->files[j].state != QUEUE_RUNNING);
                        require(!volume->files[j].name || volume->files[j].name[0]);
                }
        }
}

/* Fit to be shown as it is. */
static void check_what(char *what)
{
        require(what && strncmp(what, "line ", 5) == 0 && strlen(what) < 128);
        for (const char *at = what; *at; at++)
                require(isprint((unsigned char)*at));
        free(what);
}

static void check_text(const char *text, size_t n_bytes)
{
        _cleanup_free_ char *exact = fuzz_copy(text, n_bytes), *again = NULL;
        _cleanup_(ledger_done) Ledger ledger = {0};
        size_t n_again;
        char *what = NULL;
        int r = ledger_parse(exact, n_bytes, &ledger, &what);

        require(r == 0 || r == LEDGER_DAMAGED || r == LEDGER_NEWER);
        if (r != 0) {
                require(!ledger.volumes && ledger.n_volumes == 0);
                check_what(what);
                return;
        }
        require(!what);
        check_sound(&ledger);
        require(ledger_format(&ledger, &again, &n_again) == 0);
        require(n_again == n_bytes && memcmp(again, exact, n_bytes) == 0);

        /* One byte more, less or otherwise is damage; a later version says so in its first line. */
        for (unsigned i = 0; i < 3; i++) {
                size_t place = n_bytes * (2 * i + 1) / 6;
                _cleanup_(ledger_done) Ledger other = {0};

                exact[place] ^= 1;
                r = ledger_parse(exact, n_bytes, &other, &what);
                require(r == LEDGER_DAMAGED || (r == LEDGER_NEWER && place <= 16));
                check_what(TAKE_PTR(what));
                exact[place] ^= 1;
                require(ledger_parse(exact, place, &other, &what) == LEDGER_DAMAGED);
                check_what(TAKE_PTR(what));
        }
}

static void ledger_of(FuzzBytes *bytes, Ledger *ret)
{
        Ledger ledger = {.n_volumes = fuzz_take(bytes, 1) % 4};

        ledger.volumes = calloc(ledger.n_volumes + 1, sizeof(*ledger.volumes));
        require(ledger.volumes);
        for (size_t i = 0; i < ledger.n_volumes; i++) {
                LedgerVolume *volume = &ledger.volumes[i];

                *volume = (LedgerVolume){
                        .budget_day = (int64_t)fuzz_take(bytes, 8),
                        .budget_charged_bytes = fuzz_take(bytes, 8),
                        .sweep_finished_sec = (int64_t)fuzz_take(bytes, 8),
                        .sweep_wanted = fuzz_take(bytes, 1) & 1,
                        .sweep_phase = (uint8_t)(fuzz_take(bytes, 1) % INVENTORY_PHASE_MAX_),
                        .sweep_cursor = {.inode = fuzz_take(bytes, 8)},
                        .sweep_offset = fuzz_take(bytes, 3),
                        .n_files = fuzz_take(bytes, 1) % 8,
                };
                snprintf(volume->uuid, sizeof(volume->uuid), "%08x-0000-4000-8000-%08x%04x",
                         (uint32_t)fuzz_take(bytes, 4), (uint32_t)fuzz_take(bytes, 4), (unsigned)i);
                volume->files = calloc(volume->n_files + 1, sizeof(*volume->files));
                require(volume->files);
                for (size_t j = 0; j < volume->n_files; j++) {
                        static const uint8_t states[] = {QUEUE_WAITING, QUEUE_COOLING, LEDGER_FOUND};
                        size_t n_name = fuzz_take(bytes, 1) % 64;

                        volume->files[j] = (LedgerFile){
                                .id = {.inode = fuzz_take(bytes, 8) | 1,
                                       .generation = (uint32_t)fuzz_take(bytes, 4)},
                                .parent = {.inode = fuzz_take(bytes, 8),
                                           .generation = (uint32_t)fuzz_take(bytes, 4)},
                                .size_bytes = fuzz_take(bytes, 8),
                                .n_extents = fuzz_take(bytes, 4),
                                .not_before_sec = (int64_t)fuzz_take(bytes, 8),
                                .n_conflicts = (uint32_t)fuzz_take(bytes, 4),
                                .state = states[fuzz_take(bytes, 1) % 3],
                        };
                        if (n_name > (size_t)(bytes->end - bytes->at))
                                n_name = (size_t)(bytes->end - bytes->at);
                        /* Most volumes have none. */
                        if (volume->files[j].n_conflicts & 1)
                                volume->files[j].id.subvolume = volume->files[j].n_conflicts >> 1;
                        volume->files[j].name = fuzz_text(bytes->at, n_name);
                        bytes->at += n_name;
                        /* No name is written as none. */
                        if (!volume->files[j].name[0])
                                free(TAKE_PTR(volume->files[j].name));
                }
        }
        *ret = ledger;
}

static bool same_name(const char *a, const char *b)
{
        return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_same(const Ledger *a, const Ledger *b)
{
        require(a->n_volumes == b->n_volumes);
        for (size_t i = 0; i < a->n_volumes; i++) {
                const LedgerVolume *v = &a->volumes[i], *w = &b->volumes[i];

                require(strcmp(v->uuid, w->uuid) == 0 && v->budget_day == w->budget_day &&
                        v->budget_charged_bytes == w->budget_charged_bytes &&
                        v->sweep_finished_sec == w->sweep_finished_sec &&
                        v->sweep_wanted == w->sweep_wanted && v->sweep_phase == w->sweep_phase &&
                        v->sweep_cursor.inode == w->sweep_cursor.inode &&
                        v->sweep_cursor.subvolume == w->sweep_cursor.subvolume &&
                        v->sweep_offset == w->sweep_offset && v->n_files == w->n_files);
                for (size_t j = 0; j < v->n_files; j++) {
                        const LedgerFile *f = &v->files[j], *g = &w->files[j];

                        require(file_id_equal(f->id, g->id) && file_id_equal(f->parent, g->parent) &&
                                same_name(f->name, g->name) && f->size_bytes == g->size_bytes &&
                                f->n_extents == g->n_extents && f->not_before_sec == g->not_before_sec &&
                                f->n_conflicts == g->n_conflicts && f->state == g->state);
                }
        }
}

static void check_content(const uint8_t *data, size_t n_bytes)
{
        _cleanup_(ledger_done) Ledger ledger = {0}, again = {0};
        FuzzBytes bytes = {data, data + n_bytes};
        _cleanup_free_ char *text = NULL;
        char *what = NULL;
        size_t n_text;

        ledger_of(&bytes, &ledger);
        require(ledger_format(&ledger, &text, &n_text) == 0);
        for (size_t i = 0; i < n_text; i++)
                require(text[i] == '\n' || isprint((unsigned char)text[i]));
        require(ledger_parse(text, n_text, &again, &what) == 0 && !what);
        check_same(&ledger, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
        char *text = calloc(1, n_bytes + CHECKSUM_BYTES + 1);

        require(text);
        if (n_bytes > 0)
                memcpy(text, data, n_bytes);
        snprintf(text + n_bytes, CHECKSUM_BYTES + 1, "checksum %016" PRIx64 "\n",
                 checksum_of(text, n_bytes));
        check_text(text, n_bytes);
        check_text(text, n_bytes + CHECKSUM_BYTES);
        free(text);
        check_content(data, n_bytes);
        return 0;
}
