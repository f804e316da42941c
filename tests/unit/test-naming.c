/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The pass over the names, on a small tree in a temporary directory: it needs names and inode numbers, no
 * XFS. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "work/naming.h"

/* Directories before what is in them, and the order in which they are in the list. */
static const char *const directories[] = {"keep", "keep/deep", "skip", "skip/deep", "skipped"};
static const char *const files[] = {"keep/a",    "keep/deep/b", "skip/c", "skip/deep/d",
                                    "skipped/e", "top.tmp",     "f",      "keep/last"};
/* Other names of them. */
static const char *const links[][2] = {
        {"keep/a", "skip/a-too"}, {"skip/c", "keep/c-too"}, {"f", "keep/f-too"}};

typedef struct Tree {
        char path[32];
        int fd;
        FsVolume volume;
        CandidateList list;
        char *patterns[4];
        VolumeConfig config;
        /* What the callbacks were told. */
        char *excluded[ELEMENTS(files) + 1]; /* as many as fit; "-" without a name */
        size_t n_excluded, n_names, n_unreadable;
        char *unreadable;
        int fail_with;
} Tree;

static uint64_t inode_of(const Tree *tree, const char *name)
{
        struct stat status;

        assert_int_equal(fstatat(tree->fd, name, &status, AT_SYMLINK_NOFOLLOW), 0);
        return status.st_ino;
}

static void add(Tree *tree, uint64_t inode)
{
        Candidate candidate = {.id = {.inode = inode, .generation = 1}, .size_bytes = MIB, .n_extents = 7};

        assert_int_equal(candidate_list_add(&tree->list, &candidate), 0);
}

static int tree_make(void **state)
{
        Tree *tree = calloc(1, sizeof(*tree));

        assert_non_null(tree);
        strcpy(tree->path, "/tmp/test-naming-XXXXXX");
        assert_non_null(mkdtemp(tree->path));
        tree->fd = open(tree->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(tree->fd >= 0);
        for (size_t i = 0; i < ELEMENTS(directories); i++)
                assert_int_equal(mkdirat(tree->fd, directories[i], 0700), 0);
        for (size_t i = 0; i < ELEMENTS(files); i++) {
                int fd = openat(tree->fd, files[i], O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

                assert_true(fd >= 0);
                (void)fd_close(fd);
                add(tree, inode_of(tree, files[i]));
        }
        for (size_t i = 0; i < ELEMENTS(links); i++)
                assert_int_equal(linkat(tree->fd, links[i][0], tree->fd, links[i][1], 0), 0);
        tree->volume.mount_path = tree->path;
        tree->volume.facts.type = &file_system_xfs;
        tree->config.excludes = tree->patterns;
        *state = tree;
        return 0;
}

static int tree_remove(void **state)
{
        Tree *tree = *state;

        candidate_list_done(&tree->list);
        for (size_t i = 0; i < ELEMENTS(links); i++)
                (void)unlinkat(tree->fd, links[i][1], 0);
        for (size_t i = 0; i < ELEMENTS(files); i++)
                (void)unlinkat(tree->fd, files[i], 0);
        for (size_t i = ELEMENTS(directories); i > 0; i--)
                (void)unlinkat(tree->fd, directories[i - 1], AT_REMOVEDIR);
        (void)fd_close(tree->fd);
        assert_int_equal(rmdir(tree->path), 0);
        for (size_t i = 0; i < tree->n_excluded; i++)
                free(tree->excluded[i]);
        for (size_t i = 0; i < tree->config.n_excludes; i++)
                free(tree->patterns[i]);
        free(tree->unreadable);
        free(tree);
        return 0;
}

/* A pattern below the tree, or one that stands for itself. */
static void exclude(Tree *tree, const char *pattern)
{
        char **place = &tree->patterns[tree->config.n_excludes++];

        assert_true(tree->config.n_excludes <= ELEMENTS(tree->patterns));
        if (pattern[0] == '/')
                *place = strdup(pattern);
        else if (asprintf(place, "%s/%s", tree->path, pattern) < 0)
                *place = NULL;
        assert_non_null(*place);
}

static void on_name(const char *path, void *userdata)
{
        Tree *tree = userdata;

        assert_true(path[0] == '/');
        tree->n_names++;
}

static void on_unreadable(const char *path, int error, void *userdata)
{
        Tree *tree = userdata;

        assert_true(error > 0);
        tree->n_unreadable++;
        free(tree->unreadable);
        tree->unreadable = strdup(path);
}

static int on_excluded(Candidate *candidate, void *userdata)
{
        Tree *tree = userdata;

        if (tree->fail_with < 0)
                return tree->fail_with;
        assert_true(tree->n_excluded < ELEMENTS(tree->excluded));
        tree->excluded[tree->n_excluded] = candidate->path ? TAKE_PTR(candidate->path) : strdup("-");
        assert_non_null(tree->excluded[tree->n_excluded]);
        tree->n_excluded++;
        return 0;
}

static int run_on(Tree *tree, int fd, const atomic_bool *cancel)
{
        const NamingCallbacks callbacks = {
                .on_name = on_name,
                .on_unreadable = on_unreadable,
                .on_excluded = on_excluded,
                .userdata = tree,
        };

        return naming_run(&tree->volume, fd, &tree->config, cancel, &tree->list, &callbacks);
}

static void run(Tree *tree)
{
        assert_int_equal(run_on(tree, tree->fd, NULL), 0);
}

/* expected: names below the tree, separated by spaces, "-" for a file without one. */
static void assert_same(const Tree *tree, char *const paths[], size_t n_paths, const char *expected)
{
        char said[1024] = "";

        for (size_t i = 0; i < n_paths; i++) {
                const char *path = paths[i];
                size_t n_bytes = strlen(tree->path);

                if (strncmp(path, tree->path, n_bytes) == 0 && path[n_bytes] == '/')
                        path += n_bytes + 1;
                assert_true(strlen(said) + strlen(path) + 2 < sizeof(said));
                if (i > 0)
                        strcat(said, " ");
                strcat(said, path);
        }
        assert_string_equal(said, expected);
}

static void assert_left(const Tree *tree, const char *expected)
{
        static char none[] = "-";
        char *paths[ELEMENTS(files) + 1];

        assert_true(tree->list.n_items <= ELEMENTS(paths));
        for (size_t i = 0; i < tree->list.n_items; i++)
                paths[i] = tree->list.items[i].path ? tree->list.items[i].path : none;
        assert_same(tree, paths, tree->list.n_items, expected);
}

static void assert_excluded(const Tree *tree, const char *expected)
{
        assert_same(tree, tree->excluded, tree->n_excluded, expected);
}

/* As root every directory can be read. A descriptor that stands for none makes the topmost one
 * unreadable. */
static int not_a_directory(const Tree *tree)
{
        int fd = openat(tree->fd, "f", O_RDONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

static void every_candidate_gets_its_name_and_keeps_its_place(void **state)
{
        Tree *tree = *state;

        /* One name each: which of several is met first is the file system's business. */
        for (size_t i = 0; i < ELEMENTS(links); i++)
                assert_int_equal(unlinkat(tree->fd, links[i][1], 0), 0);
        run(tree);
        assert_left(tree, "keep/a keep/deep/b skip/c skip/deep/d skipped/e top.tmp f keep/last");
        assert_int_equal(tree->n_excluded, 0);
        assert_int_equal(tree->n_unreadable, 0);
        assert_int_equal(tree->n_names, 1 + ELEMENTS(directories) + ELEMENTS(files));
        for (size_t i = 0; i < ELEMENTS(files); i++)
                assert_int_equal(tree->list.items[i].id.inode, inode_of(tree, files[i]));
}

static void a_parent_is_the_directory_of_the_name(void **state)
{
        Tree *tree = *state;
        FileId deep;

        if (file_id_from_name(tree->fd, "keep/deep", &deep) < 0)
                skip(); /* no handles here */
        tree->list.items[1].parent = (FileId){.inode = 1, .generation = 1};
        run(tree);
        assert_true(file_id_equal(tree->list.items[1].parent, deep));
}

static void a_file_is_excluded_by_any_of_its_names(void **state)
{
        Tree *tree = *state;

        exclude(tree, "skip/**");
        exclude(tree, "*.tmp");
        run(tree);
        assert_excluded(tree, "skip/a-too skip/c skip/deep/d top.tmp");
        assert_int_equal(tree->list.n_items, 4);
        assert_int_equal(tree->list.items[0].id.inode, inode_of(tree, "keep/deep/b"));
        assert_int_equal(tree->list.items[3].id.inode, inode_of(tree, "keep/last"));
        for (size_t i = 0; i < tree->list.n_items; i++)
                assert_non_null(tree->list.items[i].path);
}

/* The directory, not what is below it, is what the pattern covers. */
static void an_excluded_directory_takes_all_below_it_along(void **state)
{
        Tree *tree = *state;

        exclude(tree, "skip");
        run(tree);
        assert_excluded(tree, "skip/a-too skip/c skip/deep/d");
        assert_int_equal(tree->list.n_items, 5);
}

static void an_excluded_way_to_the_volume_excludes_all_of_it(void **state)
{
        Tree *tree = *state;

        exclude(tree, "/tmp");
        run(tree);
        assert_int_equal(tree->list.n_items, 0);
        assert_int_equal(tree->n_excluded, ELEMENTS(files));
}

static void a_candidate_without_a_name_stays(void **state)
{
        Tree *tree = *state;

        exclude(tree, "*.tmp");
        add(tree, UINT64_MAX - 1);
        run(tree);
        assert_excluded(tree, "top.tmp");
        assert_int_equal(tree->list.n_items, ELEMENTS(files));
        assert_null(tree->list.items[ELEMENTS(files) - 1].path);
}

static void what_cannot_be_named_is_excluded_where_a_pattern_may_mean_it(void **state)
{
        Tree *tree = *state;
        _cleanup_close_ int fd = not_a_directory(tree);

        exclude(tree, "skip/**");
        assert_int_equal(run_on(tree, fd, NULL), 0);
        assert_int_equal(tree->n_unreadable, 1);
        assert_string_equal(tree->unreadable, tree->path);
        assert_int_equal(tree->list.n_items, 0);
        assert_excluded(tree, "- - - - - - - -");
}

static void what_cannot_be_named_stays_where_no_pattern_can_mean_it(void **state)
{
        Tree *tree = *state;
        _cleanup_close_ int fd = not_a_directory(tree);

        exclude(tree, "/boot/**");
        assert_int_equal(run_on(tree, fd, NULL), 0);
        assert_int_equal(tree->n_unreadable, 1);
        assert_int_equal(tree->n_excluded, 0);
        assert_left(tree, "- - - - - - - -");
}

static void a_run_that_fails_leaves_nothing_to_work_on(void **state)
{
        Tree *tree = *state;
        atomic_bool cancel = true;

        assert_int_equal(run_on(tree, tree->fd, &cancel), -ECANCELED);
        assert_int_equal(tree->list.n_items, 0);

        add(tree, inode_of(tree, "f"));
        add(tree, inode_of(tree, "top.tmp"));
        exclude(tree, "*.tmp");
        tree->fail_with = -EIO;
        assert_int_equal(run_on(tree, tree->fd, NULL), -EIO);
        assert_int_equal(tree->list.n_items, 0);
}

static void an_empty_list_costs_nothing(void **state)
{
        Tree *tree = *state;

        candidate_list_done(&tree->list);
        run(tree);
        assert_int_equal(tree->n_names, 0);
}

static void no_callback_has_to_be_there(void **state)
{
        Tree *tree = *state;
        const NamingCallbacks none = {0};
        _cleanup_close_ int fd = not_a_directory(tree);

        exclude(tree, "*.tmp");
        assert_int_equal(naming_run(&tree->volume, tree->fd, &tree->config, NULL, &tree->list, &none), 0);
        assert_int_equal(tree->list.n_items, ELEMENTS(files) - 1);
        assert_int_equal(naming_run(&tree->volume, fd, &tree->config, NULL, &tree->list, &none), 0);
        assert_int_equal(tree->list.n_items, ELEMENTS(files) - 1);
}

static void a_path_is_excluded_by_what_leads_to_it(void **state)
{
        static char pattern[] = "/srv/cache";
        char *patterns[] = {pattern};
        const VolumeConfig config = {.excludes = patterns, .n_excludes = 1};

        (void)state;
        assert_int_equal(naming_is_excluded(&config, "/srv/cache"), 1);
        assert_int_equal(naming_is_excluded(&config, "/srv/cache/a/b"), 1);
        assert_int_equal(naming_is_excluded(&config, "/srv/cached"), 0);
        assert_int_equal(naming_is_excluded(&config, "/srv"), 0);
        assert_int_equal(naming_is_excluded(&config, "/"), 0);
}

static void a_pattern_matters_where_its_literal_part_leads(void **state)
{
        static const struct {
                const char *pattern, *directory;
                bool expected;
        } cases[] = {
                {"/boot/**", "/", true},           {"/boot/**", "/boot", true},
                {"/boot/**", "/boot/efi", true},   {"/boot/**", "/srv", false},
                {"/boot/**", "/bootstrap", false}, {"/srv/data/x", "/srv/data", true},
                {"/srv/data", "/srv/data", true},  {"/srv/database", "/srv/data", false},
                {"/srv", "/srv/data", true},       {"/s*/x", "/srv", true},
                {"/s*/x", "/var", false},          {"/[sv]*/x", "/var", true},
                {"/s?v/x", "/srv", true},          {"**/cache/**", "/srv", true},
                {"/srv/data/x", "/srv/", true},    {"/\\srv/x", "/srv", true},
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                char *pattern = strdup(cases[i].pattern);
                const VolumeConfig config = {.excludes = &pattern, .n_excludes = 1};

                assert_non_null(pattern);
                if (config_may_exclude_below(&config, cases[i].directory) != cases[i].expected)
                        fail_msg("%s at %s", cases[i].pattern, cases[i].directory);
                free(pattern);
        }
        assert_false(config_may_exclude_below(&(VolumeConfig){0}, "/"));
}

#define TREE_TEST(name) cmocka_unit_test_setup_teardown(name, tree_make, tree_remove)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TREE_TEST(every_candidate_gets_its_name_and_keeps_its_place),
                TREE_TEST(a_parent_is_the_directory_of_the_name),
                TREE_TEST(a_file_is_excluded_by_any_of_its_names),
                TREE_TEST(an_excluded_directory_takes_all_below_it_along),
                TREE_TEST(an_excluded_way_to_the_volume_excludes_all_of_it),
                TREE_TEST(a_candidate_without_a_name_stays),
                TREE_TEST(what_cannot_be_named_is_excluded_where_a_pattern_may_mean_it),
                TREE_TEST(what_cannot_be_named_stays_where_no_pattern_can_mean_it),
                TREE_TEST(a_run_that_fails_leaves_nothing_to_work_on),
                TREE_TEST(an_empty_list_costs_nothing),
                TREE_TEST(no_callback_has_to_be_there),
                cmocka_unit_test(a_path_is_excluded_by_what_leads_to_it),
                cmocka_unit_test(a_pattern_matters_where_its_literal_part_leads),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
