// SPDX-License-Identifier: MIT
// Leaving out what a part of the outputs does not need. A tile of a large plane is computed with a
// margin, since its own part depends on pixels around it; but only the first layers and the deepest
// ones need all of that margin. From the outputs back, every value has a rectangle that its readers
// need (need.h); on the way forth, what is much larger than a reader needs is cut down by a Slice.
//
// A cut is not seen behind it: pixels of the inputs come in units that every later stride divides
// (the grid), a cut lies between two of them, and an operator then makes the same pixels as before,
// from the cut on. What its windows would have read beyond a cut is padding instead, so that its
// outermost pixels there are wrong; they are outside of what is needed. At the plane's own ends
// nothing is cut, and padding is what it was.
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/infer.h"
#include "graph/need.h"
#include "graph/passes.h"

// A copy is worth it where more than a part is left out. Moving a sample takes as long as COPY
// multiplications, of which a convolution does so many with each; what follows is as much again.
enum { COPY = 32 };
static const double LEAST_WORTH = 1.04, WORTH = 1.08;
// One reader of many gets a copy of its own only for this: nodes behind it and behind the others
// may meet again.
static const double WORTH_A_BRANCH = 1.15;

struct version { // of a value: a Slice of it
    int value, made;
    struct cs_region region;
};

struct cut {
    struct cs_graph *graph;
    struct cs_needs needs; // of the graph as it was
    struct version *versions;
    int version_count;
};

// ---- Regions --------------------------------------------------------------------------------

static double area(const struct cs_region *r)
{
    return (double)(r->axis[0].end - r->axis[0].begin) *
           (double)(r->axis[1].end - r->axis[1].begin);
}

static bool same_region(const struct cs_region *a, const struct cs_region *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static struct cs_region meet(const struct cs_region *a, const struct cs_region *b)
{
    struct cs_region r;
    for (int i = 0; i < 2; i++)
        r.axis[i] = (struct cs_span){cs_at_least(a->axis[i].begin, b->axis[i].begin),
                                     cs_at_most(a->axis[i].end, b->axis[i].end)};
    return r;
}

static bool contains(const struct cs_region *outer, const struct cs_region *inner)
{
    struct cs_region both = meet(outer, inner);
    return same_region(&both, inner);
}

// ---- Cutting --------------------------------------------------------------------------------

// Where cuts of the value may lie for the reader: multiples of so many of its pixels.
static int64_t unit_of(const struct cs_place *place, const struct cs_place *reader, int a)
{
    int64_t grid = cs_common_multiple(place->axis[a].num, reader->axis[a].grid);
    return grid / place->axis[a].num * place->axis[a].den;
}

// The region, grown to the reader's grid, as far as the value has it.
static struct cs_region on_grid(const struct cs_place *place, const struct cs_region *region,
                                const struct cs_place *reader)
{
    struct cs_region r;
    for (int a = 0; a < 2; a++) {
        int64_t unit = unit_of(place, reader, a);
        r.axis[a].begin = region->axis[a].begin / unit * unit;
        r.axis[a].end = (region->axis[a].end + unit - 1) / unit * unit;
    }
    return meet(&r, &place->have);
}

static bool is_on_grid(const struct cs_place *place, const struct cs_region *region,
                       const struct cs_place *reader)
{
    for (int a = 0; a < 2; a++) {
        int64_t unit = unit_of(place, reader, a), end = region->axis[a].end;
        if (region->axis[a].begin % unit != 0 ||
            (end % unit != 0 && end != place->whole.axis[a].end))
            return false;
    }
    return true;
}

// The smallest region around this one that is there already; itself if none will do.
static struct cs_region smallest_version(const struct cut *c, int value,
                                         const struct cs_region *wanted,
                                         const struct cs_place *reader)
{
    const struct cs_place *place = &c->needs.places[value];
    bool any = is_on_grid(place, &place->have, reader);
    struct cs_region best = any ? place->have : *wanted;
    for (int i = 0; i < c->version_count; i++) {
        const struct version *v = &c->versions[i];
        if (v->value != value || !contains(&v->region, wanted) ||
            !is_on_grid(place, &v->region, reader) || (any && area(&v->region) >= area(&best)))
            continue;
        any = true;
        best = v->region;
    }
    return best;
}

static int add_ints(struct cs_graph *graph, const char *name, const int64_t *list, int count)
{
    int64_t *data = cs_arena_copy(&graph->arena, list, (size_t)count * sizeof *list);
    return cs_graph_add_constant(graph, name, CS_TYPE_I64, &(struct cs_shape){1, {count}}, data);
}

// A Slice at the end of the nodes.
static int add_slice(struct cut *c, int value, const struct cs_region *region)
{
    struct cs_graph *g = c->graph;
    const struct cs_region *have = &c->needs.places[value].have;
    struct cs_shape shape = g->values[value].shape;
    const char *name = g->values[value].name;
    int64_t begin[2], end[2];
    for (int a = 0; a < 2; a++) {
        begin[a] = region->axis[a].begin - have->axis[a].begin;
        end[a] = region->axis[a].end - have->axis[a].begin;
        shape.dim[2 + a] = end[a] - begin[a];
    }
    int inputs[] = {value, add_ints(g, name, begin, 2), add_ints(g, name, end, 2),
                    add_ints(g, name, (int64_t[]){2, 3}, 2)};
    int made = cs_graph_add_value(g, name, g->values[value].type, &shape);
    cs_graph_add_node(g, "Slice", name, inputs, 4, &made, 1);
    c->versions = cs_xrealloc(c->versions, (size_t)c->version_count + 1, sizeof *c->versions);
    c->versions[c->version_count++] = (struct version){value, made, *region};
    return made;
}

// The node before which a Slice of the value belongs: behind those before node n that read all of
// the value, whose memory can then be used for others.
static int slice_place(const struct cs_graph *graph, int n, int value)
{
    int place = n;
    for (int k = n - 1; k >= 0 && place == n; k--)
        for (int i = 0; i < graph->nodes[k].input_count; i++)
            if (graph->nodes[k].inputs[i] == value)
                place = k + 1;
    return place;
}

// The value's region, from a Slice before node *n if it is not there; the node moves then.
static int get_version(struct cut *c, int *n, int value, const struct cs_region *region)
{
    if (same_region(&c->needs.places[value].have, region))
        return value;
    for (int i = 0; i < c->version_count; i++)
        if (c->versions[i].value == value && same_region(&c->versions[i].region, region))
            return c->versions[i].made;
    int made = add_slice(c, value, region);
    cs_pass_move(c->graph, c->graph->node_count - 1, slice_place(c->graph, *n, value));
    ++*n;
    return made;
}

// Pools and 1x1 convolutions that leave less than they read are cheap: a copy behind them is
// smaller.
static bool is_funnel(const struct cut *c, const struct cs_node *node)
{
    const struct cs_value *values = c->graph->values;
    if (strcmp(node->op, "Conv") == 0) {
        const struct cs_shape *weights = &cs_node_input(c->graph, node, 1)->shape;
        if (weights->dim[2] != 1 || weights->dim[3] != 1)
            return false;
    } else if (!strstr(node->op, "Pool")) {
        return false;
    }
    int in = node->inputs[0], out = node->outputs[0];
    return (double)values[out].shape.dim[1] * area(&c->needs.places[out].whole) <
           0.8 * (double)values[in].shape.dim[1] * area(&c->needs.places[in].whole);
}

// How many times as large as needed the operand must be for a copy to pay.
static double worth(const struct cs_graph *graph, const struct cs_node *node,
                    const struct cs_local *local)
{
    if (strcmp(node->op, "Conv") == 0) {
        const struct cs_shape *weights = &cs_node_input(graph, node, 1)->shape;
        int64_t each = weights->dim[0] * weights->dim[2] * weights->dim[3] /
                       (local->axis[0].num * local->axis[1].num);
        return fmax(LEAST_WORTH, 1 + COPY / (double)each);
    }
    bool enlarges = local->axis[0].den > 1 && local->axis[1].den > 1;
    return enlarges ? LEAST_WORTH : WORTH;
}

// The region of its operands' planes that the node is to work on, the same for all: one that is
// there, or that all readers of its only operand can share, or just what the node needs.
static struct cs_region choose_operands(const struct cut *c, const struct cs_node *node,
                                        const struct cs_local *local, const struct cs_place *out)
{
    struct cs_region wanted = {{{0, 0}, {0, 0}}}, there = {{{0, INT64_MAX}, {0, INT64_MAX}}};
    const struct cs_place *in = NULL;
    for (int i = 0; i < node->input_count; i++) {
        if (!cs_is_plane(&c->needs, node->inputs[i]))
            continue;
        in = cs_place_of(&c->needs, node->inputs[i]);
        for (int a = 0; a < 2; a++)
            wanted.axis[a] =
                cs_read_span(&local->axis[a], out->need.axis[a], in->whole.axis[a].end);
        wanted = on_grid(in, &wanted, out);
        struct cs_region version = smallest_version(c, node->inputs[i], &wanted, out);
        there = meet(&there, &version);
    }
    if (local->joins || is_funnel(c, node)) // the copy comes behind them
        return there;
    struct cs_region shared = on_grid(in, &in->need, in);
    if (area(&shared) > WORTH_A_BRANCH * area(&wanted))
        return area(&there) <= WORTH_A_BRANCH * area(&wanted) ? there : wanted;
    return area(&there) <= worth(c->graph, node, local) * area(&shared) ? there : shared;
}

// Resize to sizes: those of the cut operand.
static void adapt_sizes(struct cut *c, struct cs_node *node, const struct cs_place *in,
                        const struct cs_local *local)
{
    const struct cs_value *sizes = cs_node_input(c->graph, node, 3);
    int64_t list[4];
    if (strcmp(node->op, "Resize") != 0 || !sizes || cs_shape_elements(&sizes->shape) != 4)
        return;
    memcpy(list, sizes->data, sizeof list);
    for (int a = 0; a < 2; a++) {
        const struct cs_span *span = &in->have.axis[a];
        list[2 + a] = (span->end - span->begin) * local->axis[a].den / local->axis[a].num;
    }
    node->inputs[3] = add_ints(c->graph, node->name, list, 4);
}

// Let node *n work on what is needed; it moves where slices come before it.
static int cut_node(struct cut *c, int *n, const struct cs_local *local, struct cs_err *err)
{
    struct cs_place out;
    bool folded;
    if (!cs_node_need(&c->needs, &c->graph->nodes[*n], &out))
        return 0;
    struct cs_place in = {.have = choose_operands(c, &c->graph->nodes[*n], local, &out)};
    for (int i = 0; i < c->graph->nodes[*n].input_count; i++) {
        int value = c->graph->nodes[*n].inputs[i];
        if (!cs_is_plane(&c->needs, value))
            continue;
        value = get_version(c, n, value, &in.have);
        c->graph->nodes[*n].inputs[i] = value;
    }
    struct cs_node *node = &c->graph->nodes[*n];
    adapt_sizes(c, node, &in, local);
    struct cs_infer at = {c->graph, node, err};
    if (cs_infer_node(&at, &folded) < 0)
        return -1;
    for (int i = 0; i < node->output_count; i++) {
        struct cs_place *made = cs_place_of(&c->needs, node->outputs[i]);
        for (int a = 0; made && a < 2; a++) {
            const struct cs_local_axis *x = &local->axis[a];
            made->have.axis[a].begin = in.have.axis[a].begin * x->den / x->num;
            made->have.axis[a].end =
                made->have.axis[a].begin + c->graph->values[node->outputs[i]].shape.dim[2 + a];
        }
        assert(!made || !made->needed || contains(&made->have, &made->need));
    }
    return 0;
}

// The outputs that the part is of get one rectangle; returns where it begins.
static void cut_outputs(struct cut *c, const struct cs_region *plane, int64_t origin[2])
{
    struct cs_graph *g = c->graph;
    struct cs_region all = *plane;
    int end = g->node_count;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < g->output_count; i++) {
            int value = g->outputs[i];
            if (!cs_is_plane(&c->needs, value) ||
                !same_region(&c->needs.places[value].whole, plane))
                continue;
            if (pass == 0)
                all = meet(&all, &c->needs.places[value].have);
            else
                g->outputs[i] = get_version(c, &end, value, &all);
        }
    for (int a = 0; a < 2; a++)
        origin[a] = all.axis[a].begin;
}

int cs_graph_cut(struct cs_graph *graph, const struct cs_part *part, int64_t origin[2],
                 struct cs_err *err)
{
    struct cs_region plane = cs_whole_plane(&graph->values[graph->inputs[0]]), region;
    int result = 0, count = graph->node_count, n = 0;
    for (int a = 0; a < 2; a++)
        region.axis[a] = (struct cs_span){part->begin[a], part->end[a]};
    struct cut c = {.graph = graph, .needs = cs_needs_find(graph, &region)};
    for (int k = 0; result == 0 && k < count; k++, n++)
        if (c.needs.locals[k].cuttable)
            result = cut_node(&c, &n, &c.needs.locals[k], err);
    if (result == 0) {
        cut_outputs(&c, &plane, origin);
        result = cs_graph_finish(graph, err);
    }
    cs_needs_release(&c.needs);
    free(c.versions);
    return result;
}
