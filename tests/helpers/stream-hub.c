// SPDX-License-Identifier: MIT
// What a network would see of each image of a stream with --compat hub, for comparison with Pillow
// and torchvision: stream-hub WIDTH HEIGHT [FOLDER]. Prints a line an item: its name, the SHA-256
// of the samples after the resize (8 bits, interleaved) and of the network's input (floats, a plane
// a channel); FOLDER gets the former as NUMBER.u8.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/job_prepare.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "infer/hub.h"
#include "infer/normalise.h"
#include "stream/stream.h"

enum { RGB = 3 };

struct context {
    int64_t width, height;
    const char *folder;
};

static int write_bytes(const struct context *context, const struct cs_item *item,
                       const uint8_t *bytes, size_t count, struct cs_err *err)
{
    struct cs_outfile out = {0};
    if (!context->folder)
        return 0;
    char *path = cs_xasprintf("%s/%llu.u8", context->folder, (unsigned long long)item->number);
    int result = cs_outfile_open(&out, path, err);
    if (result == 0) {
        fwrite(bytes, 1, count, out.file);
        result = cs_outfile_commit(&out, 0, err);
    }
    free(path);
    return result;
}

static int show(struct cs_item *item, void *data, struct cs_err *err)
{
    const struct context *context = data;
    const struct cs_image *image = &item->planes[CS_PLANE_IMAGE];
    int width = (int)context->width, height = (int)context->height;
    size_t pixels = (size_t)width * (size_t)height;
    struct cs_job job = {.width = image->width,
                         .height = image->height,
                         .channels = image->channels,
                         .dtype = cs_job_dtype(image->dtype)};
    if (cs_hub_job(&job, err) != 0)
        return -1;
    void *samples = cs_xcalloc((size_t)image->width * image->height * image->channels, 4);
    float *planes = cs_xcalloc(RGB * pixels, sizeof *planes);
    uint8_t *bytes = cs_xcalloc(RGB * pixels, 1);
    char first[CS_SHA256_HEX], second[CS_SHA256_HEX];
    cs_job_convert(image, samples);
    job.pixels = samples;
    cs_job_prepare(&job, planes, width, height, RGB, 1, width, (ptrdiff_t)pixels);
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < RGB; c++) {
            double value = (double)planes[c * pixels + i] * (double)job.scale[c];
            bytes[i * RGB + c] = (uint8_t)lrint((value + (double)job.shift[c]) * 255);
        }
    cs_sha256_hex(bytes, RGB * pixels, first);
    cs_sha256_hex(planes, RGB * pixels * sizeof *planes, second);
    printf("%s %s %s\n", cs_meta_get(&item->begin, CS_KEY_SOURCE), first, second);
    int result = write_bytes(context, item, bytes, RGB * pixels, err);
    free(samples);
    free(planes);
    free(bytes);
    return result;
}

int main(int argc, char **argv)
{
    struct cs_err err = {0};
    struct context context = {.folder = argc > 3 ? argv[3] : NULL};
    if (argc < 3 || cs_num_int(argv[1], 1, 65536, "width", &context.width, &err) != 0 ||
        cs_num_int(argv[2], 1, 65536, "height", &context.height, &err) != 0) {
        fprintf(stderr, "stream-hub WIDTH HEIGHT [FOLDER]: %s\n", err.text);
        return 2;
    }
    struct cs_filter filter = {
        .tool = "stream-hub", .item = show, .context = &context, .sink = true};
    cs_log_init(filter.tool);
    return cs_filter_run(&filter);
}
