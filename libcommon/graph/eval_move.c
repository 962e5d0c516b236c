// SPDX-License-Identifier: MIT
// Operators that only move elements. Most are one or more strided copies: counts and two sets of
// strides over at most twice CS_MAX_RANK axes (Tile counts repeats as axes of their own).

#include <string.h>

#include "graph/element.h"
#include "graph/eval.h"
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

// ---- The node at hand ----------------------------------------------------------------------

static const struct cs_shape *in_shape(const struct cs_eval *at)
{
    return &cs_node_input(at->graph, at->node, 0)->shape;
}

static const struct cs_shape *out_shape(const struct cs_eval *at)
{
    return &cs_node_output(at->graph, at->node, 0)->shape;
}

static size_t element_bytes(const struct cs_eval *at)
{
    return cs_type_bytes(cs_node_input(at->graph, at->node, 0)->type);
}

static const char *element(const void *base, int64_t index, size_t bytes)
{
    return (const char *)base + index * (int64_t)bytes;
}

// ---- Operators -----------------------------------------------------------------------------

static void move_all(const struct cs_eval *at)
{
    size_t total = (size_t)cs_shape_elements(in_shape(at)) * element_bytes(at);
    if (total)
        memcpy(at->out[0], at->in[0], total);
}

// Without training it passes everything on: the mask is true.
static void move_dropout(const struct cs_eval *at)
{
    move_all(at);
    if (at->node->output_count > 1 && at->out[1])
        memset(at->out[1], 1, (size_t)cs_shape_elements(out_shape(at)));
}

static void move_transpose(const struct cs_eval *at)
{
    int perm[CS_MAX_RANK];
    int64_t strides[CS_MAX_RANK];
    struct strided s = {.rank = in_shape(at)->rank};
    cs_node_perm(at->graph, at->node, perm, NULL);
    dense_strides(in_shape(at), strides);
    dense_strides(out_shape(at), s.to);
    for (int d = 0; d < s.rank; d++) {
        s.count[d] = out_shape(at)->dim[d];
        s.from[d] = strides[perm[d]];
    }
    copy_strided(&s, at->in[0], at->out[0], element_bytes(at));
}

// Concat and Split: parts along one axis, each a block of the whole.
static void copy_part(const struct cs_eval *at, const struct cs_shape *part,
                      const struct cs_shape *whole, bool joining, int64_t offset,
                      const void *source, void *target)
{
    struct strided s = {.rank = part->rank};
    dense_strides(joining ? part : whole, s.from);
    dense_strides(joining ? whole : part, s.to);
    memcpy(s.count, part->dim, (size_t)part->rank * sizeof *s.count);
    if (joining)
        copy_strided(&s, source, (char *)target + offset * (int64_t)element_bytes(at),
                     element_bytes(at));
    else
        copy_strided(&s, element(source, offset, element_bytes(at)), target, element_bytes(at));
}

static void move_concat(const struct cs_eval *at)
{
    int axis;
    int64_t strides[CS_MAX_RANK], offset = 0;
    cs_node_axis(at->node, 1, out_shape(at)->rank, &axis, NULL);
    dense_strides(out_shape(at), strides);
    for (int i = 0; i < at->node->input_count; i++) {
        const struct cs_shape *part = &cs_node_input(at->graph, at->node, i)->shape;
        copy_part(at, part, out_shape(at), true, offset, at->in[i], at->out[0]);
        offset += part->dim[axis] * strides[axis];
    }
}

static void move_split(const struct cs_eval *at)
{
    int axis;
    int64_t strides[CS_MAX_RANK], offset = 0;
    cs_node_axis(at->node, 0, in_shape(at)->rank, &axis, NULL);
    dense_strides(in_shape(at), strides);
    for (int i = 0; i < at->node->output_count; i++) {
        const struct cs_shape *part = &cs_node_output(at->graph, at->node, i)->shape;
        copy_part(at, part, in_shape(at), false, offset, at->in[0], at->out[i]);
        offset += part->dim[axis] * strides[axis];
    }
}

static void move_slice(const struct cs_eval *at)
{
    struct cs_slice slice;
    int64_t strides[CS_MAX_RANK], offset = 0;
    struct strided s = {.rank = in_shape(at)->rank};
    cs_node_slice(at->graph, at->node, &slice, NULL);
    dense_strides(in_shape(at), strides);
    dense_strides(out_shape(at), s.to);
    for (int d = 0; d < s.rank; d++) {
        s.count[d] = slice.count[d];
        s.from[d] = strides[d] * slice.step[d];
        offset += strides[d] * slice.start[d];
    }
    if (cs_shape_elements(out_shape(at)) > 0)
        copy_strided(&s, element(at->in[0], offset, element_bytes(at)), at->out[0],
                     element_bytes(at));
}

// Index k of a tensor of indices, counted from the end if negative.
static int64_t index_of(const struct cs_value *indices, const void *data, int64_t k, int64_t size)
{
    int64_t index;
    cs_load_integers(indices->type, data, k, 0, 1, &index);
    return index < 0 ? index + size : index;
}

static void move_gather(const struct cs_eval *at)
{
    const struct cs_value *indices = cs_node_input(at->graph, at->node, 1);
    int64_t count = cs_shape_elements(&indices->shape), outer = 1, inner = 1;
    int axis;
    cs_node_axis(at->node, 0, in_shape(at)->rank, &axis, NULL);
    int64_t size = in_shape(at)->dim[axis];
    for (int d = 0; d < axis; d++)
        outer *= in_shape(at)->dim[d];
    for (int d = axis + 1; d < in_shape(at)->rank; d++)
        inner *= in_shape(at)->dim[d];
    char *target = at->out[0];
    size_t bytes = element_bytes(at), line = (size_t)inner * bytes;
    for (int64_t o = 0; line && o < outer; o++)
        for (int64_t k = 0; k < count; k++) {
            int64_t from = index_of(indices, at->in[1], k, size);
            memcpy(target, element(at->in[0], (o * size + from) * inner, bytes), line);
            target += line;
        }
}

static int index_fail(const struct cs_eval *at, int64_t index, int64_t size, struct cs_err *err)
{
    return cs_node_fail(at->node, err, "index %lld is outside 0..%lld",
                        (long long)(index < 0 ? index - size : index), (long long)size - 1);
}

static int check_gather(const struct cs_eval *at, struct cs_err *err)
{
    const struct cs_value *indices = cs_node_input(at->graph, at->node, 1);
    int64_t count = cs_shape_elements(&indices->shape);
    int axis;
    cs_node_axis(at->node, 0, in_shape(at)->rank, &axis, NULL);
    int64_t size = in_shape(at)->dim[axis];
    for (int64_t k = 0; k < count; k++) {
        int64_t index = index_of(indices, at->in[1], k, size);
        if (index < 0 || index >= size)
            return index_fail(at, index, size, err);
    }
    return 0;
}

// GatherND, ScatterND: tuples of indices along the last axis of input 1 name slices behind
// batch_dims axes.
struct tuples {
    const struct cs_value *indices;
    int batch, depth;            // shared leading axes; axes that a tuple names
    int64_t count, batches;      // tuples in all; elements of the shared axes
    int64_t stride[CS_MAX_RANK]; // of the input
};

static struct tuples tuples_of(const struct cs_eval *at)
{
    struct tuples t = {.indices = cs_node_input(at->graph, at->node, 1), .count = 1, .batches = 1};
    const struct cs_shape *shape = &t.indices->shape;
    t.batch = (int)cs_node_int(at->node, "batch_dims", 0);
    t.depth = (int)shape->dim[shape->rank - 1];
    for (int d = 0; d < shape->rank - 1; d++)
        t.count *= shape->dim[d];
    for (int d = 0; d < t.batch; d++)
        t.batches *= shape->dim[d];
    dense_strides(in_shape(at), t.stride);
    return t;
}

static void move_gather_nd(const struct cs_eval *at)
{
    struct tuples t = tuples_of(at);
    const struct cs_shape *in = in_shape(at);
    int64_t slice = t.stride[t.batch + t.depth - 1];
    int64_t per_batch = t.batches ? t.count / t.batches : 0;
    size_t bytes = element_bytes(at), line = (size_t)slice * bytes;
    for (int64_t k = 0; line && k < t.count; k++) {
        int64_t from = t.batch ? k / per_batch * t.stride[t.batch - 1] : 0;
        for (int i = 0; i < t.depth; i++)
            from += index_of(t.indices, at->in[1], k * t.depth + i, in->dim[t.batch + i]) *
                    t.stride[t.batch + i];
        memcpy((char *)at->out[0] + (size_t)k * line, element(at->in[0], from, bytes), line);
    }
}

static int check_gather_nd(const struct cs_eval *at, struct cs_err *err)
{
    struct tuples t = tuples_of(at);
    for (int64_t k = 0; k < t.count * t.depth; k++) {
        int64_t size = in_shape(at)->dim[t.batch + k % t.depth];
        int64_t index = index_of(t.indices, at->in[1], k, size);
        if (index < 0 || index >= size)
            return index_fail(at, index, size, err);
    }
    return 0;
}

// ScatterND: the slices that GatherND would read are written, one after the other.
static void move_scatter_nd(const struct cs_eval *at)
{
    struct tuples t = tuples_of(at);
    const struct cs_shape *in = in_shape(at);
    size_t bytes = element_bytes(at), line = (size_t)t.stride[t.depth - 1] * bytes;
    if (at->out[0] != at->in[0])
        memcpy(at->out[0], at->in[0], (size_t)cs_shape_elements(in) * bytes);
    for (int64_t k = 0; k < t.count; k++) {
        int64_t to = 0;
        for (int i = 0; i < t.depth; i++)
            to += index_of(t.indices, at->in[1], k * t.depth + i, in->dim[i]) * t.stride[i];
        memcpy((char *)at->out[0] + (size_t)to * bytes, (const char *)at->in[2] + (size_t)k * line,
               line);
    }
}

static void move_expand(const struct cs_eval *at)
{
    struct strided s = {.rank = out_shape(at)->rank};
    int64_t strides[CS_MAX_RANK];
    dense_strides(in_shape(at), strides);
    dense_strides(out_shape(at), s.to);
    for (int d = 0, lead = s.rank - in_shape(at)->rank; d < s.rank; d++) {
        s.count[d] = out_shape(at)->dim[d];
        s.from[d] = d < lead || in_shape(at)->dim[d - lead] == 1 ? 0 : strides[d - lead];
    }
    copy_strided(&s, at->in[0], at->out[0], element_bytes(at));
}

static void move_tile(const struct cs_eval *at)
{
    struct strided s = {.rank = 2 * in_shape(at)->rank};
    int64_t in[CS_MAX_RANK], out[CS_MAX_RANK];
    dense_strides(in_shape(at), in);
    dense_strides(out_shape(at), out);
    for (int d = 0; d < in_shape(at)->rank; d++) {
        int64_t size = in_shape(at)->dim[d];
        s.count[2 * d] = size ? out_shape(at)->dim[d] / size : 0;
        s.from[2 * d] = 0;
        s.to[2 * d] = out[d] * size;
        s.count[2 * d + 1] = size;
        s.from[2 * d + 1] = in[d];
        s.to[2 * d + 1] = out[d];
    }
    copy_strided(&s, at->in[0], at->out[0], element_bytes(at));
}

// Deep channels are (b, b, C) in mode DCR, (C, b, b) in mode CRD.
static void move_blocks(const struct cs_eval *at, bool to_space)
{
    const struct cs_shape *deep = to_space ? in_shape(at) : out_shape(at);
    const struct cs_shape *wide = to_space ? out_shape(at) : in_shape(at);
    int64_t block = cs_node_int(at->node, "blocksize", 1), channels = wide->dim[1];
    bool crd = strcmp(cs_node_string(at->node, "mode", "DCR"), "CRD") == 0;
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
    copy_strided(&s, at->in[0], at->out[0], element_bytes(at));
}

// ---- Pad -----------------------------------------------------------------------------------

static void fill(const struct cs_eval *at, const struct cs_pads *pads)
{
    int64_t count = cs_shape_elements(out_shape(at));
    size_t bytes = element_bytes(at);
    const void *value = pads->value_input < 0 ? NULL : at->in[pads->value_input];
    if (!value && cs_node_input(at->graph, at->node, 0)->type == CS_TYPE_F32)
        value = &pads->value;
    for (int64_t i = 0; i < count; i++) {
        if (value)
            memcpy((char *)at->out[0] + i * (int64_t)bytes, value, bytes);
        else
            memset((char *)at->out[0] + i * (int64_t)bytes, 0, bytes);
    }
}

static void pad_constant(const struct cs_eval *at, const struct cs_pads *pads)
{
    struct strided s = {.rank = in_shape(at)->rank};
    int64_t source = 0, target = 0;
    fill(at, pads);
    dense_strides(in_shape(at), s.from);
    dense_strides(out_shape(at), s.to);
    for (int d = 0; d < s.rank; d++) {
        int64_t cut = pads->begin[d] < 0 ? -pads->begin[d] : 0;
        int64_t cut_end = pads->end[d] < 0 ? -pads->end[d] : 0;
        s.count[d] = in_shape(at)->dim[d] - cut - cut_end;
        source += cut * s.from[d];
        target += (pads->begin[d] > 0 ? pads->begin[d] : 0) * s.to[d];
    }
    copy_strided(&s, element(at->in[0], source, element_bytes(at)),
                 (char *)at->out[0] + target * (int64_t)element_bytes(at), element_bytes(at));
}

static int64_t pad_source(enum cs_pad_mode mode, int64_t at, int64_t size)
{
    if (mode == CS_PAD_EDGE)
        return at < 0 ? 0 : at >= size ? size - 1 : at;
    if (mode == CS_PAD_WRAP)
        return at < 0 ? at + size : at >= size ? at - size : at;
    return at < 0 ? -at : at >= size ? 2 * (size - 1) - at : at;
}

static void pad_mirror(const struct cs_eval *at, const struct cs_pads *pads)
{
    int rank = in_shape(at)->rank;
    int64_t strides[CS_MAX_RANK], place[CS_MAX_RANK] = {0};
    int64_t count = cs_shape_elements(out_shape(at));
    char *target = at->out[0];
    dense_strides(in_shape(at), strides);
    for (int64_t i = 0; i < count; i++, target += element_bytes(at)) {
        int64_t from = 0;
        for (int d = 0; d < rank; d++)
            from += strides[d] *
                    pad_source(pads->mode, place[d] - pads->begin[d], in_shape(at)->dim[d]);
        memcpy(target, element(at->in[0], from, element_bytes(at)), element_bytes(at));
        for (int d = rank - 1; d >= 0 && ++place[d] == out_shape(at)->dim[d]; d--)
            place[d] = 0;
    }
}

static void move_pad(const struct cs_eval *at)
{
    struct cs_pads pads;
    cs_node_pads(at->graph, at->node, &pads, NULL);
    if (pads.mode == CS_PAD_CONSTANT)
        pad_constant(at, &pads);
    else
        pad_mirror(at, &pads);
}

static void move_depth_to_space(const struct cs_eval *at)
{
    move_blocks(at, true);
}

static void move_space_to_depth(const struct cs_eval *at)
{
    move_blocks(at, false);
}

// ---- The table -----------------------------------------------------------------------------

const struct cs_evaluator cs_eval_moves[] = {
    {"Identity", move_all, NULL},
    {"Reshape", move_all, NULL},
    {"Flatten", move_all, NULL},
    {"Squeeze", move_all, NULL},
    {"Unsqueeze", move_all, NULL},
    {"Dropout", move_dropout, NULL},
    {"Transpose", move_transpose, NULL},
    {"Concat", move_concat, NULL},
    {"Split", move_split, NULL},
    {"Slice", move_slice, NULL},
    {"Gather", move_gather, check_gather},
    {"GatherND", move_gather_nd, check_gather_nd},
    {"ScatterND", move_scatter_nd, check_gather_nd},
    {"Pad", move_pad, NULL},
    {"Expand", move_expand, NULL},
    {"Tile", move_tile, NULL},
    {"DepthToSpace", move_depth_to_space, NULL},
    {"SpaceToDepth", move_space_to_depth, NULL},
    {NULL, NULL, NULL},
};
