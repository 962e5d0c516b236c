// SPDX-License-Identifier: MIT
// onnx-case [-d ref|cpu|cuda] DIR...: runs cases in the layout of the ONNX project's own:
// DIR/model.onnx, DIR/test_data_set_N/input_K.pb and output_K.pb. Prints a line
// "pass|fail|unsupported NAME reason" a case and the totals. Results may be off by 1e-3 of the
// expected value, which is the ONNX project's own rule; more than 1e-5 is said. Exit status 0 when
// nothing failed, 1 when something did, 2 for wrong use.
//
// The cases feed everything at run time, but the engine takes sizes, axes and scales from constants
// only. So a case that is refused with all inputs at run time is tried with those as constants that
// no node reads as its first input, and at last with all of them; the reason says so. Each case has
// a process of its own, so that a crash is one failure.
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "model/onnx_tensor.h"
#include "netrun.h"

enum { MAX_TENSOR_BYTES = 1 << 28, UNSUPPORTED = 4 };

struct tensors {
    struct cs_onnx_tensor list[CS_MAX_NODE_IO];
    int count;
};

struct data_set {
    struct cs_onnx_store store;
    struct tensors inputs, outputs;
};

// ---- Files -----------------------------------------------------------------------------------

static int read_tensor(struct cs_onnx_store *store, const char *path, struct cs_onnx_tensor *tensor,
                       struct cs_err *err)
{
    struct cs_buf bytes = {0};
    if (cs_read_file(path, MAX_TENSOR_BYTES, &bytes, err) < 0)
        return -1;
    Onnx__TensorProto *proto =
        onnx__tensor_proto__unpack(NULL, bytes.len, (const uint8_t *)bytes.data);
    int result;
    if (!proto)
        result = cs_fail(err, CS_EMODEL, "%s is no tensor", path);
    else if (cs_onnx_type(proto->data_type) == CS_TYPE_NONE)
        result = cs_fail(err, CS_EMODEL, "tensors of type %d are not supported", proto->data_type);
    else
        result = cs_onnx_tensor_read(store, proto, NULL, tensor, err);
    if (result == 0) { // the message goes
        size_t size = (size_t)cs_shape_elements(&tensor->shape) * cs_type_bytes(tensor->type);
        tensor->data = cs_onnx_store_copy(store, tensor->data, size);
    }
    if (proto)
        onnx__tensor_proto__free_unpacked(proto, NULL);
    cs_buf_release(&bytes);
    return result;
}

static int read_tensors(struct cs_onnx_store *store, const char *folder, const char *what,
                        struct tensors *tensors, struct cs_err *err)
{
    int result = 0;
    for (tensors->count = 0; result == 0 && tensors->count < CS_MAX_NODE_IO; tensors->count++) {
        char *path = cs_xasprintf("%s/%s_%d.pb", folder, what, tensors->count);
        bool there = access(path, F_OK) == 0;
        if (there)
            result = read_tensor(store, path, &tensors->list[tensors->count], err);
        free(path);
        if (!there)
            break;
    }
    return result;
}

// ---- Running ---------------------------------------------------------------------------------

static bool leads(const struct cs_graph *graph, int value)
{
    for (int n = 0; n < graph->node_count; n++)
        if (graph->nodes[n].input_count && graph->nodes[n].inputs[0] == value)
            return true;
    return false;
}

enum binding { ALL_AT_RUN_TIME, LEADING_AT_RUN_TIME, ALL_CONSTANT, BINDINGS };

// Makes inputs constants; fills in what is left to feed, and the shapes of that.
static int bind(struct cs_graph *graph, const struct tensors *given, enum binding binding,
                const void **fed, struct cs_shape *shapes, struct cs_err *err)
{
    int left = 0;
    if (graph->input_count != given->count)
        return cs_fail(err, CS_EMODEL, "%d inputs are given for %d", given->count,
                       graph->input_count);
    for (int i = 0; i < given->count; i++) {
        int value = graph->inputs[i];
        const struct cs_onnx_tensor *tensor = &given->list[i];
        if (graph->values[value].type != tensor->type)
            return cs_fail(err, CS_EMODEL, "input %d is of another type", i);
        if (binding == ALL_CONSTANT || (binding == LEADING_AT_RUN_TIME && !leads(graph, value))) {
            graph->values[value].shape = tensor->shape;
            graph->values[value].data = tensor->data;
            continue;
        }
        fed[left] = tensor->data;
        shapes[left] = tensor->shape;
        graph->inputs[left++] = value;
    }
    graph->input_count = left;
    return cs_graph_finish(graph, err);
}

// By how much of the expected value a result is off, beyond 1e-6.
static float error_of(float got, float expected)
{
    if (isnan(got) || isnan(expected))
        return isnan(got) && isnan(expected) ? 0 : INFINITY;
    float difference = got == expected ? 0 : fabsf(got - expected) - 1e-6f;
    return difference <= 0 ? 0 : difference / fabsf(expected);
}

static int compare(const struct cs_value *value, const void *got,
                   const struct cs_onnx_tensor *expected, int output, float *worst,
                   struct cs_err *err)
{
    char text[2][128];
    int64_t count = cs_shape_elements(&expected->shape);
    size_t bytes = cs_type_bytes(expected->type);
    if (value->type != expected->type)
        return cs_fail(err, CS_EDEVICE, "output %d is %s, not %s", output,
                       cs_type_name(value->type), cs_type_name(expected->type));
    if (!cs_shape_equal(&value->shape, &expected->shape)) {
        cs_shape_text(&value->shape, text[0], sizeof text[0]);
        cs_shape_text(&expected->shape, text[1], sizeof text[1]);
        return cs_fail(err, CS_EDEVICE, "output %d is %s, not %s", output, text[0], text[1]);
    }
    for (int64_t i = 0; i < count; i++) {
        const char *a = (const char *)got + i * (int64_t)bytes;
        const char *b = (const char *)expected->data + i * (int64_t)bytes;
        float x, y;
        if (expected->type != CS_TYPE_F32 && memcmp(a, b, bytes) != 0)
            return cs_fail(err, CS_EDEVICE, "output %d differs at element %lld", output,
                           (long long)i);
        if (expected->type != CS_TYPE_F32)
            continue;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        *worst = fmaxf(*worst, error_of(x, y));
        if (error_of(x, y) > 1e-3f)
            return cs_fail(err, CS_EDEVICE, "output %d is %.9g, not %.9g, at element %lld", output,
                           (double)x, (double)y, (long long)i);
    }
    return 0;
}

static int run_and_compare(struct netrun *net, const void *const *fed,
                           const struct tensors *expected, float *worst, struct cs_err *err)
{
    void *outputs[CS_MAX_NODE_IO] = {NULL};
    const struct cs_graph *graph = &net->concrete;
    for (int i = 0; i < graph->output_count; i++) {
        const struct cs_value *value = &graph->values[graph->outputs[i]];
        outputs[i] = cs_xcalloc((size_t)cs_shape_elements(&value->shape) + 1, 8);
    }
    int result = net->backend->run_tensors(net->slot, net->plan, fed, outputs, err);
    if (result < 0)
        err->code = CS_EDEVICE; // a wrong run is no refusal
    for (int i = 0; result == 0 && i < graph->output_count; i++)
        result = compare(&graph->values[graph->outputs[i]], outputs[i], &expected->list[i], i,
                         worst, err);
    for (int i = 0; i < graph->output_count; i++)
        free(outputs[i]);
    return result;
}

static int run_bound(const char *model, const char *backend, const struct data_set *set,
                     enum binding binding, float *worst, struct cs_err *err)
{
    struct netrun net = {0};
    const void *fed[CS_MAX_NODE_IO] = {NULL};
    struct cs_shape shapes[CS_MAX_NODE_IO];
    if (cs_onnx_read(model, &net.graph, &net.file, err) < 0)
        return -1;
    int result = bind(&net.graph, &set->inputs, binding, fed, shapes, err);
    if (result == 0)
        result = netrun_start(&net, backend, shapes, 2, false, err);
    if (result == 0 && net.concrete.output_count != set->outputs.count)
        result = cs_fail(err, CS_EDEVICE, "%d outputs, not %d", net.concrete.output_count,
                         set->outputs.count);
    if (result == 0)
        result = run_and_compare(&net, fed, &set->outputs, worst, err);
    netrun_close(&net);
    return result;
}

static int run_set(const char *folder, const char *backend, int number, enum binding *binding,
                   float *worst, struct cs_err *err)
{
    struct data_set set = {0};
    char *model = cs_xasprintf("%s/model.onnx", folder);
    char *data = cs_xasprintf("%s/test_data_set_%d", folder, number);
    int result = read_tensors(&set.store, data, "input", &set.inputs, err);
    if (result == 0)
        result = read_tensors(&set.store, data, "output", &set.outputs, err);
    if (result == 0)
        for (*binding = ALL_AT_RUN_TIME; *binding < BINDINGS; ++*binding) {
            result = run_bound(model, backend, &set, *binding, worst, err);
            if (result == 0 || err->code != CS_EMODEL)
                break;
        }
    cs_onnx_store_release(&set.store);
    free(model);
    free(data);
    return result;
}

// ---- Cases -----------------------------------------------------------------------------------

static const char *name_of(const char *folder)
{
    const char *slash = strrchr(folder, '/');
    return slash ? slash + 1 : folder;
}

// Prints the line of one case and returns the exit status of its process.
static int run_case(const char *folder, const char *backend)
{
    static const char *const notes[] = {"", " (parameters as constants)", " (all as constants)"};
    struct cs_err err = {0};
    enum binding binding = ALL_AT_RUN_TIME, worst = ALL_AT_RUN_TIME;
    int sets = 0, result = 0;
    float error = 0;
    for (bool more = true; more && result == 0; sets += more) {
        char *data = cs_xasprintf("%s/test_data_set_%d", folder, sets);
        more = access(data, F_OK) == 0;
        if (more)
            result = run_set(folder, backend, sets, &binding, &error, &err);
        worst = binding > worst ? binding : worst;
        free(data);
    }
    if (result == 0 && sets == 0)
        result = cs_fail(&err, CS_EDEVICE, "has no test data");
    bool refused = result < 0 && err.code == CS_EMODEL;
    if (result == 0)
        printf("pass %s%s%s\n", name_of(folder), notes[worst],
               error > 1e-5f ? " (within 1e-3 only)" : "");
    else
        printf("%s %s %s\n", refused ? "unsupported" : "fail", name_of(folder), err.text);
    return result == 0 ? 0 : refused ? UNSUPPORTED : 1;
}

static int run_apart(const char *folder, const char *backend)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        exit(run_case(folder, backend));
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (child > 0 && WIFEXITED(status) &&
        (WEXITSTATUS(status) <= 1 || WEXITSTATUS(status) == UNSUPPORTED))
        return WEXITSTATUS(status);
    printf("fail %s ended by %s %d\n", name_of(folder), WIFSIGNALED(status) ? "signal" : "status",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return 1;
}

int main(int argc, char **argv)
{
    const char *backend = "ref";
    struct cs_err err = {0};
    int option, totals[3] = {0};
    while ((option = getopt(argc, argv, "d:")) != -1) {
        if (option != 'd')
            return 2;
        backend = optarg;
    }
    if (optind == argc || !cs_backend_get(backend, &err)) {
        fprintf(stderr, "usage: onnx-case [-d DEVICE] DIR...%s%s\n", *err.text ? "\n" : "",
                err.text);
        return 2;
    }
    for (int i = optind; i < argc; i++) {
        char *folder = argv[i];
        for (size_t len = strlen(folder); len > 1 && folder[len - 1] == '/'; len--)
            folder[len - 1] = '\0';
        int status = run_apart(folder, backend);
        totals[status == 0 ? 0 : status == UNSUPPORTED ? 2 : 1]++;
    }
    printf("%d pass, %d fail, %d unsupported\n", totals[0], totals[1], totals[2]);
    return totals[1] > 0;
}
