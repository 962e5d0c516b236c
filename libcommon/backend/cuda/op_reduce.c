// SPDX-License-Identifier: MIT
// Reductions over axes, pools over windows and over all of space.
#include <string.h>

#include "backend/cuda/call.h"

static int build_first(struct cs_plan *plan, const struct cs_node *node, cs_cuda_step_run *run,
                       struct cs_err *err)
{
    return cs_cuda_build_call(plan, node, (struct cs_cuda_inputs){.unread = ~1ULL}, run, err);
}

// ---- Reductions ----------------------------------------------------------------------------

static enum cs_cuda_reduction kind_of(const char *op)
{
    static const char *const names[] = {
        [CS_RED_MEAN] = "ReduceMean",    [CS_RED_MAX] = "ReduceMax",
        [CS_RED_MIN] = "ReduceMin",      [CS_RED_SUM] = "ReduceSum",
        [CS_RED_PRODUCT] = "ReduceProd", [CS_RED_LENGTH] = "ReduceL2"};
    int kind = 0;
    while (strcmp(names[kind], op) != 0)
        kind++;
    return (enum cs_cuda_reduction)kind;
}

// The output with the input's axes, those that are reduced having 1 element.
static struct cs_cuda_tensor with_axes(const struct cs_cuda_tensor *in,
                                       const struct cs_cuda_tensor *out, const bool *reduced)
{
    struct cs_cuda_tensor wide = *out;
    bool kept = out->rank == in->rank;
    int from = 0;
    wide.rank = in->rank;
    for (int d = 0; d < in->rank; d++) {
        wide.dim[d] = reduced[d] ? 1 : in->dim[d];
        wide.stride[d] = reduced[d] && !kept ? 0 : out->stride[from];
        from += kept || !reduced[d];
    }
    return wide;
}

static int run_reduction(void *stream, const struct cs_cuda_run *run,
                         const struct cs_cuda_tensor *in, const struct cs_cuda_tensor *out,
                         enum cs_cuda_reduction kind, const struct cs_node *node)
{
    const struct cs_cuda_reduce reduce = {.in = *in,
                                          .out = *out,
                                          .kind = kind,
                                          .activation = cs_cuda_fused(node),
                                          .scratch = run->scratch,
                                          .counters = run->counters};
    return cs_cuda_reduce_launch(stream, &reduce);
}

static struct cs_cuda_tensor shaped(const struct cs_value *value)
{
    struct cs_cuda_tensor tensor = {.rank = value->shape.rank};
    memcpy(tensor.dim, value->shape.dim, sizeof tensor.dim);
    return tensor;
}

static int run_reduce(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                      struct cs_err *err)
{
    const struct cs_cuda_call *call = cs_cuda_call_of(step);
    struct cs_cuda_tensor in = cs_cuda_in(step, run, 0), out = cs_cuda_out(step, run, 0);
    struct cs_reduce reduce;
    if (!out.data)
        return 0;
    if (cs_node_reduce(call->graph, call->node, &reduce, err) < 0)
        return -1;
    // An empty input has no place.
    struct cs_cuda_tensor shape = shaped(cs_node_input(call->graph, call->node, 0));
    memcpy(in.dim, shape.dim, sizeof in.dim);
    in.rank = shape.rank;
    if (!in.data)
        in.type = out.type;
    out = with_axes(&in, &out, reduce.axes);
    return run_reduction(run->stream, run, &in, &out, kind_of(call->node->op), call->node);
}

static void need_scratch(struct cs_plan *plan, const struct cs_node *node)
{
    const struct cs_value *out = cs_node_output(cs_cuda_graph(plan), node, 0);
    size_t sums = out ? (size_t)cs_shape_elements(&out->shape) * CS_CUDA_CHUNKS : 0;
    cs_cuda_need_scratch(plan, (sums < CS_CUDA_SUMS ? sums : CS_CUDA_SUMS) * sizeof(float));
}

static int build_reduce(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    need_scratch(plan, node);
    return build_first(plan, node, run_reduce, err);
}

static int run_arg(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                   struct cs_err *err)
{
    struct cs_cuda_tensor in = cs_cuda_in(step, run, 0), out = cs_cuda_out(step, run, 0);
    bool axes[CS_MAX_RANK] = {false};
    int axis;
    if (!out.data)
        return 0;
    if (cs_node_axis(step->node, 0, in.rank, &axis, err) < 0)
        return -1;
    axes[axis] = true;
    out = with_axes(&in, &out, axes);
    return cs_cuda_arg(run->stream, &in, &out, strcmp(step->node->op, "ArgMin") == 0,
                       cs_node_int(step->node, "select_last_index", 0) != 0);
}

static int build_arg(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return build_first(plan, node, run_arg, err);
}

static int run_global_pool(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                           struct cs_err *err)
{
    struct cs_cuda_tensor in = cs_cuda_in(step, run, 0), out = cs_cuda_out(step, run, 0);
    bool mean = strcmp(step->node->op, "GlobalAveragePool") == 0;
    (void)err;
    return out.data ? run_reduction(run->stream, run, &in, &out, mean ? CS_RED_MEAN : CS_RED_MAX,
                                    step->node)
                    : 0;
}

static int build_global_pool(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    need_scratch(plan, node);
    return build_first(plan, node, run_global_pool, err);
}

// ---- Pools over windows --------------------------------------------------------------------

struct cs_cuda_tensor cs_cuda_volume(const struct cs_cuda_tensor *tensor)
{
    struct cs_cuda_tensor volume = *tensor;
    int lead = CS_CUDA_SPACE - (tensor->rank - 2);
    volume.rank = 2 + CS_CUDA_SPACE;
    for (int a = 0; a < CS_CUDA_SPACE; a++) {
        volume.dim[2 + a] = a < lead ? 1 : tensor->dim[2 + a - lead];
        volume.stride[2 + a] = a < lead ? 0 : tensor->stride[2 + a - lead];
    }
    return volume;
}

struct cs_cuda_window cs_cuda_window_of(const struct cs_window *window)
{
    struct cs_cuda_window w;
    int lead = CS_CUDA_SPACE - window->space;
    for (int a = 0; a < CS_CUDA_SPACE; a++) {
        int from = a - lead;
        w.kernel[a] = from < 0 ? 1 : window->kernel[from];
        w.stride[a] = from < 0 ? 1 : window->stride[from];
        w.dilation[a] = from < 0 ? 1 : window->dilation[from];
        w.pad_begin[a] = from < 0 ? 0 : window->pad_begin[from];
        w.pad_end[a] = from < 0 ? 0 : window->pad_end[from];
    }
    return w;
}

static int run_pool(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                    struct cs_err *err)
{
    const struct cs_cuda_call *call = cs_cuda_call_of(step);
    struct cs_cuda_tensor in = cs_cuda_in(step, run, 0), out = cs_cuda_out(step, run, 0);
    struct cs_cuda_tensor indices = cs_cuda_out(step, run, 1);
    struct cs_window window;
    if (!out.data && !indices.data)
        return 0;
    if (cs_node_window(call->graph, call->node, &window, err) < 0)
        return -1;
    struct cs_cuda_pool pool = {.in = cs_cuda_volume(&in),
                                .out = cs_cuda_volume(&out),
                                .window = cs_cuda_window_of(&window),
                                .mean = strcmp(step->node->op, "AveragePool") == 0,
                                .count_pads = window.count_include_pad,
                                .by_columns = cs_node_int(step->node, "storage_order", 0) != 0};
    if (indices.data)
        pool.indices = cs_cuda_volume(&indices);
    return cs_cuda_pool_launch(run->stream, &pool);
}

static int build_pool(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return build_first(plan, node, run_pool, err);
}

const struct cs_cuda_op cs_cuda_reduce_ops[] = {
    {"ReduceMean", build_reduce, NULL, true},
    {"ReduceMax", build_reduce, NULL, true},
    {"ReduceMin", build_reduce, NULL, true},
    {"ReduceSum", build_reduce, NULL, true},
    {"ReduceProd", build_reduce, NULL, true},
    {"ReduceL2", build_reduce, NULL, true},
    {"ArgMax", build_arg, NULL, false},
    {"ArgMin", build_arg, NULL, false},
    {"GlobalAveragePool", build_global_pool, NULL, true},
    {"GlobalMaxPool", build_global_pool, NULL, true},
    {"MaxPool", build_pool, NULL, false},
    {"AveragePool", build_pool, NULL, false},
    {NULL, NULL, NULL, false},
};
