// SPDX-License-Identifier: MIT
// The memory plan: sizes and lifetimes first, then offsets, largest value first, each in the
// smallest gap that fits between the values already placed which live at the same time ("greedy by
// size", Pisarchyk and Lee 2020, with best fit). A value lives from the node that makes it to the
// last node that reads it, both included, so that no node's output overlaps its inputs, nor what
// nodes of the same time read and write. Inputs live from the start, outputs to the end.
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "graph/graph.h"

enum { ALIGNMENT = 64 };

struct life {
    int value;
    int first, last; // times
    size_t bytes, offset;
};

static size_t dense_bytes(const struct cs_graph *graph, int value, void *context)
{
    (void)context;
    const struct cs_value *v = &graph->values[value];
    return (size_t)cs_shape_elements(&v->shape) * cs_type_bytes(v->type);
}

static void touch(struct life *life, int time)
{
    if (life->first < 0 || time < life->first)
        life->first = time;
    if (time > life->last)
        life->last = time;
}

// Lifetimes of all values; first stays -1 where nothing makes or reads one.
static struct life *lifetimes(const struct cs_graph *graph, const int *times)
{
    struct life *lives = cs_xcalloc((size_t)graph->value_count, sizeof *lives);
    for (int v = 0; v < graph->value_count; v++)
        lives[v] = (struct life){.value = v, .first = -1, .last = -1};
    for (int i = 0; i < graph->input_count; i++)
        touch(&lives[graph->inputs[i]], 0);
    for (int n = 0; n < graph->node_count; n++) {
        const struct cs_node *node = &graph->nodes[n];
        int time = times ? times[n] : n;
        for (int i = 0; i < node->input_count; i++)
            if (node->inputs[i] >= 0)
                touch(&lives[node->inputs[i]], time);
        if (node->fusion.add >= 0)
            touch(&lives[node->fusion.add], time);
        for (int i = 0; i < node->output_count; i++)
            if (node->outputs[i] >= 0)
                touch(&lives[node->outputs[i]], time);
    }
    for (int i = 0; i < graph->output_count; i++)
        touch(&lives[graph->outputs[i]], graph->node_count);
    return lives;
}

static int by_size(const void *a, const void *b)
{
    const struct life *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->value - y->value;
}

// The best offset for `life`, given `placed` values sorted by offset that live at the same time.
static size_t best_gap(const struct life *life, const struct life *placed, int count)
{
    size_t end = 0, best = SIZE_MAX, best_gap = SIZE_MAX;
    for (int i = 0; i < count; i++) {
        const struct life *other = &placed[i];
        if (other->last < life->first || other->first > life->last)
            continue;
        if (other->offset > end && other->offset - end >= life->bytes &&
            other->offset - end < best_gap) {
            best_gap = other->offset - end;
            best = end;
        }
        if (other->offset + other->bytes > end)
            end = other->offset + other->bytes;
    }
    return best == SIZE_MAX ? end : best;
}

static int place_all(struct life *lives, int count, size_t *arena_bytes, struct cs_err *err)
{
    struct life *placed = cs_xcalloc((size_t)count, sizeof *placed);
    size_t total = 0, sum;
    for (int i = 0; i < count; i++) {
        if (__builtin_add_overflow(total, lives[i].bytes, &total) || total > SIZE_MAX / 4) {
            free(placed);
            return cs_fail(err, CS_ENOMEM, "activations are beyond the address space");
        }
    }
    *arena_bytes = 0;
    for (int i = 0; i < count; i++) {
        lives[i].offset = best_gap(&lives[i], placed, i);
        sum = lives[i].offset + lives[i].bytes;
        *arena_bytes = sum > *arena_bytes ? sum : *arena_bytes;
        int k = i;
        for (; k > 0 && placed[k - 1].offset > lives[i].offset; k--)
            placed[k] = placed[k - 1];
        placed[k] = lives[i];
    }
    free(placed);
    return 0;
}

// What values without memory stand for lives as long as they, from the last node backwards.
static void prolong(const struct cs_graph *graph, const int *share, struct life *lives)
{
    for (int n = graph->node_count - 1; share && n >= 0; n--) {
        const struct cs_node *node = &graph->nodes[n];
        int out = node->outputs[0];
        if (out < 0 || share[out] != CS_MEMORY_NONE)
            continue;
        for (int i = 0; i < node->input_count; i++)
            if (node->inputs[i] >= 0)
                touch(&lives[node->inputs[i]], lives[out].last);
        if (node->fusion.add >= 0)
            touch(&lives[node->fusion.add], lives[out].last);
        lives[out].first = -1;
    }
}

static int root_of(const int *share, int value)
{
    while (share && share[value] != value && share[value] != CS_MEMORY_NONE)
        value = share[value];
    return value;
}

int cs_memory_plan_make(const struct cs_graph *graph,
                        size_t (*size_of)(const struct cs_graph *, int value, void *context),
                        void *context, struct cs_memory_plan *plan, struct cs_err *err)
{
    return cs_memory_plan_make_shared(graph, size_of, context, NULL, NULL, plan, err);
}

int cs_memory_plan_make_shared(const struct cs_graph *graph,
                               size_t (*size_of)(const struct cs_graph *, int value, void *context),
                               void *context, const int *share, const int *times,
                               struct cs_memory_plan *plan, struct cs_err *err)
{
    struct life *lives = lifetimes(graph, times);
    int count = 0;
    *plan = (struct cs_memory_plan){
        .offset = cs_xcalloc((size_t)graph->value_count, sizeof *plan->offset),
        .bytes = cs_xcalloc((size_t)graph->value_count, sizeof *plan->bytes),
    };
    prolong(graph, share, lives);
    for (int v = 0; v < graph->value_count; v++) { // a shared place lives as long as all in it
        int root = root_of(share, v);
        if (root == v || lives[v].first < 0)
            continue;
        touch(&lives[root], lives[v].first);
        touch(&lives[root], lives[v].last);
        lives[v].first = -1;
    }
    for (int v = 0; v < graph->value_count; v++) {
        plan->offset[v] = SIZE_MAX;
        if (lives[v].first < 0 || graph->values[v].data || graph->values[v].type == CS_TYPE_NONE)
            continue;
        size_t bytes = (size_of ? size_of : dense_bytes)(graph, v, context);
        if (bytes == 0)
            continue;
        plan->bytes[v] = bytes;
        lives[count] = lives[v];
        lives[count++].bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    qsort(lives, (size_t)count, sizeof *lives, by_size);
    int result = place_all(lives, count, &plan->arena_bytes, err);
    for (int i = 0; result == 0 && i < count; i++)
        plan->offset[lives[i].value] = lives[i].offset;
    for (int v = 0; result == 0 && v < graph->value_count; v++) {
        plan->offset[v] = plan->offset[root_of(share, v)];
        plan->bytes[v] = plan->bytes[root_of(share, v)];
    }
    free(lives);
    if (result < 0)
        cs_memory_plan_release(plan);
    return result;
}

void cs_memory_plan_release(struct cs_memory_plan *plan)
{
    free(plan->offset);
    free(plan->bytes);
    *plan = (struct cs_memory_plan){0};
}
