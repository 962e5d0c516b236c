// SPDX-License-Identifier: MIT
// Network planes to maps.
//
// A row of the map is made a block of columns and one channel at a time: activated values of the
// network rows it needs (one for CS_PLACE_COPY, two where it is resized) go to a buffer on the
// stack, are interpolated there and quantised into the map. The loops over pixels are job_rows.h's.
#include "backend/job_finish.h"

#include <assert.h>
#include <omp.h>

#include "backend/cpu/kernels.h"
#include "backend/job_area.h"
#include "backend/job_rows.h"

enum { BLOCK = 1024 };

// One call's: the job, its planes and the loops for this processor.
struct finish {
    const struct cs_job *job;
    const struct cs_job_plane *planes;
    const struct cs_job_rows *rows;
};

static const struct cs_job_rows *pick_rows(void)
{
    const struct cs_kernels *kernels = cs_kernels_pick(NULL);
    return kernels ? kernels->job_rows : &cs_job_rows_plain;
}

// out[i] = the source's channel after its activation, columns x..x+count-1 of row y of the
// network's plane.
static void activate(const struct finish *f, const struct cs_map_source *from, int64_t x, int64_t y,
                     int64_t count, float *out)
{
    const struct cs_job_plane *plane = &f->planes[from->output];
    const float *all = plane->data + (x - f->job->skip_x) * plane->stride_x +
                       (y - f->job->skip_y) * plane->stride_y;
    const float *value = all + from->channel * plane->stride_c;
    if (from->activation == CS_ACT_NONE)
        f->rows->take(out, value, plane->stride_x, count);
    else if (from->activation == CS_ACT_SIGMOID)
        f->rows->sigmoid(out, value, plane->stride_x, count);
    else
        f->rows->softmax(out, value, all, plane->channels, plane->stride_c, plane->stride_x, count);
}

static void quantise(const struct finish *f, const float *values, int64_t count, int64_t x,
                     int64_t y, int channel)
{
    const struct cs_job *job = f->job;
    size_t first = ((size_t)y * job->out_width + (size_t)x) * job->out_channels + (size_t)channel;
    size_t step = job->out_channels;
    if (job->out_dtype == CS_U8) {
        uint8_t *out = (uint8_t *)job->out + first, samples[BLOCK];
        f->rows->to_u8(samples, values, count);
        for (int64_t i = 0; i < count; i++)
            out[(size_t)i * step] = samples[i];
    } else if (job->out_dtype == CS_U16) {
        uint16_t *out = (uint16_t *)job->out + first, samples[BLOCK];
        f->rows->to_u16(samples, values, count);
        for (int64_t i = 0; i < count; i++)
            out[(size_t)i * step] = samples[i];
    } else {
        float *out = (float *)job->out + first;
        for (int64_t i = 0; i < count; i++)
            out[(size_t)i * step] = values[i];
    }
}

static void copy_row(const struct finish *f, int64_t y)
{
    const struct cs_job *job = f->job;
    float values[BLOCK];
    int64_t end = (int64_t)job->part_x + job->part_width;
    for (int c = 0; c < job->out_channels; c++) {
        const struct cs_map_source *from = &job->out_from[c];
        for (int64_t x = job->part_x; x < end; x += BLOCK) {
            int64_t count = end - x < BLOCK ? end - x : BLOCK;
            activate(f, from, x - job->x0, y - job->y0, count, values);
            quantise(f, values, count, x, y, c);
        }
    }
}

// How many samples of the part from x on read at most BLOCK columns of the plane.
static int64_t block_length(const struct cs_job *job, uint32_t plane_width, int64_t x)
{
    int64_t left = (int64_t)job->part_x + job->part_width - x;
    double reach = (double)(BLOCK - 3) * job->out_width / plane_width;
    int64_t most = reach < 1 ? 1 : reach < BLOCK ? (int64_t)reach : BLOCK;
    return left < most ? left : most;
}

static void scale_row(const struct finish *f, int64_t y)
{
    const struct cs_job *job = f->job;
    float low[BLOCK], high[BLOCK], values[BLOCK];
    for (int c = 0; c < job->out_channels; c++) {
        const struct cs_map_source *from = &job->out_from[c];
        const struct cs_job_plane *plane = &f->planes[from->output];
        struct cs_job_area on = cs_job_scaled(job, plane->width, plane->height);
        struct cs_job_blend rows = cs_job_blend_at(y, job->out_height, on.height);
        int64_t end = (int64_t)job->part_x + job->part_width;
        for (int64_t x = job->part_x, count; x < end; x += count) {
            count = block_length(job, on.width, x);
            int64_t first = cs_job_blend_at(x, job->out_width, on.width).low;
            int64_t last = cs_job_blend_at(x + count - 1, job->out_width, on.width).high;
            int64_t columns = last - first + 1;
            assert(columns <= BLOCK);
            activate(f, from, first - on.x, rows.low - on.y, columns, low);
            activate(f, from, first - on.x, rows.high - on.y, columns, high);
            for (int64_t i = 0; i < columns; i++)
                low[i] = low[i] + rows.part * (high[i] - low[i]);
            for (int64_t i = 0; i < count; i++) {
                struct cs_job_blend at = cs_job_blend_at(x + i, job->out_width, on.width);
                float a = low[at.low - first], b = low[at.high - first];
                values[i] = a + at.part * (b - a);
            }
            quantise(f, values, count, x, y, c);
        }
    }
}

static uint64_t count_nonfinite(const struct cs_job_rows *kernels, const struct cs_job_plane *plane,
                                int channel, const struct cs_job_area *area)
{
    uint64_t total = 0;
#pragma omp parallel for schedule(static) reduction(+ : total)
    for (int64_t y = area->y; y < (int64_t)area->y + area->height; y++) {
        const float *p = plane->data + area->x * plane->stride_x + y * plane->stride_y +
                         channel * plane->stride_c;
        total += (uint64_t)kernels->count_nonfinite(p, plane->stride_x, area->width);
    }
    return total;
}

// Rows first .. last-1 of the map.
static void finish_rows(const struct finish *f, int64_t first, int64_t last)
{
    const struct cs_job *job = f->job;
    size_t row_bytes = (size_t)job->out_width * job->out_channels * cs_dtype_bytes(job->out_dtype);
    int64_t held = first;
    for (int64_t y = first; y < last; y++) {
        if (job->placement == CS_PLACE_COPY)
            copy_row(f, y);
        else
            scale_row(f, y);
        if (job->paged)
            cs_job_forget_rows(job->out, row_bytes, &held, y + 1);
    }
}

// Whether some value of the plane can be no probability.
static bool has_logits(const struct cs_job_plane *plane)
{
    int64_t outside = 0;
#pragma omp parallel for schedule(static) reduction(+ : outside)
    for (int64_t y = 0; y < plane->height; y++)
        for (int c = 0; c < plane->channels; c++) {
            const float *p = plane->data + y * plane->stride_y + c * plane->stride_c;
            for (int64_t x = 0; x < plane->width; x++)
                outside += p[x * plane->stride_x] < 0 || p[x * plane->stride_x] > 1;
        }
    return outside > 0;
}

void cs_job_finish(struct cs_job *job, const struct cs_job_plane *planes)
{
    struct cs_job decided = *job; // no CS_ACT_LOGITS any more
    const struct finish finish = {&decided, planes, pick_rows()};
    job->nonfinite = 0;
    for (int c = 0; c < job->out_channels; c++) {
        struct cs_map_source *from = &decided.out_from[c];
        const struct cs_job_plane *plane = &planes[from->output];
        if (from->activation == CS_ACT_LOGITS)
            from->activation = has_logits(plane) ? CS_ACT_SIGMOID : CS_ACT_NONE;
        struct cs_job_area area = cs_job_plane_area(job, plane->width, plane->height);
        assert(area.x + area.width <= (uint32_t)plane->width &&
               area.y + area.height <= (uint32_t)plane->height);
        job->nonfinite += count_nonfinite(finish.rows, plane, from->channel, &area);
    }
#pragma omp parallel
    {
        int threads = omp_get_num_threads(), thread = omp_get_thread_num();
        int64_t first = (int64_t)job->part_height * thread / threads;
        int64_t last = (int64_t)job->part_height * (thread + 1) / threads;
        finish_rows(&finish, job->part_y + first, job->part_y + last);
    }
}

// ---- A batch -------------------------------------------------------------------------------

struct cs_job_plane cs_job_plane_of(const struct cs_value *value, const void *data,
                                    const int64_t *stride)
{
    const int64_t *dim = value->shape.dim;
    if (value->type != CS_TYPE_F32 || value->shape.rank != 4)
        return (struct cs_job_plane){.data = NULL};
    const int64_t dense[] = {dim[1] * dim[2] * dim[3], dim[2] * dim[3], dim[3], 1};
    stride = stride ? stride : dense;
    return (struct cs_job_plane){.data = data,
                                 .images = (int)dim[0],
                                 .channels = (int)dim[1],
                                 .height = (int)dim[2],
                                 .width = (int)dim[3],
                                 .stride_n = stride[0],
                                 .stride_c = stride[1],
                                 .stride_y = stride[2],
                                 .stride_x = stride[3]};
}

int cs_job_finish_batch(struct cs_job *jobs, int n, const struct cs_job_plane *planes, int count,
                        struct cs_err *err)
{
    struct cs_job_plane own[CS_JOB_MAX_OUTPUTS];
    assert(count <= CS_JOB_MAX_OUTPUTS);
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < jobs[i].out_channels; c++) {
            const struct cs_map_source *from = &jobs[i].out_from[c];
            if (from->output < 0 || from->output >= count || !planes[from->output].data ||
                i >= planes[from->output].images || from->channel < 0 ||
                from->channel >= planes[from->output].channels)
                return cs_fail(err, CS_EMODEL, "map %d: output %d has no channel %d for image %d",
                               c, from->output, from->channel, i);
        }
        for (int k = 0; k < count; k++) {
            own[k] = planes[k];
            if (own[k].data)
                own[k].data += i * own[k].stride_n;
        }
        cs_job_finish(&jobs[i], own);
    }
    return 0;
}
