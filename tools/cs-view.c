// SPDX-License-Identifier: MIT
// cs-view: a stream as text, one line a frame; statistics of its planes; one plane as a file.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "image/write.h"
#include "shared_options.h"
#include "stream/stream.h"

enum { AS_PAM, AS_NPY };

static const char *input;
static int transport, plane, as;
static bool stats;
static int64_t item = -1;

static const struct cs_opt options[] = {
    OPT_INPUT(&input),
    OPT_TRANSPORT(&transport),
    {0, "stats", CS_OPT_FLAG, &stats, NULL, "print a table of the planes and their values",
     .env = NULL},
    {0, "item", CS_OPT_INT, &item, "N", "write a plane of item N, counted from 0", .min = 0,
     .max = 1e15},
    {0, "plane", CS_OPT_CHOICE, &plane, "PLANE", "which plane --item writes",
     .choices = "image|probability|labels"},
    {0, "as", CS_OPT_CHOICE, &as, "FORMAT", "how --item writes it", .choices = "pam|npy"},
    {.name = NULL},
};
static const struct cs_tool tool = {"cs-view", "[OPTION]...", "Show a stream as text.", options};

// ---- One line a frame ----------------------------------------------------------------------

static void print_text(const char *text)
{
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\\\", stdout);
        else if (*text == '\n')
            fputs("\\n", stdout);
        else if (*text == '\t')
            fputs("\\t", stdout);
        else
            putchar((unsigned char)*text < ' ' || *text == 127 ? '?' : *text);
    }
}

static void print_meta(const struct cs_meta *meta)
{
    for (int i = 0; i < meta->count; i++) {
        putchar('\t');
        print_text(meta->pairs[i].key);
        putchar('=');
        print_text(meta->pairs[i].value);
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

// ---- Statistics ----------------------------------------------------------------------------

struct tally {
    struct cs_frame_header shape; // of the first band; rows 0: no band came
    double min, max, sum;
    uint64_t finite, nonfinite;
};

static void tally_band(struct tally *t, const struct cs_frame *frame)
{
    const struct cs_frame_header *h = &frame->header;
    struct cs_image band = {.width = h->width,
                            .height = h->rows,
                            .channels = h->channels,
                            .dtype = (enum cs_dtype)h->dtype,
                            .data = (void *)(uintptr_t)frame->payload};
    if (!t->shape.rows)
        *t = (struct tally){.shape = *h, .min = INFINITY, .max = -INFINITY};
    for (uint32_t y = 0; y < h->rows; y++)
        for (uint32_t x = 0; x < h->width; x++)
            for (uint16_t c = 0; c < h->channels; c++) {
                double value = cs_image_sample(&band, x, y, c);
                if (!isfinite(value)) {
                    t->nonfinite++;
                    continue;
                }
                t->min = value < t->min ? value : t->min;
                t->max = value > t->max ? value : t->max;
                t->sum += value;
                t->finite++;
            }
}

static void print_tallies(const struct cs_frame *done, const char *source, struct tally *tallies)
{
    const char *status = cs_meta_get(&done->meta, CS_KEY_STATUS);
    bool any = false;
    for (int i = 0; i < CS_PLANE_COUNT; i++) {
        const struct tally *t = &tallies[i];
        const struct cs_frame_header *h = &t->shape;
        if (!h->rows)
            continue;
        any = true;
        printf("%" PRIu64 "\t%s\t", done->header.item, status);
        print_text(source);
        printf("\t%s\t%s\t%ux%ux%u", cs_plane_name(i), cs_dtype_name(h->dtype), h->width, h->height,
               h->channels);
        if (t->finite)
            printf("\t%.9g\t%.9g\t%.9g", t->min, t->max, t->sum / (double)t->finite);
        else
            printf("\t-\t-\t-");
        printf("\t%" PRIu64 "\n", t->nonfinite);
        tallies[i] = (struct tally){0};
    }
    if (!any) {
        printf("%" PRIu64 "\t%s\t", done->header.item, status);
        print_text(source);
        printf("\t-\t-\t-\t-\t-\t-\t-\n");
    }
}

static int show_stats(struct cs_reader *reader, struct cs_err *err)
{
    struct tally tallies[CS_PLANE_COUNT] = {0};
    struct cs_frame frame;
    char *source = NULL;
    int result;
    printf("item\tstatus\tsource\tplane\ttype\tshape\tmin\tmax\tmean\tnonfinite\n");
    while ((result = cs_reader_next(reader, &frame, err)) == 1) {
        if (frame.header.kind == CS_FRAME_BEGIN) {
            const char *name = cs_meta_get(&frame.meta, CS_KEY_SOURCE);
            free(source);
            source = cs_xstrdup(name ? name : "-");
        } else if (frame.header.kind == CS_FRAME_DATA) {
            tally_band(&tallies[frame.header.plane], &frame);
        } else {
            print_tallies(&frame, source, tallies);
        }
    }
    free(source);
    return result;
}

// ---- One plane as a file -------------------------------------------------------------------

static void write_samples(const struct cs_image *image, bool swap)
{
    const unsigned char *bytes = image->data;
    size_t count = cs_image_bytes(image);
    for (size_t i = 0; swap && i < count; i += 2) {
        putchar(bytes[i + 1]);
        putchar(bytes[i]);
    }
    if (!swap)
        fwrite(bytes, 1, count, stdout);
}

static int write_plane(const struct cs_image *image, struct cs_err *err)
{
    if (as == AS_NPY) {
        struct cs_buf header = {0};
        cs_npy_header(image, &header);
        fwrite(header.data, 1, header.len, stdout);
        cs_buf_release(&header);
        write_samples(image, false);
        return 0;
    }
    if (image->dtype != CS_U8 && image->dtype != CS_U16)
        return cs_fail(err, CS_EUSAGE, "item %" PRId64 ": PAM holds u8 and u16, not %s: --as npy",
                       item, cs_dtype_name(image->dtype));
    printf("P7\nWIDTH %u\nHEIGHT %u\nDEPTH %u\nMAXVAL %d\n", image->width, image->height,
           image->channels, image->dtype == CS_U8 ? 255 : 65535);
    if (image->channels == 1 || image->channels == 3)
        printf("TUPLTYPE %s\n", image->channels == 1 ? "GRAYSCALE" : "RGB");
    printf("ENDHDR\n");
    write_samples(image, image->dtype == CS_U16); // PAM is big-endian
    return 0;
}

static int pick_item(const struct cs_item *it, struct cs_err *err)
{
    const char *why = cs_meta_get(&it->done, CS_KEY_ERROR_TEXT);
    if (cs_item_failed(it))
        return cs_fail(err, CS_EINPUT, "item %" PRId64 " failed: %s", item, why ? why : "?");
    if (!it->planes[plane].data)
        return cs_fail(err, CS_ENOINPUT, "item %" PRId64 " has no %s plane", item,
                       cs_plane_name((enum cs_plane)plane));
    return write_plane(&it->planes[plane], err);
}

// Reads to the end all the same: a tee upstream must not find its pipe closed.
static int show_plane(struct cs_reader *reader, struct cs_err *err)
{
    struct cs_item it = {0};
    struct cs_err picked = {0};
    bool found = false;
    int result;
    if (isatty(STDOUT_FILENO))
        return cs_fail(err, CS_EUSAGE, "an image is not written to a terminal");
    while ((result = cs_item_read(reader, &it, NULL, err)) == 1)
        if (it.number == (uint64_t)item) {
            found = true;
            pick_item(&it, &picked);
        }
    cs_item_release(&it);
    if (result == 0 && !found)
        return cs_fail(err, CS_ENOINPUT, "the stream has no item %" PRId64, item);
    if (result == 0 && picked.code != CS_OK) {
        *err = picked;
        return -1;
    }
    return result;
}

// --------------------------------------------------------------------------------------------

static int view(int fd, int *status, struct cs_err *err)
{
    struct cs_reader *reader = NULL;
    if (stats && item >= 0)
        return cs_fail(err, CS_EUSAGE, "--stats and --item exclude each other");
    if (!input) {
        cs_drain_install(); // a drain comes from upstream, as END: live until then
        signal(SIGPIPE, SIG_DFL);
    }
    int result = cs_reader_open(&reader, fd, input ? input : "standard input",
                                (enum cs_transport)transport, err);
    if (result == 0) {
        cs_log(CS_LOG_INFO, "payloads come by %s", cs_reader_transport(reader));
        result = item >= 0 ? show_plane(reader, err)
                 : stats   ? show_stats(reader, err)
                           : show_frames(reader, err);
    }
    if (result == 0 && item < 0)
        *status = cs_reader_status(reader);
    cs_reader_close(reader);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        errno = errno ? errno : EIO;
        return cs_fail_errno(err, CS_EIO, "standard output");
    }
    return result;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    int first, fd = STDIN_FILENO, status = 0;
    int parsed = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (parsed)
        return parsed > 0 ? 0 : cs_opt_die(&tool, &err);
    if (first < argc)
        cs_fail(&err, CS_EUSAGE, "'%s': the file goes with --input", argv[first]);
    else if (input && (fd = open(input, O_RDONLY | O_CLOEXEC)) < 0)
        cs_fail_errno(&err, CS_ENOINPUT, "%s", input);
    else if (view(fd, &status, &err) == 0)
        return status;
    return cs_opt_die(&tool, &err);
}
