/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Walks over small trees in a temporary directory. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "work/walk.h"

/* Deeper than a process may have descriptors, and longer than PATH_MAX by far. */
#define DEPTH 2000

typedef struct Seen {
        char *paths[64];
        size_t n_paths;
        size_t n_directories, n_files;
        uint64_t directories[2048];
        size_t deepest; /* longest path */
        const char *prune;
        size_t end_after; /* entries; 0: never */
        char *error_path;
        int error;
        atomic_bool *cancel;
        int top_fd; /* of a tree that is moved while it is walked */
        char *moved_path;
        const char *trigger; /* last component at which it is moved */
        size_t n_errors;
        int most_descriptors; /* highest number that was in use during the walk */
} Seen;

typedef struct Tree {
        char path[32];
        int fd;
} Tree;

static int tree_make(void **state)
{
        Tree *tree = calloc(1, sizeof(*tree));

        assert_non_null(tree);
        strcpy(tree->path, "/tmp/test-walk-XXXXXX");
        assert_non_null(mkdtemp(tree->path));
        tree->fd = open(tree->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(tree->fd >= 0);
        *state = tree;
        return 0;
}

/* nftw() cannot: the paths are longer than PATH_MAX. The deep chain is taken apart from its top by moving what is in a
 * directory up before the directory goes. */
static void remove_below(int dir_fd)
{
        DIR *dir = fdopendir(dup(dir_fd));
        struct dirent *entry;
        bool again;

        assert_non_null(dir);
        do {
                again = false;
                rewinddir(dir);
                while ((entry = readdir(dir))) {
                        unsigned serial = 0;
                        int child_fd;
                        DIR *child;
                        struct dirent *inner;

                        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                                continue;
                        if (unlinkat(dir_fd, entry->d_name, 0) == 0)
                                continue;
                        (void)fchmodat(dir_fd, entry->d_name, 0700, 0);
                        child_fd = openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                        if (child_fd < 0)
                                continue;
                        child = fdopendir(child_fd);
                        assert_non_null(child);
                        while ((inner = readdir(child))) {
                                char name[64];

                                if (strcmp(inner->d_name, ".") == 0 || strcmp(inner->d_name, "..") == 0)
                                        continue;
                                if (unlinkat(child_fd, inner->d_name, 0) == 0)
                                        continue;
                                do
                                        snprintf(name, sizeof(name), "up-%u", serial++);
                                while (faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
                                (void)renameat(child_fd, inner->d_name, dir_fd, name);
                        }
                        closedir(child);
                        if (unlinkat(dir_fd, entry->d_name, AT_REMOVEDIR) == 0)
                                again = true;
                }
        } while (again);
        closedir(dir);
}

static int tree_remove(void **state)
{
        Tree *tree = *state;

        remove_below(tree->fd);
        (void)fd_close(tree->fd);
        assert_int_equal(rmdir(tree->path), 0);
        free(tree);
        return 0;
}

static void make_file(int dir_fd, const char *name)
{
        int fd = openat(dir_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        (void)fd_close(fd);
}

static int on_entry(const WalkEntry *entry, void *userdata)
{
        Seen *seen = userdata;
        const char *name = strrchr(entry->path, '/');
        int probe_fd;

        name = name ? name + 1 : entry->path;
        assert_true(entry->inode != 0);
        if (seen->n_paths < sizeof(seen->paths) / sizeof(seen->paths[0]))
                seen->paths[seen->n_paths++] = strdup(entry->path);
        if (entry->type == DT_DIR)
                seen->directories[seen->n_directories++ % 2048] = entry->inode;
        else
                seen->n_files++;
        if (strlen(entry->path) > seen->deepest)
                seen->deepest = strlen(entry->path);
        probe_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (probe_fd > seen->most_descriptors)
                seen->most_descriptors = probe_fd;
        (void)fd_close(probe_fd);
        if (seen->trigger && strcmp(name, seen->trigger) == 0)
                assert_int_equal(renameat(seen->top_fd, seen->moved_path, seen->top_fd, "moved"), 0);
        if (seen->cancel && seen->n_files == 1)
                atomic_store(seen->cancel, true);
        if (seen->end_after != 0 && seen->n_files == seen->end_after)
                return 7;
        return seen->prune && strcmp(name, seen->prune) == 0 ? WALK_PRUNE : 0;
}

static void on_error(const char *path, int error, void *userdata)
{
        Seen *seen = userdata;

        seen->n_errors++;
        free(seen->error_path);
        seen->error_path = strdup(path);
        seen->error = error;
}

static bool seen_path(const Seen *seen, const char *path)
{
        for (size_t i = 0; i < seen->n_paths; i++)
                if (strcmp(seen->paths[i], path) == 0)
                        return true;
        return false;
}

static void seen_done(Seen *seen)
{
        for (size_t i = 0; i < seen->n_paths; i++)
                free(seen->paths[i]);
        free(seen->error_path);
        free(seen->moved_path);
}

static void everything_below_is_seen_once_and_symbolic_links_are_not_followed(void **state)
{
        const Tree *tree = *state;
        _cleanup_(seen_done) Seen seen = {0};

        make_file(tree->fd, "a");
        assert_int_equal(mkdirat(tree->fd, "sub", 0700), 0);
        make_file(tree->fd, "sub/b");
        assert_int_equal(symlinkat("sub", tree->fd, "link-to-directory"), 0);
        assert_int_equal(symlinkat("/", tree->fd, "link-to-root"), 0);
        assert_int_equal(walk_directory(tree->fd, "TOP", false, on_entry, on_error, NULL, &seen), 0);

        assert_int_equal(seen.n_directories, 2);
        assert_int_equal(seen.n_files, 4); /* two links among them, as what they are */
        assert_true(seen_path(&seen, "TOP"));
        assert_true(seen_path(&seen, "TOP/a"));
        assert_true(seen_path(&seen, "TOP/sub"));
        assert_true(seen_path(&seen, "TOP/sub/b"));
        assert_true(seen_path(&seen, "TOP/link-to-root"));
        assert_int_equal(seen.n_errors, 0);
}

static void the_root_directory_gives_no_double_slash(void **state)
{
        const Tree *tree = *state;
        _cleanup_(seen_done) Seen seen = {0};

        make_file(tree->fd, "a");
        assert_int_equal(walk_directory(tree->fd, "/", false, on_entry, on_error, NULL, &seen), 0);
        assert_true(seen_path(&seen, "/a"));
}

static void a_pruned_directory_is_not_entered(void **state)
{
        const Tree *tree = *state;
        _cleanup_(seen_done) Seen seen = {.prune = "cache"};

        assert_int_equal(mkdirat(tree->fd, "cache", 0700), 0);
        make_file(tree->fd, "cache/hidden");
        make_file(tree->fd, "shown");
        assert_int_equal(walk_directory(tree->fd, "TOP", false, on_entry, on_error, NULL, &seen), 0);
        assert_true(seen_path(&seen, "TOP/cache"));
        assert_true(seen_path(&seen, "TOP/shown"));
        assert_false(seen_path(&seen, "TOP/cache/hidden"));
}

static void what_the_callback_returns_ends_the_walk(void **state)
{
        const Tree *tree = *state;
        _cleanup_(seen_done) Seen seen = {.end_after = 1};

        make_file(tree->fd, "a");
        make_file(tree->fd, "b");
        assert_int_equal(walk_directory(tree->fd, "TOP", false, on_entry, on_error, NULL, &seen), 7);
        assert_int_equal(seen.n_files, 1);
}

static void cancel_ends_the_walk(void **state)
{
        const Tree *tree = *state;
        atomic_bool cancel = false;
        _cleanup_(seen_done) Seen seen = {.cancel = &cancel};

        make_file(tree->fd, "a");
        make_file(tree->fd, "b");
        assert_int_equal(walk_directory(tree->fd, "TOP", false, on_entry, on_error, &cancel, &seen),
                         -ECANCELED);
        assert_int_equal(seen.n_files, 1);
}

static void an_unreadable_directory_is_reported_and_left_out(void **state)
{
        const Tree *tree = *state;
        _cleanup_(seen_done) Seen seen = {0};
        int r;

        assert_int_equal(mkdirat(tree->fd, "locked", 0700), 0);
        make_file(tree->fd, "locked/hidden");
        make_file(tree->fd, "shown");
        assert_int_equal(fchmodat(tree->fd, "locked", 0, 0), 0);
        /* Root reads everything: be somebody else for a moment. */
        if (geteuid() == 0) {
                assert_int_equal(fchmod(tree->fd, 0755), 0);
                assert_int_equal(seteuid(65534), 0);
        }
        r = walk_directory(tree->fd, "TOP", false, on_entry, on_error, NULL, &seen);
        if (getuid() == 0)
                assert_int_equal(seteuid(0), 0);
        assert_int_equal(r, 0);
        assert_int_equal(seen.n_errors, 1);
        assert_int_equal(seen.error, EACCES);
        assert_string_equal(seen.error_path, "TOP/locked");
        assert_true(seen_path(&seen, "TOP/shown"));
        assert_false(seen_path(&seen, "TOP/locked/hidden"));
}

/* The first subdirectory in the order in which the file system lists them. */
static void first_directory(int dir_fd, char ret_name[static 16])
{
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_closedir_ DIR *dir = fdopendir(fd);
        const struct dirent *entry;

        assert_non_null(dir);
        while ((entry = readdir(dir)))
                if (entry->d_name[0] == 'd') {
                        (void)snprintf(ret_name, 16, "%.15s", entry->d_name);
                        return;
                }
        fail();
}

/* Directories d0, d1, ... n_beside in each of the chain's, with a file. The chain goes on in the one that is listed first,
 * so that the others are visited on the way back. Returns the path of the sixth in the chain. */
static char *make_deep(int top_fd, unsigned depth, unsigned n_beside)
{
        int fd = dup(top_fd);
        char name[16] = "", *sixth = NULL;

        for (unsigned i = 0; i < depth; i++) {
                int next;

                make_file(fd, "f");
                for (unsigned k = 0; k < n_beside; k++) {
                        (void)snprintf(name, sizeof(name), "d%u", k);
                        assert_int_equal(mkdirat(fd, name, 0700), 0);
                }
                first_directory(fd, name);
                if (i < 6) {
                        char *longer;

                        assert_true(asprintf(&longer, "%s%s%s", sixth ? sixth : "", sixth ? "/" : "", name) >
                                    0);
                        free(sixth);
                        sixth = longer;
                }
                next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_true(next >= 0);
                (void)fd_close(fd);
                fd = next;
        }
        make_file(fd, "bottom");
        (void)fd_close(fd);
        return sixth;
}

static void depth_costs_neither_stack_nor_descriptors(void **state)
{
        const Tree *tree = *state;
        _cleanup_(seen_done) Seen seen = {0};

        free(make_deep(tree->fd, DEPTH, 2));
        assert_int_equal(walk_directory(tree->fd, "", false, on_entry, on_error, NULL, &seen), 0);
        assert_int_equal(seen.n_errors, 0);
        assert_int_equal(seen.n_directories, 1 + 2 * DEPTH);
        assert_int_equal(seen.n_files, 1 + DEPTH);
        assert_true(seen.deepest >= 2 * DEPTH);
        assert_true(seen.most_descriptors < 100);
}

static void a_tree_that_is_moved_meanwhile_leads_nowhere_else(void **state)
{
        const Tree *tree = *state;
        _cleanup_(seen_done) Seen seen = {.top_fd = tree->fd, .trigger = "bottom"};

        seen.moved_path = make_deep(tree->fd, 100, 10);
        assert_int_equal(walk_directory(tree->fd, "TOP", false, on_entry, on_error, NULL, &seen), 0);
        assert_int_equal(seen.n_files, 1 + 100);
        /* Nothing is seen twice: the directories beside the way have the same names everywhere. */
        assert_true(seen.n_directories < 1 + 10 * 100);
        for (size_t i = 0; i < seen.n_directories; i++)
                for (size_t k = 0; k < i; k++)
                        assert_true(seen.directories[i] != seen.directories[k]);
        assert_true(seen.n_errors > 0);
        assert_int_equal(seen.error, ESTALE);
}

static void the_position_of_the_callers_descriptor_does_not_matter(void **state)
{
        const Tree *tree = *state;
        _cleanup_(seen_done) Seen first = {0}, second = {0};

        make_file(tree->fd, "a");
        assert_int_equal(walk_directory(tree->fd, "TOP", false, on_entry, on_error, NULL, &first), 0);
        assert_int_equal(walk_directory(tree->fd, "TOP", false, on_entry, on_error, NULL, &second), 0);
        assert_int_equal(first.n_files, 1);
        assert_int_equal(second.n_files, 1);
}

int main(void)
{
#define IN_TREE(test) cmocka_unit_test_setup_teardown(test, tree_make, tree_remove)
        const struct CMUnitTest tests[] = {
                IN_TREE(everything_below_is_seen_once_and_symbolic_links_are_not_followed),
                IN_TREE(the_root_directory_gives_no_double_slash),
                IN_TREE(a_pruned_directory_is_not_entered),
                IN_TREE(what_the_callback_returns_ends_the_walk),
                IN_TREE(cancel_ends_the_walk),
                IN_TREE(an_unreadable_directory_is_reported_and_left_out),
                IN_TREE(depth_costs_neither_stack_nor_descriptors),
                IN_TREE(a_tree_that_is_moved_meanwhile_leads_nowhere_else),
                IN_TREE(the_position_of_the_callers_descriptor_does_not_matter),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
