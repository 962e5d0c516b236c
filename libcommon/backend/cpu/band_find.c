// SPDX-License-Identifier: MIT
// Which nodes form bands (band.h). They follow one another in the graph and are of ours: 3x3
// convolutions by Winograd's method, 1x1 ones, those by direct sums, pooling and resizing. A band
// pays where a plane between them is larger than the threads' caches, and its windows about fit
// there: more rows at once mean fewer moves of what stays in a window, up to twice what the cache
// holds (measured: 4 to 64 rows differ by a tenth, no bands take a quarter longer).
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/band_rows.h"
#include "backend/cpu/conv.h"
#include "base/mem.h"
#include "graph/params.h"

enum {
    MOST_ROWS = 16,   // of the last node at once
    LEAST_SHARE = 32, // of a thread: what it computes beyond them counts for less
};

static bool is(const struct cs_node *node, const char *op)
{
    return strcmp(node->op, op) == 0;
}

// ---- Nodes -----------------------------------------------------------------------------------

static bool adds_whole(const struct cs_plan *plan, const struct cs_node *node)
{
    const struct cs_value *values = plan->graph->values;
    int add = node->fusion.add, out = node->outputs[0];
    return add < 0 || (!values[add].data && plan->channels_last[add] &&
                       cs_shape_equal(&values[add].shape, &values[out].shape));
}

// What rows of its first operand the node needs, and how it computes its own.
static bool find_rows(const struct cs_plan *plan, const struct cs_node *node,
                      struct cs_cpu_band_node *made, struct cs_cpu_band_edge *need)
{
    struct cs_cpu_activation activation;
    struct cs_window window;
    made->grain = 1;
    *need = (struct cs_cpu_band_edge){.stride = 1, .span = 1};
    if (is(node, "Conv")) {
        struct cs_cpu_conv_rows rows;
        if (!adds_whole(plan, node) || !cs_cpu_conv_rows_of(plan, node, &rows))
            return false;
        made->grain = rows.grain;
        *need =
            (struct cs_cpu_band_edge){.stride = rows.stride, .pad = rows.pad, .span = rows.span};
        return true;
    }
    if (is(node, "MaxPool")) {
        if (node->fusion.add >= 0 || !cs_cpu_activation_of(&node->fusion, &activation) ||
            activation.unary != CS_UNARY_IDENTITY ||
            cs_node_window(plan->graph, node, &window, NULL) != 0)
            return false;
        *need = (struct cs_cpu_band_edge){.stride = window.stride[0],
                                          .pad = window.pad_begin[0],
                                          .span = (window.kernel[0] - 1) * window.dilation[0] + 1};
        return true;
    }
    return is(node, "Resize") && adds_whole(plan, node);
}

// Whether the node can be one of a band's.
static bool find_node(const struct cs_plan *plan, int index, struct cs_cpu_band_node *made,
                      struct cs_cpu_band_edge *need)
{
    const struct cs_graph *graph = plan->graph;
    const struct cs_node *node = &graph->nodes[index];
    int out = node->output_count == 1 ? node->outputs[0] : -1;
    if (out < 0 || node->input_count == 0 || node->inputs[0] < 0 || graph->values[out].uses == 0)
        return false;
    const struct cs_value *value = &graph->values[out], *in = cs_node_input(graph, node, 0);
    const struct cs_cpu_late *late = &plan->late[out];
    if (value->shape.rank != 4 || in->shape.rank != 4 || in->data || !plan->channels_last[out] ||
        !plan->channels_last[node->inputs[0]] || late->norm > 0 || late->chained || late->gated ||
        late->mapped || late->joined || !cs_cpu_op_of(graph, node))
        return false;
    *made = (struct cs_cpu_band_node){.node = index,
                                      .value = out,
                                      .rows = value->shape.dim[2],
                                      .row_floats = value->shape.dim[1] * value->shape.dim[3]};
    return find_rows(plan, node, made, need);
}

// ---- Bands -----------------------------------------------------------------------------------

static int maker_of(const struct cs_cpu_band *band, int value)
{
    for (int i = 0; i < band->count; i++)
        if (band->nodes[i].value == value)
            return i;
    return -1;
}

static bool add_edge(struct cs_cpu_band *band, struct cs_cpu_band_edge edge)
{
    if (band->edge_count == CS_CPU_BAND_EDGES)
        return false;
    band->edges[band->edge_count++] = edge;
    return true;
}

// Behind those that are there; `need` of its first operand.
static bool add_node(const struct cs_plan *plan, struct cs_cpu_band *band,
                     const struct cs_cpu_band_node *made, struct cs_cpu_band_edge need)
{
    const struct cs_node *node = &plan->graph->nodes[made->node];
    int from = maker_of(band, node->inputs[0]), to = band->count;
    if (from >= 0) {
        if (is(node, "Resize")) // its rows do not follow from its own by a stride
            return false;
        need.from = from;
        need.to = to;
        if (!add_edge(band, need))
            return false;
    }
    from = node->fusion.add >= 0 ? maker_of(band, node->fusion.add) : -1;
    if (from >= 0 && !add_edge(band, (struct cs_cpu_band_edge){from, to, .stride = 1, .span = 1}))
        return false;
    band->nodes[band->count++] = *made;
    return true;
}

// Whether nodes outside of the band read the value, or the caller does.
static bool read_elsewhere(const struct cs_graph *graph, const struct cs_cpu_band *band, int value)
{
    int last = band->nodes[band->count - 1].node;
    if (cs_graph_is_output(graph, value))
        return true;
    for (int n = last + 1; n < graph->node_count; n++) {
        if (graph->nodes[n].fusion.add == value)
            return true;
        for (int i = 0; i < graph->nodes[n].input_count; i++)
            if (graph->nodes[n].inputs[i] == value)
                return true;
    }
    return false;
}

// Which values are kept. Rows that threads compute for themselves overlap, so what is kept must be
// needed without: false where it is not, or where a node leads nowhere in the band.
static bool find_kept(const struct cs_graph *graph, struct cs_cpu_band *band)
{
    bool exact[CS_CPU_BAND_NODES] = {false};
    for (int i = band->count - 1; i >= 0; i--) {
        struct cs_cpu_band_node *n = &band->nodes[i];
        bool last = i + 1 == band->count, read = last;
        exact[i] = true;
        for (int k = 0; k < band->edge_count; k++) {
            const struct cs_cpu_band_edge *e = &band->edges[k];
            if (e->from != i)
                continue;
            read = true;
            exact[i] = exact[i] && e->pad == 0 && e->span <= e->stride && exact[e->to];
        }
        n->kept = last || read_elsewhere(graph, band, n->value);
        if (!read || (n->kept && !exact[i]))
            return false;
    }
    return true;
}

// Windows for so many rows of the last node at once, for all that a thread of `threads` may get.
static void size_windows(struct cs_cpu_band *band, int threads)
{
    for (int i = 0; i < band->count; i++)
        band->nodes[i].window_rows = 0;
    for (int t = 0; t < threads; t++) {
        struct cs_cpu_band_share share = cs_cpu_band_share_of(band, t, threads);
        struct cs_cpu_band_state state;
        while (cs_cpu_band_next(band, &share)) {
            cs_cpu_band_start(band, share.begin, &state);
            for (int64_t at = share.begin; at < share.end;) {
                at = at + band->rows < share.end ? at + band->rows : share.end;
                cs_cpu_band_advance(band, at, &state);
                for (int i = 0; i < band->count; i++) {
                    struct cs_cpu_band_node *n = &band->nodes[i];
                    int64_t keep = cs_cpu_band_keep(band, &state, i);
                    int64_t rows = state.target[i] - keep;
                    n->window_rows = rows > n->window_rows ? rows : n->window_rows;
                    state.done[i] = state.target[i];
                }
            }
        }
    }
    band->window_bytes = 0;
    for (int i = 0; i < band->count; i++) {
        struct cs_cpu_band_node *n = &band->nodes[i];
        n->window = band->window_bytes;
        if (!n->kept)
            band->window_bytes +=
                ((size_t)(n->window_rows * n->row_floats) * sizeof(float) + 127) / 64 * 64;
    }
}

// Whether it is worth it, and in how many rows.
static bool size_band(const struct cs_device *device, struct cs_cpu_band *band)
{
    const struct cs_cpu_band_node *last = &band->nodes[band->count - 1];
    size_t caches = device->caches.core * (size_t)device->threads, largest = 0;
    for (int i = 0; i + 1 < band->count; i++) {
        const struct cs_cpu_band_node *n = &band->nodes[i];
        size_t bytes = (size_t)(n->rows * n->row_floats) * sizeof(float);
        largest = bytes > largest ? bytes : largest;
    }
    if (largest <= caches || last->rows < (int64_t)LEAST_SHARE * device->threads)
        return false;
    for (band->rows = MOST_ROWS;; band->rows /= 2) {
        size_windows(band, device->threads);
        if (band->window_bytes <= device->caches.core * 2)
            return true;
        if (band->rows == CS_CPU_BAND_UNIT)
            return band->window_bytes <= device->caches.core * 3;
    }
}

// The longest band that begins with the node; its number of nodes, 0 for none.
static int find_band(const struct cs_plan *plan, int first, struct cs_cpu_band *band)
{
    const struct cs_graph *graph = plan->graph;
    struct cs_cpu_band_node node;
    struct cs_cpu_band_edge need;
    int longest = 0;
    struct cs_cpu_band all = {.batch = 0}, tried;
    for (int n = first; n < graph->node_count && all.count < CS_CPU_BAND_NODES; n++) {
        if (!find_node(plan, n, &node, &need) || !add_node(plan, &all, &node, need))
            break;
        tried = all;
        tried.batch = graph->values[node.value].shape.dim[0];
        if (tried.edge_count > 0 && find_kept(graph, &tried) &&
            size_band(plan->network->device, &tried)) {
            *band = tried;
            longest = band->count;
        }
    }
    return longest;
}

void cs_cpu_find_bands(struct cs_plan *plan)
{
    for (int n = 0; !plan->direct && n < plan->graph->node_count;) {
        struct cs_cpu_band band;
        int count = find_band(plan, n, &band);
        n += count > 0 ? count : 1;
        if (count == 0)
            continue;
        plan->bands = cs_xrealloc(plan->bands, (size_t)plan->band_count + 1, sizeof *plan->bands);
        plan->bands[plan->band_count++] = band;
        for (int i = 0; i < count; i++)
            if (!band.nodes[i].kept)
                plan->late[band.nodes[i].value].window = i + 1;
    }
}

int cs_cpu_band_start_of(const struct cs_plan *plan, int node)
{
    for (int b = 0; b < plan->band_count; b++) {
        const struct cs_cpu_band *band = &plan->bands[b];
        if (node >= band->nodes[0].node && node <= band->nodes[band->count - 1].node)
            return band->nodes[0].node;
    }
    return -1;
}

bool cs_cpu_in_band(const struct cs_plan *plan, const struct cs_node *node)
{
    return cs_cpu_band_start_of(plan, (int)(node - plan->graph->nodes)) >= 0;
}

void cs_cpu_share_bands(const struct cs_plan *plan, int *share)
{
    for (int b = 0; b < plan->band_count; b++)
        for (int i = 0; i < plan->bands[b].count; i++) {
            const struct cs_cpu_band_node *n = &plan->bands[b].nodes[i];
            share[n->value] = n->kept ? n->value : CS_MEMORY_NONE;
        }
}

void cs_cpu_finish_bands(struct cs_plan *plan)
{
    for (int b = 0; b < plan->band_count; b++) {
        struct cs_cpu_band *band = &plan->bands[b];
        size_t scratch = 0;
        while (plan->steps[band->step].node != &plan->graph->nodes[band->nodes[0].node])
            band->step++;
        for (int i = 0; i < band->count; i++) {
            const struct cs_cpu_step *step = &plan->steps[band->step + i];
            scratch = step->scratch_bytes > scratch ? step->scratch_bytes : scratch;
        }
        plan->steps[band->step].band = band;
        band->thread_bytes = (band->window_bytes + scratch + 63) / 64 * 64;
        plan->steps[band->step].scratch_bytes =
            band->thread_bytes * (size_t)plan->network->device->threads;
    }
}
