// SPDX-License-Identifier: MIT
// For dnn*.c only: what oneDNN 2 and 3 do by different calls. dnn_v2.c or dnn_v3.c does it, as the
// installed header says.
#ifndef CS_BACKEND_CPU_DNN_API_H
#define CS_BACKEND_CPU_DNN_API_H

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stddef.h>

#if DNNL_VERSION_MAJOR == 2
// Descriptions of tensors are structs there and have no handles; this is what 3 calls a borrowed
// one.
#define const_dnnl_memory_desc_t const dnnl_memory_desc_t *
#elif DNNL_VERSION_MAJOR != 3
#error "oneDNN 2 or 3 is needed"
#endif

// A description of a tensor, owned. All zeros: none.
struct cs_dnn_desc {
    dnnl_memory_desc_t md;
};
dnnl_status_t cs_dnn_desc_init(struct cs_dnn_desc *desc, int rank, const int64_t *dims,
                               dnnl_format_tag_t tag); // of floats
void cs_dnn_desc_release(struct cs_dnn_desc *desc);
const_dnnl_memory_desc_t cs_dnn_desc_get(const struct cs_dnn_desc *desc);

// Numbers that decide the order of a blocked tensor's bytes, at most so many. Returns how many.
enum { CS_DNN_LAYOUT_MAX = 5 * DNNL_MAX_NDIMS + 3 };
size_t cs_dnn_layout(const_dnnl_memory_desc_t md, int64_t *numbers);

dnnl_status_t cs_dnn_append_sum(dnnl_post_ops_t ops);
dnnl_status_t cs_dnn_append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind, float alpha,
                                    float beta);

// The primitive of a convolution.
struct cs_dnn_conv_desc {
    bool has_bias;
    struct cs_dnn_desc src, weights, bias, dst;
    dnnl_dims_t stride, dilation, pad_begin, pad_end; // dilation as oneDNN counts: 0 for none
};
dnnl_status_t cs_dnn_conv_desc_create(dnnl_primitive_desc_t *made, dnnl_engine_t engine,
                                      const struct cs_dnn_conv_desc *conv,
                                      const_dnnl_primitive_attr_t attr);

#endif
