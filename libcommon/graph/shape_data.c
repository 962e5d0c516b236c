// SPDX-License-Identifier: MIT
// Shapes of operators that move data or make it out of nothing.
#include <math.h>
#include <string.h>

#include "graph/element.h"
#include "graph/eval.h"
#include "graph/infer.h"

static int set_typed(struct cs_infer *at, const struct cs_shape *shape)
{
    cs_infer_set(at, 0, cs_infer_input(at, 0)->type, shape);
    return 0;
}

int cs_infer_shape(struct cs_infer *at)
{
    int rank = cs_infer_input(at, 0)->shape.rank;
    int64_t start = cs_node_int(at->node, "start", 0), end = cs_node_int(at->node, "end", rank);
    start = start < 0 ? start + rank : start;
    end = end < 0 ? end + rank : end;
    start = start < 0 ? 0 : start > rank ? rank : start;
    end = end > rank ? rank : end < start ? start : end;
    struct cs_shape out = {1, {end - start}};
    cs_infer_set(at, 0, CS_TYPE_I64, &out);
    return 0;
}

int cs_infer_reshape(struct cs_infer *at)
{
    const struct cs_value *in = cs_infer_input(at, 0);
    int64_t sizes[CS_MAX_RANK], known = 1;
    int count, open = -1;
    if (cs_node_const_ints(at->graph, at->node, 1, CS_MAX_RANK, sizes, &count, at->err) < 0)
        return -1;
    struct cs_shape out = {count, {0}};
    bool zero_is_zero = cs_node_int(at->node, "allowzero", 0) != 0;
    for (int d = 0; d < count; d++) {
        if (sizes[d] == 0 && !zero_is_zero) {
            if (d >= in->shape.rank)
                return cs_node_fail(at->node, at->err, "copies a size that is not there");
            sizes[d] = in->shape.dim[d];
        }
        if (sizes[d] < -1 || (sizes[d] == -1 && open >= 0))
            return cs_node_fail(at->node, at->err, "bad size %lld", (long long)sizes[d]);
        if (sizes[d] == -1)
            open = d;
        else if (__builtin_mul_overflow(known, sizes[d], &known))
            return cs_node_fail(at->node, at->err, "the shape is too large");
        out.dim[d] = sizes[d];
    }
    int64_t elements = cs_shape_elements(&in->shape);
    if (open >= 0 && known > 0)
        out.dim[open] = elements / known;
    if (cs_shape_elements(&out) != elements) {
        char before[128], after[128];
        cs_shape_text(&in->shape, before, sizeof before);
        cs_shape_text(&out, after, sizeof after);
        return cs_node_fail(at->node, at->err, "%s does not fit %s", before, after);
    }
    return set_typed(at, &out);
}

int cs_infer_flatten(struct cs_infer *at)
{
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    int64_t axis = cs_node_int(at->node, "axis", 1);
    axis = axis < 0 ? axis + in->rank : axis;
    if (axis < 0 || axis > in->rank)
        return cs_node_fail(at->node, at->err, "axis is outside the rank");
    struct cs_shape out = {2, {1, 1}};
    for (int d = 0; d < in->rank; d++)
        out.dim[d >= axis] *= in->dim[d];
    return set_typed(at, &out);
}

int cs_infer_squeeze(struct cs_infer *at)
{
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    bool axes[CS_MAX_RANK], given;
    if (cs_node_axes(at->graph, at->node, 1, in->rank, axes, &given, at->err) < 0)
        return -1;
    struct cs_shape out = {0, {0}};
    for (int d = 0; d < in->rank; d++) {
        bool gone = given ? axes[d] : in->dim[d] == 1;
        if (gone && in->dim[d] != 1)
            return cs_node_fail(at->node, at->err, "axis %d has size %lld", d,
                                (long long)in->dim[d]);
        if (!gone)
            out.dim[out.rank++] = in->dim[d];
    }
    return set_typed(at, &out);
}

// The number of axes that the node adds: the rank of the output depends on it.
static int new_axes(struct cs_infer *at, int *count)
{
    const struct cs_attr *attr = cs_node_attr(at->node, "axes");
    int64_t list[CS_MAX_RANK];
    if (attr)
        *count = attr->count;
    else if (cs_node_const_ints(at->graph, at->node, 1, CS_MAX_RANK, list, count, at->err) < 0)
        return -1;
    if (*count < 0 || *count + cs_infer_input(at, 0)->shape.rank > CS_MAX_RANK)
        return cs_node_fail(at->node, at->err, "axes are missing or too many");
    return 0;
}

int cs_infer_unsqueeze(struct cs_infer *at)
{
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    bool axes[CS_MAX_RANK], given;
    int added;
    if (new_axes(at, &added) < 0 ||
        cs_node_axes(at->graph, at->node, 1, in->rank + added, axes, &given, at->err) < 0)
        return -1;
    struct cs_shape out = {in->rank + added, {0}};
    for (int d = 0, from = 0; d < out.rank; d++)
        out.dim[d] = axes[d] ? 1 : in->dim[from++];
    return set_typed(at, &out);
}

int cs_infer_transpose(struct cs_infer *at)
{
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    int perm[CS_MAX_RANK];
    if (cs_node_perm(at->graph, at->node, perm, at->err) < 0)
        return -1;
    struct cs_shape out = {in->rank, {0}};
    for (int d = 0; d < in->rank; d++)
        out.dim[d] = in->dim[perm[d]];
    return set_typed(at, &out);
}

int cs_infer_concat(struct cs_infer *at)
{
    struct cs_shape out = cs_infer_input(at, 0)->shape;
    enum cs_type type = cs_infer_input(at, 0)->type;
    int axis;
    if (cs_node_axis(at->node, 1, out.rank, &axis, at->err) < 0)
        return -1;
    for (int i = 1; i < at->node->input_count; i++) {
        const struct cs_value *next = cs_infer_input(at, i);
        if (!next || next->type != type || next->shape.rank != out.rank)
            return cs_node_fail(at->node, at->err, "input %d has another type or rank", i);
        for (int d = 0; d < out.rank; d++)
            if (d != axis && next->shape.dim[d] != out.dim[d])
                return cs_node_fail(at->node, at->err, "input %d has %lld on axis %d, not %lld", i,
                                    (long long)next->shape.dim[d], d, (long long)out.dim[d]);
        if (__builtin_add_overflow(out.dim[axis], next->shape.dim[axis], &out.dim[axis]))
            return cs_node_fail(at->node, at->err, "the result is too large");
    }
    return set_typed(at, &out);
}

// Sizes from the attribute (before opset 13), the second input, or equal parts.
static int split_sizes(struct cs_infer *at, int64_t size, int64_t sizes[CS_MAX_NODE_IO])
{
    int parts = at->node->output_count, count = -1;
    const struct cs_attr *attr = cs_node_attr(at->node, "split");
    if (attr) {
        if (attr->kind != CS_ATTR_INTS || attr->count != parts)
            return cs_node_fail(at->node, at->err, "split does not fit %d outputs", parts);
        memcpy(sizes, attr->ints, (size_t)parts * sizeof *sizes);
        count = parts;
    } else if (cs_node_const_ints(at->graph, at->node, 1, CS_MAX_NODE_IO, sizes, &count, at->err) <
               0) {
        return -1;
    }
    if (count < 0) {
        int64_t each = (size + parts - 1) / parts;
        for (int i = 0; i < parts; i++)
            sizes[i] = i < parts - 1 ? each : size - each * (parts - 1);
    } else if (count != parts) {
        return cs_node_fail(at->node, at->err, "%d sizes for %d outputs", count, parts);
    }
    int64_t left = size;
    for (int i = 0; i < parts; i++) {
        if (sizes[i] < 0 || sizes[i] > left)
            return cs_node_fail(at->node, at->err, "the parts do not fit %lld", (long long)size);
        left -= sizes[i];
    }
    if (left != 0)
        return cs_node_fail(at->node, at->err, "the parts leave %lld over", (long long)left);
    return 0;
}

int cs_infer_split(struct cs_infer *at)
{
    const struct cs_value *in = cs_infer_input(at, 0);
    int64_t sizes[CS_MAX_NODE_IO];
    int axis;
    if (cs_node_axis(at->node, 0, in->shape.rank, &axis, at->err) < 0 ||
        split_sizes(at, in->shape.dim[axis], sizes) < 0)
        return -1;
    struct cs_shape out = in->shape;
    for (int i = 0; i < at->node->output_count; i++) {
        if (at->node->outputs[i] < 0)
            return cs_node_fail(at->node, at->err, "output %d is omitted", i);
        out.dim[axis] = sizes[i];
        cs_infer_set(at, i, in->type, &out);
    }
    return 0;
}

int cs_infer_slice(struct cs_infer *at)
{
    struct cs_slice slice;
    if (cs_node_slice(at->graph, at->node, &slice, at->err) < 0)
        return -1;
    struct cs_shape out = cs_infer_input(at, 0)->shape;
    for (int d = 0; d < out.rank; d++)
        out.dim[d] = slice.count[d];
    return set_typed(at, &out);
}

// Indices that are known are checked at once, others when the node runs.
static int check_indices(struct cs_infer *at)
{
    const struct cs_value *indices = cs_infer_input(at, 1);
    if (indices->type != CS_TYPE_I64 && indices->type != CS_TYPE_I32)
        return cs_node_fail(at->node, at->err, "indices are %s", cs_type_name(indices->type));
    if (!indices->data)
        return 0;
    const struct cs_eval call = {at->graph, at->node, (const void *[]){NULL, indices->data}, NULL};
    return cs_evaluator_find(at->node->op)->check(&call, at->err);
}

int cs_infer_gather(struct cs_infer *at)
{
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    const struct cs_value *indices = cs_infer_input(at, 1);
    int axis;
    if (cs_node_axis(at->node, 0, in->rank, &axis, at->err) < 0 || check_indices(at) < 0)
        return -1;
    struct cs_shape out = {in->rank - 1 + indices->shape.rank, {0}};
    if (out.rank > CS_MAX_RANK)
        return cs_node_fail(at->node, at->err, "the result has more than %d axes", CS_MAX_RANK);
    int d = 0;
    for (int i = 0; i < axis; i++)
        out.dim[d++] = in->dim[i];
    for (int i = 0; i < indices->shape.rank; i++)
        out.dim[d++] = indices->shape.dim[i];
    for (int i = axis + 1; i < in->rank; i++)
        out.dim[d++] = in->dim[i];
    return set_typed(at, &out);
}

int cs_infer_gather_nd(struct cs_infer *at)
{
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    const struct cs_shape *indices = &cs_infer_input(at, 1)->shape;
    int64_t batch = cs_node_int(at->node, "batch_dims", 0);
    bool fits = batch >= 0 && batch < indices->rank && batch < in->rank;
    int64_t depth = fits ? indices->dim[indices->rank - 1] : 0;
    fits = fits && depth >= 1 && depth <= in->rank - batch &&
           in->rank - depth - batch + indices->rank - 1 <= CS_MAX_RANK;
    for (int64_t d = 0; fits && d < batch; d++)
        fits = in->dim[d] == indices->dim[d];
    if (!fits)
        return cs_node_fail(at->node, at->err, "the indices' shape does not fit the input");
    if (check_indices(at) < 0)
        return -1;
    struct cs_shape out = {0, {0}};
    for (int d = 0; d < indices->rank - 1; d++)
        out.dim[out.rank++] = indices->dim[d];
    for (int64_t d = batch + depth; d < in->rank; d++)
        out.dim[out.rank++] = in->dim[d];
    return set_typed(at, &out);
}

int cs_infer_scatter_nd(struct cs_infer *at)
{
    const struct cs_shape *in = &cs_infer_input(at, 0)->shape;
    const struct cs_shape *indices = &cs_infer_input(at, 1)->shape;
    const struct cs_value *updates = cs_infer_input(at, 2);
    const char *reduction = cs_node_string(at->node, "reduction", "none");
    if (strcmp(reduction, "none") != 0)
        return cs_node_fail(at->node, at->err, "reduction \"%s\" is not supported", reduction);
    int64_t depth = indices->rank > 0 ? indices->dim[indices->rank - 1] : 0;
    bool fits = depth >= 1 && depth <= in->rank && updates->type == cs_infer_input(at, 0)->type &&
                updates->shape.rank == indices->rank - 1 + in->rank - depth;
    for (int d = 0; fits && d < updates->shape.rank; d++)
        fits = updates->shape.dim[d] == (d < indices->rank - 1
                                             ? indices->dim[d]
                                             : in->dim[d - (indices->rank - 1) + (int)depth]);
    if (!fits)
        return cs_node_fail(at->node, at->err, "the updates do not fit the indices and the input");
    return check_indices(at) < 0 ? -1 : set_typed(at, in);
}

int cs_infer_pad(struct cs_infer *at)
{
    struct cs_pads pads;
    if (cs_node_pads(at->graph, at->node, &pads, at->err) < 0)
        return -1;
    struct cs_shape out = cs_infer_input(at, 0)->shape;
    for (int d = 0; d < out.rank; d++)
        out.dim[d] += pads.begin[d] + pads.end[d];
    return set_typed(at, &out);
}

int cs_infer_expand(struct cs_infer *at)
{
    struct cs_shape wanted, out;
    if (cs_node_const_ints(at->graph, at->node, 1, CS_MAX_RANK, wanted.dim, &wanted.rank, at->err) <
        0)
        return -1;
    for (int d = 0; d < wanted.rank; d++)
        if (wanted.dim[d] < 0)
            return cs_node_fail(at->node, at->err, "bad size %lld", (long long)wanted.dim[d]);
    if (!cs_shape_broadcast(&cs_infer_input(at, 0)->shape, &wanted, &out))
        return cs_node_fail(at->node, at->err, "the input does not fit the shape");
    return set_typed(at, &out);
}

int cs_infer_tile(struct cs_infer *at)
{
    struct cs_shape out = cs_infer_input(at, 0)->shape;
    int64_t repeats[CS_MAX_RANK];
    int count;
    if (cs_node_const_ints(at->graph, at->node, 1, CS_MAX_RANK, repeats, &count, at->err) < 0)
        return -1;
    if (count != out.rank)
        return cs_node_fail(at->node, at->err, "%d repeats for a rank of %d", count, out.rank);
    for (int d = 0; d < count; d++)
        if (repeats[d] < 0 || __builtin_mul_overflow(out.dim[d], repeats[d], &out.dim[d]))
            return cs_node_fail(at->node, at->err, "bad repeat %lld", (long long)repeats[d]);
    return set_typed(at, &out);
}

int cs_infer_cast(struct cs_infer *at)
{
    const struct cs_value *in = cs_infer_input(at, 0);
    int64_t to = cs_node_int(at->node, "to", 0);
    enum cs_type type = CS_TYPE_NONE;
    switch (to) { // numbers of ONNX's TensorProto.DataType
    case 1:
        type = CS_TYPE_F32;
        break;
    case 6:
        type = CS_TYPE_I32;
        break;
    case 7:
        type = CS_TYPE_I64;
        break;
    case 9:
        type = CS_TYPE_BOOL;
        break;
    default:
        return cs_node_fail(at->node, at->err, "to type %lld is not supported", (long long)to);
    }
    cs_infer_set(at, 0, type, &in->shape);
    return 0;
}

// Training is possible only where it drops nothing.
int cs_infer_dropout(struct cs_infer *at)
{
    const struct cs_value *training = cs_infer_input(at, 2);
    float ratio = 1;
    if (training &&
        (training->type != CS_TYPE_BOOL || !training->data ||
         *(const unsigned char *)training->data != 0) &&
        (cs_node_const_float(at->graph, at->node, 1, 0.5f, &ratio, NULL) < 0 || ratio != 0))
        return cs_node_fail(at->node, at->err, "was exported in training mode");
    if (at->graph->opset >= 10)
        cs_infer_set(at, 1, CS_TYPE_BOOL, &cs_infer_input(at, 0)->shape);
    return cs_infer_same(at);
}

int cs_infer_constant_of_shape(struct cs_infer *at)
{
    struct cs_shape out;
    if (cs_node_const_ints(at->graph, at->node, 0, CS_MAX_RANK, out.dim, &out.rank, at->err) < 0)
        return -1;
    if (cs_shape_elements(&out) < 0)
        return cs_node_fail(at->node, at->err, "bad shape");
    const struct cs_attr *value = cs_node_attr(at->node, "value");
    bool integer = value && value->kind == CS_ATTR_INT;
    int64_t type = cs_node_int(at->node, "value_type", integer ? CS_TYPE_I64 : CS_TYPE_F32);
    if (type != CS_TYPE_F32 && (!integer || type < CS_TYPE_I64 || type > CS_TYPE_BOOL))
        return cs_node_fail(at->node, at->err, "value_type %lld", (long long)type);
    cs_infer_set(at, 0, (enum cs_type)type, &out);
    return 0;
}

int cs_infer_range(struct cs_infer *at)
{
    double limits[3]; // start, limit, delta
    enum cs_type type = cs_infer_input(at, 0)->type;
    for (int i = 0; i < 3; i++) {
        const struct cs_value *value = cs_infer_input(at, i);
        if (value->type != type || !value->data || cs_shape_elements(&value->shape) != 1)
            return cs_node_fail(at->node, at->err, "inputs must be constant scalars of one type");
        cs_load_reals(type, value->data, 0, 0, 1, &limits[i]);
        if (!(fabs(limits[i]) <= INT32_MAX))
            return cs_node_fail(at->node, at->err, "inputs are out of range");
    }
    double count = ceil((limits[1] - limits[0]) / limits[2]);
    if (!(fabs(count) <= INT32_MAX)) // also where the step is 0
        return cs_node_fail(at->node, at->err, "the step is 0 or too small");
    struct cs_shape out = {1, {count > 0 ? (int64_t)count : 0}};
    cs_infer_set(at, 0, type, &out);
    return 0;
}

static int check_block_mode(struct cs_infer *at)
{
    const char *mode = cs_node_string(at->node, "mode", "DCR");
    if (strcmp(mode, "DCR") != 0 && strcmp(mode, "CRD") != 0)
        return cs_node_fail(at->node, at->err, "mode \"%.40s\" is not supported", mode);
    return 0;
}

int cs_infer_depth_to_space(struct cs_infer *at)
{
    struct cs_shape out = cs_infer_input(at, 0)->shape;
    int64_t block = cs_node_int(at->node, "blocksize", 0);
    if (out.rank != 4 || block < 1 || block > 1024 || out.dim[1] % (block * block) != 0)
        return cs_node_fail(at->node, at->err, "blocks of %lld do not fit", (long long)block);
    if (check_block_mode(at) < 0)
        return -1;
    out.dim[1] /= block * block;
    out.dim[2] *= block;
    out.dim[3] *= block;
    return set_typed(at, &out);
}

int cs_infer_space_to_depth(struct cs_infer *at)
{
    struct cs_shape out = cs_infer_input(at, 0)->shape;
    int64_t block = cs_node_int(at->node, "blocksize", 0);
    if (out.rank != 4 || block < 1 || block > 1024 || out.dim[2] % block != 0 ||
        out.dim[3] % block != 0)
        return cs_node_fail(at->node, at->err, "blocks of %lld do not fit", (long long)block);
    if (check_block_mode(at) < 0)
        return -1;
    out.dim[1] *= block * block;
    out.dim[2] /= block;
    out.dim[3] /= block;
    return set_typed(at, &out);
}
