// SPDX-License-Identifier: MIT
// Decoding: megabytes of samples a second for each kind of file, on one thread, against one copy
// of the same bytes. Writes its images itself (or takes the files named): spots on a noisy ground,
// 16 bits, as a camera gives them. The best of some runs counts.
//
// -c: of processor time, which others on the machine disturb least.
//
//     decode [-c] [-r RUNS] [FILE...]
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "image/decode.h"
#include "image/write.h"

enum { SIZE = 3072, BAND_BYTES = 4 << 20 };
static int runs = 5;
static bool processor_time;

static double now(void)
{
    return processor_time ? (double)clock() / CLOCKS_PER_SEC : cs_clock_seconds();
}

static int draw(struct cs_image *image, enum cs_dtype dtype, struct cs_err *err)
{
    if (cs_image_init(image, SIZE, SIZE, 1, dtype, 0, NULL, err) != 0)
        return -1;
    uint32_t seed = 1;
    for (size_t y = 0; y < SIZE; y++)
        for (size_t x = 0; x < SIZE; x++) {
            double dx = (double)(x % 48) - 24, dy = (double)(y % 48) - 24;
            seed = seed * 1664525u + 1013904223u;
            double value = 300 + 2500 * exp(-(dx * dx + dy * dy) / 150) + (seed >> 26);
            if (dtype == CS_U16)
                ((uint16_t *)image->data)[y * SIZE + x] = (uint16_t)value;
            else
                ((uint8_t *)image->data)[y * SIZE + x] = (uint8_t)(value / 12);
        }
    return 0;
}

// One whole read of a file, opened anew. Samples' bytes, or 0 with the error told.
static size_t read_once(const char *path, void **block, size_t *block_bytes)
{
    struct cs_err err = {0};
    struct cs_source source;
    struct cs_plan plan = {0};
    struct cs_decode decode;
    struct cs_pick pick = {.series = -1};
    size_t bytes = 0;
    int status = cs_source_open(&source, path, NULL, &err);
    if (status == 0)
        status = cs_plan_make(&plan, &pick, &source, &err);
    if (status == 0)
        status = cs_decode_init(&decode, &plan, 0, &err);
    if (status == 0) {
        size_t row =
            (size_t)plan.width * plan.channel_count * cs_dtype_bytes(plan.conversion.dtype);
        uint32_t band = cs_decode_band_rows(&decode, BAND_BYTES);
        if (row * band > *block_bytes) {
            free(*block);
            *block_bytes = row * band;
            *block = cs_xmalloc(*block_bytes);
        }
        for (uint32_t y = 0; y < plan.height && status == 0; y += band) {
            uint32_t rows = plan.height - y < band ? plan.height - y : band;
            status = cs_decode_rows(&decode, rows, *block, &err);
            bytes += rows * row;
        }
        cs_decode_release(&decode);
    }
    if (status != 0)
        fprintf(stderr, "decode: %s: %s\n", path, err.text);
    cs_plan_release(&plan);
    cs_source_close(&source);
    return status == 0 ? bytes : 0;
}

static double copy_rate(void)
{
    size_t bytes = (size_t)SIZE * SIZE * 2;
    char *from = cs_xmalloc(bytes), *to = cs_xmalloc(bytes);
    double best = 0;
    for (int i = 0; i < 10; i++) {
        memset(from, i, bytes);
        double start = now();
        memcpy(to, from, bytes);
        double rate = (double)bytes / (now() - start);
        best = rate > best ? rate : best;
    }
    free(from);
    free(to);
    return best;
}

static int measure(const char *name, const char *path, double copy)
{
    void *block = NULL;
    size_t block_bytes = 0, bytes = 0;
    double best = 0;
    for (int i = 0; i < runs; i++) {
        double start = now();
        bytes = read_once(path, &block, &block_bytes);
        if (!bytes)
            break;
        double rate = (double)bytes / (now() - start);
        best = rate > best ? rate : best;
    }
    free(block);
    if (bytes)
        printf("%-24s %8.1f MB %8.0f MB/s   %.3f of a copy\n", name, (double)bytes / 1e6,
               best / 1e6, best / copy);
    return bytes ? 0 : -1;
}

static int measure_own(double copy)
{
    static const struct {
        const char *name, *file;
        enum cs_dtype dtype;
        enum cs_compression compression;
    } kinds[] = {
        {"TIFF u16, plain", "a.tif", CS_U16, CS_COMPRESS_NONE},
        {"TIFF u16, deflate", "a.tif", CS_U16, CS_COMPRESS_DEFLATE},
        {"TIFF u16, zstd", "a.tif", CS_U16, CS_COMPRESS_ZSTD},
        {"TIFF u8, plain", "a.tif", CS_U8, CS_COMPRESS_NONE},
        {"PNG u16", "a.png", CS_U16, CS_COMPRESS_DEFLATE},
        {"PNG u8", "a.png", CS_U8, CS_COMPRESS_DEFLATE},
        {"NPY u16", "a.npy", CS_U16, CS_COMPRESS_NONE},
    };
    char folder[] = "/tmp/cellstream-decode.XXXXXX";
    int status = mkdtemp(folder) ? 0 : -1;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && status == 0; i++) {
        struct cs_err err = {0};
        struct cs_image image = {0};
        struct cs_write_options options = {.compression = kinds[i].compression};
        char *path = cs_xasprintf("%s/%s", folder, kinds[i].file);
        status = draw(&image, kinds[i].dtype, &err);
        if (status == 0)
            status = strstr(path, ".tif")   ? cs_tiff_write(path, &image, &options, &err)
                     : strstr(path, ".png") ? cs_png_write(path, &image, &options, &err)
                                            : cs_npy_write(path, &image, &err);
        if (status != 0)
            fprintf(stderr, "decode: %s\n", err.text);
        else
            status = measure(kinds[i].name, path, copy);
        unlink(path);
        free(path);
        cs_image_release(&image);
    }
    rmdir(folder);
    return status;
}

int main(int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "cr:")) != -1) {
        struct cs_err err;
        int64_t number = runs;
        if (option == '?' ||
            (option == 'r' && cs_num_int(optarg, 1, 1000, "runs", &number, &err) != 0))
            return 2;
        processor_time = processor_time || option == 'c';
        runs = (int)number;
    }
    double copy = copy_rate();
    int status = optind < argc ? 0 : measure_own(copy);
    for (int i = optind; i < argc; i++)
        if (measure(argv[i], argv[i], copy) != 0)
            status = -1;
    return status == 0 ? 0 : 1;
}
