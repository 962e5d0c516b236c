// SPDX-License-Identifier: MIT
// Images between the memory of the host and that of the device. Of an image that is not resized
// only the window that the network sees goes up, and only the job's part of the maps comes down, so
// that tiles of a large image cost what they cover.
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/inside.h"

enum { ALIGNMENT = 256 };

static size_t align(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

// ---- Memory ------------------------------------------------------------------------------

int cs_cuda_stage_grow(struct cs_cuda_stage *stage, size_t bytes, const char *what,
                       struct cs_err *err)
{
    if (bytes <= stage->bytes)
        return 0;
    cs_cuda_stage_release(stage);
    stage->host = cs_cuda_alloc_pinned(bytes, what, err);
    stage->device = stage->host ? cs_cuda_alloc(bytes, what, err) : NULL;
    if (!stage->device) {
        cs_cuda_stage_release(stage);
        return -1;
    }
    stage->bytes = bytes;
    return 0;
}

void cs_cuda_stage_release(struct cs_cuda_stage *stage)
{
    cs_cuda_free_pinned(stage->host);
    cs_cuda_free(stage->device);
    *stage = (struct cs_cuda_stage){0};
}

static size_t planes_bytes(const struct cs_plan *plan, const int *values, int count)
{
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        const struct cs_value *v = &plan->graph->values[values[i]];
        int64_t elements = cs_shape_elements(&v->shape);
        if (v->shape.rank == 4 && v->type == CS_TYPE_F32 && elements > 0)
            total +=
                align((size_t)elements * sizeof(uint16_t)) + (size_t)v->shape.dim[0] * ALIGNMENT;
    }
    return total;
}

size_t cs_cuda_input_bytes(const struct cs_plan *plan)
{
    return planes_bytes(plan, plan->graph->inputs, plan->graph->input_count);
}

size_t cs_cuda_output_bytes(const struct cs_plan *plan)
{
    return planes_bytes(plan, plan->graph->outputs, plan->graph->output_count);
}

// ---- Jobs --------------------------------------------------------------------------------

// The samples of an axis of `size` that `count` network pixels from `first` on are made of, mirrors
// included.
static void find_window(int64_t first, int64_t count, int64_t size, uint32_t *from,
                        uint32_t *extent)
{
    int64_t over = first + count - size; // network pixels behind the image
    int64_t low = first > 0 ? first : 0, high = over > 0 ? size : first + count;
    if (first < 0 && high < 1 - first)
        high = 1 - first;
    if (first < 0)
        low = 0;
    if (over > 0 && low > size - 1 - over)
        low = size - 1 - over;
    if (first >= size || first + count <= 0) { // wholly mirrored
        low = 0;
        high = size;
    }
    low = low < 0 ? 0 : low;
    high = high > size ? size : high;
    *from = (uint32_t)low;
    *extent = (uint32_t)(high - low);
}

static bool has_planes(const struct cs_value *v, int image)
{
    return v->type == CS_TYPE_F32 && v->shape.rank == 4 && image < v->shape.dim[0] &&
           cs_shape_elements(&v->shape) > 0;
}

static int check_maps(const struct cs_plan *plan, const struct cs_job *job, int image,
                      struct cs_err *err)
{
    const struct cs_graph *graph = plan->graph;
    int count = graph->output_count < CS_JOB_MAX_OUTPUTS ? graph->output_count : CS_JOB_MAX_OUTPUTS;
    for (int c = 0; c < job->out_channels; c++) {
        const struct cs_map_source *from = &job->out_from[c];
        const struct cs_value *v = from->output >= 0 && from->output < count
                                       ? &graph->values[graph->outputs[from->output]]
                                       : NULL;
        if (!v || !has_planes(v, image) || from->channel < 0 || from->channel >= v->shape.dim[1])
            return cs_fail(err, CS_EMODEL, "map %d: output %d has no channel %d for image %d", c,
                           from->output, from->channel, image);
    }
    return 0;
}

static size_t window_bytes(const struct cs_cuda_job *s)
{
    return (size_t)s->window_width * s->window_height * s->job.channels *
           cs_dtype_bytes(s->job.dtype);
}

static size_t part_bytes(const struct cs_job *job)
{
    return (size_t)job->part_width * job->part_height * job->out_channels *
           cs_dtype_bytes(job->out_dtype);
}

int cs_cuda_stage_jobs(const struct cs_plan *plan, const struct cs_job *jobs, int n,
                       struct cs_cuda_job *staged, size_t *up, size_t *down, struct cs_err *err)
{
    const struct cs_shape *in = &plan->graph->values[plan->graph->inputs[0]].shape;
    *up = *down = 0;
    memset(staged, 0, (size_t)in->dim[0] * sizeof *staged);
    for (int i = 0; i < n; i++) {
        struct cs_cuda_job *s = &staged[i];
        if (check_maps(plan, &jobs[i], i, err) != 0)
            return -1;
        s->job = jobs[i];
        s->job.nonfinite = 0;
        s->window_width = jobs[i].width;
        s->window_height = jobs[i].height;
        if (jobs[i].placement == CS_PLACE_COPY) {
            find_window(jobs[i].x0, in->dim[3], jobs[i].width, &s->window_x, &s->window_width);
            find_window(jobs[i].y0, in->dim[2], jobs[i].height, &s->window_y, &s->window_height);
        }
        *up += align(window_bytes(s));
        *down += align(part_bytes(&jobs[i]));
    }
    return 0;
}

void cs_cuda_stage_pixels(const struct cs_job *jobs, int n, struct cs_cuda_job *staged,
                          const struct cs_cuda_stage *in, const struct cs_cuda_stage *out)
{
    size_t up = 0, down = 0;
    for (int i = 0; i < n; i++) {
        struct cs_cuda_job *s = &staged[i];
        size_t pixel = s->job.channels * cs_dtype_bytes(s->job.dtype);
        size_t row = (size_t)s->window_width * pixel;
        const char *from = (const char *)jobs[i].pixels +
                           ((size_t)s->window_y * jobs[i].width + s->window_x) * pixel;
        char *to = in->host + up;
        if (s->window_width == jobs[i].width)
            memcpy(to, from, row * s->window_height);
        else
            for (uint32_t y = 0; y < s->window_height; y++)
                memcpy(to + y * row, from + (size_t)y * jobs[i].width * pixel, row);
        s->job.pixels = in->device + up;
        s->job.out = out->device + down;
        up += align(window_bytes(s));
        down += align(part_bytes(&s->job));
    }
}

void cs_cuda_stage_maps(struct cs_job *jobs, int n, const struct cs_cuda_job *staged,
                        const struct cs_cuda_stage *out)
{
    size_t down = 0;
    for (int i = 0; i < n; i++) {
        const struct cs_job *job = &jobs[i];
        size_t pixel = job->out_channels * cs_dtype_bytes(job->out_dtype);
        size_t row = job->part_width * pixel;
        char *to = (char *)job->out + ((size_t)job->part_y * job->out_width + job->part_x) * pixel;
        const char *from = out->host + down;
        if (job->part_width == job->out_width)
            memcpy(to, from, row * job->part_height);
        else
            for (uint32_t y = 0; y < job->part_height; y++)
                memcpy(to + (size_t)y * job->out_width * pixel, from + y * row, row);
        jobs[i].nonfinite = staged[i].job.nonfinite;
        down += align(part_bytes(job));
    }
}
