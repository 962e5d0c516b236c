// SPDX-License-Identifier: MIT
// Sliding windows of convolutions and pools: kernel, stride, dilation, padding, output size.
#include <string.h>

#include "graph/params.h"

enum { MAX_WINDOW = 1 << 20 }; // kernel, stride, dilation and pads: keeps all products in 64 bits

// A list of one integer an axis.
static int per_axis(const struct cs_node *node, const char *name, const struct cs_window *window,
                    int64_t fallback, int64_t *out, struct cs_err *err)
{
    return cs_node_ints(node, name, window->space, fallback, out, err);
}

static int window_kernel(const struct cs_graph *graph, const struct cs_node *node,
                         struct cs_window *window, struct cs_err *err)
{
    if (strstr(node->op, "Pool")) {
        if (!cs_node_attr(node, "kernel_shape"))
            return cs_node_fail(node, err, "has no kernel_shape");
        return per_axis(node, "kernel_shape", window, 1, window->kernel, err);
    }
    const struct cs_value *weight = cs_node_input(graph, node, 1);
    if (!weight || weight->shape.rank != window->space + 2)
        return cs_node_fail(node, err, "weights must have %d dimensions", window->space + 2);
    int64_t given[CS_MAX_SPACE];
    bool named = cs_node_attr(node, "kernel_shape") != NULL;
    if (per_axis(node, "kernel_shape", window, 1, given, err) < 0)
        return -1;
    for (int i = 0; i < window->space; i++) {
        window->kernel[i] = weight->shape.dim[2 + i];
        if (named && given[i] != window->kernel[i])
            return cs_node_fail(node, err, "kernel_shape differs from the weights' shape");
    }
    return 0;
}

static int window_check(const struct cs_node *node, const struct cs_window *window,
                        struct cs_err *err)
{
    for (int i = 0; i < window->space; i++) {
        if (window->kernel[i] < 1 || window->kernel[i] > MAX_WINDOW || window->stride[i] < 1 ||
            window->stride[i] > MAX_WINDOW || window->dilation[i] < 1 ||
            window->dilation[i] > MAX_WINDOW)
            return cs_node_fail(node, err, "kernel, strides or dilations out of range");
        if (window->pad_begin[i] < 0 || window->pad_begin[i] > MAX_WINDOW ||
            window->pad_end[i] < 0 || window->pad_end[i] > MAX_WINDOW)
            return cs_node_fail(node, err, "pads out of range");
    }
    if (window->group < 1)
        return cs_node_fail(node, err, "group %lld", (long long)window->group);
    return 0;
}

// SAME_UPPER and SAME_LOWER: as many outputs as strides fit, what is missing shared out.
static void pad_same(struct cs_window *window, int axis, int64_t in, bool upper)
{
    int64_t out = (in + window->stride[axis] - 1) / window->stride[axis];
    int64_t reach = (window->kernel[axis] - 1) * window->dilation[axis] + 1;
    int64_t total = (out - 1) * window->stride[axis] + reach - in;
    total = total < 0 ? 0 : total;
    window->pad_begin[axis] = upper ? total / 2 : total - total / 2;
    window->pad_end[axis] = total - window->pad_begin[axis];
}

static int window_forward(const struct cs_graph *graph, const struct cs_node *node,
                          struct cs_window *window, struct cs_err *err)
{
    const struct cs_shape *in = &cs_node_input(graph, node, 0)->shape;
    const char *automatic = cs_node_string(node, "auto_pad", "NOTSET");
    bool ceil_mode = cs_node_int(node, "ceil_mode", 0) != 0;
    for (int i = 0; i < window->space; i++) {
        int64_t size = in->dim[2 + i];
        if (strcmp(automatic, "SAME_UPPER") == 0 || strcmp(automatic, "SAME_LOWER") == 0)
            pad_same(window, i, size, automatic[5] == 'U');
        else if (strcmp(automatic, "VALID") == 0)
            window->pad_begin[i] = window->pad_end[i] = 0;
        else if (strcmp(automatic, "NOTSET") != 0)
            return cs_node_fail(node, err, "auto_pad \"%.40s\" is not supported", automatic);
        int64_t reach = (window->kernel[i] - 1) * window->dilation[i] + 1;
        int64_t room = size + window->pad_begin[i] + window->pad_end[i] - reach;
        if (room < 0)
            return cs_node_fail(node, err, "the kernel covers %lld samples, the input has %lld",
                                (long long)reach, (long long)(room + reach));
        int64_t stride = window->stride[i];
        window->out[i] = (ceil_mode ? room + stride - 1 : room) / stride + 1;
        // A last window that would start behind the input is none.
        if (ceil_mode && (window->out[i] - 1) * stride >= size + window->pad_begin[i])
            window->out[i]--;
    }
    return 0;
}

// Sizes of space, before which N and C may be named too.
static int output_shape(const struct cs_node *node, const struct cs_window *window, int64_t *out,
                        struct cs_err *err)
{
    const struct cs_attr *attr = cs_node_attr(node, "output_shape");
    if (attr && attr->kind == CS_ATTR_INTS && attr->count == window->space + 2) {
        memcpy(out, attr->ints + 2, (size_t)window->space * sizeof *out);
        return 0;
    }
    return per_axis(node, "output_shape", window, 0, out, err);
}

static int window_transposed(const struct cs_graph *graph, const struct cs_node *node,
                             struct cs_window *window, struct cs_err *err)
{
    const struct cs_shape *in = &cs_node_input(graph, node, 0)->shape;
    const char *automatic = cs_node_string(node, "auto_pad", "NOTSET");
    bool sized = cs_node_attr(node, "output_shape") != NULL;
    int64_t extra[CS_MAX_SPACE], out[CS_MAX_SPACE];
    if (per_axis(node, "output_padding", window, 0, extra, err) < 0 ||
        output_shape(node, window, out, err) < 0)
        return -1;
    bool same = strncmp(automatic, "SAME_", 5) == 0;
    if (!same && strcmp(automatic, "NOTSET") != 0 && strcmp(automatic, "VALID") != 0)
        return cs_node_fail(node, err, "auto_pad \"%.40s\" is not supported", automatic);
    for (int i = 0; i < window->space; i++) {
        if (extra[i] < 0 || extra[i] >= MAX_WINDOW)
            return cs_node_fail(node, err, "output_padding out of range");
        int64_t full = (in->dim[2 + i] - 1) * window->stride[i] + extra[i] +
                       (window->kernel[i] - 1) * window->dilation[i] + 1;
        if (sized || same) {
            int64_t wanted = sized ? out[i] : in->dim[2 + i] * window->stride[i];
            int64_t cut = full - wanted;
            if (wanted < 1 || wanted - full >= MAX_WINDOW)
                return cs_node_fail(node, err, "output_shape %lld does not fit", (long long)wanted);
            bool upper = strcmp(automatic, "SAME_UPPER") == 0;
            // What no input reaches lies behind, like output_padding.
            window->pad_begin[i] = cut < 0 ? 0 : upper ? cut / 2 : cut - cut / 2;
            window->pad_end[i] = cut - window->pad_begin[i];
        }
        window->out[i] = full - window->pad_begin[i] - window->pad_end[i];
        if (window->out[i] < 1)
            return cs_node_fail(node, err, "pads leave nothing of the output");
    }
    return 0;
}

int cs_node_window(const struct cs_graph *graph, const struct cs_node *node,
                   struct cs_window *window, struct cs_err *err)
{
    const struct cs_value *in = cs_node_input(graph, node, 0);
    int64_t pads[2 * CS_MAX_SPACE];
    *window = (struct cs_window){0};
    if (!in || in->shape.rank < 3 || in->shape.rank > 2 + CS_MAX_SPACE)
        return cs_node_fail(node, err, "input must have 3 to %d dimensions (N,C,...)",
                            2 + CS_MAX_SPACE);
    window->space = in->shape.rank - 2;
    if (window_kernel(graph, node, window, err) < 0 ||
        per_axis(node, "strides", window, 1, window->stride, err) < 0 ||
        per_axis(node, "dilations", window, 1, window->dilation, err) < 0 ||
        cs_node_ints(node, "pads", 2 * window->space, 0, pads, err) < 0)
        return -1;
    for (int i = 0; i < window->space; i++) {
        window->pad_begin[i] = pads[i];
        window->pad_end[i] = pads[window->space + i];
    }
    window->group = cs_node_int(node, "group", 1);
    window->count_include_pad = cs_node_int(node, "count_include_pad", 0) != 0;
    if (window_check(node, window, err) < 0)
        return -1;
    return strcmp(node->op, "ConvTranspose") == 0 ? window_transposed(graph, node, window, err)
                                                  : window_forward(graph, node, window, err);
}
