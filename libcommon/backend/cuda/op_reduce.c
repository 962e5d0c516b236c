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
    static const struct {
        const char *name;
        enum cs_cuda_reduction kind;
    } names[] = {{"ReduceMean", CS_RED_MEAN},        {"ReduceMax", CS_RED_MAX},
                 {"ReduceMin", CS_RED_MIN},          {"ReduceSum", CS_RED_SUM},
                 {"ReduceProd", CS_RED_PRODUCT},     {"ReduceL2", CS_RED_LENGTH},
                 {"GlobalAveragePool", CS_RED_MEAN}, {"GlobalMaxPool", CS_RED_MAX}};
    int i = 0;
    while (strcmp(names[i].name, op) != 0)
        i++;
    return names[i].kind;
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

// ---- Two of one value ----------------------------------------------------------------------

// Attention over channels or space takes mean and maximum of the same: the step of the first makes
// both, in one reading, and that of the second copies its result to where it is to lie.

static bool is_pair(const char *a, const char *b)
{
    static const char *const pairs[][2] = {{"GlobalAveragePool", "GlobalMaxPool"},
                                           {"ReduceMean", "ReduceMax"}};
    for (int i = 0; i < 4; i++)
        if (strcmp(pairs[i / 2][i % 2], a) == 0 && strcmp(pairs[i / 2][!(i % 2)], b) == 0)
            return true;
    return false;
}

static bool same_axes(const struct cs_graph *graph, const struct cs_node *a,
                      const struct cs_node *b)
{
    struct cs_reduce x = {0}, y = {0};
    return *a->op == 'G' ||
           (cs_node_reduce(graph, a, &x, NULL) == 0 && cs_node_reduce(graph, b, &y, NULL) == 0 &&
            memcmp(x.axes, y.axes, sizeof x.axes) == 0);
}

// The node behind this one that can be made with it; NULL: none.
static const struct cs_node *twin_of(const struct cs_graph *graph, const struct cs_node *node)
{
    const struct cs_value *out = cs_node_output(graph, node, 0);
    if (!out || out->type != CS_TYPE_F32 || cs_node_input(graph, node, 0)->data)
        return NULL;
    for (const struct cs_node *n = node + 1; n < graph->nodes + graph->node_count; n++) {
        const struct cs_value *other = cs_node_output(graph, n, 0);
        if (n->inputs[0] == node->inputs[0] && is_pair(node->op, n->op) && other &&
            cs_shape_equal(&out->shape, &other->shape) && same_axes(graph, node, n))
            return n;
    }
    return NULL;
}

// What was made before: dense.
static struct cs_cuda_tensor early_tensor(const struct cs_cuda_run *run, size_t at,
                                          const struct cs_cuda_tensor *like)
{
    struct cs_cuda_tensor tensor = *like;
    struct cs_shape shape = {.rank = like->rank};
    memcpy(shape.dim, like->dim, sizeof shape.dim);
    tensor.data = run->kept + at;
    cs_cuda_dense(&shape, false, tensor.stride);
    return tensor;
}

// Room for the twin's result, unless this is one itself.
static void keep_twin(struct cs_plan *plan, const struct cs_node *node)
{
    const struct cs_graph *graph = cs_cuda_graph(plan);
    const struct cs_node *twin = twin_of(graph, node);
    if (!twin || *cs_cuda_early(plan, node->outputs[0]) || *cs_cuda_early(plan, twin->outputs[0]))
        return;
    size_t count = (size_t)cs_shape_elements(&cs_node_output(graph, twin, 0)->shape);
    *cs_cuda_early(plan, twin->outputs[0]) =
        cs_cuda_keep(plan, count * cs_cuda_type_bytes(cs_cuda_real(plan)));
}

static int run_reduction(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                         const struct cs_cuda_tensor *in, const struct cs_cuda_tensor *out)
{
    const struct cs_node *node = step->node, *twin = NULL;
    size_t at = *cs_cuda_early(run->plan, node->outputs[0]);
    if (at) {
        struct cs_cuda_tensor made = early_tensor(run, at, out);
        return cs_cuda_copy(run->stream, &made, out);
    }
    struct cs_cuda_reduce reduce = {.in = *in,
                                    .out = *out,
                                    .kind = kind_of(node->op),
                                    .activation = cs_cuda_fused(node),
                                    .scratch = run->scratch,
                                    .counters = run->counters};
    twin = twin_of(cs_cuda_graph(run->plan), node);
    at = twin ? *cs_cuda_early(run->plan, twin->outputs[0]) : 0;
    if (at) {
        reduce.second = early_tensor(run, at, out);
        reduce.second_kind = kind_of(twin->op);
        reduce.second_activation = cs_cuda_fused(twin);
    }
    return cs_cuda_reduce_launch(run->stream, &reduce);
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
    return run_reduction(step, run, &in, &out);
}

static void need_scratch(struct cs_plan *plan, const struct cs_node *node)
{
    const struct cs_value *out = cs_node_output(cs_cuda_graph(plan), node, 0);
    size_t sums = out ? (size_t)cs_shape_elements(&out->shape) * CS_CUDA_CHUNKS : 0;
    cs_cuda_need_scratch(plan, 2 * (sums < CS_CUDA_SUMS ? sums : CS_CUDA_SUMS) * sizeof(float));
    keep_twin(plan, node);
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
    (void)err;
    return out.data ? run_reduction(step, run, &in, &out) : 0;
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
