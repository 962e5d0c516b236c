// SPDX-License-Identifier: MIT
// Packed constants: what steps make of the weights, once for all plans and slots. A plan says at
// its building what it will want, and gets an address; memory is used, and work done, when its
// first slot opens. Layers are then packed side by side, largest first, each by one thread: the
// samples of a layer are in memory no longer than that takes.
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backend/cpu/cpu.h"
#include "base/mem.h"

enum { MAPPED_BYTES = 64 << 10 }; // from here on by the page, so that they go back to the system

struct cs_cpu_packed {
    const void *data; // of the graph's constant
    uint64_t key;     // what was made of it
    void *memory;
    size_t bytes;
    int plans; // that use it
    bool filled;
};

static void *alloc_packed(size_t bytes, struct cs_err *err)
{
    if (bytes < MAPPED_BYTES)
        return cs_alloc(bytes, 1, "packed weights", err);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) {
        madvise(memory, bytes, MADV_HUGEPAGE); // weights come from memory once a layer
        return memory;
    }
    cs_fail_errno(err, CS_ENOMEM, "packed weights: %zu bytes", bytes);
    return NULL;
}

static void free_packed(struct cs_cpu_packed *packed)
{
    if (packed->bytes < MAPPED_BYTES)
        free(packed->memory);
    else
        munmap(packed->memory, packed->bytes);
    free(packed);
}

static struct cs_cpu_packed *find(const struct cs_network *network, const void *data, uint64_t key,
                                  size_t bytes)
{
    for (int i = 0; i < network->packed_count; i++) {
        struct cs_cpu_packed *packed = network->packed[i];
        if (packed->data == data && packed->key == key && packed->bytes == bytes)
            return packed;
    }
    return NULL;
}

static struct cs_cpu_packed *add(struct cs_network *network, const void *data, uint64_t key,
                                 size_t bytes, struct cs_err *err)
{
    void *memory = alloc_packed(bytes, err);
    if (!memory)
        return NULL;
    if (network->packed_count == network->packed_capacity) {
        network->packed_capacity = network->packed_capacity ? 2 * network->packed_capacity : 64;
        network->packed =
            cs_xrealloc(network->packed, (size_t)network->packed_capacity, sizeof *network->packed);
    }
    struct cs_cpu_packed *made = cs_xcalloc(1, sizeof *made);
    *made = (struct cs_cpu_packed){.data = data, .key = key, .memory = memory, .bytes = bytes};
    network->packed[network->packed_count++] = made;
    network->packed_bytes += bytes;
    return made;
}

void *cs_cpu_pack(struct cs_plan *plan, const struct cs_value *constant, uint64_t key, size_t bytes,
                  cs_cpu_fill *fill, const void *context, struct cs_err *err)
{
    struct cs_cpu_packed *packed = find(plan->network, constant->data, key, bytes);
    if (!packed && !(packed = add(plan->network, constant->data, key, bytes, err)))
        return NULL;
    packed->plans++;
    if (plan->want_count == plan->want_capacity) {
        plan->want_capacity = plan->want_capacity ? 2 * plan->want_capacity : 64;
        plan->wants = cs_xrealloc(plan->wants, (size_t)plan->want_capacity, sizeof *plan->wants);
    }
    plan->wants[plan->want_count++] = (struct cs_cpu_want){packed, constant, fill, context};
    return packed->memory;
}

static int fill_weights(const void *context, const void *data, void *packed, struct cs_err *err)
{
    return cs_dnn_op_pack(context, data, packed, err);
}

const float *cs_cpu_pack_weights(struct cs_plan *plan, const struct cs_dnn_op *op,
                                 const struct cs_value *weights, struct cs_err *err)
{
    return cs_cpu_pack(plan, weights, cs_dnn_op_weight_key(op), cs_dnn_op_weight_bytes(op),
                       fill_weights, op, err);
}

// ---- Copies ------------------------------------------------------------------------------

static const uint64_t plain_key = UINT64_C(0x706c61696e); // "plain"

static size_t plain_bytes(const struct cs_value *constant)
{
    return (size_t)cs_shape_elements(&constant->shape) * cs_type_bytes(constant->type);
}

static int fill_plain(const void *context, const void *data, void *packed, struct cs_err *err)
{
    (void)err;
    memcpy(packed, data, plain_bytes(context));
    return 0;
}

int cs_cpu_need_plain(struct cs_plan *plan, const struct cs_value *constant, struct cs_err *err)
{
    return cs_cpu_pack(plan, constant, plain_key, plain_bytes(constant), fill_plain, constant, err)
               ? 0
               : -1;
}

const void *cs_cpu_plain(const struct cs_plan *plan, const struct cs_value *constant)
{
    const struct cs_cpu_packed *copy =
        find(plan->network, constant->data, plain_key, plain_bytes(constant));
    return copy ? copy->memory : constant->data; // a step that packs it does not read it
}

// ---- Filling -----------------------------------------------------------------------------

// Largest samples first: the last ones, with nearly everything packed, shall need little beside it.
static int by_size(const void *a, const void *b)
{
    const struct cs_cpu_want *x = a, *y = b;
    int64_t m = cs_shape_elements(&x->constant->shape), n = cs_shape_elements(&y->constant->shape);
    return m < n ? 1 : m > n ? -1 : 0;
}

static int fill(const struct cs_cpu_want *want, struct cs_err *err)
{
    struct cs_constant_hold hold;
    const void *data = cs_constant_hold(want->constant, &hold, err);
    int result = data ? want->fill(want->context, data, want->packed->memory, err) : -1;
    cs_constant_release(&hold);
    return result;
}

int cs_cpu_fill_packed(struct cs_plan *const *plans, int plan_count, struct cs_err *err)
{
    int total = 0, count = 0, failed = 0;
    for (int p = 0; p < plan_count; p++)
        total += plans[p]->want_count;
    struct cs_cpu_want *todo = cs_xcalloc((size_t)total + 1, sizeof *todo);
    for (int p = 0; p < plan_count; p++)
        for (int i = 0; i < plans[p]->want_count; i++) {
            const struct cs_cpu_want *want = &plans[p]->wants[i];
            if (!want->packed->filled) {
                want->packed->filled = true; // once, whoever wants it too
                todo[count++] = *want;
            }
        }
    qsort(todo, (size_t)count, sizeof *todo, by_size);
    if (count)
        omp_set_num_threads(plans[0]->network->device->threads);
#pragma omp parallel for schedule(dynamic, 1)
    for (int i = 0; i < count; i++) {
        struct cs_err why = {0};
        if (fill(&todo[i], &why) == 0)
            continue;
        todo[i].packed->filled = false;
#pragma omp critical(cs_cpu_fill)
        if (!failed++)
            *err = why;
    }
    free(todo);
    if (count)
        cs_dnn_forget(); // how the weights were reordered
    return failed ? -1 : 0;
}

size_t cs_cpu_filled_bytes(const struct cs_network *network)
{
    size_t total = 0;
    for (int i = 0; i < network->packed_count; i++)
        total += network->packed[i]->filled ? network->packed[i]->bytes : 0;
    return total;
}

void cs_cpu_drop_packed(struct cs_plan *plan)
{
    struct cs_network *network = plan->network;
    for (int i = 0; i < plan->want_count; i++)
        plan->wants[i].packed->plans--;
    int kept = 0;
    for (int i = 0; i < network->packed_count; i++) {
        struct cs_cpu_packed *packed = network->packed[i];
        if (packed->plans) {
            network->packed[kept++] = packed;
            continue;
        }
        network->packed_bytes -= packed->bytes;
        free_packed(packed);
    }
    network->packed_count = kept;
    free(plan->wants);
    plan->wants = NULL;
    plan->want_count = plan->want_capacity = 0;
}
