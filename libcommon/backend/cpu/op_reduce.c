// SPDX-License-Identifier: MIT
// Reductions over any set of axes, global pools and Softmax. Sums are taken in double, in chunks
// of a fixed size that are added in order: same bits for any number of threads.
//
// Three shapes of work: over dimensions that lie together in memory with kept ones inside (the
// pixels of an image, with sums of every channel at once), over the innermost dimension (one row a
// result), and the rest, one result after the other. A mean takes the maximum of the same values
// along where a later node wants it (attention in CBAM).
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "graph/params.h"

enum {
    CHUNK_FLOATS = 16384,
    PARALLEL_FROM = 32768, // values from which threads are worth waking
};

enum reduction { MEAN, SUM, MAX, MIN, L2 };

struct reduce {
    struct cs_cpu_place src, dst;
    enum reduction kind;
    int64_t results; // outer x inner
    int64_t count;   // values in one result
    // Over pixels: images x pixels x channels.
    int64_t images, pixels, channels, chunk, chunks;
    // General: strides of the kept and the reduced dimensions of the source. Row: what one result
    // is made of lies together.
    bool row;
    struct cs_shape kept, gone;
    int64_t kept_stride[CS_MAX_RANK], gone_stride[CS_MAX_RANK], dst_stride[CS_MAX_RANK];
    // A mean takes the maximum of the same values along, for a node that comes later: the values
    // are then read once.
    bool twin;
    struct cs_cpu_place twin_dst;
};

static float finish(const struct reduce *r, double sum)
{
    return (float)(r->kind == MEAN ? sum / (double)r->count : r->kind == L2 ? sqrt(sum) : sum);
}

// ---- Over pixels -------------------------------------------------------------------------

static void combine_pixels(const struct reduce *r, const char *scratch, float *dst)
{
    for (int64_t i = 0; i < r->images * r->channels; i++) {
        int64_t image = i / r->channels, c = i % r->channels;
        const double *sums = (const double *)(const void *)scratch +
                             image * r->chunks * 2 * r->channels + c +
                             (r->kind == L2 ? r->channels : 0);
        double sum = 0;
        for (int64_t k = 0; k < r->chunks; k++)
            sum += sums[k * 2 * r->channels];
        dst[i] = finish(r, sum);
    }
}

static int run_pixels(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                      struct cs_err *err)
{
    (void)err;
    const struct reduce *r = step->params;
    const float *src = cs_cpu_at(run, r->src);
    float *dst = cs_cpu_at(run, r->dst);
    double *sums = (double *)(void *)run->scratch;
    float *bests = (float *)(void *)run->scratch;
    bool extreme = r->kind == MAX || r->kind == MIN;
    if (r->twin)
        bests = (float *)(void *)(sums + r->images * r->chunks * 2 * r->channels);
#pragma omp parallel for schedule(static) if (r->results * r->count >= PARALLEL_FROM)
    for (int64_t i = 0; i < r->images * r->chunks; i++) {
        int64_t first = i % r->chunks * r->chunk, left = r->pixels - first;
        int64_t count = left < r->chunk ? left : r->chunk;
        const float *p = src + (i / r->chunks * r->pixels + first) * r->channels;
        if (extreme || r->twin)
            run->kernels->extremes(bests + i * r->channels, p, count, r->channels, r->kind != MIN);
        if (!extreme)
            run->kernels->moments(p, count, r->channels, sums + i * 2 * r->channels,
                                  sums + (i * 2 + 1) * r->channels);
    }
    if (!extreme)
        combine_pixels(r, run->scratch, dst);
    float *best = r->twin ? cs_cpu_at(run, r->twin_dst) : dst;
    for (int64_t image = 0; (extreme || r->twin) && image < r->images; image++)
        run->kernels->extremes(best + image * r->channels, bests + image * r->chunks * r->channels,
                               r->chunks, r->channels, r->kind != MIN);
    return 0;
}

// ---- Rows and the rest -------------------------------------------------------------------

static float reduce_one(const struct reduce *r, const float *src)
{
    double sum = 0;
    float best = src[0];
    for (int64_t i = 0; i < r->count; i++) {
        float x = src[cs_nd_place(&r->gone, r->gone_stride, i)];
        bool better = r->kind == MAX ? x > best : x < best;
        best = better || x != x ? x : best;
        sum += r->kind == L2 ? (double)x * (double)x : (double)x;
    }
    return r->kind == MAX || r->kind == MIN ? best : finish(r, sum);
}

static float reduce_row(const struct reduce *r, const struct cs_kernels *kernels, const float *row)
{
    double sum, square;
    float best;
    switch (r->kind) {
    case MAX:
        return kernels->row_max(row, r->count);
    case MIN:
        kernels->extremes(&best, row, r->count, 1, 0);
        return best;
    case L2:
        kernels->moments(row, r->count, 1, &sum, &square);
        return finish(r, square);
    case MEAN:
    case SUM:
        break;
    }
    return finish(r, kernels->row_sum(row, r->count));
}

static int run_general(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                       struct cs_err *err)
{
    (void)err;
    const struct reduce *r = step->params;
    const float *src = cs_cpu_at(run, r->src);
    float *dst = cs_cpu_at(run, r->dst);
#pragma omp parallel for schedule(static) if (r->results * r->count >= PARALLEL_FROM)
    for (int64_t i = 0; i < r->results; i++) {
        const float *p = src + cs_nd_place(&r->kept, r->kept_stride, i);
        int64_t at = cs_nd_place(&r->kept, r->dst_stride, i);
        dst[at] = r->row ? reduce_row(r, run->kernels, p) : reduce_one(r, p);
        if (r->twin)
            cs_cpu_at(run, r->twin_dst)[at] = run->kernels->row_max(p, r->count);
    }
    return 0;
}

// ---- Building ----------------------------------------------------------------------------

// Whether the reduced dimensions lie together in memory with kept ones inside of them, and the
// output's in the same order: sizes outside, of the reduced, and inside.
static bool over_pixels(const struct cs_plan *plan, const struct cs_node *node,
                        const bool axes[CS_MAX_RANK], struct reduce *r)
{
    const struct cs_shape *in = &cs_node_input(plan->graph, node, 0)->shape;
    int64_t stride[CS_MAX_RANK], gone_step = INT64_MAX;
    cs_cpu_strides_of(plan, node->inputs[0], stride);
    for (int d = 0; d < in->rank; d++)
        if (axes[d] && in->dim[d] != 1 && stride[d] < gone_step)
            gone_step = stride[d];
    if (gone_step == INT64_MAX || gone_step == 1 || gone_step > CHUNK_FLOATS)
        return false; // a row, or sums that would fill the cache
    r->channels = gone_step;
    r->pixels = r->count;
    r->images = r->results / gone_step;
    int64_t kept = 1; // strides that kept dimensions inside must have in the output
    const struct cs_shape *out = &cs_node_output(plan->graph, node, 0)->shape;
    int64_t out_stride[CS_MAX_RANK];
    cs_cpu_strides_of(plan, node->outputs[0], out_stride);
    for (int d = 0, at = 0; d < in->rank; d++) {
        bool inside = stride[d] < gone_step;
        if (axes[d] && in->dim[d] != 1 && stride[d] >= gone_step * r->pixels)
            return false; // reduced, but outside of a kept one
        at += axes[d] ? out->rank == in->rank : 0;
        if (axes[d])
            continue;
        int64_t expected = inside ? stride[d] : stride[d] / r->pixels;
        if (in->dim[d] != 1 && out_stride[at] != expected)
            return false;
        kept *= inside ? in->dim[d] : 1;
        at++;
    }
    return kept == gone_step;
}

static void build_pixels(struct cs_plan *plan, const struct cs_node *node, struct reduce *r)
{
    r->chunk = CHUNK_FLOATS / r->channels > 16 ? CHUNK_FLOATS / r->channels : 16;
    r->chunks = (r->pixels + r->chunk - 1) / r->chunk;
    size_t values = (size_t)(r->images * r->chunks * r->channels);
    cs_cpu_need_scratch(plan, values * (2 * sizeof(double) + (r->twin ? sizeof(float) : 0)));
    cs_cpu_add_step(plan, node, run_pixels, r);
}

// Kept and reduced dimensions apart; the output has kept dimensions of its own or of 1.
static void build_general(struct cs_plan *plan, const struct cs_node *node, struct reduce *r,
                          const bool axes[CS_MAX_RANK])
{
    const struct cs_shape *in = &cs_node_input(plan->graph, node, 0)->shape;
    const struct cs_shape *out = &cs_node_output(plan->graph, node, 0)->shape;
    int64_t src[CS_MAX_RANK], dst[CS_MAX_RANK];
    cs_cpu_strides_of(plan, node->inputs[0], src);
    cs_cpu_strides_of(plan, node->outputs[0], dst);
    int at = 0;        // dimension of the output
    int64_t reach = 1; // from the first value of a result to the last
    for (int d = 0; d < in->rank; d++) {
        if (axes[d]) {
            reach += (in->dim[d] - 1) * src[d];
            r->gone.dim[r->gone.rank] = in->dim[d];
            r->gone_stride[r->gone.rank] = src[d];
            r->gone.rank += in->dim[d] != 1;
            at += out->rank == in->rank;
            continue;
        }
        r->kept.dim[r->kept.rank] = in->dim[d];
        r->kept_stride[r->kept.rank] = src[d];
        r->dst_stride[r->kept.rank++] = dst[at++];
    }
    r->row = reach == r->count;
    cs_cpu_add_step(plan, node, run_general, r);
}

static bool reduced_axes(const struct cs_graph *graph, const struct cs_node *node,
                         bool axes[CS_MAX_RANK])
{
    struct cs_reduce reduce;
    memset(axes, 0, CS_MAX_RANK * sizeof *axes);
    if (strncmp(node->op, "Global", 6) == 0) {
        axes[2] = axes[3] = true;
        return true;
    }
    if (cs_node_reduce(graph, node, &reduce, NULL) != 0)
        return false;
    memcpy(axes, reduce.axes, CS_MAX_RANK * sizeof *axes);
    return true;
}

// A later node that makes the maximum of the values whose mean this one makes, and in the same
// order; NULL: none.
static const struct cs_node *find_twin(const struct cs_plan *plan, const struct cs_node *node,
                                       const bool axes[CS_MAX_RANK])
{
    const struct cs_graph *graph = plan->graph;
    int out = node->outputs[0];
    for (const struct cs_node *n = node + 1; n < graph->nodes + graph->node_count; n++) {
        bool others[CS_MAX_RANK];
        if ((strcmp(n->op, "ReduceMax") != 0 && strcmp(n->op, "GlobalMaxPool") != 0) ||
            n->inputs[0] != node->inputs[0] || !cs_cpu_op_of(graph, n) ||
            !reduced_axes(graph, n, others) || memcmp(axes, others, sizeof others) != 0)
            continue;
        int other = n->outputs[0];
        if (cs_shape_equal(&graph->values[out].shape, &graph->values[other].shape) &&
            plan->channels_last[out] == plan->channels_last[other])
            return n;
    }
    return NULL;
}

static int run_taken(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                     struct cs_err *err)
{
    (void)err;
    const struct reduce *r = step->params;
    memcpy(cs_cpu_at(run, r->dst), cs_cpu_at(run, r->src), (size_t)r->results * sizeof(float));
    return 0;
}

static int build(struct cs_plan *plan, const struct cs_node *node, enum reduction kind,
                 const bool axes[CS_MAX_RANK])
{
    const struct cs_value *in = cs_node_input(plan->graph, node, 0);
    const struct cs_cpu_late *late = &plan->late[node->outputs[0]];
    struct reduce *r = cs_cpu_params(plan, sizeof *r);
    r->src = cs_cpu_place_of(plan, node->inputs[0]);
    r->dst = cs_cpu_place_of(plan, node->outputs[0]);
    r->kind = kind;
    r->count = r->results = 1;
    for (int d = 0; d < in->shape.rank; d++)
        *(axes[d] ? &r->count : &r->results) *= in->shape.dim[d];
    if (late->taken) {
        r->src = late->result;
        cs_cpu_add_step(plan, node, run_taken, r);
        return 0;
    }
    if (plan->late[node->inputs[0]].gated) {
        cs_cpu_build_gated_pool(plan, node);
        return 0;
    }
    const struct cs_node *twin = kind == MEAN ? find_twin(plan, node, axes) : NULL;
    if (over_pixels(plan, node, axes, r)) {
        r->twin = twin != NULL;
        build_pixels(plan, node, r);
    } else {
        build_general(plan, node, r, axes);
        r->twin = twin && r->row;
    }
    if (r->twin) {
        struct cs_cpu_late *other = &plan->late[twin->outputs[0]];
        r->twin_dst = other->result = cs_cpu_reserve(plan, (size_t)r->results * sizeof(float));
        other->taken = true;
    }
    return 0;
}

static int build_reduce(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    static const struct {
        const char *name;
        enum reduction kind;
    } kinds[] = {{"ReduceMean", MEAN},
                 {"ReduceSum", SUM},
                 {"ReduceMax", MAX},
                 {"ReduceMin", MIN},
                 {"ReduceL2", L2}};
    struct cs_reduce reduce;
    if (cs_node_reduce(plan->graph, node, &reduce, err) != 0)
        return -1;
    enum reduction kind = MEAN;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(node->op, kinds[i].name) == 0)
            kind = kinds[i].kind;
    return build(plan, node, kind, reduce.axes);
}

static int build_global(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    (void)err;
    const bool axes[CS_MAX_RANK] = {false, false, true, true};
    return build(plan, node, strcmp(node->op, "GlobalMaxPool") == 0 ? MAX : MEAN, axes);
}

// ---- Softmax -----------------------------------------------------------------------------

struct softmax {
    struct cs_cpu_place src, dst;
    struct cs_shape kept;
    int64_t kept_stride[CS_MAX_RANK], rows, count, step;
};

static int run_softmax(const struct cs_cpu_step *step, const struct cs_cpu_run *run,
                       struct cs_err *err)
{
    (void)err;
    const struct softmax *s = step->params;
    const float *src = cs_cpu_at(run, s->src);
    float *dst = cs_cpu_at(run, s->dst);
#pragma omp parallel for schedule(static) if (s->rows * s->count >= PARALLEL_FROM)
    for (int64_t i = 0; i < s->rows; i++) {
        int64_t at = cs_nd_place(&s->kept, s->kept_stride, i);
        run->kernels->softmax(dst + at, src + at, s->count, s->step);
    }
    return 0;
}

static int build_softmax(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    struct softmax *s = cs_cpu_params(plan, sizeof *s);
    const struct cs_shape *shape = &cs_node_input(plan->graph, node, 0)->shape;
    int first, last;
    int64_t stride[CS_MAX_RANK];
    if (cs_node_softmax(plan->graph, node, &first, &last, err) != 0)
        return -1;
    if (first != last && plan->channels_last[node->inputs[0]]) {
        cs_cpu_build_plain(plan, node); // what is summed lies in pieces
        return 0;
    }
    cs_cpu_strides_of(plan, node->inputs[0], stride);
    s->src = cs_cpu_place_of(plan, node->inputs[0]);
    s->dst = cs_cpu_place_of(plan, node->outputs[0]);
    s->rows = s->count = s->step = 1;
    for (int d = 0; d < shape->rank; d++) {
        if (d >= first && d <= last) {
            s->count *= shape->dim[d];
            s->step = d == last ? stride[d] : s->step;
            continue;
        }
        s->rows *= shape->dim[d];
        s->kept.dim[s->kept.rank] = shape->dim[d];
        s->kept_stride[s->kept.rank++] = stride[d];
    }
    cs_cpu_add_step(plan, node, run_softmax, s);
    return cs_cpu_build_fusion(plan, node, true, err);
}

static bool global_supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                            size_t why_size)
{
    const struct cs_value *in = cs_node_input(graph, node, 0);
    if (in && in->shape.rank == 4)
        return true;
    snprintf(why, why_size, "input is not N, C, H, W");
    return false;
}

const struct cs_cpu_op cs_cpu_reduce_ops[] = {
    {"ReduceMean", build_reduce, NULL, false, CS_CPU_OVERWRITES_NOTHING},
    {"ReduceSum", build_reduce, NULL, false, CS_CPU_OVERWRITES_NOTHING},
    {"ReduceMax", build_reduce, NULL, false, CS_CPU_OVERWRITES_NOTHING},
    {"ReduceMin", build_reduce, NULL, false, CS_CPU_OVERWRITES_NOTHING},
    {"ReduceL2", build_reduce, NULL, false, CS_CPU_OVERWRITES_NOTHING},
    {"GlobalAveragePool", build_global, global_supports, false, CS_CPU_OVERWRITES_NOTHING},
    {"GlobalMaxPool", build_global, global_supports, false, CS_CPU_OVERWRITES_NOTHING},
    {"Softmax", build_softmax, NULL, true, CS_CPU_OVERWRITES_INPUT},
    {0},
};
