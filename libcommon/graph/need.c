// SPDX-License-Identifier: MIT
#include "graph/need.h"

#include <stdlib.h>

#include "base/mem.h"

// ---- Planes ---------------------------------------------------------------------------------

static bool same_plane(const struct cs_value *a, const struct cs_value *b)
{
    return a->shape.dim[2] == b->shape.dim[2] && a->shape.dim[3] == b->shape.dim[3];
}

struct cs_region cs_whole_plane(const struct cs_value *value)
{
    return (struct cs_region){{{0, value->shape.dim[2]}, {0, value->shape.dim[3]}}};
}

struct cs_place *cs_place_of(const struct cs_needs *needs, int value)
{
    return value >= 0 ? &needs->places[value] : NULL;
}

bool cs_is_plane(const struct cs_needs *needs, int value)
{
    return value >= 0 && needs->places[value].plane;
}

// What is added or multiplied alike at all places.
static bool has_no_extent(const struct cs_value *value)
{
    for (int back = 1; back <= 2 && back <= value->shape.rank; back++)
        if (value->shape.dim[value->shape.rank - back] != 1)
            return false;
    return true;
}

// The operand whose plane the node works on, -1 for none; *alike: all operands can be read alike.
static int find_operand(const struct cs_needs *needs, const struct cs_node *node, bool joins,
                        bool *alike)
{
    const struct cs_value *values = needs->graph->values,
                          *out = cs_node_output(needs->graph, node, 0);
    int found = joins || !cs_is_plane(needs, node->inputs[0]) ? -1 : node->inputs[0];
    *alike = node->fusion.add < 0 && out && out->shape.rank == 4;
    for (int i = 0; i < node->input_count; i++) {
        int value = node->inputs[i];
        if (value < 0 || (!joins && i == 0))
            continue;
        if (!cs_is_plane(needs, value)) {
            *alike = *alike && (!joins || has_no_extent(&values[value]));
            continue;
        }
        const struct cs_place *first = cs_place_of(needs, found),
                              *other = cs_place_of(needs, value);
        *alike = *alike && joins && same_plane(&values[value], out);
        for (int a = 0; found >= 0 && a < 2; a++)
            *alike = *alike && first->axis[a].num == other->axis[a].num &&
                     first->axis[a].den == other->axis[a].den;
        found = joins && found < 0 ? value : found;
    }
    return found;
}

static void find_planes(struct cs_needs *needs)
{
    const struct cs_graph *g = needs->graph;
    for (int i = 0; i < g->input_count; i++)
        if (g->values[g->inputs[i]].shape.rank == 4)
            needs->places[g->inputs[i]] =
                (struct cs_place){.plane = true, .axis = {{1, 1, 1}, {1, 1, 1}}};
    for (int n = 0; n < g->node_count; n++) {
        const struct cs_node *node = &g->nodes[n];
        struct cs_local *local = &needs->locals[n];
        *local = cs_node_local(g, node);
        bool alike;
        int from = find_operand(needs, node, local->joins, &alike);
        local->cuttable = local->cuttable && from >= 0 && alike;
        if (from < 0 || !local->plane || !(local->cuttable || !local->joins))
            continue;
        struct cs_place made = {.plane = true};
        for (int a = 0; a < 2; a++) {
            int64_t num = needs->places[from].axis[a].num * local->axis[a].num;
            int64_t den = needs->places[from].axis[a].den * local->axis[a].den;
            made.axis[a].num = cs_common_multiple(num, den) / den;
            made.axis[a].den = cs_common_multiple(num, den) / num;
            made.axis[a].grid = 1;
        }
        for (int i = 0; i < node->output_count; i++)
            if (node->outputs[i] >= 0 && g->values[node->outputs[i]].shape.rank == 4)
                needs->places[node->outputs[i]] = made;
    }
    for (int v = 0; v < g->value_count; v++)
        if (needs->places[v].plane)
            needs->places[v].whole = needs->places[v].have = cs_whole_plane(&g->values[v]);
}

// ---- From the outputs back ------------------------------------------------------------------

static void need(struct cs_place *place, const struct cs_region *region)
{
    for (int a = 0; a < 2; a++) {
        struct cs_span *now = &place->need.axis[a];
        const struct cs_span *more = &region->axis[a];
        *now = place->needed ? (struct cs_span){cs_at_least(0, cs_at_most(now->begin, more->begin)),
                                                cs_at_least(now->end, more->end)}
                             : *more;
    }
    place->needed = true;
}

// What the pixels read of an operand's plane, and the place where they would lie there.
struct cs_span cs_read_span(const struct cs_local_axis *x, struct cs_span out, int64_t dim)
{
    int64_t begin = cs_floor_div(out.begin * x->num + x->low, x->den);
    int64_t end = cs_floor_div((out.end - 1) * x->num + x->high, x->den) + 1;
    if (begin < 0)
        end = cs_at_least(end, x->edge);
    if (end > dim)
        begin = cs_at_most(begin, dim - x->edge);
    begin = cs_at_most(begin, cs_floor_div(out.begin * x->num, x->den));
    end = cs_at_least(end, cs_floor_div(out.end * x->num - 1, x->den) + 1);
    begin = cs_at_least(0, cs_at_most(begin, dim - 1));
    return (struct cs_span){begin, cs_at_least(begin + 1, cs_at_most(end, dim))};
}

// All outputs of a node have planes of one size. False: none is needed.
bool cs_node_need(const struct cs_needs *needs, const struct cs_node *node, struct cs_place *all)
{
    *all = (struct cs_place){.needed = false};
    for (int i = 0; i < node->output_count; i++) {
        const struct cs_place *out = cs_place_of(needs, node->outputs[i]);
        if (!out || !out->plane || !out->needed)
            continue;
        for (int a = 0; a < 2; a++) {
            int64_t grid = all->needed ? all->axis[a].grid : 1;
            all->axis[a].num = out->axis[a].num;
            all->axis[a].grid =
                cs_common_multiple(grid, cs_common_multiple(out->axis[a].num, out->axis[a].grid));
        }
        need(all, &out->need);
    }
    return all->needed;
}

static void find_needs(struct cs_needs *needs, const struct cs_region *part)
{
    const struct cs_graph *g = needs->graph;
    const struct cs_value *input = &g->values[g->inputs[0]];
    for (int i = 0; i < g->output_count; i++) {
        struct cs_place *place = cs_place_of(needs, g->outputs[i]);
        if (place->plane)
            need(place, same_plane(&g->values[g->outputs[i]], input) ? part : &place->whole);
    }
    for (int n = g->node_count - 1; n >= 0; n--) {
        const struct cs_local *local = &needs->locals[n];
        const struct cs_node *node = &g->nodes[n];
        struct cs_place out;
        bool cuttable = local->cuttable && cs_node_need(needs, node, &out);
        for (int i = 0; i <= node->input_count; i++) {
            int value = i < node->input_count ? node->inputs[i] : node->fusion.add;
            if (!cs_is_plane(needs, value))
                continue;
            struct cs_place *in = cs_place_of(needs, value);
            struct cs_region read = in->whole;
            for (int a = 0; cuttable && a < 2; a++) {
                read.axis[a] =
                    cs_read_span(&local->axis[a], out.need.axis[a], in->whole.axis[a].end);
                in->axis[a].grid = cs_common_multiple(in->axis[a].grid, out.axis[a].grid);
            }
            need(in, &read);
        }
    }
}

struct cs_needs cs_needs_find(const struct cs_graph *graph, const struct cs_region *region)
{
    struct cs_needs needs = {
        .graph = graph,
        .places = cs_xcalloc((size_t)graph->value_count, sizeof *needs.places),
        .locals = cs_xcalloc((size_t)graph->node_count + 1, sizeof *needs.locals),
    };
    find_planes(&needs);
    find_needs(&needs, region);
    return needs;
}

void cs_needs_release(struct cs_needs *needs)
{
    free(needs->places);
    free(needs->locals);
    *needs = (struct cs_needs){.graph = NULL};
}
