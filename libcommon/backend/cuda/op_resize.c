// SPDX-License-Identifier: MIT
// Resize and Upsample.
#include "backend/cuda/call.h"

// The numbers of both headers are the same.
_Static_assert((int)CS_CUDA_CUBIC == CS_RESIZE_CUBIC && (int)CS_CUDA_CROP == CS_COORD_CROP &&
                   (int)CS_CUDA_ALIGN_CORNERS == CS_COORD_ALIGN_CORNERS &&
                   (int)CS_CUDA_CEIL == CS_ROUND_CEIL,
               "resize modes");

static int run_resize(const struct cs_cuda_step *step, const struct cs_cuda_run *run,
                      struct cs_err *err)
{
    const struct cs_cuda_call *call = cs_cuda_call_of(step);
    struct cs_cuda_tensor in = cs_cuda_in(step, run, 0), out = cs_cuda_out(step, run, 0);
    struct cs_cuda_tensor add = cs_cuda_added(step, run);
    struct cs_resize given;
    if (!out.data)
        return 0;
    if (cs_node_resize(call->graph, call->node, &given, err) < 0)
        return -1;
    struct cs_cuda_resize r = {.in = cs_cuda_volume(&in),
                               .out = cs_cuda_volume(&out),
                               .mode = (enum cs_cuda_resize_mode)given.mode,
                               .coord = (enum cs_cuda_resize_coord)given.coord,
                               .nearest = (enum cs_cuda_resize_nearest)given.nearest,
                               .antialias = given.antialias,
                               .exclude_outside = given.exclude_outside,
                               .cubic = given.cubic,
                               .extrapolation = given.extrapolation,
                               .activation = cs_cuda_fused(call->node)};
    if (add.data)
        r.add = cs_cuda_volume(&add);
    int lead = CS_CUDA_SPACE - given.space;
    for (int a = 0; a < CS_CUDA_SPACE; a++) {
        int from = a - lead; // axes before are of one element
        r.scale[a] = from < 0 ? 1 : given.scale[from];
        r.length[a] = from < 0 ? 1 : given.length[from];
        r.region[a][0] = from < 0 ? 0 : given.region[from][0];
        r.region[a][1] = from < 0 ? 1 : given.region[from][1];
    }
    return cs_cuda_resize_launch(run->stream, &r);
}

// Scales, sizes and regions are constants.
static int build_resize(struct cs_plan *plan, const struct cs_node *node, struct cs_err *err)
{
    return cs_cuda_build_call(plan, node, (struct cs_cuda_inputs){.unread = ~1ULL}, run_resize,
                              err);
}

const struct cs_cuda_op cs_cuda_resize_ops[] = {
    {"Resize", build_resize, NULL, true},
    {"Upsample", build_resize, NULL, true},
    {NULL, NULL, NULL, false},
};
