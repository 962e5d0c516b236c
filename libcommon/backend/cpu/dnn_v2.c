// SPDX-License-Identifier: MIT
// oneDNN 2: descriptions are structs, primitives are made by way of operation descriptors.
#include "backend/cpu/dnn_api.h"

#if DNNL_VERSION_MAJOR == 2

dnnl_status_t cs_dnn_desc_init(struct cs_dnn_desc *desc, int rank, const int64_t *dims,
                               dnnl_format_tag_t tag)
{
    dnnl_dims_t all = {0}; // the call is declared to read all of them
    for (int i = 0; i < rank; i++)
        all[i] = dims[i];
    return dnnl_memory_desc_init_by_tag(&desc->md, rank, all, dnnl_f32, tag);
}

void cs_dnn_desc_release(struct cs_dnn_desc *desc)
{
    *desc = (struct cs_dnn_desc){.md = {.ndims = 0}};
}

const_dnnl_memory_desc_t cs_dnn_desc_get(const struct cs_dnn_desc *desc)
{
    return &desc->md;
}

size_t cs_dnn_layout(const_dnnl_memory_desc_t md, int64_t *numbers)
{
    const dnnl_blocking_desc_t *blocking = &md->format_desc.blocking;
    size_t n = 0;
    numbers[n++] = md->ndims;
    numbers[n++] = md->format_kind;
    numbers[n++] = blocking->inner_nblks;
    for (int i = 0; i < md->ndims; i++) {
        numbers[n++] = md->padded_dims[i];
        numbers[n++] = md->dims[i];
        numbers[n++] = blocking->strides[i];
    }
    for (int i = 0; i < blocking->inner_nblks; i++) {
        numbers[n++] = blocking->inner_blks[i];
        numbers[n++] = blocking->inner_idxs[i];
    }
    return n;
}

dnnl_status_t cs_dnn_append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1);
}

dnnl_status_t cs_dnn_append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind, float alpha,
                                    float beta)
{
    return dnnl_post_ops_append_eltwise(ops, 1, kind, alpha, beta);
}

dnnl_status_t cs_dnn_conv_desc_create(dnnl_primitive_desc_t *made, dnnl_engine_t engine,
                                      const struct cs_dnn_conv_desc *c,
                                      const_dnnl_primitive_attr_t attr)
{
    const dnnl_memory_desc_t *bias = c->has_bias ? &c->bias.md : NULL;
    dnnl_convolution_desc_t desc;
    dnnl_status_t status = dnnl_dilated_convolution_forward_desc_init(
        &desc, dnnl_forward_inference, dnnl_convolution_direct, &c->src.md, &c->weights.md, bias,
        &c->dst.md, c->stride, c->dilation, c->pad_begin, c->pad_end);
    return status != dnnl_success ? status
                                  : dnnl_primitive_desc_create(made, &desc, attr, engine, NULL);
}

#endif
