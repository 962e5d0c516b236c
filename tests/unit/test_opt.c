// SPDX-License-Identifier: MIT
// base/opt.h
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/opt.h"
#include "suite.h"

static bool flag;
static const char *text;
static struct cs_opt_list list;
static int64_t number;
static double real;
static uint64_t size;
static int choice;

static const struct cs_opt options[] = {
    {'f', "flag", CS_OPT_FLAG, &flag, NULL, "a flag", true, NULL, 0, 0, NULL},
    {'s', "string", CS_OPT_STRING, &text, "TEXT", "a text", true, NULL, 0, 0, NULL},
    {'l', "list", CS_OPT_LIST, &list, "ITEM", "many", true, NULL, 0, 0, NULL},
    {'n', "number", CS_OPT_INT, &number, "N", "a number", true, NULL, -5, 8, "TEST_OPT_NUMBER"},
    {'x', "real", CS_OPT_REAL, &real, "F", "a real", true, NULL, 0, 1, NULL},
    {0, "size", CS_OPT_SIZE, &size, "SIZE", "bytes", true, NULL, 0, 0, NULL},
    {0, "choice", CS_OPT_CHOICE, &choice, "WHICH", "one of", true, "auto|ref|cpu", 0, 0,
     "TEST_OPT_CHOICE"},
    {0, "silent", CS_OPT_FLAG, &flag, NULL,
     "does not shape the result; long words of an option wrap", false, NULL, 0, 0, NULL},
    {.name = NULL},
};
static const struct cs_tool tool = {"cs-test", "[OPTION]... FILE...", "Test.", options};

static int parse(int *first, struct cs_err *err, const char *line)
{
    static char copy[512];
    static char *argv[64];
    int argc = 0;
    strncpy(copy, line, sizeof copy - 1);
    argv[argc++] = (char[]){"cs-test"};
    char *at = copy;
    for (char *word = strsep(&at, " "); word; word = strsep(&at, " "))
        argv[argc++] = word;
    argv[argc] = NULL;
    return cs_opt_parse(&tool, argc, argv, first, err);
}

START_TEST(core_values)
{
    struct cs_err err = {0};
    int first = 0;
    ck_assert_int_eq(parse(&first, &err,
                           "-f --string=a=b -l one --list two -n -5 -x0.25 --size 64M "
                           "--choice cpu file -l three"),
                     0);
    ck_assert(flag);
    ck_assert_str_eq(text, "a=b");
    ck_assert_int_eq(list.count, 3);
    ck_assert_str_eq(list.items[0], "one");
    ck_assert_str_eq(list.items[2], "three");
    ck_assert_int_eq(number, -5);
    ck_assert_double_eq(real, 0.25);
    ck_assert_uint_eq(size, 64 << 20);
    ck_assert_int_eq(choice, 2);
    ck_assert_int_eq(first, 16); // operands come last: getopt_long has moved "file"
    cs_opt_list_release(&list);
    ck_assert_int_eq(list.count, 0);
}
END_TEST

START_TEST(core_canonical)
{
    struct cs_err err = {0};
    struct cs_buf canonical = {0};
    int first;
    cs_opt_canonical(&tool, &canonical);
    ck_assert_str_eq(canonical.data, "flag=0 string= list= number=0 real=0 size=0 choice=auto");
    cs_buf_clear(&canonical);
    ck_assert_int_eq(
        parse(&first, &err, "--choice=ref -l a -l b -n 7 -x 0.1 -s t --size 1K -f --silent"), 0);
    cs_opt_canonical(&tool, &canonical);
    ck_assert_str_eq(canonical.data, "flag=1 string=t list=a,b number=7 "
                                     "real=0.10000000000000001 size=1024 choice=ref");
    cs_buf_release(&canonical);
    cs_opt_list_release(&list);
}
END_TEST

START_TEST(core_environment)
{
    struct cs_err err = {0};
    int first;
    setenv("TEST_OPT_NUMBER", "3", 1);
    setenv("TEST_OPT_CHOICE", "ref", 1);
    ck_assert_int_eq(parse(&first, &err, "--number 4"), 0);
    ck_assert_int_eq(number, 4); // the option wins
    ck_assert_int_eq(choice, 1);
    setenv("TEST_OPT_NUMBER", "many", 1);
    ck_assert_int_eq(parse(&first, &err, "file"), -1);
    ck_assert_str_eq(err.text, "TEST_OPT_NUMBER: 'many' is not a whole number");
    setenv("TEST_OPT_NUMBER", "", 1);
    ck_assert_int_eq(parse(&first, &err, "file"), 0);
}
END_TEST

// Standard output of a parse that prints.
static void prints(const char *line, const char *const *parts)
{
    struct cs_buf out = {0};
    struct cs_err err = {0};
    char path[] = "/tmp/test-opt-XXXXXX";
    int first;
    ck_assert_int_ge(mkstemp(path), 0);
    ck_assert_ptr_nonnull(freopen(path, "w", stdout));
    ck_assert_int_eq(parse(&first, &err, line), 1);
    fflush(stdout);
    ck_assert_int_eq(cs_read_file(path, 1 << 16, &out, &err), 0);
    for (; *parts; parts++)
        ck_assert_msg(strstr(out.data, *parts), "'%s' lacks '%s'", out.data, *parts);
    cs_buf_release(&out);
    remove(path);
}

START_TEST(core_help)
{
    prints("--help",
           (const char *const[]){"Usage: cs-test [OPTION]... FILE...", "-s, --string TEXT",
                                 "    --choice WHICH", "auto|ref|cpu", "--version",
                                 "\n                                option wrap\n", NULL});
    prints("-h -n nonsense", (const char *const[]){"Usage", NULL});
    prints("-V", (const char *const[]){"cs-test (CellStream) " CS_VERSION "\n", NULL});
    prints("--options", (const char *const[]){"f\tflag\t\n", "-\tsize\tSIZE\n", "q\tquiet\t\n",
                                              "n\tnumber\tN\n", NULL});
}
END_TEST

START_TEST(limits_misuse)
{
    static const struct {
        const char *line, *says;
    } bad[] = {
        {"-z", "unknown option -z"},
        {"--zebra", "unknown option --zebra (see"},
        {"--strnig x", "unknown option --strnig (--string? see"},
        {"--sizes=3", "unknown option --sizes=3 (--size? see"},
        {"--vresion", "(--version? see"},
        {"--a-name-longer-than-any-option-that-there-is", "there-is (see"},
        {"--flag=yes", "option --flag takes no argument"},
        {"-n", "-n needs an argument"},
        {"--number", "--number needs an argument"},
        {"-n 9", "--number: 9 is not between -5 and 8"},
        {"-n -6", "not between"},
        {"-n x", "not a whole number"},
        {"-x 1.5", "not between 0 and 1"},
        {"--size 1Q", "not a size"},
        {"--choice gpu", "'gpu' is none of auto|ref|cpu"},
        {"--choice au", "none of"},
        {"--choice auto|ref", "none of"},
        {"--choice=", "none of"},
        {"--s", "--s"}, // string, size or silent?
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct cs_err err = {0};
        int first;
        ck_assert_msg(parse(&first, &err, bad[i].line) == -1, "%s", bad[i].line);
        ck_assert_int_eq(err.code, CS_EUSAGE);
        ck_assert_msg(strstr(err.text, bad[i].says), "%s: %s", bad[i].line, err.text);
        ck_assert_int_eq(cs_opt_die(&tool, &err), 2);
    }
}
END_TEST

START_TEST(limits_operands)
{
    struct cs_err err = {0};
    int first = 0;
    ck_assert_int_eq(parse(&first, &err, "-f -- -n file"), 0);
    ck_assert_int_eq(first, 3);
    ck_assert_int_eq(parse(&first, &err, "-"), 0); // standard input, as an operand
    ck_assert_int_eq(first, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("opt");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_values);
    tcase_add_test(core, core_canonical);
    tcase_add_test(core, core_environment);
    tcase_add_test(core, core_help);
    tcase_add_test(limits, limits_misuse);
    tcase_add_test(limits, limits_operands);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
