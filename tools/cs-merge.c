// SPDX-License-Identifier: MIT
// cs-merge: the tables of an output folder, from the segments that its runs left; or which inputs
// are done. cs-run and cs-batch call it.
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/opt.h"
#include "export/resume.h"
#include "export/tables.h"

enum { MAX_LIST_BYTES = 1 << 30 };

static const char *done_of;
static bool retry_failed, by_content;

static const struct cs_opt options[] = {
    {'D', "done", CS_OPT_STRING, &done_of, "LIST",
     "print those inputs of LIST (ended by NUL) that are done, and merge nothing", .env = NULL},
    {0, "by-content", CS_OPT_FLAG, &by_content, NULL,
     "with --done: compare the content of inputs, not their dates", .env = NULL},
    {0, "retry-failed", CS_OPT_FLAG, &retry_failed, NULL,
     "with --done: inputs that failed are not done", .env = NULL},
    {.name = NULL},
};
static const struct cs_tool tool = {"cs-merge", "[OPTION]... OUT",
                                    "Merge the tables of an output folder.", options};

static int print_done(const char *out, struct cs_err *err)
{
    struct cs_buf list = {0}, done = {0};
    struct cs_segments segments = {0};
    struct cs_resume_options how = {by_content, retry_failed};
    int status = cs_read_file(done_of, MAX_LIST_BYTES, &list, err);
    if (status == 0)
        status = cs_segments_read(&segments, out, err);
    if (status == 0)
        status = cs_resume_list(&segments, list.data, list.len, out, &how, &done, err);
    if (status == 0)
        status = cs_write_full(STDOUT_FILENO, done.data, done.len, err);
    cs_segments_release(&segments);
    cs_buf_release(&list);
    cs_buf_release(&done);
    return status;
}

static int merge(const char *out, struct cs_err *err)
{
    struct cs_tables_count count;
    if (cs_tables_merge(out, &count, err) != 0)
        return -1;
    printf("items=%" PRId64 " ok=%" PRId64 " empty=%" PRId64 " failed=%" PRId64 " objects=%" PRId64
           "\n",
           count.items, count.ok, count.empty, count.failed, count.objects);
    if (fflush(stdout) != 0 || ferror(stdout))
        return cs_fail_errno(err, CS_EIO, "standard output");
    return 0;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    int first;
    int parsed = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (parsed)
        return parsed > 0 ? 0 : cs_opt_die(&tool, &err);
    if (argc - first != 1) {
        cs_fail(&err, CS_EUSAGE, "one output folder is needed (see --help)");
        return cs_opt_die(&tool, &err);
    }
    int status = done_of ? print_done(argv[first], &err) : merge(argv[first], &err);
    return status == 0 ? 0 : cs_opt_die(&tool, &err);
}
