// SPDX-License-Identifier: MIT
// cs-view: a stream as text, one line a frame.
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/opt.h"
#include "stream/stream.h"

static const char *input;
static int transport;

static const struct cs_opt options[] = {
    {'i', "input", CS_OPT_STRING, &input, "FILE", "read FILE instead of standard input",
     .env = NULL},
    {0, "transport", CS_OPT_CHOICE, &transport, "HOW", "how to read payloads",
     .choices = "auto|pipe|shm", .env = "CELLSTREAM_TRANSPORT"},
    {.name = NULL},
};
static const struct cs_tool tool = {"cs-view", "[OPTION]...", "Show a stream as text.", options};

static void print_meta(const struct cs_meta *meta)
{
    for (int i = 0; i < meta->count; i++) {
        printf("\t%s=", meta->pairs[i].key);
        for (const char *c = meta->pairs[i].value; *c; c++) {
            if (*c == '\\')
                fputs("\\\\", stdout);
            else if (*c == '\n')
                fputs("\\n", stdout);
            else if (*c == '\t')
                fputs("\\t", stdout);
            else
                putchar((unsigned char)*c < ' ' ? '?' : *c);
        }
    }
    putchar('\n');
}

static void print_frame(const struct cs_frame *frame)
{
    const struct cs_frame_header *h = &frame->header;
    if (h->kind == CS_FRAME_DATA)
        printf("DATA %" PRIu64 "\t%s\t%s\t%ux%ux%u\trows %u-%u\t%" PRIu64 " bytes", h->item,
               cs_plane_name(h->plane), cs_dtype_name(h->dtype), h->width, h->height, h->channels,
               h->first_row, h->first_row + h->rows - 1, h->payload_bytes);
    else
        printf("%s %" PRIu64, h->kind == CS_FRAME_BEGIN ? "BEGIN" : "DONE", h->item);
    print_meta(&frame->meta);
}

static int show_frames(struct cs_reader *reader, struct cs_err *err)
{
    struct cs_frame frame;
    int result;
    printf("HEAD");
    print_meta(cs_reader_head(reader));
    while ((result = cs_reader_next(reader, &frame, err)) == 1)
        print_frame(&frame);
    if (result == 0) {
        printf("END %" PRIu64, frame.header.item);
        print_meta(cs_reader_end(reader));
    }
    return result;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    struct cs_reader *reader = NULL;
    int first, fd = STDIN_FILENO, status;
    int parsed = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (parsed)
        return parsed > 0 ? 0 : cs_opt_die(&tool, &err);
    if (input && (fd = open(input, O_RDONLY | O_CLOEXEC)) < 0) {
        cs_fail_errno(&err, CS_ENOINPUT, "%s", input);
        return cs_opt_die(&tool, &err);
    }
    if (cs_reader_open(&reader, fd, input ? input : "standard input", (enum cs_transport)transport,
                       &err) != 0 ||
        show_frames(reader, &err) != 0)
        status = cs_opt_die(&tool, &err);
    else
        status = cs_reader_status(reader);
    cs_reader_close(reader);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        cs_fail_errno(&err, CS_EIO, "standard output");
        return cs_opt_die(&tool, &err);
    }
    return status;
}
