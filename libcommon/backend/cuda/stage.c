// SPDX-License-Identifier: MIT
// Images between the memory of the host and that of the device. Of an image only the window that
// the network sees goes up, and only the job's part of the maps comes down, so that tiles of a
// large image cost what they cover. Images in pinned memory are read and written by
// the device where they lie; others are copied to pinned memory of the slot and back.
#include <cuda_runtime_api.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/inside.h"

enum { ALIGNMENT = 256 };

static size_t align(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

// ---- Memory ------------------------------------------------------------------------------

int cs_cuda_stage_grow(struct cs_cuda_stage *stage, size_t bytes, bool host, const char *what,
                       struct cs_err *err)
{
    if (bytes > stage->bytes) {
        cs_cuda_stage_release(stage);
        if (!(stage->device = cs_cuda_alloc(bytes, what, err)))
            return -1;
        stage->bytes = bytes;
    }
    if (host && stage->bytes > stage->host_bytes) {
        cs_cuda_free_pinned(stage->host);
        stage->host_bytes = 0;
        if (!(stage->host = cs_cuda_alloc_pinned(stage->bytes, what, err)))
            return -1;
        stage->host_bytes = stage->bytes;
    }
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
    return (size_t)s->window.width * s->window.height * s->job.channels *
           cs_dtype_bytes(s->job.dtype);
}

static size_t part_bytes(const struct cs_job *job)
{
    return (size_t)job->part_width * job->part_height * job->out_channels *
           cs_dtype_bytes(job->out_dtype);
}

// The part is made of all that the outputs have, whose planes may differ in size.
static bool whole_planes(const struct cs_job *job)
{
    return job->placement != CS_PLACE_COPY && !job->scaled_width;
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
        s->window = cs_job_image_area(&jobs[i], (int)in->dim[3], (int)in->dim[2]);
        s->behind = whole_planes(&jobs[i])
                        ? (struct cs_job_area){0, 0, UINT32_MAX, UINT32_MAX}
                        : cs_job_plane_area(&jobs[i], (int)in->dim[3], (int)in->dim[2]);
        *up += align(window_bytes(s));
        *down += align(part_bytes(&jobs[i]));
    }
    return 0;
}

void cs_cuda_stage_place(struct cs_cuda_job *staged, int n, const struct cs_cuda_stage *in,
                         const struct cs_cuda_stage *out)
{
    size_t up = 0, down = 0;
    for (int i = 0; i < n; i++) {
        staged[i].job.pixels = in->device + up;
        staged[i].job.out = out->device + down;
        up += align(window_bytes(&staged[i]));
        down += align(part_bytes(&staged[i].job));
    }
}

// Rows of an image on the host that a job sends up or gets back.
struct rows {
    char *first;
    size_t pitch, bytes, count; // between rows, of one, of all
};

static struct rows window_of(const struct cs_job *job, const struct cs_cuda_job *staged)
{
    size_t pixel = job->channels * cs_dtype_bytes(job->dtype);
    size_t at = (size_t)staged->window.y * job->width + staged->window.x;
    return (struct rows){(char *)(uintptr_t)job->pixels + at * pixel, job->width * pixel,
                         staged->window.width * pixel, staged->window.height};
}

static struct rows part_of(const struct cs_job *job)
{
    size_t pixel = job->out_channels * cs_dtype_bytes(job->out_dtype);
    size_t at = (size_t)job->part_y * job->out_width + job->part_x;
    return (struct rows){(char *)job->out + at * pixel, job->out_width * pixel,
                         job->part_width * pixel, job->part_height};
}

// Rows that lie together are one.
static struct rows whole(struct rows r)
{
    return r.bytes == r.pitch ? (struct rows){r.first, r.bytes * r.count, r.bytes * r.count, 1} : r;
}

void cs_cuda_stage_pixels(const struct cs_job *jobs, int n, const struct cs_cuda_job *staged,
                          const struct cs_cuda_stage *in)
{
    char *to = in->host;
    for (int i = 0; i < n; i++) {
        struct rows r = whole(window_of(&jobs[i], &staged[i]));
        for (size_t y = 0; y < r.count; y++)
            memcpy(to + y * r.bytes, r.first + y * r.pitch, r.bytes);
        to += align(window_bytes(&staged[i]));
    }
}

void cs_cuda_stage_maps(struct cs_job *jobs, int n, const struct cs_cuda_job *staged,
                        const struct cs_cuda_stage *out)
{
    const char *from = out->host;
    for (int i = 0; i < n; i++) {
        struct rows r = whole(part_of(&jobs[i]));
        for (size_t y = 0; y < r.count; y++)
            memcpy(r.first + y * r.pitch, from + y * r.bytes, r.bytes);
        from += align(part_bytes(&staged[i].job));
    }
}

// ---- Pinned images -----------------------------------------------------------------------

static cudaError_t copy_rows(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                             const struct rows *r, enum cudaMemcpyKind kind, void *stream)
{
    if (r->bytes == 0 || r->count == 0)
        return cudaSuccess;
    return r->count == 1 ? cudaMemcpyAsync(to, from, r->bytes, kind, stream)
                         : cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, r->bytes, r->count,
                                             kind, stream);
}

int cs_cuda_pinned_pixels(void *stream, const struct cs_job *jobs, int n,
                          const struct cs_cuda_job *staged, struct cs_err *err)
{
    for (int i = 0; i < n; i++) {
        struct rows r = whole(window_of(&jobs[i], &staged[i]));
        cudaError_t code = copy_rows((void *)(uintptr_t)staged[i].job.pixels, r.bytes, r.first,
                                     r.pitch, &r, cudaMemcpyHostToDevice, stream);
        if (cs_cuda_check((int)code, "copying to the device", err) != 0)
            return -1;
    }
    return 0;
}

int cs_cuda_pinned_maps(void *stream, const struct cs_job *jobs, int n,
                        const struct cs_cuda_job *staged, struct cs_err *err)
{
    for (int i = 0; i < n; i++) {
        struct rows r = whole(part_of(&jobs[i]));
        cudaError_t code = copy_rows(r.first, r.pitch, staged[i].job.out, r.bytes, &r,
                                     cudaMemcpyDeviceToHost, stream);
        if (cs_cuda_check((int)code, "copying from the device", err) != 0)
            return -1;
    }
    return 0;
}
