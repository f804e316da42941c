/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Lists of operations: made of a seed, run, written down and read. */

#include "ways.h"

/* How often, in a thousand. Stores go on through a mapping whose file is closed: nobody opens it for them. */
static const struct {
        const char *name;
        unsigned weight;
        Way *run;
        bool changes, closed;
} operations[] = {
        {"comb", 10, run_comb, true, false},           {"rest", 50, run_rest, false, false},
        {"write", 130, run_write, true, false},        {"direct", 110, run_direct, true, false},
        {"uring", 90, run_uring, true, false},         {"aio", 90, run_aio, true, false},
        {"flight", 30, run_flight, true, false},       {"store", 170, run_store, true, true},
        {"pinned", 20, run_pinned, true, true},        {"truncate", 25, run_truncate, true, false},
        {"punch", 25, run_punch, true, false},         {"zero", 15, run_zero, true, false},
        {"allocate", 15, run_allocate, true, false},   {"collapse", 20, run_collapse, true, false},
        {"insert", 20, run_insert, true, false},       {"clone", 5, run_clone, false, false},
        {"reclone", 6, run_reclone, true, false},      {"unclone", 15, run_unclone, false, false},
        {"read", 50, run_read, false, false},          {"check", 15, run_check, false, false},
        {"sync", 30, run_sync, false, false},          {"forget", 15, run_forget, false, false},
        {"unmap", 12, run_unmap, false, false},        {"hold", 8, run_hold, false, false},
        {"times", 8, run_times, false, false},         {"mode", 5, run_mode, false, false},
        {"rename", 5, run_rename, false, false},       {"link", 3, run_link, false, false},
        {"attribute", 3, run_attribute, false, false},
};
#define N_KINDS (sizeof(operations) / sizeof(operations[0]))
enum { KIND_COMB, KIND_REST }; /* the first two */

void operations_make(uint64_t seed, Operation *list, size_t n)
{
        unsigned sum = 0;

        for (size_t i = 0; i < N_KINDS; i++)
                sum += operations[i].weight;
        for (size_t i = 0; i < n; i++) {
                unsigned kind = 0, ticket = (unsigned)(random_next(&seed) % sum);

                while (ticket >= operations[kind].weight)
                        ticket -= operations[kind++].weight;
                /* The engine shall find something to do at a rest. */
                if (i == 0 ||
                    (i + 1 < n && kind == KIND_REST && list[i - 1].kind != KIND_COMB && ticket % 4 != 0))
                        kind = KIND_COMB;
                else if (list[i - 1].kind == KIND_COMB)
                        kind = KIND_REST;
                list[i] = (Operation){.kind = kind,
                                      .place = random_next(&seed),
                                      .amount = random_next(&seed),
                                      .flavour = random_next(&seed)};
        }
}

/* Through a descriptor of its own, so that it is nowhere noted. */
static void break_file(ModelFile *file, const Operation *operation)
{
        size_t at = file->n_bytes > 0 ? operation->place % file->n_bytes : 0;
        unsigned char byte;
        int fd;

        if (file->n_bytes == 0)
                return;
        fd = open(model_path(file).text, O_RDWR | O_CLOEXEC);
        byte = file->content[at] ^ 1;
        if (fd < 0 || pwrite(fd, &byte, 1, (off_t)at) != 1)
                die("breaking");
        (void)close(fd);
}

int operation_run(ModelFile *file, const Operation *operation)
{
        int said = MODEL_SAME;

        file->did[0] = '\0';
        if (!operations[operation->kind].closed || !file->mapping)
                said = model_open(file);
        if (said == MODEL_SAME) {
                if (operations[operation->kind].changes)
                        file->knows_mtime = false;
                said = operations[operation->kind].run(file, operation);
        }
        if (operation->breaks)
                break_file(file, operation);
        atomic_fetch_add_explicit(&file->tally->n_operations, 1, memory_order_relaxed);
        if (file->verbose)
                printf("    %s%s%s%s\n", operations[operation->kind].name, operation->breaks ? "!" : "",
                       file->did[0] ? ": " : "", file->did);
        return said;
}

int operations_run(ModelFile *file, uint64_t seed, const Operation *list, size_t n, size_t *ret_n)
{
        int said = MODEL_SAME;
        size_t i;

        model_begin(file, seed);
        for (i = 0;
             i < n && said == MODEL_SAME && !atomic_load_explicit(&file->tally->stop, memory_order_relaxed);
             i++)
                said = operation_run(file, &list[i]);
        if (said == MODEL_SAME)
                said = model_check(file, false);
        if (said == MODEL_SAME)
                said = model_check(file, true);
        if (said == MODEL_SAME)
                said = model_check_clone(file);
        model_close(file, false);
        if (said != MODEL_SAME)
                *ret_n = i;
        return said;
}

void operation_write(const Operation *operation, FILE *stream)
{
        (void)fprintf(stream, "%s%s %llx %llx %llx\n", operations[operation->kind].name,
                      operation->breaks ? "!" : "", (unsigned long long)operation->place,
                      (unsigned long long)operation->amount, (unsigned long long)operation->flavour);
}

bool operation_read(Operation *operation, FILE *stream)
{
        unsigned long long place, amount, flavour;
        char name[32];
        size_t n_name;

        if (fscanf(stream, "%31s %llx %llx %llx", name, &place, &amount, &flavour) != 4)
                return false;
        *operation = (Operation){.place = place, .amount = amount, .flavour = flavour};
        n_name = strlen(name);
        if (name[n_name - 1] == '!') {
                operation->breaks = true;
                name[n_name - 1] = '\0';
        }
        while (operation->kind < N_KINDS && strcmp(operations[operation->kind].name, name) != 0)
                operation->kind++;
        if (operation->kind == N_KINDS)
                die_plainly("no such operation: %s", name);
        return true;
}
