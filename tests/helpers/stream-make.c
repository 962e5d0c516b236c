// SPDX-License-Identifier: MIT
// Writes a synthetic stream to standard output, for tests: N items of any shape, with delays,
// failures and early ends. Samples are a fixed function of item, plane and place, so that two runs
// agree in every byte.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/opt.h"
#include "stream/stream.h"

static int64_t items = 3, width = 64, height = 48, channels = 1, band_rows, delay_ms, fail_every,
               stop_after = -1, end_status, empty_every;
static int dtype, transport;
static uint64_t ring_bytes;
static const char *planes = "image", *reason;

static const struct cs_opt options[] = {
    {'n', "items", CS_OPT_INT, &items, "N", "number of items", .min = 0, .max = 1e9},
    {'W', "width", CS_OPT_INT, &width, "N", "columns", .min = 1, .max = 1e9},
    {'H', "height", CS_OPT_INT, &height, "N", "rows", .min = 1, .max = 1e9},
    {'C', "channels", CS_OPT_INT, &channels, "N", "channels", .min = 1, .max = 65535},
    {'t', "dtype", CS_OPT_CHOICE, &dtype, "TYPE", "sample type",
     .choices = "u8|u16|u32|u64|i8|i16|i32|i64|f16|f32|f64"},
    {'p', "planes", CS_OPT_STRING, &planes, "LIST", "planes of each item", .env = NULL},
    {'r', "band", CS_OPT_INT, &band_rows, "N", "rows a band (0: all)", .min = 0, .max = 1e9},
    {'d', "delay", CS_OPT_INT, &delay_ms, "MS", "pause before each item", .min = 0, .max = 1e6},
    {'f', "fail-every", CS_OPT_INT, &fail_every, "N", "each N-th item fails late", .min = 0,
     .max = 1e9},
    {'e', "empty-every", CS_OPT_INT, &empty_every, "N", "each N-th item is empty", .min = 0,
     .max = 1e9},
    {'s', "stop-after", CS_OPT_INT, &stop_after, "N", "exit without END after N items", .min = 0,
     .max = 1e9},
    {'x', "end-status", CS_OPT_INT, &end_status, "N", "exit status in END", .min = 0, .max = 255},
    {0, "reason", CS_OPT_STRING, &reason, "TEXT", "reason in END", .env = NULL},
    {0, "transport", CS_OPT_CHOICE, &transport, "HOW", "transport", .choices = "auto|pipe|shm"},
    {0, "ring", CS_OPT_SIZE, &ring_bytes, "SIZE", "shared area", .env = NULL},
    {.name = NULL},
};
static const struct cs_tool tool = {"stream-make", "[OPTION]...", "Write a synthetic stream.",
                                    options};

static void fill(struct cs_image *image, int64_t item, int plane)
{
    unsigned char *bytes = image->data;
    size_t count = cs_image_bytes(image);
    uint32_t state = (uint32_t)(item * 31 + plane) * 2654435761u + 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        // Floats get small finite values: the exponent's byte stays away from infinity.
        bytes[i] = dtype >= 8 && i % 2 ? 0x3b : (unsigned char)(state >> 24);
    }
}

static int write_bands(struct cs_writer *writer, struct cs_image *image, int64_t item, int plane,
                       bool fails, struct cs_err *err)
{
    uint32_t step = band_rows ? (uint32_t)band_rows : image->height;
    uint32_t end = fails ? image->height / 2 : image->height;
    fill(image, item, plane);
    for (uint32_t y = 0; y < end; y += step) {
        uint32_t rows = step < end - y ? step : end - y;
        if (cs_writer_data(writer, (enum cs_plane)plane, image, y, rows,
                           (char *)image->data + y * cs_image_row_bytes(image), err) != 0)
            return -1;
    }
    return 0;
}

static int write_item(struct cs_writer *writer, struct cs_image *image, int64_t n, unsigned mask,
                      struct cs_err *err)
{
    struct cs_meta begin = {0}, done = {0};
    bool fails = fail_every && (n + 1) % fail_every == 0;
    bool empty = empty_every && (n + 1) % empty_every == 0;
    cs_meta_setf(&begin, CS_KEY_SOURCE, "synthetic-%lld", (long long)n);
    cs_meta_setf(&begin, CS_KEY_OUTPUT, "synthetic-%lld", (long long)n);
    cs_meta_set(&done, CS_KEY_STATUS, fails ? "failed" : empty ? "empty" : "ok");
    if (fails) {
        cs_meta_set(&done, CS_KEY_ERROR_CODE, "INVALID_IMAGE");
        cs_meta_set(&done, CS_KEY_ERROR_STAGE, "stream-make");
        cs_meta_set(&done, CS_KEY_ERROR_TEXT, "asked to fail");
    }
    int result = cs_writer_begin(writer, &begin, err);
    for (int plane = 0; plane < CS_PLANE_COUNT && result == 0; plane++)
        if (mask & 1u << plane)
            result = write_bands(writer, image, n, plane, fails, err);
    if (result == 0)
        result = cs_writer_done(writer, &done, err);
    cs_meta_release(&begin);
    cs_meta_release(&done);
    return result;
}

static int write_stream(struct cs_writer *writer, struct cs_image *image, unsigned mask,
                        struct cs_err *err)
{
    struct cs_meta head = {0};
    cs_prov_add(&head, tool.name, NULL);
    cs_meta_setf(&head, CS_KEY_TOTAL, "%lld", (long long)items);
    int result = cs_writer_head(writer, &head, err);
    cs_meta_release(&head);
    for (int64_t n = 0; n < items && result == 0; n++) {
        if (n == stop_after)
            return 0;
        if (cs_drain_status())
            return cs_writer_end(writer, cs_drain_status(), "ended by a signal", err);
        struct timespec pause = {delay_ms / 1000, delay_ms % 1000 * 1000000};
        nanosleep(&pause, NULL);
        result = write_item(writer, image, n, mask, err);
    }
    if (result == 0 && !items && !end_status)
        return cs_writer_end(writer, cs_err_status(CS_ENOINPUT), "no items", err);
    return result == 0 ? cs_writer_end(writer, (int)end_status, reason, err) : -1;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    struct cs_image image = {0};
    struct cs_writer *writer = NULL;
    unsigned mask;
    int first, status = 0;
    int parsed = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (parsed)
        return parsed > 0 ? 0 : cs_opt_die(&tool, &err);
    cs_drain_install();
    enum cs_dtype type =
        dtype < 8 ? (enum cs_dtype)(dtype + 1) : (enum cs_dtype)(dtype - 8 + CS_F16);
    if (cs_planes_parse(planes, &mask, &err) != 0 ||
        cs_image_init(&image, (uint32_t)width, (uint32_t)height, (uint16_t)channels, type, 0, NULL,
                      &err) != 0 ||
        cs_writer_open(&writer, 1, (enum cs_transport)transport, ring_bytes, &err) != 0)
        status = cs_opt_die(&tool, &err);
    else if (write_stream(writer, &image, mask, &err) != 0)
        status = cs_writer_closed(writer) ? 141 : cs_opt_die(&tool, &err);
    else
        status = cs_drain_status() ? cs_drain_status() : items ? (int)end_status : 3;
    cs_writer_close(writer);
    cs_image_release(&image);
    return status;
}
