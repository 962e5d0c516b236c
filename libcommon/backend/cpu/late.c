// SPDX-License-Identifier: MIT
// What a plan leaves out because its readers or writers do it on the way:
//
//   gathered  statistics of a norm are taken by the convolution before it, while it stores
//   mapped    such a norm is not computed at all: its readers map what they load. Its memory is
//             that of the convolution's result
//   joined    a concatenation is not made: convolutions read its operands, and it has no memory
//   chained   the sum of a resized tensor and another is not made: the resize whose result is added
//             to it adds them all
//   gated     the product of a tensor and one factor a channel is not made: the reductions over
//             channels and the product with one factor a pixel that read it make it on the way
//
// The convolutions are those of ours: 3x3 by Winograd's method, 1x1, touching transposed ones, and
// those by direct sums, which do not read in parts.
// A resize gathers statistics too. Results do not depend on it but for rounding.
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/mem.h"
#include "graph/params.h"

static bool is(const struct cs_node *node, const char *op)
{
    return strcmp(node->op, op) == 0;
}

static bool is_fused(const struct cs_node *node)
{
    struct cs_cpu_activation activation;
    return node->fusion.add >= 0 || !cs_cpu_activation_of(&node->fusion, &activation) ||
           activation.unary != CS_UNARY_IDENTITY;
}

// A convolution that maps what it reads, reads in parts, and gathers statistics.
static bool is_own(const struct cs_plan *plan, const struct cs_node *node)
{
    struct cs_winograd winograd;
    return (is(node, "Conv") || is(node, "ConvTranspose")) && cs_cpu_op_of(plan->graph, node) &&
           (cs_cpu_conv_is_winograd(plan, node, &winograd) || cs_cpu_conv_is_pointwise(plan, node));
}

// One by direct sums, that maps what it reads and gathers statistics.
static bool is_direct(const struct cs_plan *plan, const struct cs_node *node)
{
    return is(node, "Conv") && cs_cpu_op_of(plan->graph, node) && cs_cpu_conv_is_direct(plan, node);
}

// Whether the node reads the value as its first operand only.
static bool reads_first(const struct cs_node *node, int value)
{
    if (node->fusion.add == value)
        return false;
    for (int i = 1; i < node->input_count; i++)
        if (node->inputs[i] == value)
            return false;
    return true;
}

static bool reads(const struct cs_node *node, int value)
{
    bool yes = node->fusion.add == value;
    for (int i = 0; i < node->input_count; i++)
        yes = yes || node->inputs[i] == value;
    return yes;
}

// Whether every node that reads the value passes the test.
static bool all_readers(const struct cs_plan *plan, int value,
                        bool (*test)(const struct cs_plan *, const struct cs_node *, int value))
{
    const struct cs_graph *graph = plan->graph;
    if (cs_graph_is_output(graph, value))
        return false;
    for (int n = graph->values[value].producer + 1; n < graph->node_count; n++)
        if (reads(&graph->nodes[n], value) && !test(plan, &graph->nodes[n], value))
            return false;
    return true;
}

static bool maps_parts(const struct cs_plan *plan, const struct cs_node *node, int value)
{
    return is_own(plan, node) && reads_first(node, value);
}

static bool is_joined(const struct cs_plan *plan, const struct cs_node *node)
{
    const struct cs_graph *graph = plan->graph;
    const struct cs_winograd_kernels *kernels = plan->network->device->kernels->winograd;
    int axis, out = node->outputs[0];
    if (!is(node, "Concat") || is_fused(node) || node->input_count > CS_WINOGRAD_SOURCES ||
        graph->values[out].shape.rank != 4 || !plan->channels_last[out] || !kernels ||
        cs_node_axis(node, 1, 4, &axis, NULL) != 0 || axis != 1)
        return false;
    for (int i = 0; i < node->input_count; i++) {
        const struct cs_value *in = cs_node_input(graph, node, i);
        bool whole = in->shape.dim[1] % kernels->width == 0 || i + 1 == node->input_count;
        if (in->data || !plan->channels_last[node->inputs[i]] || !whole ||
            plan->late[node->inputs[i]].joined)
            return false;
    }
    return all_readers(plan, out, maps_parts);
}

// A Resize to which a tensor of its shape is added.
static bool adds(const struct cs_plan *plan, const struct cs_node *node)
{
    const struct cs_graph *graph = plan->graph;
    int out = node->outputs[0], add = node->fusion.add;
    return is(node, "Resize") && cs_cpu_op_of(graph, node) && add >= 0 &&
           !graph->values[add].data &&
           cs_shape_equal(&graph->values[add].shape, &graph->values[out].shape);
}

static bool adds_chain(const struct cs_plan *plan, const struct cs_node *node, int value)
{
    return adds(plan, node) && node->fusion.add == value && node->inputs[0] != value;
}

static bool is_chained(const struct cs_plan *plan, const struct cs_node *node)
{
    const struct cs_graph *graph = plan->graph;
    int length = 2, out = node->outputs[0];
    struct cs_cpu_activation activation;
    if (!adds(plan, node) || graph->values[out].uses != 1 ||
        !cs_cpu_activation_of(&node->fusion, &activation) ||
        activation.unary != CS_UNARY_IDENTITY || !all_readers(plan, out, adds_chain))
        return false;
    for (int v = node->fusion.add; plan->late[v].chained; length++)
        v = graph->nodes[graph->values[v].producer].fusion.add;
    return length <= CS_CPU_RESIZES;
}

static bool is_small_pool(const struct cs_plan *plan, const struct cs_node *node)
{
    struct cs_window window;
    return is(node, "MaxPool") && cs_cpu_op_of(plan->graph, node) &&
           cs_node_window(plan->graph, node, &window, NULL) == 0 &&
           window.kernel[0] * window.kernel[1] <= CS_KERNEL_MAX_TAPS;
}

static bool is_norm(const struct cs_plan *plan, const struct cs_node *node)
{
    return (is(node, "InstanceNormalization") || is(node, "GroupNormalization")) &&
           cs_cpu_op_of(plan->graph, node) != NULL;
}

// A norm that adds the value, of its own shape.
static bool maps_addend(const struct cs_plan *plan, const struct cs_node *node, int value)
{
    const struct cs_value *values = plan->graph->values;
    return is_norm(plan, node) && node->fusion.add == value && node->inputs[0] != value &&
           cs_shape_equal(&values[value].shape, &values[node->outputs[0]].shape);
}

static bool maps_on_reading(const struct cs_plan *plan, const struct cs_node *node, int value)
{
    if (is(node, "Concat"))
        return plan->late[node->outputs[0]].joined &&
               all_readers(plan, node->outputs[0], maps_parts);
    return maps_parts(plan, node, value) || is_small_pool(plan, node) ||
           (is_direct(plan, node) && reads_first(node, value)) || maps_addend(plan, node, value);
}

// Whether what makes the norm's input may take its statistics.
static bool gathers(const struct cs_plan *plan, const struct cs_node *norm)
{
    int producer = plan->graph->values[norm->inputs[0]].producer;
    const struct cs_node *maker = producer >= 0 ? &plan->graph->nodes[producer] : NULL;
    if (!maker || plan->late[norm->inputs[0]].norm != 0)
        return false;
    return adds(plan, maker) || (is(maker, "Conv") && !is_fused(maker) &&
                                 (is_own(plan, maker) || is_direct(plan, maker)));
}

static void see_norm(struct cs_plan *plan, int n)
{
    const struct cs_node *norm = &plan->graph->nodes[n];
    int out = norm->outputs[0];
    struct cs_cpu_late *late = &plan->late[out];
    struct cs_cpu_activation activation;
    if (!is_norm(plan, norm) || !gathers(plan, norm))
        return;
    plan->late[norm->inputs[0]].norm = n + 1;
    late->gathered = true;
    if (norm->fusion.add < 0 && plan->graph->values[norm->inputs[0]].uses == 1 &&
        cs_cpu_activation_of(&norm->fusion, &activation) &&
        cs_cpu_slope_of(&activation, &late->slope) && late->slope >= 0 && late->slope <= 1)
        late->mapped = all_readers(plan, out, maps_on_reading);
}

static bool has_dims(const struct cs_value *value, int64_t n, int64_t c, int64_t h, int64_t w)
{
    const struct cs_shape shape = {4, {n, c, h, w}};
    return !value->data && cs_shape_equal(&value->shape, &shape);
}

// A mean or maximum over channels, or a product with one factor a pixel.
static bool gates(const struct cs_plan *plan, const struct cs_node *node, int value)
{
    const struct cs_graph *graph = plan->graph;
    const int64_t *dim = graph->values[value].shape.dim;
    struct cs_reduce reduce;
    if (!cs_cpu_op_of(graph, node) || is_fused(node))
        return false;
    if (is(node, "Mul"))
        return has_dims(cs_node_input(graph, node, node->inputs[0] == value), dim[0], 1, dim[2],
                        dim[3]);
    return (is(node, "ReduceMean") || is(node, "ReduceMax")) &&
           cs_node_reduce(graph, node, &reduce, NULL) == 0 && reduce.axes[1] && !reduce.axes[0] &&
           !reduce.axes[2] && !reduce.axes[3] &&
           has_dims(cs_node_output(graph, node, 0), dim[0], 1, dim[2], dim[3]);
}

static bool is_gated(const struct cs_plan *plan, const struct cs_node *node)
{
    const struct cs_graph *graph = plan->graph;
    int out = node->outputs[0];
    const int64_t *dim = graph->values[out].shape.dim;
    if (!is(node, "Mul") || is_fused(node) || !cs_cpu_op_of(graph, node) ||
        graph->values[out].shape.rank != 4 || !plan->channels_last[out] || dim[1] < 2)
        return false;
    for (int i = 0; i < 2; i++) {
        int whole = node->inputs[i];
        const struct cs_cpu_late *late = &plan->late[whole];
        if (has_dims(&graph->values[whole], dim[0], dim[1], dim[2], dim[3]) &&
            plan->channels_last[whole] && !late->joined && !late->chained && !late->gated &&
            has_dims(cs_node_input(graph, node, !i), dim[0], dim[1], 1, 1))
            return dim[2] * dim[3] > 1 && all_readers(plan, out, gates);
    }
    return false;
}

static void find_left_out(struct cs_plan *plan, const struct cs_node *node)
{
    struct cs_cpu_late *late = &plan->late[node->outputs[0]];
    late->joined = is_joined(plan, node);
    late->chained = is_chained(plan, node);
    late->gated = is_gated(plan, node);
}

static bool is_left_out(const struct cs_plan *plan, int value)
{
    const struct cs_cpu_late *late = &plan->late[value];
    return late->joined || late->chained || late->gated;
}

// What shares memory with something left out shares that of its operand.
void cs_cpu_leave_out(const struct cs_plan *plan, int *share)
{
    int count = plan->graph->value_count;
    for (int v = 0; v < count; v++) {
        while (is_left_out(plan, share[v]) && share[share[v]] != share[v])
            share[v] = share[share[v]];
        if (is_left_out(plan, share[v]))
            share[v] = v;
    }
    for (int v = 0; v < count; v++)
        if (is_left_out(plan, v))
            share[v] = CS_MEMORY_NONE;
}

void cs_cpu_find_late(struct cs_plan *plan)
{
    const struct cs_graph *graph = plan->graph;
    plan->late = cs_xcalloc((size_t)graph->value_count + 1, sizeof *plan->late);
    if (plan->direct)
        return;
    for (int n = 0; n < graph->node_count; n++)
        if (graph->nodes[n].output_count == 1 && graph->nodes[n].outputs[0] >= 0)
            find_left_out(plan, &graph->nodes[n]);
    for (int n = 0; n < graph->node_count; n++)
        if (graph->nodes[n].output_count == 1 && graph->nodes[n].outputs[0] >= 0)
            see_norm(plan, n);
}
