// SPDX-License-Identifier: MIT
// Names in lists of lines, there and back.
#include <check.h>
#include <string.h>

#include "base/line.h"
#include "suite.h"

static void line_of(const char *name, const char *line)
{
    struct cs_buf out = {0};
    cs_line_add(&out, name);
    ck_assert_str_eq(out.data, line);
    out.data[out.len - 1] = '\0';
    cs_line_name(out.data);
    ck_assert_str_eq(out.data, name);
    cs_buf_release(&out);
}

START_TEST(lines)
{
    line_of("in/a.png", "in/a.png\n");
    line_of("", "\n");
    line_of("a\"b\\c\rd.png", "a\"b\\c\rd.png\n");
    line_of("two\nlines", "\"two\\nlines\"\n");
    line_of("end\r", "\"end\\r\"\n");
    line_of("\"quoted\"", "\"\\\"quoted\\\"\"\n");
    line_of("\n\"\\\r\xb5", "\"\\n\\\"\\\\\\r\xb5\"\n");
}
END_TEST

// What nobody quoted is a name as it stands.
START_TEST(not_quoted)
{
    static const char *const names[] = {"\"",      "\"a\".tif", "a\"",        "\"a\"b\"",
                                        "\"a\\\"", "\"a\\x\"",  "\"a\\\\\\\""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char line[32];
        memcpy(line, names[i], strlen(names[i]) + 1);
        cs_line_name(line);
        ck_assert_str_eq(line, names[i]);
    }
    char empty[] = "\"\"";
    cs_line_name(empty);
    ck_assert_str_eq(empty, "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("line");
    TCase *core = tcase_create("core");
    tcase_add_test(core, lines);
    tcase_add_test(core, not_quoted);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
