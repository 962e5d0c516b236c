// SPDX-License-Identifier: MIT
#include "planes.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static void init(struct cs_image *plane, uint32_t width, uint32_t height, enum cs_dtype dtype)
{
    struct cs_err err = {0};
    ck_assert_msg(cs_image_init(plane, width, height, 1, dtype, 0, NULL, &err) == 0, "%s",
                  err.text);
}

static uint32_t value_of(char c)
{
    if (c == ' ' || c == '.')
        return 0;
    return (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

void planes_draw(struct cs_image *plane, enum cs_dtype dtype, const char *const *rows)
{
    uint32_t width = (uint32_t)strlen(rows[0]), height = 0;
    while (rows[height])
        height++;
    init(plane, width, height, dtype);
    for (uint32_t y = 0; y < height; y++) {
        ck_assert_uint_eq(strlen(rows[y]), width);
        for (uint32_t x = 0; x < width; x++) {
            size_t i = (size_t)y * width + x;
            uint32_t value = value_of(rows[y][x]);
            if (dtype == CS_U8)
                ((uint8_t *)plane->data)[i] = (uint8_t)value;
            else if (dtype == CS_U16)
                ((uint16_t *)plane->data)[i] = (uint16_t)value;
            else
                ((uint32_t *)plane->data)[i] = value;
        }
    }
}

uint32_t planes_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

// The sum of a random plane over squares, then the level that leaves `percent` above it.
void planes_random_mask(struct cs_image *mask, uint32_t width, uint32_t height, int percent,
                        int smooth, uint64_t seed)
{
    init(mask, width, height, CS_U8);
    uint8_t *out = mask->data;
    size_t n = (size_t)width * height;
    uint32_t *noise = malloc(n * sizeof *noise), *level = malloc(n * sizeof *level);
    size_t histogram[1 << 16] = {0}, above = 0;
    for (size_t i = 0; i < n; i++)
        noise[i] = planes_random(&seed) % 256;
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++) {
            uint32_t sum = 0, count = 0;
            for (int64_t v = y - smooth; v <= y + smooth; v++)
                for (int64_t u = x - smooth; u <= x + smooth; u++)
                    if (u >= 0 && v >= 0 && u < width && v < height) {
                        sum += noise[v * width + u];
                        count++;
                    }
            level[y * width + x] = sum * 256 / count;
            histogram[sum * 256 / count]++;
        }
    uint32_t cut = 65535;
    while (cut > 0 && (above + histogram[cut]) * 100 <= n * (size_t)percent)
        above += histogram[cut--];
    for (size_t i = 0; i < n; i++)
        out[i] = level[i] > cut;
    free(noise);
    free(level);
}
