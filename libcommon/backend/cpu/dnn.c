// SPDX-License-Identifier: MIT
// oneDNN 2.x. Activations are tagged NHWC and weights "any": oneDNN then picks its blocked weight
// order and its fastest kernels (brgconv) without reorders of activations.
#include "backend/cpu/dnn.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

#if DNNL_VERSION_MAJOR != 2
#error "this file speaks oneDNN 2"
#endif

enum { MAX_ARGS = 5 };

struct cs_dnn {
    dnnl_engine_t engine;
};

struct cs_dnn_op {
    struct cs_dnn *dnn;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t plain_weights; // as ONNX has them
};

struct cs_dnn_binding {
    dnnl_primitive_t primitive; // the op's
    dnnl_stream_t stream;
    dnnl_exec_arg_t args[MAX_ARGS];
    int arg_count;
};

static const char *status_text(dnnl_status_t status)
{
    switch (status) {
    case dnnl_out_of_memory:
        return "out of memory";
    case dnnl_invalid_arguments:
        return "invalid arguments";
    case dnnl_unimplemented:
        return "not implemented for these parameters";
    default:
        return "runtime error";
    }
}

static int fail(struct cs_err *err, const char *what, dnnl_status_t status)
{
    enum cs_code code = status == dnnl_out_of_memory   ? CS_ENOMEM
                        : status == dnnl_runtime_error ? CS_EDEVICE
                                                       : CS_EMODEL;
    return cs_fail(err, code, "oneDNN: %s: %s", what, status_text(status));
}

int cs_dnn_open(struct cs_dnn **dnn, struct cs_err *err)
{
    dnnl_engine_t engine;
    dnnl_status_t status = dnnl_engine_create(&engine, dnnl_cpu, 0);
    if (status != dnnl_success) {
        cs_fail(err, CS_EDEVICE, "oneDNN: no CPU engine: %s", status_text(status));
        return -1;
    }
    *dnn = cs_xcalloc(1, sizeof **dnn);
    (*dnn)->engine = engine;
    return 0;
}

void cs_dnn_close(struct cs_dnn *dnn)
{
    if (!dnn)
        return;
    dnnl_engine_destroy(dnn->engine);
    free(dnn);
}

static const char *isa_name(dnnl_cpu_isa_t isa)
{
    switch (isa) {
    case dnnl_cpu_isa_sse41:
        return "sse4.1";
    case dnnl_cpu_isa_avx:
        return "avx";
    case dnnl_cpu_isa_avx2:
        return "avx2";
    case dnnl_cpu_isa_avx2_vnni:
        return "avx2_vnni";
    case dnnl_cpu_isa_avx512_core:
        return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni:
        return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16:
        return "avx512_core_bf16";
    case dnnl_cpu_isa_avx512_core_amx:
        return "avx512_core_amx";
    default:
        return "generic";
    }
}

const char *cs_dnn_text(void)
{
    static char text[64];
    const dnnl_version_t *version = dnnl_version();
    snprintf(text, sizeof text, "oneDNN %d.%d.%d, %s", version->major, version->minor,
             version->patch, isa_name(dnnl_get_effective_cpu_isa()));
    return text;
}

// ---- Making ops --------------------------------------------------------------------------

// oneDNN's functions are declared to read whole dnnl_dims_t.
static const int64_t *padded(dnnl_dims_t out, const int64_t *dims, int rank)
{
    memset(out, 0, sizeof(dnnl_dims_t));
    memcpy(out, dims, (size_t)rank * sizeof *dims);
    return out;
}

static int init_desc(dnnl_memory_desc_t *desc, int rank, const int64_t *dims, dnnl_format_tag_t tag,
                     struct cs_err *err)
{
    dnnl_dims_t all;
    dnnl_status_t status =
        dnnl_memory_desc_init_by_tag(desc, rank, padded(all, dims, rank), dnnl_f32, tag);
    return status == dnnl_success ? 0 : fail(err, "tensor description", status);
}

static dnnl_status_t append_activation(dnnl_post_ops_t ops, const struct cs_dnn_conv *conv)
{
    switch (conv->activation) {
    case CS_DNN_RELU:
        return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, conv->alpha, 0);
    case CS_DNN_SIGMOID:
        return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_logistic, 0, 0);
    case CS_DNN_CLIP:
        return dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_clip_v2, conv->alpha, conv->beta);
    case CS_DNN_NONE:
        break;
    }
    return dnnl_success;
}

static int make_attr(const struct cs_dnn_conv *conv, dnnl_primitive_attr_t *attr,
                     struct cs_err *err)
{
    dnnl_post_ops_t ops = NULL;
    *attr = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(attr);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success) {
        status = dnnl_post_ops_create(&ops);
        if (status == dnnl_success && conv->sum)
            status = dnnl_post_ops_append_sum(ops, 1);
        if (status == dnnl_success)
            status = append_activation(ops, conv);
        if (status == dnnl_success)
            status = dnnl_primitive_attr_set_post_ops(*attr, ops);
        if (ops)
            dnnl_post_ops_destroy(ops);
    }
    if (status == dnnl_success)
        return 0;
    if (*attr)
        dnnl_primitive_attr_destroy(*attr);
    return fail(err, "attributes", status);
}

// Primitive descriptor and primitive from an operation descriptor; destroys attr.
static int finish_op(struct cs_dnn *dnn, const_dnnl_op_desc_t desc, dnnl_primitive_attr_t attr,
                     const dnnl_memory_desc_t *plain_weights, struct cs_dnn_op **op,
                     struct cs_err *err)
{
    struct cs_dnn_op *made = cs_xcalloc(1, sizeof *made);
    made->dnn = dnn;
    made->plain_weights = *plain_weights;
    dnnl_status_t status = dnnl_primitive_desc_create(&made->desc, desc, attr, dnn->engine, NULL);
    dnnl_primitive_attr_destroy(attr);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&made->primitive, made->desc);
    if (status != dnnl_success) {
        cs_dnn_op_free(made);
        return fail(err, "primitive", status);
    }
    *op = made;
    return 0;
}

struct conv_descs {
    dnnl_memory_desc_t src, weights, plain_weights, bias, dst;
};

static int describe_conv(const struct cs_dnn_conv *conv, struct conv_descs *descs,
                         struct cs_err *err)
{
    const int64_t src[] = {conv->batch, conv->in_channels, conv->in[0], conv->in[1]};
    const int64_t dst[] = {conv->batch, conv->out_channels, conv->out[0], conv->out[1]};
    const int64_t grouped[] = {conv->groups, conv->out_channels / conv->groups,
                               conv->in_channels / conv->groups, conv->kernel[0], conv->kernel[1]};
    bool groups = conv->groups > 1;
    const int64_t *weights = groups ? grouped : grouped + 1;
    int rank = groups ? 5 : 4;
    bool input_major = conv->transposed || conv->input_major;
    dnnl_format_tag_t plain =
        input_major ? (groups ? dnnl_giohw : dnnl_iohw) : (groups ? dnnl_goihw : dnnl_oihw);
    if (init_desc(&descs->src, 4, src, dnnl_nhwc, err) != 0 ||
        init_desc(&descs->dst, 4, dst, dnnl_nhwc, err) != 0 ||
        init_desc(&descs->weights, rank, weights, dnnl_format_tag_any, err) != 0 ||
        init_desc(&descs->plain_weights, rank, weights, plain, err) != 0)
        return -1;
    return init_desc(&descs->bias, 1, &conv->out_channels, dnnl_a, err);
}

int cs_dnn_conv_new(struct cs_dnn *dnn, const struct cs_dnn_conv *conv, struct cs_dnn_op **op,
                    struct cs_err *err)
{
    struct conv_descs descs;
    dnnl_primitive_attr_t attr;
    if (describe_conv(conv, &descs, err) != 0 || make_attr(conv, &attr, err) != 0)
        return -1;

    dnnl_dims_t stride, begin, end;
    const dnnl_dims_t dilates = {conv->dilation[0] - 1, conv->dilation[1] - 1};
    padded(stride, conv->stride, 2);
    padded(begin, conv->pad_begin, 2);
    padded(end, conv->pad_end, 2);
    const dnnl_memory_desc_t *bias = conv->bias ? &descs.bias : NULL;
    dnnl_status_t status;
    if (conv->transposed) {
        dnnl_deconvolution_desc_t desc;
        status = dnnl_dilated_deconvolution_forward_desc_init(
            &desc, dnnl_forward_inference, dnnl_deconvolution_direct, &descs.src, &descs.weights,
            bias, &descs.dst, stride, dilates, begin, end);
        if (status == dnnl_success)
            return finish_op(dnn, &desc, attr, &descs.plain_weights, op, err);
    } else {
        dnnl_convolution_desc_t desc;
        status = dnnl_dilated_convolution_forward_desc_init(
            &desc, dnnl_forward_inference, dnnl_convolution_direct, &descs.src, &descs.weights,
            bias, &descs.dst, stride, dilates, begin, end);
        if (status == dnnl_success)
            return finish_op(dnn, &desc, attr, &descs.plain_weights, op, err);
    }
    dnnl_primitive_attr_destroy(attr);
    return fail(err, "convolution", status);
}

void cs_dnn_op_free(struct cs_dnn_op *op)
{
    if (!op)
        return;
    if (op->primitive)
        dnnl_primitive_destroy(op->primitive);
    if (op->desc)
        dnnl_primitive_desc_destroy(op->desc);
    free(op);
}

static const dnnl_memory_desc_t *query(const struct cs_dnn_op *op, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(op->desc, what, 0);
}

size_t cs_dnn_op_scratch_bytes(const struct cs_dnn_op *op)
{
    return dnnl_memory_desc_get_size(query(op, dnnl_query_scratchpad_md));
}

const char *cs_dnn_op_text(const struct cs_dnn_op *op)
{
    const char *text = NULL;
    if (dnnl_primitive_desc_query(op->desc, dnnl_query_impl_info_str, 0, &text) != dnnl_success)
        return "?";
    return text;
}

// ---- Weights -----------------------------------------------------------------------------

uint64_t cs_dnn_op_weight_key(const struct cs_dnn_op *op)
{
    // The fields that decide the order of bytes; unused array tails are not to be hashed.
    const dnnl_memory_desc_t *md = query(op, dnnl_query_weights_md);
    const dnnl_blocking_desc_t *blocking = &md->format_desc.blocking;
    int64_t fields[5 * DNNL_MAX_NDIMS + 4];
    size_t n = 0;
    fields[n++] = md->ndims;
    fields[n++] = md->format_kind;
    fields[n++] = blocking->inner_nblks;
    for (int i = 0; i < md->ndims; i++) {
        fields[n++] = md->padded_dims[i];
        fields[n++] = md->dims[i];
        fields[n++] = blocking->strides[i];
    }
    for (int i = 0; i < blocking->inner_nblks; i++) {
        fields[n++] = blocking->inner_blks[i];
        fields[n++] = blocking->inner_idxs[i];
    }
    return cs_xxh3(fields, n * sizeof *fields);
}

size_t cs_dnn_op_weight_bytes(const struct cs_dnn_op *op)
{
    return dnnl_memory_desc_get_size(query(op, dnnl_query_weights_md));
}

int cs_dnn_op_pack(const struct cs_dnn_op *op, const float *weights, void *packed,
                   struct cs_err *err)
{
    dnnl_memory_t from = NULL, to = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_engine_t engine = op->dnn->engine;
    const dnnl_memory_desc_t *md = query(op, dnnl_query_weights_md);

    // oneDNN takes no pointer to const; it only reads the source.
    dnnl_status_t status =
        dnnl_memory_create(&from, &op->plain_weights, engine, (void *)(uintptr_t)weights);
    if (status == dnnl_success)
        status = dnnl_memory_create(&to, md, engine, packed);
    if (status == dnnl_success)
        status =
            dnnl_reorder_primitive_desc_create(&desc, &op->plain_weights, engine, md, engine, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&reorder, desc);
    if (status == dnnl_success)
        status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    if (status == dnnl_success) {
        dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
        status = dnnl_primitive_execute(reorder, stream, 2, args);
    }
    if (status == dnnl_success)
        status = dnnl_stream_wait(stream);
    dnnl_stream_destroy(stream);
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(desc);
    dnnl_memory_destroy(to);
    dnnl_memory_destroy(from);
    return status == dnnl_success ? 0 : fail(err, "packing weights", status);
}

// ---- Running -----------------------------------------------------------------------------

static dnnl_status_t add_arg(const struct cs_dnn_op *op, struct cs_dnn_binding *binding, int arg,
                             dnnl_query_t what, int index, const void *data)
{
    const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(op->desc, what, index);
    if (!data || !md || dnnl_memory_desc_get_size(md) == 0)
        return dnnl_success;
    dnnl_exec_arg_t *slot = &binding->args[binding->arg_count];
    dnnl_status_t status =
        dnnl_memory_create(&slot->memory, md, op->dnn->engine, (void *)(uintptr_t)data);
    if (status == dnnl_success) {
        slot->arg = arg;
        binding->arg_count++;
    }
    return status;
}

int cs_dnn_bind(const struct cs_dnn_op *op, const struct cs_dnn_memory *memory,
                struct cs_dnn_binding **binding, struct cs_err *err)
{
    struct cs_dnn_binding *made = cs_xcalloc(1, sizeof *made);
    made->primitive = op->primitive;
    dnnl_status_t status =
        dnnl_stream_create(&made->stream, op->dnn->engine, dnnl_stream_default_flags);
    if (status == dnnl_success)
        status = add_arg(op, made, DNNL_ARG_SRC, dnnl_query_src_md, 0, memory->src);
    if (status == dnnl_success)
        status = add_arg(op, made, DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0, memory->weights);
    if (status == dnnl_success && memory->bias)
        status = add_arg(op, made, DNNL_ARG_BIAS, dnnl_query_weights_md, 1, memory->bias);
    if (status == dnnl_success)
        status = add_arg(op, made, DNNL_ARG_DST, dnnl_query_dst_md, 0, memory->dst);
    if (status == dnnl_success)
        status =
            add_arg(op, made, DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md, 0, memory->scratch);
    if (status != dnnl_success) {
        cs_dnn_unbind(made);
        return fail(err, "binding memory", status);
    }
    *binding = made;
    return 0;
}

void cs_dnn_unbind(struct cs_dnn_binding *binding)
{
    if (!binding)
        return;
    for (int i = 0; i < binding->arg_count; i++)
        dnnl_memory_destroy(binding->args[i].memory);
    if (binding->stream)
        dnnl_stream_destroy(binding->stream);
    free(binding);
}

int cs_dnn_run(struct cs_dnn_binding *binding, struct cs_err *err)
{
    dnnl_status_t status = dnnl_primitive_execute(binding->primitive, binding->stream,
                                                  binding->arg_count, binding->args);
    if (status == dnnl_success)
        status = dnnl_stream_wait(binding->stream);
    return status == dnnl_success ? 0 : fail(err, "execution", status);
}

static dnnl_status_t move_arg(struct cs_dnn_binding *binding, int arg, const void *data)
{
    for (int i = 0; i < binding->arg_count; i++)
        if (binding->args[i].arg == arg)
            return dnnl_memory_set_data_handle(binding->args[i].memory, (void *)(uintptr_t)data);
    return dnnl_invalid_arguments;
}

int cs_dnn_run_at(struct cs_dnn_binding *binding, const float *src, const float *weights,
                  float *dst, struct cs_err *err)
{
    dnnl_status_t status = move_arg(binding, DNNL_ARG_SRC, src);
    if (status == dnnl_success)
        status = move_arg(binding, DNNL_ARG_WEIGHTS, weights);
    if (status == dnnl_success)
        status = move_arg(binding, DNNL_ARG_DST, dst);
    return status == dnnl_success ? cs_dnn_run(binding, err) : fail(err, "addresses", status);
}
