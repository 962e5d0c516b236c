// SPDX-License-Identifier: MIT
// Pad, in every mode. For each axis a table says which index of the input stands at an index of the
// output; runs of the innermost axis in memory are copied whole where that axis is not padded.
#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "graph/params.h"

// An axis as it lies in memory.
struct axis {
    int64_t size, dst_stride;
    const int64_t *from; // where each index of the output comes from, in floats; -1: the pad value
};

struct pad {
    struct cs_cpu_place src, dst;
    int outer; // axes outside of the innermost
    struct axis axes[CS_MAX_RANK];
    bool whole; // the innermost axis is copied as it is
    int64_t rows;
    float value;
};

enum { PARALLEL_FROM = 32768 }; // values from which threads are worth waking

// Index of the input for index i of one axis of the output; -1: the pad value.
static int64_t pad_source(enum cs_pad_mode mode, int64_t at, int64_t size)
{
    if (at >= 0 && at < size)
        return at;
    switch (mode) {
    case CS_PAD_EDGE:
        return at < 0 ? 0 : size - 1;
    case CS_PAD_WRAP:
        return ((at % size) + size) % size;
    case CS_PAD_REFLECT:
        if (size == 1)
            return 0;
        at = ((at % (2 * size - 2)) + 2 * size - 2) % (2 * size - 2);
        return at < size ? at : 2 * size - 2 - at;
    case CS_PAD_CONSTANT:
        break;
    }
    return -1;
}

static void pad_row(const struct pad *pad, const float *src, bool inside, float *dst)
{
    const struct axis *inner = &pad->axes[pad->outer];
    if (inside && pad->whole) {
        memcpy(dst, src, (size_t)inner->size * sizeof *dst);
        return;
    }
    for (int64_t i = 0; i < inner->size; i++)
        dst[i] = inside && inner->from[i] >= 0 ? src[inner->from[i]] : pad->value;
}

static int run_pad(const struct cs_cpu_step *step, const struct cs_cpu_run *run, struct cs_err *err)
{
    (void)err;
    const struct pad *pad = step->params;
    const float *src = cs_cpu_at(run, pad->src);
    float *dst = cs_cpu_at(run, pad->dst);
#pragma omp parallel for schedule(static) if (pad->rows * pad->axes[pad->outer].size >=            \
                                              PARALLEL_FROM)
    for (int64_t i = 0; i < pad->rows; i++) {
        int64_t rest = i, from = 0, to = 0;
        bool inside = true;
        for (int d = pad->outer - 1; d >= 0; d--) {
            const struct axis *axis = &pad->axes[d];
            int64_t index = rest % axis->size;
            rest /= axis->size;
            to += index * axis->dst_stride;
            inside = inside && axis->from[index] >= 0;
            from += axis->from[index];
        }
        pad_row(pad, src + (inside ? from : 0), inside, dst + to);
    }
    return 0;
}

static struct axis describe_axis(struct cs_plan *plan, const struct cs_pads *pads, int d,
                                 int64_t in, int64_t out, int64_t src_stride, int64_t dst_stride)
{
    int64_t *from = cs_cpu_params(plan, (size_t)out * sizeof *from);
    for (int64_t i = 0; i < out; i++) {
        int64_t at = pad_source(pads->mode, i - pads->begin[d], in);
        from[i] = at < 0 ? -1 : at * src_stride;
    }
    return (struct axis){out, dst_stride, from};
}

static int build_pad(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    struct pad *pad = cs_cpu_params(plan, sizeof *pad);
    const struct cs_shape *in = &cs_node_input(plan->graph, node, 0)->shape;
    const struct cs_shape *out = &cs_node_output(plan->graph, node, 0)->shape;
    struct cs_pads pads;
    int64_t src[CS_MAX_RANK], dst[CS_MAX_RANK];
    if (cs_node_pads(plan->graph, node, &pads, err) != 0)
        return -1;
    pad->src = cs_cpu_place_of(plan, node->inputs[0]);
    pad->dst = cs_cpu_place_of(plan, node->outputs[0]);
    pad->value = pads.value;
    cs_cpu_strides_of(plan, node->inputs[0], src);
    cs_cpu_strides_of(plan, node->outputs[0], dst);
    int inner = 0; // the axis whose steps in the output are 1: of several the longest
    for (int d = 1; d < out->rank; d++)
        if (dst[d] < dst[inner] || (dst[d] == dst[inner] && out->dim[d] > 1))
            inner = d;
    pad->rows = 1;
    for (int d = 0; d < out->rank; d++) {
        if (d == inner)
            continue;
        pad->axes[pad->outer++] =
            describe_axis(plan, &pads, d, in->dim[d], out->dim[d], src[d], dst[d]);
        pad->rows *= out->dim[d];
    }
    pad->axes[pad->outer] =
        describe_axis(plan, &pads, inner, in->dim[inner], out->dim[inner], src[inner], dst[inner]);
    pad->whole = src[inner] == 1 && pads.begin[inner] == 0 && in->dim[inner] == out->dim[inner];
    cs_cpu_add_step(plan, node, run_pad, pad);
    return 0;
}

static bool supports(const struct cs_graph *graph, const struct cs_node *node, char *why,
                     size_t why_size)
{
    struct cs_pads pads;
    if (cs_node_pads(graph, node, &pads, NULL) == 0 && pads.value_input < 0)
        return true;
    snprintf(why, why_size, "the value is computed");
    return false;
}

const struct cs_cpu_op cs_cpu_pad_ops[] = {
    {"Pad", build_pad, supports, false, CS_CPU_OVERWRITES_NOTHING},
    {0},
};
