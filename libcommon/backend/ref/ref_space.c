// SPDX-License-Identifier: MIT
// Lines and planes as volumes of depth and height 1, so that windows have one form.
#include "backend/ref/ref_kernels.h"

void cs_ref_window(const struct cs_ref_call *call, struct cs_window *window)
{
    struct cs_window w;
    cs_node_window(call->graph, call->node, &w, NULL);
    int lead = CS_MAX_SPACE - w.space;
    *window = w;
    window->space = CS_MAX_SPACE;
    for (int a = 0; a < CS_MAX_SPACE; a++) {
        int from = a - lead;
        window->kernel[a] = from < 0 ? 1 : w.kernel[from];
        window->stride[a] = from < 0 ? 1 : w.stride[from];
        window->dilation[a] = from < 0 ? 1 : w.dilation[from];
        window->pad_begin[a] = from < 0 ? 0 : w.pad_begin[from];
        window->pad_end[a] = from < 0 ? 0 : w.pad_end[from];
        window->out[a] = from < 0 ? 1 : w.out[from];
    }
}

void cs_ref_space(const struct cs_shape *shape, int64_t sizes[CS_MAX_SPACE])
{
    int lead = CS_MAX_SPACE - (shape->rank - 2);
    for (int a = 0; a < CS_MAX_SPACE; a++)
        sizes[a] = a < lead ? 1 : shape->dim[2 + a - lead];
}
