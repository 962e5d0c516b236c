// SPDX-License-Identifier: MIT
// oneDNN 3: descriptions are handles that are asked for what they hold, primitives are made in one
// call.
#include "backend/cpu/dnn_api.h"

#if DNNL_VERSION_MAJOR == 3

dnnl_status_t cs_dnn_desc_init(struct cs_dnn_desc *desc, int rank, const int64_t *dims,
                               dnnl_format_tag_t tag)
{
    dnnl_dims_t all = {0}; // the call is declared to read all of them
    for (int i = 0; i < rank; i++)
        all[i] = dims[i];
    return dnnl_memory_desc_create_with_tag(&desc->md, rank, all, dnnl_f32, tag);
}

void cs_dnn_desc_release(struct cs_dnn_desc *desc)
{
    if (desc->md)
        dnnl_memory_desc_destroy(desc->md);
    desc->md = NULL;
}

const_dnnl_memory_desc_t cs_dnn_desc_get(const struct cs_dnn_desc *desc)
{
    return desc->md;
}

static int number_of(const_dnnl_memory_desc_t md, dnnl_query_t what)
{
    int value = 0;
    return dnnl_memory_desc_query(md, what, &value) == dnnl_success ? value : 0;
}

// Append `count` of a vector's numbers.
static size_t append(const_dnnl_memory_desc_t md, dnnl_query_t what, int count, int64_t *numbers,
                     size_t n)
{
    const dnnl_dims_t *vector = NULL;
    if (dnnl_memory_desc_query(md, what, &vector) != dnnl_success || !vector)
        return n;
    for (int i = 0; i < count; i++)
        numbers[n++] = (*vector)[i];
    return n;
}

size_t cs_dnn_layout(const_dnnl_memory_desc_t md, int64_t *numbers)
{
    int rank = number_of(md, dnnl_query_ndims_s32);
    int blocks = number_of(md, dnnl_query_inner_nblks_s32);
    size_t n = 0;
    numbers[n++] = rank;
    numbers[n++] = number_of(md, dnnl_query_format_kind);
    numbers[n++] = blocks;
    n = append(md, dnnl_query_padded_dims, rank, numbers, n);
    n = append(md, dnnl_query_dims, rank, numbers, n);
    n = append(md, dnnl_query_strides, rank, numbers, n);
    n = append(md, dnnl_query_inner_blks, blocks, numbers, n);
    return append(md, dnnl_query_inner_idxs, blocks, numbers, n);
}

dnnl_status_t cs_dnn_append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef);
}

dnnl_status_t cs_dnn_append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind, float alpha,
                                    float beta)
{
    return dnnl_post_ops_append_eltwise(ops, kind, alpha, beta);
}

dnnl_status_t cs_dnn_conv_desc_create(dnnl_primitive_desc_t *made, dnnl_engine_t engine,
                                      const struct cs_dnn_conv_desc *c,
                                      const_dnnl_primitive_attr_t attr)
{
    const_dnnl_memory_desc_t bias = c->has_bias ? c->bias.md : NULL;
    return dnnl_convolution_forward_primitive_desc_create(
        made, engine, dnnl_forward_inference, dnnl_convolution_direct, c->src.md, c->weights.md,
        bias, c->dst.md, c->stride, c->dilation, c->pad_begin, c->pad_end, attr);
}

#endif
