// SPDX-License-Identifier: MIT
// Draws a stream from text, for tests: one line a row and one character a sample; a line "-" starts
// the next channel, a line "=" the next item. '0' to '9' and 'a' to 'z' are 0 to 35, '.' is 0; a
// probability is that many twentieths, so that 'a' is 0.5. KEY=VALUE goes into HEAD or BEGIN.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/opt.h"
#include "stream/stream.h"

enum { MAX_TEXT = 1 << 20, MAX_CHANNELS = 8 };

static int plane = CS_PLANE_PROBABILITY, dtype, transport;
static int64_t band_rows;
static struct cs_opt_list head_keys, begin_keys;

static const struct cs_opt options[] = {
    {'p', "plane", CS_OPT_CHOICE, &plane, "NAME", "plane", .choices = "image|probability|labels"},
    {'t', "dtype", CS_OPT_CHOICE, &dtype, "TYPE", "sample type", .choices = "u8|u16|u32|f32"},
    {'r', "band", CS_OPT_INT, &band_rows, "N", "rows a band", .min = 0, .max = 1e6},
    {0, "head", CS_OPT_LIST, &head_keys, "KEY=VALUE", "metadata of HEAD", .env = NULL},
    {0, "begin", CS_OPT_LIST, &begin_keys, "KEY=VALUE", "metadata of BEGIN", .env = NULL},
    {0, "transport", CS_OPT_CHOICE, &transport, "HOW", "transport", .choices = "auto|pipe|shm"},
    {.name = NULL},
};
static const struct cs_tool tool = {"stream-draw", "[OPTION]... <TEXT", "Draw a stream.", options};

static void set_keys(struct cs_meta *meta, const struct cs_opt_list *keys)
{
    for (int i = 0; i < keys->count; i++) {
        const char *equals = strchr(keys->items[i], '=');
        char *key = strndup(keys->items[i], equals ? (size_t)(equals - keys->items[i]) : 0);
        if (key && equals)
            cs_meta_set(meta, key, equals + 1);
        free(key);
    }
}

static unsigned value_of(char c)
{
    return c == '.' ? 0 : c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

static void put_sample(struct cs_image *image, size_t i, unsigned value)
{
    bool probability = plane == CS_PLANE_PROBABILITY;
    if (image->dtype == CS_U8)
        ((uint8_t *)image->data)[i] = (uint8_t)(probability ? lround(value * 255 / 20.0) : value);
    else if (image->dtype == CS_U16)
        ((uint16_t *)image->data)[i] =
            (uint16_t)(probability ? lround(value * 65535 / 20.0) : value);
    else if (image->dtype == CS_U32)
        ((uint32_t *)image->data)[i] = value;
    else
        ((float *)image->data)[i] = (float)(probability ? value / 20.0 : value);
}

// Lines of one item: lines[0..count).
static int draw_item(struct cs_writer *writer, char *const *lines, uint32_t count, int number,
                     struct cs_err *err)
{
    static const enum cs_dtype types[] = {CS_U8, CS_U16, CS_U32, CS_F32};
    struct cs_image image = {0};
    struct cs_meta begin = {0}, done = {0};
    uint32_t channels = 1;
    for (uint32_t i = 0; i < count; i++)
        channels += strcmp(lines[i], "-") == 0;
    uint32_t height = (count - channels + 1) / channels, width = (uint32_t)strlen(lines[0]);
    if (cs_image_init(&image, width, height, (uint16_t)channels, types[dtype], 0, NULL, err) != 0)
        return -1;
    for (uint32_t c = 0; c < channels; c++)
        for (uint32_t y = 0; y < height; y++)
            for (uint32_t x = 0; x < width; x++)
                put_sample(&image, ((size_t)y * width + x) * channels + c,
                           value_of(lines[c * (height + 1) + y][x]));
    cs_meta_setf(&begin, CS_KEY_SOURCE, "drawn/%d.txt", number);
    cs_meta_setf(&begin, CS_KEY_OUTPUT, "drawn/%d", number);
    set_keys(&begin, &begin_keys);
    cs_meta_set(&done, CS_KEY_STATUS, "ok");
    int status = cs_writer_begin(writer, &begin, err);
    uint32_t step = band_rows ? (uint32_t)band_rows : height;
    for (uint32_t y = 0; y < height && status == 0; y += step)
        status = cs_writer_data(writer, (enum cs_plane)plane, &image, y,
                                y + step < height ? step : height - y,
                                (char *)image.data + y * cs_image_row_bytes(&image), err);
    if (status == 0)
        status = cs_writer_done(writer, &done, err);
    cs_meta_release(&begin);
    cs_meta_release(&done);
    cs_image_release(&image);
    return status;
}

static int draw_all(struct cs_writer *writer, char *text, struct cs_err *err)
{
    struct cs_meta head = {0};
    char **lines = calloc(MAX_TEXT, sizeof *lines);
    uint32_t first = 0, count = 0;
    int number = 0;
    set_keys(&head, &head_keys);
    cs_prov_add(&head, tool.name, NULL);
    int status = lines ? cs_writer_head(writer, &head, err) : -1;
    for (char *line = text, *next; status == 0 && line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (strcmp(line, "=") != 0) {
            lines[count++] = line;
            continue;
        }
        status = draw_item(writer, lines + first, count - first, number++, err);
        first = count;
    }
    if (status == 0 && count > first)
        status = draw_item(writer, lines + first, count - first, number, err);
    free(lines);
    cs_meta_release(&head);
    return status == 0 ? cs_writer_end(writer, 0, NULL, err) : -1;
}

int main(int argc, char **argv)
{
    static char text[MAX_TEXT];
    struct cs_err err = {0};
    struct cs_writer *writer = NULL;
    int first;
    int parsed = cs_opt_parse(&tool, argc, argv, &first, &err);
    if (parsed)
        return parsed > 0 ? 0 : cs_opt_die(&tool, &err);
    text[fread(text, 1, sizeof text - 1, stdin)] = '\0';
    int status = cs_writer_open(&writer, 1, (enum cs_transport)transport, 0, &err);
    if (status == 0)
        status = draw_all(writer, text, &err);
    cs_writer_close(writer);
    cs_opt_list_release(&head_keys);
    cs_opt_list_release(&begin_keys);
    return status == 0 ? 0 : cs_opt_die(&tool, &err);
}
