// SPDX-License-Identifier: MIT
// backend/threads.h: quotas of control groups, read from a made-up tree.
#include <stdio.h>
#include <stdlib.h>

#include "backend/backend.h"
#include "backend/threads.h"
#include "base/io.h"
#include "base/mem.h"
#include "suite.h"

static char root[64];

static void make_root(void)
{
    snprintf(root, sizeof root, "/tmp/test_threads.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static void remove_root(void)
{
    char *command = cs_xasprintf("rm -rf '%s'", root);
    ck_assert_int_eq(system(command), 0);
    free(command);
}

static void put(const char *name, const char *text)
{
    struct cs_err err = {0};
    char *path = cs_xasprintf("%s/%s", root, name);
    ck_assert_msg(cs_make_parents(path, &err) == 0, "%s", err.text);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    free(path);
}

static int cpus_of(const char *membership)
{
    put("self", membership);
    char *path = cs_xasprintf("%s/self", root);
    int cpus = cs_cgroup_cpus(path, root);
    free(path);
    return cpus;
}

START_TEST(core_version_2)
{
    put("a/cpu.max", "max 100000\n");
    ck_assert_int_eq(cpus_of("0::/a/b\n"), 0);
    put("a/b/cpu.max", "350000 100000\n");
    ck_assert_int_eq(cpus_of("0::/a/b\n"), 4); // 3.5
    put("a/cpu.max", "200000 100000\n");
    ck_assert_int_eq(cpus_of("0::/a/b\n"), 2); // the parent binds
    ck_assert_int_eq(cpus_of("0::/a/b/not/seen/here\n"), 2);
    put("cpu.max", "10000 100000\n");
    ck_assert_int_eq(cpus_of("0::/\n"), 1); // a tenth of a CPU
}
END_TEST

START_TEST(core_version_1)
{
    put("cpu,cpuacct/job/cpu.cfs_quota_us", "300000\n");
    put("cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
    ck_assert_int_eq(cpus_of("5:memory:/job\n4:cpu,cpuacct:/job\n"), 3);
    put("cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
    ck_assert_int_eq(cpus_of("4:cpu,cpuacct:/job\n"), 0);
    ck_assert_int_eq(cpus_of("3:cpuset:/job\n"), 0);
}
END_TEST

START_TEST(limits_broken)
{
    put("a/cpu.max", "100000 0\n");
    ck_assert_int_eq(cpus_of("0::/a\n"), 0);
    put("a/cpu.max", "text\n");
    ck_assert_int_eq(cpus_of("0::/a\n"), 0);
    ck_assert_int_eq(cpus_of("nonsense\n:\n"), 0);
    ck_assert_int_eq(cs_cgroup_cpus("/nonexistent/self", root), 0);
    ck_assert_int_ge(cs_usable_threads(), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("threads");
    TCase *core = tcase_create("core");
    tcase_add_checked_fixture(core, make_root, remove_root);
    tcase_add_test(core, core_version_2);
    tcase_add_test(core, core_version_1);
    tcase_add_test(core, limits_broken);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
