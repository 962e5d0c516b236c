// SPDX-License-Identifier: MIT
// base/mem.h and base/arena.h
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mem.h"
#include "suite.h"

static bool is_zero(const void *data, size_t bytes)
{
    const unsigned char *at = data;
    for (size_t i = 0; i < bytes; i++)
        if (at[i])
            return false;
    return true;
}

START_TEST(core_small_blocks)
{
    int *numbers = cs_xcalloc(100, sizeof *numbers);
    ck_assert(is_zero(numbers, 100 * sizeof *numbers));
    for (int i = 0; i < 100; i++)
        numbers[i] = i;
    numbers = cs_xrealloc(numbers, 10000, sizeof *numbers);
    ck_assert_int_eq(numbers[99], 99);
    free(numbers);
    char *text = cs_xasprintf("%d-%s", 5, "x");
    ck_assert_str_eq(text, "5-x");
    char *copy = cs_xstrdup(text), *part = cs_xstrndup("abcdef", 3);
    ck_assert_str_eq(copy, "5-x");
    ck_assert_str_eq(part, "abc");
    free(text);
    free(copy);
    free(part);
    free(cs_xmalloc(0)); // no block of no bytes: never NULL
    free(cs_xcalloc(0, 0));
}
END_TEST

START_TEST(core_alloc)
{
    struct cs_err err = {0};
    for (size_t n = 0; n < 300; n += 7) {
        char *block = cs_alloc(n, 3, "block", &err);
        ck_assert_ptr_nonnull(block);
        ck_assert_uint_eq((uintptr_t)block % 64, 0);
        ck_assert(is_zero(block, 3 * n));
        free(block);
    }
}
END_TEST

START_TEST(limits_alloc)
{
    struct cs_err err = {0};
    ck_assert_ptr_null(cs_alloc(SIZE_MAX, 2, "plane", &err));
    ck_assert_int_eq(err.code, CS_ENOMEM);
    ck_assert_ptr_nonnull(strstr(err.text, "plane"));
    ck_assert_ptr_null(cs_alloc(SIZE_MAX, 1, "plane", &err));
    ck_assert_ptr_null(cs_alloc(SIZE_MAX / 2, 1, "plane", &err));
    ck_assert_int_eq(err.code, CS_ENOMEM);
}
END_TEST

START_TEST(limits_products)
{
    size_t product;
    ck_assert(cs_mul_size(0, SIZE_MAX, &product) && product == 0);
    ck_assert(cs_mul_size(SIZE_MAX, 1, &product) && product == SIZE_MAX);
    ck_assert(!cs_mul_size(SIZE_MAX / 2 + 1, 2, &product));
    ck_assert(cs_mul4_size(3, 5, 7, 11, &product) && product == 1155);
    ck_assert(!cs_mul4_size((size_t)1 << 32, (size_t)1 << 31, 2, 1, &product));
    ck_assert(!cs_mul4_size(1, 1, SIZE_MAX, 2, &product));
    ck_assert(cs_mul4_size((size_t)1 << 31, (size_t)1 << 31, 2, 1, &product));
}
END_TEST

static int entries(const char *path)
{
    int count = 0;
    DIR *folder = opendir(path);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

START_TEST(core_big)
{
    struct cs_big big;
    struct cs_err err = {0};
    char folder[] = "/tmp/test-mem-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(cs_big_init(&big, 5000, 5000, folder, &err), 0);
    ck_assert(!big.mapped);
    ck_assert(is_zero(big.data, 5000));
    cs_big_release(&big);
    ck_assert_int_eq(cs_big_init(&big, 5001, 5000, folder, &err), 0);
    ck_assert(big.mapped);
    ck_assert(is_zero(big.data, 5001));
    memset(big.data, 1, 5001);
    ck_assert_int_eq(entries(folder), 2); // no name: nothing is left after a crash
    cs_big_release(&big);
    ck_assert_ptr_null(big.data);
    cs_big_release(&big);
    ck_assert_int_eq(cs_big_init(&big, 1 << 20, 0, folder, &err), 0);
    ck_assert(!big.mapped);
    cs_big_release(&big);
    setenv("TMPDIR", folder, 1);
    ck_assert_int_eq(cs_big_init(&big, 2, 1, NULL, &err), 0);
    ck_assert(big.mapped);
    cs_big_release(&big);
    rmdir(folder);
    ck_assert_int_eq(cs_big_init(&big, 2, 1, NULL, &err), -1);
    ck_assert_int_eq(err.code, CS_EIO);
    ck_assert_ptr_nonnull(strstr(err.text, folder));
}
END_TEST

// A disk that cannot hold the block is an error at once, not a SIGBUS later.
// What is written to a scratch file comes back; a folder that is not there is named.
START_TEST(core_scratch)
{
    struct cs_err err = {0};
    char text[] = "spill";
    int fd = cs_scratch_open(NULL, &err);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, sizeof text), sizeof text);
    memset(text, 0, sizeof text);
    ck_assert_int_eq(pread(fd, text, sizeof text, 0), sizeof text);
    ck_assert_str_eq(text, "spill");
    close(fd);
    ck_assert_int_eq(cs_scratch_open("no/such/folder", &err), -1);
    ck_assert_int_eq(err.code, CS_EIO);
    ck_assert_ptr_nonnull(strstr(err.text, "no/such/folder"));
}
END_TEST

START_TEST(limits_big)
{
    struct cs_big big;
    struct cs_err err = {0};
    struct rlimit limit = {1 << 20, 1 << 20};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    ck_assert_int_eq(cs_big_init(&big, 2 << 20, 1, NULL, &err), -1);
    ck_assert_int_eq(err.code, CS_EIO);
    ck_assert_ptr_null(big.data);
    ck_assert_int_eq(cs_big_init(&big, SIZE_MAX / 2, 0, NULL, &err), -1);
    ck_assert_int_eq(err.code, CS_ENOMEM);
}
END_TEST

START_TEST(core_arena)
{
    struct cs_arena arena = {0};
    char *pieces[2000];
    for (int i = 0; i < 2000; i++) {
        pieces[i] = cs_arena_alloc(&arena, (size_t)i % 97 + 1, 3);
        ck_assert_uint_eq((uintptr_t)pieces[i] % 16, 0);
        ck_assert(is_zero(pieces[i], (size_t)(i % 97 + 1) * 3));
        memset(pieces[i], i, (size_t)(i % 97 + 1) * 3);
    }
    for (int i = 0; i < 2000; i++) // nobody wrote over another's
        for (int k = 0; k < (i % 97 + 1) * 3; k++)
            ck_assert_int_eq(pieces[i][k], (char)i);
    ck_assert_str_eq(cs_arena_strdup(&arena, "text"), "text");
    ck_assert_str_eq(cs_arena_strndup(&arena, "text", 2), "te");
    ck_assert_str_eq(cs_arena_strndup(&arena, "text", 20), "text");
    ck_assert_mem_eq(cs_arena_copy(&arena, "a\0b", 3), "a\0b", 3);
    ck_assert_ptr_nonnull(cs_arena_copy(&arena, NULL, 0));
    ck_assert_ptr_nonnull(cs_arena_alloc(&arena, 0, 8));
    char *large = cs_arena_alloc(&arena, 1 << 20, 1); // larger than a block
    memset(large, 1, 1 << 20);
    cs_arena_release(&arena);
    cs_arena_release(&arena);
}
END_TEST

START_TEST(limits_arena)
{
    struct cs_arena arena = {0};
    cs_arena_alloc(&arena, SIZE_MAX, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mem");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_small_blocks);
    tcase_add_test(core, core_alloc);
    tcase_add_test(core, core_big);
    tcase_add_test(core, core_scratch);
    tcase_add_test(core, core_arena);
    tcase_add_test(limits, limits_alloc);
    tcase_add_test(limits, limits_products);
    tcase_add_test(limits, limits_big);
    tcase_add_test_raise_signal(limits, limits_arena, SIGABRT);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
