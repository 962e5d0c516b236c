// SPDX-License-Identifier: MIT
// base/io.h, base/hash.h and base/log.h
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "suite.h"

static char folder[64];

static void enter_folder(void)
{
    strncpy(folder, "/tmp/test-io-XXXXXX", sizeof folder);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void leave_folder(void)
{
    char *command = cs_xasprintf("rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
    free(command);
}

static void put(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(cs_write_full(fd, bytes, len, NULL), 0);
    close(fd);
}

static int exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static void *feed(void *context)
{
    const int *fd = context;
    for (int i = 0; i < 50; i++)
        cs_write_full(*fd, "0123456789", 10, NULL);
    close(*fd);
    return NULL;
}

START_TEST(core_full)
{
    struct cs_err err = {0};
    char bytes[600];
    int fds[2];
    pthread_t thread;
    ck_assert_int_eq(pipe(fds), 0);
    pthread_create(&thread, NULL, feed, &fds[1]);
    ck_assert_int_eq(cs_read_full(fds[0], bytes, 333, &err), 333);
    ck_assert_int_eq(bytes[332], '2');
    ck_assert_int_eq(cs_read_full(fds[0], bytes, sizeof bytes, &err), 167);
    ck_assert_int_eq(cs_read_full(fds[0], bytes, sizeof bytes, &err), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(cs_read_full(-1, bytes, 1, &err), -1);
    ck_assert_int_eq(err.code, CS_EIO);
    int full = open("/dev/full", O_WRONLY);
    ck_assert_int_eq(cs_write_full(full, bytes, 10, &err), -1);
    ck_assert_int_eq(errno, ENOSPC);
    close(full);
}
END_TEST

static void *feed_later(void *context)
{
    const int *fd = context;
    usleep(50000);
    return cs_write_full(*fd, "later", 5, NULL) == 0 ? context : NULL;
}

// Another process may have left the shared description of a pipe non-blocking.
START_TEST(limits_nonblocking)
{
    struct cs_err err = {0};
    char bytes[5], *much = calloc(1, 1 << 20);
    int fds[2];
    pthread_t thread;
    ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
    pthread_create(&thread, NULL, feed_later, &fds[1]);
    ck_assert_int_eq(cs_read_full(fds[0], bytes, 5, &err), 5);
    ck_assert_mem_eq(bytes, "later", 5);
    pthread_join(thread, NULL);
    pid_t child = fork();
    if (child == 0) {
        char drop[4096];
        close(fds[1]);
        usleep(50000);
        fcntl(fds[0], F_SETFL, 0);
        while (read(fds[0], drop, sizeof drop) > 0)
            ;
        _exit(0);
    }
    close(fds[0]);
    ck_assert_int_eq(cs_write_full(fds[1], much, 1 << 20, &err), 0);
    close(fds[1]);
    free(much);
}
END_TEST

START_TEST(core_read_file)
{
    struct cs_buf text = {0};
    struct cs_err err = {0};
    char *large = cs_xcalloc(1, 200000);
    put("a", "hello", 5);
    put("b", large, 200000);
    put("empty", "", 0);
    ck_assert_int_eq(cs_read_file("a", 5, &text, &err), 0);
    ck_assert_str_eq(text.data, "hello");
    cs_buf_clear(&text);
    ck_assert_int_eq(cs_read_file("a", 4, &text, &err), -1);
    ck_assert_int_eq(err.code, CS_EINPUT);
    cs_buf_clear(&text);
    ck_assert_int_eq(cs_read_file("b", 200000, &text, &err), 0);
    ck_assert_uint_eq(text.len, 200000);
    cs_buf_clear(&text);
    ck_assert_int_eq(cs_read_file("empty", 0, &text, &err), 0);
    ck_assert_uint_eq(text.len, 0);
    ck_assert_int_eq(cs_read_file("missing", 9, &text, &err), -1);
    ck_assert_int_eq(err.code, CS_EIO);
    ck_assert_str_eq(err.text, "missing: No such file or directory");
    ck_assert_int_eq(cs_read_file(".", 9, &text, &err), -1);
    ck_assert_int_eq(cs_read_file("/dev/zero", 1000, &text, &err), -1); // no end
    cs_buf_release(&text);
    free(large);
}
END_TEST

START_TEST(core_outfile)
{
    struct cs_outfile out;
    struct cs_buf text = {0};
    struct cs_err err = {0};
    ck_assert_int_eq(cs_outfile_open(&out, "x/y/z.txt", &err), 0);
    ck_assert(exists("x/y"));
    ck_assert(!exists("x/y/z.txt"));
    ck_assert_int_eq(strncmp(out.temporary, "x/y/.z.txt.tmp-", 15), 0);
    fputs("one", out.file);
    ck_assert_int_eq(cs_outfile_commit(&out, 1, &err), 0);
    ck_assert_ptr_null(out.file);
    ck_assert_int_eq(cs_read_file("x/y/z.txt", 9, &text, &err), 0);
    ck_assert_str_eq(text.data, "one");

    // An abort leaves the old file, and no new one.
    ck_assert_int_eq(cs_outfile_open(&out, "x/y/z.txt", &err), 0);
    char *temporary = cs_xstrdup(out.temporary);
    fputs("two", out.file);
    ck_assert(exists(temporary));
    cs_outfile_abort(&out);
    cs_outfile_abort(&out);
    ck_assert(!exists(temporary));
    cs_buf_clear(&text);
    ck_assert_int_eq(cs_read_file("x/y/z.txt", 9, &text, &err), 0);
    ck_assert_str_eq(text.data, "one");
    cs_buf_release(&text);
    free(temporary);
}
END_TEST

START_TEST(limits_outfile)
{
    struct cs_outfile out;
    struct cs_err err = {0};
    put("plain", "", 0);
    ck_assert_int_eq(cs_outfile_open(&out, "plain/x", &err), -1);
    ck_assert_int_eq(err.code, CS_EIO);
    ck_assert_int_eq(cs_outfile_open(&out, "", &err), -1);
    ck_assert_int_eq(cs_outfile_open(&out, "p/", &err), -1);
    ck_assert_int_eq(cs_make_parents("", &err), 0);
    ck_assert_int_eq(cs_make_parents("p//q/./r", &err), 0);
    ck_assert(exists("p/q"));
    ck_assert_int_eq(cs_make_parents("plain/q/r", &err), -1);
    // The longest name that a folder can hold.
    char longest[256];
    memset(longest, 'x', 255);
    longest[255] = '\0';
    ck_assert_int_eq(cs_outfile_open(&out, longest, &err), 0);
    ck_assert_int_eq(cs_outfile_commit(&out, 0, &err), 0);
    ck_assert(exists(longest));
    // The name is a folder: the rename fails, and the temporary file goes.
    ck_assert_int_eq(mkdir("folder", 0777), 0);
    put("folder/x", "", 0);
    ck_assert_int_eq(cs_outfile_open(&out, "folder", &err), 0);
    char *temporary = cs_xstrdup(out.temporary);
    ck_assert_int_eq(cs_outfile_commit(&out, 0, &err), -1);
    ck_assert_int_eq(strncmp(err.text, "folder: ", 8), 0);
    ck_assert(!exists(temporary));
    free(temporary);
    // A full disk is noticed when the file is committed.
    ck_assert_int_eq(cs_outfile_open(&out, "full", &err), 0);
    FILE *full = fopen("/dev/full", "w");
    fclose(out.file);
    out.file = full;
    fputs("x", full);
    ck_assert_int_eq(cs_outfile_commit(&out, 0, &err), -1);
    ck_assert_str_eq(err.text, "full: No space left on device");
    ck_assert(!exists("full"));
}
END_TEST

START_TEST(core_hash)
{
    char hex[CS_SHA256_HEX];
    struct cs_err err = {0};
    uint64_t hash;
    // FIPS 180-2, and XXH3's published value of the empty input.
    cs_sha256_hex("abc", 3, hex);
    ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    cs_sha256_hex("", 0, hex);
    ck_assert_str_eq(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    ck_assert_uint_eq(cs_xxh3("", 0), UINT64_C(0x2d06800538d394c2));
    // Files of lengths round the chunk of 256 KiB.
    static const size_t lengths[] = {0, 1, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 1 << 20};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char expected[CS_SHA256_HEX], *bytes = cs_xcalloc(1, lengths[i] + 1);
        for (size_t k = 0; k < lengths[i]; k++)
            bytes[k] = (char)(k * 7);
        put("f", bytes, lengths[i]);
        cs_sha256_hex(bytes, lengths[i], expected);
        ck_assert_int_eq(cs_sha256_file("f", hex, &err), 0);
        ck_assert_str_eq(hex, expected);
        ck_assert_int_eq(cs_xxh3_file("f", &hash, &err), 0);
        ck_assert_uint_eq(hash, cs_xxh3(bytes, lengths[i]));
        free(bytes);
    }
    ck_assert_int_eq(cs_sha256_file("missing", hex, &err), -1);
    ck_assert_int_eq(err.code, CS_EIO);
    ck_assert_int_eq(cs_xxh3_file(".", &hash, &err), -1);
}
END_TEST

START_TEST(core_log)
{
    struct cs_buf text = {0};
    char *large = cs_xcalloc(1, 3000);
    memset(large, 'x', 2999);
    ck_assert_ptr_nonnull(freopen("log", "w", stderr));
    cs_log_init("cs-test");
    cs_log(CS_LOG_WARN, "warn %d", 1);
    cs_log(CS_LOG_INFO, "hidden");
    cs_log_verbosity(1, 0);
    cs_log(CS_LOG_WARN, "hidden");
    cs_log(CS_LOG_ERROR, "a\nb\tc");
    cs_log_verbosity(0, 1);
    cs_log(CS_LOG_INFO, "info");
    cs_log(CS_LOG_DEBUG, "hidden");
    cs_log_verbosity(0, 2);
    cs_log(CS_LOG_DEBUG, "debug");
    ck_assert_int_eq(cs_read_file("log", 9999, &text, NULL), 0);
    ck_assert_str_eq(text.data, "cs-test: warn 1\ncs-test: a?b?c\ncs-test: info\ncs-test: debug\n");
    cs_buf_clear(&text);
    ck_assert_ptr_nonnull(freopen("log", "w", stderr));
    cs_log(CS_LOG_ERROR, "%s", large);
    ck_assert_int_eq(cs_read_file("log", 9999, &text, NULL), 0);
    ck_assert_uint_lt(text.len, 1100);
    ck_assert_int_eq(text.data[text.len - 1], '\n');
    cs_buf_release(&text);
    free(large);
}
END_TEST

START_TEST(limits_output_name)
{
    static const char *const bad[] = {"", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/.."};
    struct cs_err err = {0};
    char name[300];
    ck_assert_int_eq(cs_output_name_check("plate 1/..a/b..c.t001", &err), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(cs_output_name_check(bad[i], &err), -1);
        ck_assert_int_eq(err.code, CS_EINPUT);
    }
    ck_assert_int_eq(cs_output_name_check(NULL, &err), -1);
    memset(name, 'x', sizeof name);
    memcpy(name, "a/", 2);
    name[2 + 240] = '\0';
    ck_assert_int_eq(cs_output_name_check(name, &err), 0);
    name[2 + 240] = 'x';
    name[2 + 241] = '\0';
    ck_assert_int_eq(cs_output_name_check(name, &err), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_checked_fixture(core, enter_folder, leave_folder);
    tcase_add_checked_fixture(limits, enter_folder, leave_folder);
    tcase_add_test(core, core_full);
    tcase_add_test(core, core_read_file);
    tcase_add_test(core, core_outfile);
    tcase_add_test(core, core_hash);
    tcase_add_test(core, core_log);
    tcase_add_test(limits, limits_nonblocking);
    tcase_add_test(limits, limits_outfile);
    tcase_add_test(limits, limits_output_name);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
