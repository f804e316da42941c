/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which files may be moved, fact by fact, and which word is said when several facts forbid it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/fs.h>
#include <linux/stat.h>
#include <sys/stat.h>

#include "base/number.h"
#include "decide/policy.h"

static const Policy policy = {.min_file_bytes = 256 * KIB};

static FileFacts plain_file(void)
{
        return (FileFacts){
                .inode = 7, .size_bytes = MIB, .allocated_bytes = MIB, .mode = S_IFREG | 0644, .n_links = 1};
}

static void assert_judged(const Policy *by, FileFacts facts, Reason expected)
{
        assert_string_equal(reason_name(policy_judge(by, &facts)), reason_name(expected));
}

static void a_plain_file_may_be_moved(void **state)
{
        FileFacts facts = plain_file();

        (void)state;
        assert_judged(&policy, facts, REASON_NONE);
        facts.n_links = 3;
        facts.uid = 1000;
        assert_judged(&policy, facts, REASON_NONE);
        facts.mode = S_IFREG;
        assert_judged(&policy, facts, REASON_NONE);
}

static void only_regular_files_are_moved(void **state)
{
        static const uint32_t types[] = {0, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFBLK, S_IFCHR};
        FileFacts facts = plain_file();

        (void)state;
        for (size_t i = 0; i < ELEMENTS(types); i++) {
                facts.mode = types[i] | 0644;
                assert_judged(&policy, facts, SKIP_NOT_A_FILE);
        }
}

static void each_attribute_that_statx_tells_has_its_reason(void **state)
{
        static const struct {
                uint64_t attribute;
                Reason reason;
        } cases[] = {
                {STATX_ATTR_ENCRYPTED, SKIP_ENCRYPTED},
                {STATX_ATTR_VERITY, SKIP_VERITY},
                {STATX_ATTR_DAX, SKIP_DAX},
                {STATX_ATTR_IMMUTABLE, SKIP_IMMUTABLE},
                {STATX_ATTR_APPEND, SKIP_APPEND_ONLY},
                {STATX_ATTR_NODUMP, REASON_NONE},
                {STATX_ATTR_COMPRESSED, REASON_NONE},
        };
        FileFacts facts = plain_file();

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                facts.attributes = cases[i].attribute;
                assert_judged(&policy, facts, cases[i].reason);
        }
}

static void each_flag_of_the_inode_has_its_reason(void **state)
{
        static const struct {
                uint32_t xflag;
                Reason reason;
        } cases[] = {
                {FS_XFLAG_REALTIME, SKIP_REALTIME},
                {FS_XFLAG_IMMUTABLE, SKIP_IMMUTABLE},
                {FS_XFLAG_APPEND, SKIP_APPEND_ONLY},
                {FS_XFLAG_NODEFRAG, SKIP_NODEFRAG},
                {FS_XFLAG_DAX, SKIP_DAX},
                {FS_XFLAG_PREALLOC, REASON_NONE},
                {FS_XFLAG_EXTSIZE, REASON_NONE},
                {FS_XFLAG_HASATTR, REASON_NONE},
                {FS_XFLAG_NODUMP, REASON_NONE},
        };
        FileFacts facts = plain_file();

        (void)state;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                facts.xflags = cases[i].xflag;
                assert_judged(&policy, facts, cases[i].reason);
        }
}

static void a_file_that_opted_out_is_left_alone(void **state)
{
        FileFacts facts = plain_file();

        (void)state;
        facts.opted_out = true;
        assert_judged(&policy, facts, SKIP_OPTED_OUT);
}

static void a_file_below_the_least_size_is_left_alone(void **state)
{
        Policy any_size = {0};
        FileFacts facts = plain_file();

        (void)state;
        facts.size_bytes = policy.min_file_bytes;
        assert_judged(&policy, facts, REASON_NONE);
        facts.size_bytes--;
        assert_judged(&policy, facts, SKIP_TOO_SMALL);
        facts.size_bytes = 0;
        assert_judged(&policy, facts, SKIP_TOO_SMALL);
        assert_judged(&any_size, facts, REASON_NONE);
}

static void any_execute_bit_makes_an_executable_unless_they_are_wanted(void **state)
{
        Policy wanted = policy;
        FileFacts facts = plain_file();

        (void)state;
        wanted.executables = true;
        for (uint32_t bit = 0; bit < 9; bit++) {
                facts.mode = S_IFREG | (1U << bit);
                assert_judged(&policy, facts, bit % 3 == 0 ? SKIP_EXECUTABLE : REASON_NONE);
                assert_judged(&wanted, facts, REASON_NONE);
        }
}

static void privileges_are_not_risked_unless_the_engine_keeps_them(void **state)
{
        static const uint32_t modes[] = {04644, 02644, 06644, 02000, 04000};
        Policy keeps = policy;
        FileFacts facts = plain_file();

        (void)state;
        keeps.engine_keeps_privileges = true;
        for (size_t i = 0; i < ELEMENTS(modes); i++) {
                facts.mode = S_IFREG | modes[i];
                assert_judged(&policy, facts, SKIP_PRIVILEGED);
                assert_judged(&keeps, facts, REASON_NONE);
        }
        facts = plain_file();
        facts.has_capabilities = true;
        assert_judged(&policy, facts, SKIP_PRIVILEGED);
        assert_judged(&keeps, facts, REASON_NONE);
        facts = plain_file();
        facts.mode |= S_ISVTX;
        assert_judged(&policy, facts, REASON_NONE);
}

static void wanting_executables_does_not_risk_privileges(void **state)
{
        Policy wanted = policy;
        FileFacts facts = plain_file();

        (void)state;
        wanted.executables = true;
        facts.mode = S_IFREG | 04755;
        assert_judged(&policy, facts, SKIP_EXECUTABLE);
        assert_judged(&wanted, facts, SKIP_PRIVILEGED);
}

static void the_first_of_several_reasons_is_the_one_that_no_setting_changes(void **state)
{
        FileFacts facts = {
                .mode = S_IFDIR | 06777,
                .attributes = UINT64_MAX,
                .xflags = UINT32_MAX,
                .opted_out = true,
                .has_capabilities = true,
        };

        (void)state;
        assert_judged(&policy, facts, SKIP_NOT_A_FILE);
        facts.mode = S_IFREG | 06777;
        assert_judged(&policy, facts, SKIP_ENCRYPTED);
        facts.attributes &= ~(uint64_t)STATX_ATTR_ENCRYPTED;
        assert_judged(&policy, facts, SKIP_VERITY);
        facts.attributes &= ~(uint64_t)STATX_ATTR_VERITY;
        assert_judged(&policy, facts, SKIP_DAX);
        facts.attributes &= ~(uint64_t)STATX_ATTR_DAX;
        assert_judged(&policy, facts, SKIP_DAX);
        facts.xflags &= ~(uint32_t)FS_XFLAG_DAX;
        assert_judged(&policy, facts, SKIP_REALTIME);
        facts.xflags &= ~(uint32_t)FS_XFLAG_REALTIME;
        assert_judged(&policy, facts, SKIP_IMMUTABLE);
        facts.attributes &= ~(uint64_t)STATX_ATTR_IMMUTABLE;
        facts.xflags &= ~(uint32_t)FS_XFLAG_IMMUTABLE;
        assert_judged(&policy, facts, SKIP_APPEND_ONLY);
        facts.attributes &= ~(uint64_t)STATX_ATTR_APPEND;
        facts.xflags &= ~(uint32_t)FS_XFLAG_APPEND;
        assert_judged(&policy, facts, SKIP_NODEFRAG);
        facts.xflags &= ~(uint32_t)FS_XFLAG_NODEFRAG;
        assert_judged(&policy, facts, SKIP_OPTED_OUT);
        facts.opted_out = false;
        assert_judged(&policy, facts, SKIP_TOO_SMALL);
        facts.size_bytes = GIB;
        assert_judged(&policy, facts, SKIP_EXECUTABLE);
        facts.mode = S_IFREG | 06666;
        assert_judged(&policy, facts, SKIP_PRIVILEGED);
        facts.mode = S_IFREG | 0666;
        assert_judged(&policy, facts, SKIP_PRIVILEGED);
        facts.has_capabilities = false;
        assert_judged(&policy, facts, REASON_NONE);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_plain_file_may_be_moved),
                cmocka_unit_test(only_regular_files_are_moved),
                cmocka_unit_test(each_attribute_that_statx_tells_has_its_reason),
                cmocka_unit_test(each_flag_of_the_inode_has_its_reason),
                cmocka_unit_test(a_file_that_opted_out_is_left_alone),
                cmocka_unit_test(a_file_below_the_least_size_is_left_alone),
                cmocka_unit_test(any_execute_bit_makes_an_executable_unless_they_are_wanted),
                cmocka_unit_test(privileges_are_not_risked_unless_the_engine_keeps_them),
                cmocka_unit_test(wanting_executables_does_not_risk_privileges),
                cmocka_unit_test(the_first_of_several_reasons_is_the_one_that_no_setting_changes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
