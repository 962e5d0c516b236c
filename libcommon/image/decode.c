// SPDX-License-Identifier: MIT
#include "image/decode.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cs_decode_release(struct cs_decode *decode)
{
    free(decode->stored);
    free(decode->plain);
    free(decode->sums);
    cs_source_close(&decode->other);
    *decode = (struct cs_decode){0};
}

static bool one_page(const struct cs_plan *plan)
{
    for (uint16_t i = 1; i < plan->channel_count; i++)
        if (plan->channels[i].c != plan->channels[0].c)
            return false;
    return !plan->projection;
}

static size_t row_bytes(const struct cs_plan *plan, uint16_t channels, enum cs_dtype dtype)
{
    return (size_t)plan->page.width * channels * cs_dtype_bytes(dtype);
}

// Everything as it comes: no crop to the sides, all samples of one page in order.
static bool is_plain_copy(const struct cs_plan *plan)
{
    if (!one_page(plan) || plan->width != plan->page.width ||
        plan->channel_count != plan->conversion.channels)
        return false;
    for (uint16_t i = 0; i < plan->channel_count; i++)
        if (plan->channels[i].sample != i)
            return false;
    return true;
}

// A row as it is given out, and on its way there.
static uint64_t row_memory(const struct cs_plan *plan)
{
    uint64_t samples = (uint64_t)plan->width * plan->channel_count;
    uint64_t bytes = samples * cs_dtype_bytes(plan->conversion.dtype);
    bool identity = cs_convert_is_identity(&plan->conversion);
    if (!identity || !is_plain_copy(plan))
        bytes += row_bytes(plan, plan->page.samples, plan->page.dtype);
    if (!identity)
        bytes += row_bytes(plan, plan->conversion.channels, plan->conversion.dtype);
    if (plan->projection == CS_RANGE_MEAN)
        bytes += samples * sizeof(double);
    return bytes;
}

// What reading a page takes: one of another file of the set beside the plan's own.
static uint64_t page_memory(const struct cs_decode *decode, const struct cs_page *page)
{
    uint64_t own = decode->plan->page.memory;
    return decode->file ? own + page->memory : page->memory > own ? page->memory : own;
}

static int check_room(const struct cs_decode *decode, const struct cs_page *page, uint32_t rows,
                      struct cs_err *err)
{
    const struct cs_source *source = decode->plan->source;
    char what[64];
    snprintf(what, sizeof what, "%u x %u pixels", page->width, page->height);
    return cs_room_check(&source->room,
                         page_memory(decode, page) + cs_layout_bytes(&source->layout) +
                             row_memory(decode->plan) * rows,
                         what, err);
}

int cs_decode_init(struct cs_decode *decode, const struct cs_plan *plan, uint32_t n,
                   struct cs_err *err)
{
    const struct cs_source *source = plan->source;
    *decode = (struct cs_decode){.plan = plan,
                                 .page = CS_NO_PAGE,
                                 .other = {.fd = -1},
                                 .from = source,
                                 .most_rows = UINT32_MAX};
    cs_plan_item(plan, n, &decode->item);
    if (check_room(decode, &plan->page, 1, err) != 0)
        return -1;
    uint64_t rows = source->room.bytes - plan->page.memory - cs_layout_bytes(&source->layout);
    rows /= row_memory(plan);
    if (source->room.bytes && rows < UINT32_MAX)
        decode->most_rows = (uint32_t)rows;
    return 0;
}

uint32_t cs_decode_band_rows(const struct cs_decode *decode, size_t bytes)
{
    enum { WHOLE_BYTES = 256 << 20 }; // a band grows to a whole strip up to this
    const struct cs_plan *plan = decode->plan;
    size_t row = (size_t)plan->width * plan->channel_count * cs_dtype_bytes(plan->conversion.dtype);
    uint64_t rows = bytes / row, chunk = plan->page.chunk_rows;
    if (chunk && rows > chunk)
        rows -= rows % chunk;
    // Going back to a page costs its strip again: take the whole of it.
    if (!one_page(plan) && rows < chunk && chunk * row <= WHOLE_BYTES)
        rows = chunk;
    rows = rows < decode->most_rows ? rows : decode->most_rows;
    rows = rows ? rows : 1;
    return rows < plan->height ? (uint32_t)rows : plan->height;
}

// ---- One page ------------------------------------------------------------------------------

// Says where a failure was: the file where it is another one of the set, the page where there are
// several.
static int file_failed(const struct cs_decode *decode, struct cs_err *err)
{
    if (decode->file)
        cs_err_context(err, "%s", decode->plan->source->layout.files[decode->file - 1]);
    return -1;
}

static int page_failed(const struct cs_decode *decode, uint32_t page, struct cs_err *err)
{
    if (decode->from->pages > 1)
        cs_err_context(err, "page %u", page);
    return file_failed(decode, err);
}

static int open_file(struct cs_decode *decode, uint32_t file, uint32_t rows, struct cs_err *err)
{
    const struct cs_plan *plan = decode->plan;
    uint64_t taken =
        plan->page.memory + cs_layout_bytes(&plan->source->layout) + row_memory(plan) * rows;
    decode->file = 0;
    decode->from = plan->source;
    if (!file)
        return 0;
    cs_source_close(&decode->other);
    if (cs_source_open_other(&decode->other, plan->source, file, taken, err) != 0)
        return -1;
    decode->file = file;
    decode->from = &decode->other;
    return 0;
}

static int turn_to(struct cs_decode *decode, struct cs_place place, uint32_t rows,
                   struct cs_err *err)
{
    const struct cs_plan *plan = decode->plan;
    uint32_t page = place.page;
    struct cs_page now;
    if (decode->file == place.file && decode->page == page)
        return 0;
    decode->page = CS_NO_PAGE;
    if (decode->file != place.file && open_file(decode, place.file, rows, err) != 0)
        return -1;
    const struct cs_source *source = decode->from;
    if (page >= source->pages)
        cs_fail(err, CS_EINPUT, "the file has %u pages", source->pages);
    if (page >= source->pages || source->codec->select(source->file, page, &now, err) != 0)
        return page_failed(decode, page, err);
    const struct cs_page *want = &plan->page;
    if (now.width != want->width || now.height != want->height || now.samples != want->samples ||
        now.dtype != want->dtype || now.colour != want->colour || now.bits != want->bits) {
        cs_fail(err, CS_EINPUT,
                "page %u is %u x %u pixels of %u %s samples, others are %u x %u of %u %s", page,
                now.width, now.height, now.samples, cs_dtype_name(now.dtype), want->width,
                want->height, want->samples, cs_dtype_name(want->dtype));
        return file_failed(decode, err);
    }
    if (check_room(decode, &now, rows, err) != 0)
        return page_failed(decode, page, err);
    decode->page = page;
    return 0;
}

static int reserve(void **block, size_t *have, size_t need, struct cs_err *err)
{
    if (*have >= need)
        return 0;
    free(*block);
    *have = 0;
    *block = cs_alloc(1, need, "image rows", err);
    if (!*block)
        return -1;
    *have = need;
    return 0;
}

// Rows of a page, converted; *plain points to them.
static int read_page(struct cs_decode *decode, struct cs_place place, uint32_t first, uint32_t rows,
                     const void **plain, struct cs_err *err)
{
    const struct cs_plan *plan = decode->plan;
    const struct cs_conversion *conversion = &plan->conversion;
    size_t in = row_bytes(plan, plan->page.samples, plan->page.dtype);
    size_t out = row_bytes(plan, conversion->channels, conversion->dtype);
    if (turn_to(decode, place, rows, err) != 0 ||
        reserve(&decode->stored, &decode->stored_bytes, in * rows, err) != 0)
        return -1;
    if (decode->from->codec->read(decode->from->file, plan->y + first, rows, decode->stored, err) !=
        0)
        return page_failed(decode, place.page, err);
    *plain = decode->stored;
    if (cs_convert_is_identity(conversion))
        return 0;
    if (reserve(&decode->plain, &decode->plain_bytes, out * rows, err) != 0)
        return -1;
    cs_convert_run(conversion, decode->stored, (size_t)plan->page.width * rows, decode->plain);
    *plain = decode->plain;
    return 0;
}

// ---- Samples into the result ---------------------------------------------------------------

// A walk over one channel of the area: `count` pixels a row from in, step in_step samples, to out.
struct lane {
    const uint8_t *in;
    uint8_t *out;
    double *sum; // of a mean
    uint32_t count;
    size_t in_step, out_step; // in samples
    enum cs_dtype dtype;
};

// One loop a dtype: BODY sees `a`, the sample of the page, and `*b`, the one of the result.
#define EACH(type, BODY)                                                                           \
    do {                                                                                           \
        const type *in_ = (const type *)(const void *)lane->in;                                    \
        type *out_ = (type *)(void *)lane->out;                                                    \
        for (uint32_t i = 0; i < lane->count; i++) {                                               \
            type a = in_[i * lane->in_step], *b = &out_[i * lane->out_step];                       \
            BODY                                                                                   \
        }                                                                                          \
    } while (0)

#define EACH_TYPE(BODY)                                                                            \
    switch (lane->dtype) {                                                                         \
    case CS_U8:                                                                                    \
        EACH(uint8_t, BODY);                                                                       \
        break;                                                                                     \
    case CS_U16:                                                                                   \
        EACH(uint16_t, BODY);                                                                      \
        break;                                                                                     \
    case CS_U32:                                                                                   \
        EACH(uint32_t, BODY);                                                                      \
        break;                                                                                     \
    case CS_U64:                                                                                   \
        EACH(uint64_t, BODY);                                                                      \
        break;                                                                                     \
    case CS_I8:                                                                                    \
        EACH(int8_t, BODY);                                                                        \
        break;                                                                                     \
    case CS_I16:                                                                                   \
        EACH(int16_t, BODY);                                                                       \
        break;                                                                                     \
    case CS_I32:                                                                                   \
        EACH(int32_t, BODY);                                                                       \
        break;                                                                                     \
    case CS_I64:                                                                                   \
        EACH(int64_t, BODY);                                                                       \
        break;                                                                                     \
    case CS_F32:                                                                                   \
        EACH(float, BODY);                                                                         \
        break;                                                                                     \
    case CS_F64:                                                                                   \
        EACH(double, BODY);                                                                        \
        break;                                                                                     \
    case CS_F16:                                                                                   \
        break;                                                                                     \
    }

static void lane_copy(const struct lane *lane)
{
    size_t bytes = cs_dtype_bytes(lane->dtype);
    if (lane->in_step == 1 && lane->out_step == 1) {
        memcpy(lane->out, lane->in, lane->count * bytes);
        return;
    }
    for (uint32_t i = 0; i < lane->count; i++)
        memcpy(lane->out + i * lane->out_step * bytes, lane->in + i * lane->in_step * bytes, bytes);
}

// NaN gives way to any number.
static void lane_max(const struct lane *lane)
{
    EACH_TYPE(if (a > *b || *b != *b) *b = a;)
}

static void lane_add(const struct lane *lane)
{
    double *sum = lane->sum;
    EACH_TYPE((void)b; *sum += (double)a; sum += lane->out_step;)
}

// Integers are rounded to the nearest; a mean is never outside the range of its samples.
static void lane_mean(const struct lane *lane, uint32_t n)
{
    const double *sum = lane->sum;
    bool real = lane->dtype >= CS_F16;
    EACH_TYPE((void)a; double mean = *sum / n; *b = (__typeof__(*b))(real ? mean : rint(mean));
              sum += lane->out_step;)
}

enum step { STEP_COPY, STEP_MAX, STEP_SUM, STEP_MEAN };

// All chosen channels of plane c, `rows` rows.
static void combine(struct cs_decode *decode, uint32_t c, const uint8_t *plain, uint32_t rows,
                    uint8_t *out, enum step step)
{
    const struct cs_plan *plan = decode->plan;
    enum cs_dtype dtype = plan->conversion.dtype;
    size_t sample = cs_dtype_bytes(dtype);
    for (uint16_t k = 0; k < plan->channel_count; k++) {
        if (plan->channels[k].c != c)
            continue;
        for (uint32_t y = 0; y < rows; y++) {
            size_t from = ((size_t)y * plan->page.width + plan->x) * plan->conversion.channels +
                          plan->channels[k].sample;
            size_t to = (size_t)y * plan->width * plan->channel_count + k;
            struct lane lane = {plain + from * sample,
                                out + to * sample,
                                decode->sums ? decode->sums + to : NULL,
                                plan->width,
                                plan->conversion.channels,
                                plan->channel_count,
                                dtype};
            if (step == STEP_COPY)
                lane_copy(&lane);
            else if (step == STEP_MAX)
                lane_max(&lane);
            else if (step == STEP_MEAN)
                lane_mean(&lane, plan->z_count);
            else
                lane_add(&lane);
        }
    }
}

// The planes of channel plane c, along z where it is projected.
static int read_planes(struct cs_decode *decode, uint32_t c, uint32_t rows, uint8_t *out,
                       struct cs_err *err)
{
    const struct cs_plan *plan = decode->plan;
    uint32_t count = plan->projection ? plan->z_count : 1;
    bool mean = plan->projection == CS_RANGE_MEAN && count > 1;
    const void *plain = NULL;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t z = plan->projection ? plan->zs[i] : decode->item.z;
        struct cs_place place;
        cs_series_place(plan->series, decode->item.t, z, c, &place);
        if (read_page(decode, place, decode->next_row, rows, &plain, err) != 0)
            return -1;
        combine(decode, c, plain, rows, out, mean ? STEP_SUM : i ? STEP_MAX : STEP_COPY);
    }
    if (mean)
        combine(decode, c, plain, rows, out, STEP_MEAN);
    return 0;
}

static int read_plain(struct cs_decode *decode, uint32_t rows, void *out, struct cs_err *err)
{
    const struct cs_plan *plan = decode->plan;
    struct cs_place place;
    const void *plain;
    cs_series_place(plan->series, decode->item.t, decode->item.z, plan->channels[0].c, &place);
    if (cs_convert_is_identity(&plan->conversion)) {
        if (turn_to(decode, place, rows, err) != 0)
            return -1;
        if (decode->from->codec->read(decode->from->file, plan->y + decode->next_row, rows, out,
                                      err) != 0)
            return page_failed(decode, place.page, err);
        return 0;
    }
    if (read_page(decode, place, decode->next_row, rows, &plain, err) != 0)
        return -1;
    memcpy(out, plain, row_bytes(plan, plan->conversion.channels, plan->conversion.dtype) * rows);
    return 0;
}

int cs_decode_rows(struct cs_decode *decode, uint32_t rows, void *out, struct cs_err *err)
{
    const struct cs_plan *plan = decode->plan;
    if (plan->projection && plan->conversion.dtype == CS_F16)
        return cs_fail(err, CS_EINPUT, "16-bit floats cannot be projected: choose -z N");
    if (is_plain_copy(plan)) {
        if (read_plain(decode, rows, out, err) != 0)
            return -1;
        decode->next_row += rows;
        return 0;
    }
    if (plan->projection == CS_RANGE_MEAN) {
        size_t samples = (size_t)rows * plan->width * plan->channel_count;
        void *sums = decode->sums;
        int status = reserve(&sums, &decode->sums_bytes, samples * sizeof(double), err);
        decode->sums = sums;
        if (status != 0)
            return -1;
        memset(decode->sums, 0, samples * sizeof(double));
    }
    for (uint16_t k = 0; k < plan->channel_count; k++) {
        bool done = false; // several channels may come from one plane
        for (uint16_t i = 0; i < k; i++)
            done = done || plan->channels[i].c == plan->channels[k].c;
        if (!done && read_planes(decode, plan->channels[k].c, rows, out, err) != 0)
            return -1;
    }
    decode->next_row += rows;
    return 0;
}
