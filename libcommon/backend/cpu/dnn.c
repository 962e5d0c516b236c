// SPDX-License-Identifier: MIT
// oneDNN, as far as its majors 2 and 3 agree; dnn_api.h has the rest. Activations are tagged NHWC
// and weights "any": oneDNN then picks its blocked weight order and its fastest kernels (brgconv)
// without reorders of activations.
#include "backend/cpu/dnn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/dnn_api.h"
#include "base/hash.h"
#include "base/mem.h"

enum { MAX_ARGS = 5 };

struct cs_dnn {
    dnnl_engine_t engine;
};

struct cs_dnn_op {
    struct cs_dnn *dnn;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    struct cs_dnn_desc plain_weights; // as ONNX has them
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

static int limit_isa(const char *isa, struct cs_err *err)
{
    if (strcmp(isa, "avx512") == 0)
        return 0;
    // Refused once anything has asked for it: by then it was set here, from the same variable.
    dnnl_cpu_isa_t most = strcmp(isa, "plain") == 0 ? dnnl_cpu_isa_sse41 : dnnl_cpu_isa_avx2;
    return dnnl_set_max_cpu_isa(most) == dnnl_unimplemented
               ? cs_fail(err, CS_EDEVICE, "oneDNN was built without limits of the instruction set")
               : 0;
}

int cs_dnn_open(struct cs_dnn **dnn, const char *isa, struct cs_err *err)
{
    if (isa && limit_isa(isa, err) != 0)
        return -1;
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

void cs_dnn_forget(void)
{
    int capacity;
    if (dnnl_get_primitive_cache_capacity(&capacity) != dnnl_success)
        return;
    dnnl_set_primitive_cache_capacity(0);
    dnnl_set_primitive_cache_capacity(capacity);
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

static dnnl_status_t append_activation(dnnl_post_ops_t ops, const struct cs_dnn_conv *conv)
{
    switch (conv->activation) {
    case CS_DNN_RELU:
        return cs_dnn_append_eltwise(ops, dnnl_eltwise_relu, conv->alpha, 0);
    case CS_DNN_SIGMOID:
        return cs_dnn_append_eltwise(ops, dnnl_eltwise_logistic, 0, 0);
    case CS_DNN_CLIP:
        return cs_dnn_append_eltwise(ops, dnnl_eltwise_clip_v2, conv->alpha, conv->beta);
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
            status = cs_dnn_append_sum(ops);
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

static int describe(struct cs_dnn_desc *desc, int rank, const int64_t *dims, dnnl_format_tag_t tag,
                    struct cs_err *err)
{
    dnnl_status_t status = cs_dnn_desc_init(desc, rank, dims, tag);
    return status == dnnl_success ? 0 : fail(err, "tensor description", status);
}

static int describe_conv(const struct cs_dnn_conv *conv, struct cs_dnn_conv_desc *desc,
                         struct cs_dnn_desc *plain_weights, struct cs_err *err)
{
    const int64_t src[] = {conv->batch, conv->in_channels, conv->in[0], conv->in[1]};
    const int64_t dst[] = {conv->batch, conv->out_channels, conv->out[0], conv->out[1]};
    const int64_t grouped[] = {conv->groups, conv->out_channels / conv->groups,
                               conv->in_channels / conv->groups, conv->kernel[0], conv->kernel[1]};
    bool groups = conv->groups > 1;
    const int64_t *weights = groups ? grouped : grouped + 1;
    int rank = groups ? 5 : 4;
    dnnl_format_tag_t plain = groups ? dnnl_goihw : dnnl_oihw;
    *desc = (struct cs_dnn_conv_desc){.has_bias = conv->bias};
    for (int i = 0; i < 2; i++) {
        desc->stride[i] = conv->stride[i];
        desc->dilation[i] = conv->dilation[i] - 1;
        desc->pad_begin[i] = conv->pad_begin[i];
        desc->pad_end[i] = conv->pad_end[i];
    }
    if (describe(&desc->src, 4, src, dnnl_nhwc, err) != 0 ||
        describe(&desc->dst, 4, dst, dnnl_nhwc, err) != 0 ||
        describe(&desc->weights, rank, weights, dnnl_format_tag_any, err) != 0 ||
        describe(plain_weights, rank, weights, plain, err) != 0)
        return -1;
    return describe(&desc->bias, 1, &conv->out_channels, dnnl_a, err);
}

static int make_primitive(struct cs_dnn_op *op, const struct cs_dnn_conv_desc *desc,
                          const struct cs_dnn_conv *conv, struct cs_err *err)
{
    dnnl_primitive_attr_t attr;
    if (make_attr(conv, &attr, err) != 0)
        return -1;
    dnnl_status_t status = cs_dnn_conv_desc_create(&op->desc, op->dnn->engine, desc, attr);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&op->primitive, op->desc);
    dnnl_primitive_attr_destroy(attr);
    return status == dnnl_success ? 0 : fail(err, "convolution", status);
}

int cs_dnn_conv_new(struct cs_dnn *dnn, const struct cs_dnn_conv *conv, struct cs_dnn_op **op,
                    struct cs_err *err)
{
    struct cs_dnn_conv_desc desc;
    struct cs_dnn_op *made = cs_xcalloc(1, sizeof *made);
    made->dnn = dnn;
    int result = describe_conv(conv, &desc, &made->plain_weights, err);
    if (result == 0)
        result = make_primitive(made, &desc, conv, err);
    cs_dnn_desc_release(&desc.src);
    cs_dnn_desc_release(&desc.weights);
    cs_dnn_desc_release(&desc.bias);
    cs_dnn_desc_release(&desc.dst);
    if (result == 0)
        *op = made;
    else
        cs_dnn_op_free(made);
    return result;
}

void cs_dnn_op_free(struct cs_dnn_op *op)
{
    if (!op)
        return;
    if (op->primitive)
        dnnl_primitive_destroy(op->primitive);
    if (op->desc)
        dnnl_primitive_desc_destroy(op->desc);
    cs_dnn_desc_release(&op->plain_weights);
    free(op);
}

static const_dnnl_memory_desc_t query(const struct cs_dnn_op *op, dnnl_query_t what)
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
    int64_t numbers[CS_DNN_LAYOUT_MAX];
    size_t n = cs_dnn_layout(query(op, dnnl_query_weights_md), numbers);
    return cs_xxh3(numbers, n * sizeof *numbers);
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
    const_dnnl_memory_desc_t md = query(op, dnnl_query_weights_md);
    const_dnnl_memory_desc_t plain = cs_dnn_desc_get(&op->plain_weights);

    // oneDNN takes no pointer to const; it only reads the source.
    dnnl_status_t status = dnnl_memory_create(&from, plain, engine, (void *)(uintptr_t)weights);
    if (status == dnnl_success)
        status = dnnl_memory_create(&to, md, engine, packed);
    if (status == dnnl_success)
        status = dnnl_reorder_primitive_desc_create(&desc, plain, engine, md, engine, NULL);
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
    const_dnnl_memory_desc_t md = dnnl_primitive_desc_query_md(op->desc, what, index);
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
