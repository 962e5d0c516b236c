// SPDX-License-Identifier: MIT
// Which norms are done in part by convolutions, decided while a plan is made: a convolution whose
// result one InstanceNormalization reads leaves its sums; the norm's result is not made where one
// such convolution reads it, or another norm adds it, and it would lie in the operand's place.
//
// Both cost the convolution time, since its engine is another than the fastest, and save reading
// (sums) or reading and writing (map) a plane. A convolution with many terms a sum is bound by
// multiplications and gains nothing: with M terms an output, a GPU of 200 fp16 operations a byte
// (H100: 700 TFLOP/s that convolutions reach, 3.35 TB/s) takes 200 / M of its time for reading the
// result once more. The limit is where that is 8 %.
//
// A variance from sums is that of the squares less the mean's: it loses mean^2 / variance times the
// rounding of the sums, some 1e-6, which fp16 can spare.
#include "backend/cuda/late.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/params.h"

enum {
    CHANNELS = 1,
    VECTOR = 8, // numbers to which vectors are padded
    MOST_TERMS = 2560,
    LEAST_PIXELS = 1024,  // of planes that are not read twice anyway
    LEAST_ALONE = 1 << 16 // pixels of an image that keeps a GPU busy by itself
};

void cs_cuda_late_init(struct cs_plan *plan)
{
    plan->late = cs_xcalloc((size_t)plan->graph->value_count + 1, sizeof *plan->late);
}

void cs_cuda_late_release(struct cs_plan *plan)
{
    for (int v = 0; plan->late && v < plan->graph->value_count; v++)
        cs_cuda_engine_free(plan->late[v].engine);
    free(plan->late);
}

static const int64_t *dim_of(const struct cs_plan *plan, int value)
{
    return plan->graph->values[value].shape.dim;
}

int64_t cs_cuda_late_pitch(int64_t channels)
{
    return (channels + VECTOR - 1) / VECTOR * VECTOR;
}

// Two vectors an image.
static size_t keep_vectors(struct cs_plan *plan, int value, size_t bytes)
{
    const int64_t *dim = dim_of(plan, value);
    return cs_cuda_keep(plan, (size_t)(2 * dim[0] * cs_cuda_late_pitch(dim[CHANNELS])) * bytes);
}

static void *late_at(const struct cs_cuda_run *run, size_t at)
{
    return at == CS_CUDA_NOT_LATE ? NULL : run->kept + at;
}

size_t *cs_cuda_early(const struct cs_plan *plan, int value)
{
    return &plan->late[value].early;
}

float *cs_cuda_sums(const struct cs_cuda_run *run, int value)
{
    return late_at(run, run->plan->late[value].sums);
}

void *cs_cuda_map(const struct cs_cuda_run *run, int value, enum cs_cuda_type *type)
{
    *type = run->plan->late[value].map_type;
    return late_at(run, run->plan->late[value].map);
}

// ---- Which --------------------------------------------------------------------------------

// The node of this operator that reads the value as its first input, where nobody else does.
static const struct cs_node *sole_reader(const struct cs_graph *graph, int value, const char *op)
{
    const struct cs_node *found = NULL;
    if (graph->values[value].uses != 1)
        return NULL;
    for (int n = 0; n < graph->node_count && !found; n++)
        if (graph->nodes[n].inputs[0] == value && strcmp(graph->nodes[n].op, op) == 0)
            found = &graph->nodes[n];
    return found;
}

static bool is_plain(const struct cs_node *node)
{
    return !cs_node_fuses(node);
}

static bool is_dense(const struct cs_plan *plan, int value)
{
    return plan->memory.places[value].stride[3] == dim_of(plan, value)[CHANNELS];
}

static bool is_measured(const struct cs_plan *plan, const struct cs_node *conv)
{
    const struct cs_value *w = cs_node_input(plan->graph, conv, 1);
    if (plan->precision != CS_FP16 || plan->direct || strcmp(conv->op, "Conv") != 0 ||
        !is_plain(conv) || cs_node_int(conv, "group", 1) != 1 || w->shape.rank != 4)
        return false;
    const int64_t *dim = dim_of(plan, conv->outputs[0]), *taps = w->shape.dim;
    int64_t pixels = dim[2] * dim[3];
    return taps[1] * taps[2] * taps[3] <= MOST_TERMS && pixels > LEAST_PIXELS &&
           (dim[0] == 1 || pixels >= LEAST_ALONE) && is_dense(plan, conv->outputs[0]) &&
           sole_reader(plan->graph, conv->outputs[0], "InstanceNormalization");
}

static struct cs_cuda_engine *make_engine(struct cs_plan *plan, const struct cs_node *node,
                                          bool mapped)
{
    struct cs_cuda_dnn_conv conv;
    struct cs_cuda_engine *engine = NULL;
    if (cs_cuda_describe_conv(plan, node, &conv, NULL) != 0)
        return NULL;
    conv.x[0] = conv.y[0] = 1;
    conv.measured = true;
    conv.mapped = mapped;
    return cs_cuda_engine_new(plan->network->device->dnn, &conv, &engine, NULL) == 0 ? engine
                                                                                     : NULL;
}

struct cs_cuda_engine *cs_cuda_late_engine(struct cs_plan *plan, const struct cs_node *conv)
{
    struct cs_cuda_late *operand = &plan->late[conv->inputs[0]];
    struct cs_cuda_engine *engine = operand->engine;
    operand->engine = NULL;
    if (!engine && is_measured(plan, conv))
        engine = make_engine(plan, conv, false);
    if (engine)
        plan->late[conv->outputs[0]].sums = keep_vectors(plan, conv->outputs[0], sizeof(float));
    return engine;
}

static bool same_place(const struct cs_plan *plan, int a, int b)
{
    const struct cs_cuda_place *x = &plan->memory.places[a], *y = &plan->memory.places[b];
    return x->offset == y->offset && memcmp(x->stride, y->stride, sizeof x->stride) == 0;
}

// A convolution of this plan that applies the norm and ReLU while it loads.
static bool convolution_takes(struct cs_plan *plan, int value)
{
    const struct cs_node *reader = sole_reader(plan->graph, value, "Conv");
    if (!reader || !is_measured(plan, reader))
        return false;
    const int64_t *taps = dim_of(plan, reader->inputs[1]);
    if (taps[0] * taps[2] * taps[3] <= MOST_TERMS)
        plan->late[value].engine = make_engine(plan, reader, true);
    return plan->late[value].engine != NULL;
}

// A norm that adds the value to its own result.
static bool norm_takes(const struct cs_graph *graph, int value)
{
    bool found = false;
    for (int n = 0; n < graph->node_count && !found; n++)
        found = graph->nodes[n].fusion.add == value &&
                strcmp(graph->nodes[n].op, "InstanceNormalization") == 0;
    return found && graph->values[value].uses == 1;
}

bool cs_cuda_defer(struct cs_plan *plan, const struct cs_node *norm)
{
    int in = norm->inputs[0], out = norm->outputs[0];
    const char *activation = norm->fusion.activation;
    if (plan->late[in].sums == CS_CUDA_NOT_LATE || norm->fusion.add >= 0 ||
        !same_place(plan, in, out))
        return false;
    bool mapped = activation && strcmp(activation, "Relu") == 0 && convolution_takes(plan, out);
    if (!mapped && (activation || !norm_takes(plan->graph, out)))
        return false;
    plan->late[out].map_type = mapped ? CS_CUDA_F16 : CS_CUDA_F32;
    plan->late[out].map = keep_vectors(plan, out, cs_cuda_type_bytes(plan->late[out].map_type));
    return true;
}
