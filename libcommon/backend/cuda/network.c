// SPDX-License-Identifier: MIT
// Constants on the device: uploaded once for all plans and slots that want them in the same form,
// and released with the last plan that does.
#include <cuda_runtime_api.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/inside.h"
#include "base/mem.h"

int cs_cuda_network_open(struct cs_device *device, struct cs_network **network, struct cs_err *err)
{
    (void)err;
    *network = cs_xcalloc(1, sizeof **network);
    (*network)->device = device;
    return 0;
}

void cs_cuda_network_close(struct cs_network *network)
{
    if (!network)
        return;
    free(network->packed); // empty: plans are closed before their network
    free(network);
}

// ---- Packed constants --------------------------------------------------------------------

static void keep(struct cs_cuda_packed ***list, int *count, int *capacity,
                 struct cs_cuda_packed *packed)
{
    if (*count == *capacity) {
        *capacity = *capacity ? 2 * *capacity : 64;
        *list = cs_xrealloc(*list, (size_t)*capacity, sizeof **list);
    }
    (*list)[(*count)++] = packed;
}

static void use(struct cs_plan *plan, struct cs_cuda_packed *packed)
{
    for (int i = 0; i < plan->packed_count; i++)
        if (plan->packed[i] == packed)
            return;
    packed->plans++;
    keep(&plan->packed, &plan->packed_count, &plan->packed_capacity, packed);
}

static struct cs_cuda_packed *find(const struct cs_network *network, const void *data, uint64_t key,
                                   size_t bytes)
{
    for (int i = 0; i < network->packed_count; i++) {
        struct cs_cuda_packed *p = network->packed[i];
        if (p->data == data && p->key == key && p->bytes == bytes)
            return p;
    }
    return NULL;
}

// Memory that is not pinned: the call may return before the last part has arrived, and the slots'
// streams wait for nobody.
static int copy_up(void *device, const void *host, size_t bytes, struct cs_err *err)
{
    cudaError_t code = cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice);
    if (code == cudaSuccess)
        code = cudaStreamSynchronize(cudaStreamLegacy);
    return cs_cuda_check((int)code, "uploading weights", err);
}

// What fill makes of the constant, on the device; NULL with err.
static void *upload(const struct cs_value *constant, size_t bytes, cs_cuda_fill *fill,
                    const void *context, struct cs_err *err)
{
    struct cs_constant_hold hold;
    void *host = cs_alloc(bytes ? bytes : 1, 1, "weights on their way to the device", err);
    void *device = host ? cs_cuda_alloc(bytes, "weights", err) : NULL;
    const void *data = device ? cs_constant_hold(constant, &hold, err) : NULL;
    bool done = data && fill(context, constant, data, host, err) == 0 &&
                copy_up(device, host, bytes, err) == 0;
    if (device)
        cs_constant_release(&hold);
    free(host);
    if (!done) {
        cs_cuda_free(device);
        return NULL;
    }
    return device;
}

void *cs_cuda_pack(struct cs_plan *plan, int value, uint64_t key, size_t bytes, cs_cuda_fill *fill,
                   const void *context, struct cs_err *err)
{
    struct cs_network *network = plan->network;
    const struct cs_value *constant = &plan->graph->values[value];
    struct cs_cuda_packed *packed = find(network, constant->data, key, bytes);
    if (!packed) {
        void *device = upload(constant, bytes, fill, context, err);
        if (!device)
            return NULL;
        packed = cs_xcalloc(1, sizeof *packed);
        *packed = (struct cs_cuda_packed){constant->data, key, bytes, device, 0};
        keep(&network->packed, &network->packed_count, &network->packed_capacity, packed);
        network->packed_bytes += bytes;
    }
    use(plan, packed);
    return packed->device;
}

void cs_cuda_drop_packed(struct cs_plan *plan)
{
    struct cs_network *network = plan->network;
    for (int i = 0; i < plan->packed_count; i++)
        plan->packed[i]->plans--;
    int kept = 0;
    for (int i = 0; i < network->packed_count; i++) {
        struct cs_cuda_packed *p = network->packed[i];
        if (p->plans > 0) {
            network->packed[kept++] = p;
            continue;
        }
        network->packed_bytes -= p->bytes;
        cs_cuda_free(p->device);
        free(p);
    }
    network->packed_count = kept;
    free(plan->packed);
    plan->packed = NULL;
    plan->packed_count = plan->packed_capacity = 0;
}

// ---- Constants as they are ---------------------------------------------------------------

static int fill_plain(const void *context, const struct cs_value *constant, const void *data,
                      void *host, struct cs_err *err)
{
    const enum cs_cuda_type *type = context;
    int64_t count = cs_shape_elements(&constant->shape);
    (void)err;
    if (*type == CS_CUDA_F16 && constant->type == CS_TYPE_F32) {
        const float *from = data;
        uint16_t *to = host;
        for (int64_t i = 0; i < count; i++)
            to[i] = cs_cuda_half(from[i]);
    } else {
        memcpy(host, data, (size_t)count * cs_type_bytes(constant->type));
    }
    return 0;
}

int cs_cuda_constant(struct cs_plan *plan, int value, enum cs_cuda_type type,
                     struct cs_cuda_tensor *tensor, struct cs_err *err)
{
    const struct cs_value *v = &plan->graph->values[value];
    type = cs_cuda_type_of(v, type);
    size_t bytes = (size_t)cs_shape_elements(&v->shape) * cs_cuda_type_bytes(type);
    *tensor = (struct cs_cuda_tensor){.type = type, .rank = v->shape.rank};
    memcpy(tensor->dim, v->shape.dim, sizeof tensor->dim);
    cs_cuda_dense(&v->shape, false, tensor->stride);
    // Keys of other forms are larger than any type.
    tensor->data = cs_cuda_pack(plan, value, (uint64_t)type, bytes, fill_plain, &type, err);
    return tensor->data ? 0 : -1;
}
