// SPDX-License-Identifier: MIT
// Constants that take part in work on images (position embeddings, maps to be enlarged), packed
// channels last as those lie.
#include "backend/cpu/cpu.h"

static int fill_turned(const void *context, const void *data, void *packed, struct cs_err *err)
{
    (void)err;
    float *const base[] = {packed, (float *)(uintptr_t)data}; // the data is only read
    cs_nd_copy(context, base);
    return 0;
}

int cs_cpu_turn_constant(struct cs_plan *plan, int value, struct cs_cpu_place *place,
                         int64_t stride[CS_MAX_RANK], struct cs_err *err)
{
    const struct cs_value *v = &plan->graph->values[value];
    struct cs_nd *nd = cs_cpu_params(plan, sizeof *nd);
    int64_t from[CS_MAX_RANK];
    cs_nd_dense(&v->shape, false, from);
    cs_nd_dense(&v->shape, true, stride);
    cs_nd_init(nd, &v->shape);
    cs_nd_add(nd, stride);
    cs_nd_add(nd, from);
    cs_nd_simplify(nd);
    *place = (struct cs_cpu_place){
        .constant = cs_cpu_pack(plan, v, 0x7475726e65640000U, // "turned"
                                (size_t)cs_shape_elements(&v->shape) * sizeof(float), fill_turned,
                                nd, err)};
    return place->constant ? 0 : -1;
}
