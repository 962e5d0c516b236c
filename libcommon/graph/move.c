// SPDX-License-Identifier: MIT
// Every operator here is one or more strided copies: counts and two sets of strides over at most
// twice CS_MAX_RANK axes (Tile counts repeats as axes of their own).
#include "graph/move.h"

#include <string.h>

#include "graph/params.h"

enum { MAX_AXES = 2 * CS_MAX_RANK };

struct strided {
    int rank;
    int64_t count[MAX_AXES];
    int64_t from[MAX_AXES], to[MAX_AXES]; // strides in elements
};

static void dense_strides(const struct cs_shape *shape, int64_t *strides)
{
    int64_t step = 1;
    for (int d = shape->rank - 1; d >= 0; d--) {
        strides[d] = step;
        step *= shape->dim[d];
    }
}

// One line of elements: the innermost axis.
static void copy_line(const char *source, int64_t from, char *target, int64_t to, int64_t count,
                      size_t bytes)
{
    if (from == 1 && to == 1) {
        memcpy(target, source, (size_t)count * bytes);
        return;
    }
    switch (bytes) {
    case 4:
        for (int64_t i = 0; i < count; i++)
            memcpy(target + i * to * 4, source + i * from * 4, 4);
        break;
    case 8:
        for (int64_t i = 0; i < count; i++)
            memcpy(target + i * to * 8, source + i * from * 8, 8);
        break;
    default:
        for (int64_t i = 0; i < count; i++)
            target[i * to] = source[i * from];
    }
}

// source and target point at the first element of each.
static void copy_strided(const struct strided *s, const void *source, void *target, size_t bytes)
{
    int64_t at[MAX_AXES] = {0}, from = 0, to = 0;
    int inner = s->rank - 1;
    for (int d = 0; d < s->rank; d++)
        if (s->count[d] == 0)
            return;
    if (s->rank == 0) {
        memcpy(target, source, bytes);
        return;
    }
    for (;;) {
        copy_line((const char *)source + from * (int64_t)bytes, s->from[inner],
                  (char *)target + to * (int64_t)bytes, s->to[inner], s->count[inner], bytes);
        int d = inner - 1;
        for (; d >= 0; d--) {
            from += s->from[d];
            to += s->to[d];
            if (++at[d] < s->count[d])
                break;
            from -= at[d] * s->from[d];
            to -= at[d] * s->to[d];
            at[d] = 0;
        }
        if (d < 0)
            return;
    }
}

struct move {
    const struct cs_graph *graph;
    const struct cs_node *node;
    const struct cs_value *in, *out;
    const void *const *inputs;
    void *const *outputs;
    size_t bytes; // of an element
};

static const char *element(const void *base, int64_t index, size_t bytes)
{
    return (const char *)base + index * (int64_t)bytes;
}

static void move_all(const struct move *m)
{
    size_t total = (size_t)cs_shape_elements(&m->in->shape) * m->bytes;
    if (total)
        memcpy(m->outputs[0], m->inputs[0], total);
}

static void move_transpose(const struct move *m)
{
    int perm[CS_MAX_RANK];
    int64_t strides[CS_MAX_RANK];
    struct strided s = {.rank = m->in->shape.rank};
    cs_node_perm(m->graph, m->node, perm, NULL);
    dense_strides(&m->in->shape, strides);
    dense_strides(&m->out->shape, s.to);
    for (int d = 0; d < s.rank; d++) {
        s.count[d] = m->out->shape.dim[d];
        s.from[d] = strides[perm[d]];
    }
    copy_strided(&s, m->inputs[0], m->outputs[0], m->bytes);
}

// Concat and Split: parts along one axis, each a block of the whole.
static void copy_part(const struct move *m, const struct cs_shape *part,
                      const struct cs_shape *whole, bool joining, int64_t offset,
                      const void *source, void *target)
{
    struct strided s = {.rank = part->rank};
    dense_strides(joining ? part : whole, s.from);
    dense_strides(joining ? whole : part, s.to);
    memcpy(s.count, part->dim, (size_t)part->rank * sizeof *s.count);
    if (joining)
        copy_strided(&s, source, (char *)target + offset * (int64_t)m->bytes, m->bytes);
    else
        copy_strided(&s, element(source, offset, m->bytes), target, m->bytes);
}

static void move_concat(const struct move *m)
{
    int axis;
    int64_t strides[CS_MAX_RANK], offset = 0;
    cs_node_axis(m->node, 1, m->out->shape.rank, &axis, NULL);
    dense_strides(&m->out->shape, strides);
    for (int i = 0; i < m->node->input_count; i++) {
        const struct cs_shape *part = &cs_node_input(m->graph, m->node, i)->shape;
        copy_part(m, part, &m->out->shape, true, offset, m->inputs[i], m->outputs[0]);
        offset += part->dim[axis] * strides[axis];
    }
}

static void move_split(const struct move *m)
{
    int axis;
    int64_t strides[CS_MAX_RANK], offset = 0;
    cs_node_axis(m->node, 0, m->in->shape.rank, &axis, NULL);
    dense_strides(&m->in->shape, strides);
    for (int i = 0; i < m->node->output_count; i++) {
        const struct cs_shape *part = &cs_node_output(m->graph, m->node, i)->shape;
        copy_part(m, part, &m->in->shape, false, offset, m->inputs[0], m->outputs[i]);
        offset += part->dim[axis] * strides[axis];
    }
}

static void move_slice(const struct move *m)
{
    struct cs_slice slice;
    int64_t strides[CS_MAX_RANK], offset = 0;
    struct strided s = {.rank = m->in->shape.rank};
    cs_node_slice(m->graph, m->node, &slice, NULL);
    dense_strides(&m->in->shape, strides);
    dense_strides(&m->out->shape, s.to);
    for (int d = 0; d < s.rank; d++) {
        s.count[d] = slice.count[d];
        s.from[d] = strides[d] * slice.step[d];
        offset += strides[d] * slice.start[d];
    }
    if (cs_shape_elements(&m->out->shape) > 0)
        copy_strided(&s, element(m->inputs[0], offset, m->bytes), m->outputs[0], m->bytes);
}

static void move_gather(const struct move *m)
{
    const struct cs_value *indices = cs_node_input(m->graph, m->node, 1);
    const int64_t *index = indices->data;
    int64_t count = cs_shape_elements(&indices->shape), outer = 1, inner = 1;
    int axis;
    cs_node_axis(m->node, 0, m->in->shape.rank, &axis, NULL);
    int64_t size = m->in->shape.dim[axis];
    for (int d = 0; d < axis; d++)
        outer *= m->in->shape.dim[d];
    for (int d = axis + 1; d < m->in->shape.rank; d++)
        inner *= m->in->shape.dim[d];
    char *target = m->outputs[0];
    size_t line = (size_t)inner * m->bytes;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < count; k++) {
            int64_t from = index[k] < 0 ? index[k] + size : index[k];
            memcpy(target, element(m->inputs[0], (o * size + from) * inner, m->bytes), line);
            target += line;
        }
}

static void move_expand(const struct move *m)
{
    struct strided s = {.rank = m->out->shape.rank};
    int64_t strides[CS_MAX_RANK];
    dense_strides(&m->in->shape, strides);
    dense_strides(&m->out->shape, s.to);
    for (int d = 0, lead = s.rank - m->in->shape.rank; d < s.rank; d++) {
        s.count[d] = m->out->shape.dim[d];
        s.from[d] = d < lead || m->in->shape.dim[d - lead] == 1 ? 0 : strides[d - lead];
    }
    copy_strided(&s, m->inputs[0], m->outputs[0], m->bytes);
}

static void move_tile(const struct move *m)
{
    struct strided s = {.rank = 2 * m->in->shape.rank};
    int64_t in[CS_MAX_RANK], out[CS_MAX_RANK];
    dense_strides(&m->in->shape, in);
    dense_strides(&m->out->shape, out);
    for (int d = 0; d < m->in->shape.rank; d++) {
        int64_t size = m->in->shape.dim[d];
        s.count[2 * d] = size ? m->out->shape.dim[d] / size : 0;
        s.from[2 * d] = 0;
        s.to[2 * d] = out[d] * size;
        s.count[2 * d + 1] = size;
        s.from[2 * d + 1] = in[d];
        s.to[2 * d + 1] = out[d];
    }
    copy_strided(&s, m->inputs[0], m->outputs[0], m->bytes);
}

// DepthToSpace reads channels as (b, b, C) or (C, b, b); SpaceToDepth writes them as (b, b, C).
static void move_blocks(const struct move *m, bool to_space)
{
    const struct cs_shape *deep = to_space ? &m->in->shape : &m->out->shape;
    const struct cs_shape *wide = to_space ? &m->out->shape : &m->in->shape;
    int64_t block = cs_node_int(m->node, "blocksize", 1), channels = wide->dim[1];
    bool crd = to_space && strcmp(cs_node_string(m->node, "mode", "DCR"), "CRD") == 0;
    int64_t plane = deep->dim[2] * deep->dim[3], width = wide->dim[3];
    // Axes: n, c, h, block row, w, block column.
    int64_t in_deep[6] = {deep->dim[1] * plane,
                          crd ? block * block * plane : plane,
                          deep->dim[3],
                          crd ? block * plane : block * channels * plane,
                          1,
                          crd ? plane : channels * plane};
    int64_t in_wide[6] = {
        channels * wide->dim[2] * width, wide->dim[2] * width, block * width, width, block, 1};
    struct strided s = {
        .rank = 6, .count = {deep->dim[0], channels, deep->dim[2], block, deep->dim[3], block}};
    memcpy(s.from, to_space ? in_deep : in_wide, sizeof in_deep);
    memcpy(s.to, to_space ? in_wide : in_deep, sizeof in_deep);
    copy_strided(&s, m->inputs[0], m->outputs[0], m->bytes);
}

// ---- Pad -----------------------------------------------------------------------------------

static void fill(const struct move *m, float value)
{
    int64_t count = cs_shape_elements(&m->out->shape);
    if (m->in->type == CS_TYPE_F32)
        for (int64_t i = 0; i < count; i++)
            ((float *)m->outputs[0])[i] = value;
    else
        memset(m->outputs[0], 0, (size_t)count * m->bytes);
}

static void pad_constant(const struct move *m, const struct cs_pads *pads)
{
    struct strided s = {.rank = m->in->shape.rank};
    int64_t source = 0, target = 0;
    fill(m, pads->value);
    dense_strides(&m->in->shape, s.from);
    dense_strides(&m->out->shape, s.to);
    for (int d = 0; d < s.rank; d++) {
        int64_t cut = pads->begin[d] < 0 ? -pads->begin[d] : 0;
        int64_t cut_end = pads->end[d] < 0 ? -pads->end[d] : 0;
        s.count[d] = m->in->shape.dim[d] - cut - cut_end;
        source += cut * s.from[d];
        target += (pads->begin[d] > 0 ? pads->begin[d] : 0) * s.to[d];
    }
    copy_strided(&s, element(m->inputs[0], source, m->bytes),
                 (char *)m->outputs[0] + target * (int64_t)m->bytes, m->bytes);
}

static int64_t pad_source(enum cs_pad_mode mode, int64_t at, int64_t size)
{
    if (mode == CS_PAD_EDGE)
        return at < 0 ? 0 : at >= size ? size - 1 : at;
    if (mode == CS_PAD_WRAP)
        return at < 0 ? at + size : at >= size ? at - size : at;
    return at < 0 ? -at : at >= size ? 2 * (size - 1) - at : at;
}

static void pad_mirror(const struct move *m, const struct cs_pads *pads)
{
    int rank = m->in->shape.rank;
    int64_t strides[CS_MAX_RANK], at[CS_MAX_RANK] = {0};
    int64_t count = cs_shape_elements(&m->out->shape);
    char *target = m->outputs[0];
    dense_strides(&m->in->shape, strides);
    for (int64_t i = 0; i < count; i++, target += m->bytes) {
        int64_t from = 0;
        for (int d = 0; d < rank; d++)
            from +=
                strides[d] * pad_source(pads->mode, at[d] - pads->begin[d], m->in->shape.dim[d]);
        memcpy(target, element(m->inputs[0], from, m->bytes), m->bytes);
        for (int d = rank - 1; d >= 0 && ++at[d] == m->out->shape.dim[d]; d--)
            at[d] = 0;
    }
}

static void move_pad(const struct move *m)
{
    struct cs_pads pads;
    cs_node_pads(m->graph, m->node, &pads, NULL);
    if (pads.mode == CS_PAD_CONSTANT)
        pad_constant(m, &pads);
    else
        pad_mirror(m, &pads);
}

static void move_depth_to_space(const struct move *m)
{
    move_blocks(m, true);
}

static void move_space_to_depth(const struct move *m)
{
    move_blocks(m, false);
}

// ---- The table -----------------------------------------------------------------------------

static const struct {
    const char *op;
    void (*run)(const struct move *);
} moves[] = {
    {"Identity", move_all},
    {"Dropout", move_all},
    {"Reshape", move_all},
    {"Flatten", move_all},
    {"Squeeze", move_all},
    {"Unsqueeze", move_all},
    {"Transpose", move_transpose},
    {"Concat", move_concat},
    {"Split", move_split},
    {"Slice", move_slice},
    {"Gather", move_gather},
    {"Pad", move_pad},
    {"Expand", move_expand},
    {"Tile", move_tile},
    {"DepthToSpace", move_depth_to_space},
    {"SpaceToDepth", move_space_to_depth},
};

bool cs_move_knows(const char *op)
{
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++)
        if (strcmp(moves[i].op, op) == 0)
            return true;
    return false;
}

void cs_move_run(const struct cs_graph *graph, const struct cs_node *node,
                 const void *const *inputs, void *const *outputs)
{
    struct move m = {graph,
                     node,
                     cs_node_input(graph, node, 0),
                     cs_node_output(graph, node, 0),
                     inputs,
                     outputs,
                     cs_type_bytes(cs_node_input(graph, node, 0)->type)};
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++)
        if (strcmp(moves[i].op, node->op) == 0)
            moves[i].run(&m);
}
