// SPDX-License-Identifier: MIT
// model/onnx.h: good files, every way of storing samples, external weights, and broken bytes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "model/onnx.h"
#include "onnx.pb-c.h"
#include "suite.h"

// ---- Making files --------------------------------------------------------------------------

// A message of x (1,2,h,w) -> Mul by w -> Relu -> y, to be bent by each test.
struct maker {
    Onnx__ModelProto model;
    Onnx__OperatorSetIdProto opset, *opsets[1];
    Onnx__GraphProto graph;
    Onnx__NodeProto mul, relu, *nodes[2];
    char *mul_in[2], *mul_out[1], *relu_in[1], *relu_out[1];
    Onnx__TensorProto weight, *weights[2];
    int64_t dims[9];
    float floats[4];
    Onnx__ValueInfoProto in, out, *ins[2], *outs[1];
    Onnx__TypeProto type;
    Onnx__TypeProto__Tensor tensor;
    Onnx__TensorShapeProto shape;
    Onnx__TensorShapeProto__Dimension dim[4], *dim_list[4];
    Onnx__StringStringEntryProto entry[3], *entries[3];
    Onnx__AttributeProto attr, *attrs[1];
};

static void make_types(struct maker *m)
{
    onnx__type_proto__init(&m->type);
    onnx__type_proto__tensor__init(&m->tensor);
    onnx__tensor_shape_proto__init(&m->shape);
    for (int i = 0; i < 4; i++) {
        onnx__tensor_shape_proto__dimension__init(&m->dim[i]);
        m->dim_list[i] = &m->dim[i];
        m->dim[i].has_dim_value = i < 2;
        m->dim[i].dim_value = i + 1;
        m->dim[i].dim_param = i < 2 ? NULL : (char *)"size";
    }
    m->shape.n_dim = 4;
    m->shape.dim = m->dim_list;
    m->tensor.has_elem_type = 1;
    m->tensor.elem_type = 1;
    m->tensor.shape = &m->shape;
    m->type.tensor_type = &m->tensor;
    onnx__value_info_proto__init(&m->in);
    onnx__value_info_proto__init(&m->out);
    m->in.name = (char *)"x";
    m->in.type = &m->type;
    m->out.name = (char *)"y";
    m->ins[0] = &m->in;
    m->outs[0] = &m->out;
}

static void make_nodes(struct maker *m)
{
    onnx__node_proto__init(&m->mul);
    onnx__node_proto__init(&m->relu);
    m->mul_in[0] = (char *)"x";
    m->mul_in[1] = (char *)"w";
    m->mul_out[0] = m->relu_in[0] = (char *)"between";
    m->relu_out[0] = (char *)"y";
    m->mul.op_type = (char *)"Mul";
    m->mul.n_input = 2;
    m->mul.input = m->mul_in;
    m->mul.n_output = 1;
    m->mul.output = m->mul_out;
    m->relu.op_type = (char *)"Relu";
    m->relu.name = (char *)"last";
    m->relu.n_input = m->relu.n_output = 1;
    m->relu.input = m->relu_in;
    m->relu.output = m->relu_out;
    m->nodes[0] = &m->mul;
    m->nodes[1] = &m->relu;
    onnx__attribute_proto__init(&m->attr);
    m->attrs[0] = &m->attr;
}

static void make(struct maker *m)
{
    memset(m, 0, sizeof *m);
    onnx__model_proto__init(&m->model);
    onnx__operator_set_id_proto__init(&m->opset);
    onnx__graph_proto__init(&m->graph);
    onnx__tensor_proto__init(&m->weight);
    make_types(m);
    make_nodes(m);
    m->opset.has_version = 1;
    m->opset.version = 17;
    m->opsets[0] = &m->opset;
    m->model.n_opset_import = 1;
    m->model.opset_import = m->opsets;
    m->model.graph = &m->graph;
    m->dims[0] = 2;
    m->dims[1] = m->dims[2] = 1;
    m->floats[0] = 2;
    m->floats[1] = 3;
    m->weight.name = (char *)"w";
    m->weight.n_dims = 3;
    m->weight.dims = m->dims;
    m->weight.has_data_type = 1;
    m->weight.data_type = 1;
    m->weight.n_float_data = 2;
    m->weight.float_data = m->floats;
    m->weights[0] = m->weights[1] = &m->weight;
    m->graph.n_initializer = 1;
    m->graph.initializer = m->weights;
    m->graph.n_node = 2;
    m->graph.node = m->nodes;
    m->graph.n_input = m->graph.n_output = 1;
    m->graph.input = m->ins;
    m->graph.output = m->outs;
}

// What the reader says: "ok", or the error.
static const char *reads(const struct maker *m, const char *folder, struct cs_graph *graph,
                         struct cs_onnx **file)
{
    static char text[600];
    struct cs_err err = {0};
    size_t size = onnx__model_proto__get_packed_size(&m->model);
    uint8_t *bytes = cs_xmalloc(size);
    onnx__model_proto__pack(&m->model, bytes);
    int result = cs_onnx_parse(bytes, size, folder, graph, file, &err);
    free(bytes);
    ck_assert(result == 0 || err.code == CS_EMODEL);
    snprintf(text, sizeof text, "%s", result == 0 ? "ok" : err.text);
    return text;
}

static const char *verdict(const struct maker *m)
{
    struct cs_graph graph;
    struct cs_onnx *file = NULL;
    const char *text = reads(m, NULL, &graph, &file);
    if (strcmp(text, "ok") == 0) {
        cs_graph_release(&graph);
        cs_onnx_free(file);
    }
    return text;
}

static const float *weight_of(const struct cs_graph *graph)
{
    for (int v = 0; v < graph->value_count; v++)
        if (strcmp(graph->values[v].name, "w") == 0)
            return graph->values[v].data;
    return NULL;
}

static void expect_weights(const struct maker *m, const char *folder)
{
    struct cs_graph graph;
    struct cs_onnx *file;
    ck_assert_str_eq(reads(m, folder, &graph, &file), "ok");
    const float *w = weight_of(&graph);
    ck_assert_ptr_nonnull(w);
    ck_assert(w[0] == 2 && w[1] == 3);
    cs_graph_release(&graph);
    cs_onnx_free(file);
}

// ---- Good files ----------------------------------------------------------------------------

START_TEST(core_graph)
{
    struct maker m;
    struct cs_graph graph;
    struct cs_onnx *file;
    struct cs_buf text = {0};
    make(&m);
    ck_assert_str_eq(reads(&m, NULL, &graph, &file), "ok");
    cs_graph_dump(&graph, &text);
    ck_assert_str_eq(text.data, "input x:1x2x?x?\noutput y:unknown:none\n"
                                "Mul x:1x2x?x? w:2x1x1= -> between:unknown:none\n"
                                "Relu between:unknown:none -> y:unknown:none\n");
    ck_assert_int_eq(graph.opset, 17);
    ck_assert_str_eq(graph.nodes[0].name, "between"); // nodes without a name have their output's
    ck_assert_str_eq(graph.nodes[1].name, "last");
    cs_buf_release(&text);
    cs_graph_release(&graph);
    cs_onnx_free(file);
}
END_TEST

static void raw(struct maker *m, int type, void *bytes, size_t size)
{
    m->weight.n_float_data = 0;
    m->weight.data_type = type;
    m->weight.has_raw_data = 1;
    m->weight.raw_data.data = bytes;
    m->weight.raw_data.len = size;
}

START_TEST(core_samples)
{
    struct maker m;
    make(&m);
    expect_weights(&m, NULL);
    float floats[] = {2, 3};
    raw(&m, 1, floats, sizeof floats);
    expect_weights(&m, NULL);
    uint16_t halves[] = {0x4000, 0x4200};
    raw(&m, 10, halves, sizeof halves);
    expect_weights(&m, NULL);
    double doubles[] = {2, 3};
    raw(&m, 11, doubles, sizeof doubles);
    expect_weights(&m, NULL);
    make(&m);
    m.weight.n_float_data = 0;
    m.weight.data_type = 11;
    m.weight.n_double_data = 2;
    m.weight.double_data = doubles;
    expect_weights(&m, NULL);
    int32_t bits[] = {0x4000, 0x4200};
    make(&m);
    m.weight.n_float_data = 0;
    m.weight.data_type = 10;
    m.weight.n_int32_data = 2;
    m.weight.int32_data = bits;
    expect_weights(&m, NULL);
}
END_TEST

START_TEST(core_constant_nodes)
{
    struct maker m;
    make(&m); // Relu becomes Constant: its output is the graph's
    m.relu.op_type = (char *)"Constant";
    m.relu.n_input = 0;
    m.relu.n_attribute = 1;
    m.relu.attribute = m.attrs;
    m.attr.name = (char *)"value_ints";
    m.attr.n_ints = 4;
    m.attr.ints = m.dims;
    ck_assert_str_eq(verdict(&m), "ok");
    m.attr.n_ints = 0;
    ck_assert_str_eq(verdict(&m), "node last (Constant): this kind of constant is not supported");
}
END_TEST

// ---- External weights ----------------------------------------------------------------------

static char folder[64];

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/test_onnx.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char *paths[] = {"in/weights", "in/link", "in", "outside"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char *path = cs_xasprintf("%s/%s", folder, paths[i]);
        remove(path);
        free(path);
    }
    rmdir(folder);
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    char *path = cs_xasprintf("%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
    free(path);
}

static void external(struct maker *m, const char *location, const char *offset, const char *length)
{
    static const char *const keys[] = {"location", "offset", "length"};
    const char *values[] = {location, offset, length};
    make(m);
    m->weight.n_float_data = 0;
    m->weight.has_data_location = 1;
    m->weight.data_location = 1;
    m->weight.n_external_data = 3;
    m->weight.external_data = m->entries;
    for (int i = 0; i < 3; i++) {
        onnx__string_string_entry_proto__init(&m->entry[i]);
        m->entry[i].key = (char *)keys[i];
        m->entry[i].value = (char *)values[i];
        m->entries[i] = &m->entry[i];
    }
}

static const char *external_verdict(const char *location, const char *offset, const char *length)
{
    struct maker m;
    struct cs_graph graph;
    struct cs_onnx *file;
    char *in = cs_xasprintf("%s/in", folder);
    external(&m, location, offset, length);
    const char *text = reads(&m, in, &graph, &file);
    free(in);
    if (strcmp(text, "ok") == 0) {
        cs_graph_release(&graph);
        cs_onnx_free(file);
    }
    return text;
}

START_TEST(core_external)
{
    struct maker m;
    unsigned char bytes[64] = {0};
    char *in = cs_xasprintf("%s/in", folder), *link = cs_xasprintf("%s/in/link", folder);
    memcpy(bytes + 16, (float[]){2, 3}, 8);
    memcpy(bytes + 33, (float[]){2, 3}, 8);
    ck_assert_int_eq(mkdir(in, 0700), 0);
    write_file("in/weights", bytes, sizeof bytes);
    write_file("outside", bytes, sizeof bytes);
    ck_assert_int_eq(symlink("../outside", link), 0);
    external(&m, "weights", "16", "8");
    expect_weights(&m, in);
    external(&m, "weights", "33", "8"); // not aligned: copied
    expect_weights(&m, in);

    ck_assert_str_eq(external_verdict("weights", "60", "8"),
                     "tensor \"w\": external weights reach behind the end of their file");
    ck_assert_str_eq(external_verdict("weights", "65", "0"),
                     "tensor \"w\": external weights begin behind the end of their file");
    ck_assert_str_eq(external_verdict("weights", "0", "4"), "tensor \"w\": 4 bytes for 2 elements");
    ck_assert_str_eq(external_verdict("weights", "-1", "8"),
                     "tensor \"w\": bad offset of external weights");
    ck_assert_str_eq(external_verdict("../outside", "16", "8"),
                     "external weights \"../outside\" leave the model's folder");
    ck_assert_str_eq(external_verdict("a/../../outside", "16", "8"),
                     "external weights \"a/../../outside\" leave the model's folder");
    ck_assert_str_eq(external_verdict("/etc/passwd", "0", "8"),
                     "external weights \"/etc/passwd\" leave the model's folder");
    ck_assert_str_eq(external_verdict("link", "16", "8"),
                     "external weights \"link\" leave the model's folder");
    ck_assert_ptr_nonnull(strstr(external_verdict("none", "16", "8"), "No such file"));
    external(&m, "weights", "16", "8");
    ck_assert_str_eq(verdict(&m), "external weights are not possible here");
    free(in);
    free(link);
}
END_TEST

// ---- Broken files --------------------------------------------------------------------------

START_TEST(limits_graph)
{
    struct maker m;
    make(&m);
    m.opset.version = 8;
    ck_assert_str_eq(verdict(&m), "opset 8 is not supported (9 to 28 are)");
    make(&m);
    m.opset.domain = (char *)"com.example";
    ck_assert_str_eq(verdict(&m), "opset -1 is not supported (9 to 28 are)");
    make(&m);
    m.mul.domain = (char *)"com.example";
    ck_assert_str_eq(verdict(&m), "node between (Mul): operators of domain \"com.example\" are not "
                                  "supported");
    make(&m);
    m.mul_in[1] = (char *)"nothing";
    ck_assert_str_eq(verdict(&m),
                     "node between (Mul): input \"nothing\" is made by no earlier node");
    make(&m);
    m.relu_out[0] = (char *)"between";
    ck_assert_str_eq(verdict(&m), "\"between\" is made twice");
    make(&m);
    m.out.name = (char *)"z";
    ck_assert_str_eq(verdict(&m), "output \"z\" is made by no node");
    make(&m);
    m.graph.n_output = 0;
    ck_assert_str_eq(verdict(&m), "no outputs, or too many nodes, inputs or outputs");
    make(&m);
    m.tensor.elem_type = 10;
    ck_assert_str_eq(verdict(&m), "input \"x\": type 10 is not supported");
    make(&m);
    m.mul.op_type = NULL;
    ck_assert_str_eq(verdict(&m), "node between (): has no operator");
    make(&m);
    m.relu.n_output = 0;
    ck_assert_str_eq(verdict(&m), "node last (Relu): has no outputs, or too many inputs, outputs "
                                  "or attributes");
    make(&m);
    m.graph.n_initializer = 2; // the same weight twice
    ck_assert_str_eq(verdict(&m), "\"w\" is made twice");
    make(&m);
    m.model.graph = NULL;
    ck_assert_str_eq(verdict(&m), "not an ONNX file, or truncated");
    make(&m);
    char *endless = cs_xmalloc(2000);
    memset(endless, 'a', 1999);
    endless[1999] = '\0';
    m.relu_out[0] = endless;
    ck_assert_str_eq(verdict(&m), "a name is longer than 1000 bytes");
    free(endless);
}
END_TEST

START_TEST(limits_tensors)
{
    struct maker m;
    make(&m);
    m.weight.n_float_data = 1;
    ck_assert_str_eq(verdict(&m), "tensor \"w\": 1 samples for 2 elements");
    make(&m);
    m.weight.data_type = 8;
    ck_assert_str_eq(verdict(&m), "tensor \"w\": type 8 is not supported");
    make(&m);
    m.weight.n_dims = 9;
    ck_assert_str_eq(verdict(&m), "tensor \"w\" has 9 dimensions");
    make(&m);
    m.dims[0] = -2;
    ck_assert_str_eq(verdict(&m), "tensor \"w\": bad dimensions");
    make(&m);
    m.dims[0] = m.dims[1] = m.dims[2] = INT64_C(1) << 40;
    ck_assert_str_eq(verdict(&m), "tensor \"w\": bad dimensions");
    float floats[] = {2, 3};
    make(&m);
    raw(&m, 1, floats, 7);
    ck_assert_str_eq(verdict(&m), "tensor \"w\": 7 bytes for 2 elements");
    make(&m);
    m.weight.name = NULL;
    ck_assert_str_eq(verdict(&m), "tensor 0 has no name");
}
END_TEST

// Every prefix of a file, and every byte changed: an error or a graph, never more.
START_TEST(limits_bytes)
{
    struct maker m;
    struct cs_graph graph;
    struct cs_onnx *file;
    struct cs_err err;
    make(&m);
    size_t size = onnx__model_proto__get_packed_size(&m.model);
    uint8_t *bytes = cs_xmalloc(size), *bent = cs_xmalloc(size);
    onnx__model_proto__pack(&m.model, bytes);
    int good = 0;
    for (size_t i = 0; i < size; i++)
        for (int change = 0; change < 9; change++) {
            memcpy(bent, bytes, size);
            bent[i] = change < 8 ? (uint8_t)(bytes[i] ^ (1 << change)) : bytes[i];
            size_t length = change < 8 ? size : i;
            if (cs_onnx_parse(bent, length, NULL, &graph, &file, &err) == 0) {
                good++;
                cs_graph_release(&graph);
                cs_onnx_free(file);
            } else {
                ck_assert_int_eq(err.code, CS_EMODEL);
            }
        }
    ck_assert_int_gt(good, 0);
    free(bytes);
    free(bent);
}
END_TEST

START_TEST(limits_files)
{
    struct cs_graph graph;
    struct cs_onnx *file;
    struct cs_err err = {0};
    ck_assert_int_eq(cs_onnx_read("/nonexistent/model.onnx", &graph, &file, &err), -1);
    ck_assert_int_eq(err.code, CS_EIO);
    ck_assert_int_eq(cs_onnx_read("/tmp", &graph, &file, &err), -1);
    ck_assert_int_eq(err.code, CS_EMODEL);
    ck_assert_int_eq(cs_onnx_read("/dev/null", &graph, &file, &err), -1);
    ck_assert_str_eq(err.text, "/dev/null: empty or not a regular file");
    cs_onnx_free(NULL);
}
END_TEST

// ---- Weights that stay in the file -----------------------------------------------------------

enum { WEIGHTS = 1024 * 2 * 3 * 3 };

// The model in the folder, its weights 0, 1, 2... at an address that `shift` moves.
static void write_weights(struct maker *m, const char *op, int shift)
{
    static const char names[] = "aaaaaaaa";
    static float samples[WEIGHTS];
    make(m);
    for (int i = 0; i < WEIGHTS; i++)
        samples[i] = (float)i;
    raw(m, 1, samples, sizeof samples);
    m->mul.op_type = (char *)op;
    m->weight.n_dims = 4;
    m->dims[0] = 1024;
    m->dims[1] = 2;
    m->dims[2] = m->dims[3] = 3;
    m->model.producer_name = (char *)names + shift;
    size_t size = onnx__model_proto__get_packed_size(&m->model);
    uint8_t *bytes = cs_xmalloc(size);
    onnx__model_proto__pack(&m->model, bytes);
    write_file("outside", bytes, size);
    free(bytes);
}

static void check_samples(const float *samples)
{
    ck_assert_uint_eq((uintptr_t)samples % sizeof *samples, 0);
    for (int i = 0; i < WEIGHTS; i++)
        ck_assert_float_eq(samples[i], (float)i);
}

START_TEST(core_in_file)
{
    struct maker m;
    struct cs_graph graph;
    struct cs_onnx *file;
    struct cs_err err = {0};
    char *path = cs_xasprintf("%s/outside", folder);
    int copies = 0;
    for (int shift = 0; shift < 4; shift++) {
        struct cs_constant_hold hold;
        write_weights(&m, "Conv", shift);
        ck_assert_msg(cs_onnx_map(path, &graph, &file, &err) == 0, "%s", err.text);
        const struct cs_value *w = cs_node_input(&graph, &graph.nodes[0], 1);
        ck_assert(w->in_file);
        ck_assert_uint_lt(cs_onnx_bytes(file), WEIGHTS * sizeof(float));
        for (int again = 0; again < 2; again++) { // pages that went back come again
            check_samples(cs_constant_hold(w, &hold, &err));
            copies += hold.copy != NULL;
            cs_constant_release(&hold);
            cs_onnx_rest(file);
        }
        cs_graph_release(&graph);
        cs_onnx_free(file);
    }
    ck_assert_int_eq(copies, 6); // three of four addresses are odd

    // Read whole, or by an operator that has no use for packing: in memory, aligned.
    write_weights(&m, "Mul", 1);
    ck_assert_int_eq(cs_onnx_map(path, &graph, &file, &err), 0);
    ck_assert(!cs_node_input(&graph, &graph.nodes[0], 1)->in_file);
    check_samples(cs_node_input(&graph, &graph.nodes[0], 1)->data);
    cs_graph_release(&graph);
    cs_onnx_free(file);
    write_weights(&m, "Conv", 1);
    ck_assert_int_eq(cs_onnx_read(path, &graph, &file, &err), 0);
    ck_assert(!cs_node_input(&graph, &graph.nodes[0], 1)->in_file);
    check_samples(cs_node_input(&graph, &graph.nodes[0], 1)->data);
    cs_graph_release(&graph);
    cs_onnx_free(file);
    free(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("onnx");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    TCase *files = tcase_create("external");
    tcase_add_checked_fixture(files, make_folder, remove_folder);
    tcase_add_test(core, core_graph);
    tcase_add_test(core, core_samples);
    tcase_add_test(core, core_constant_nodes);
    tcase_add_test(files, core_external);
    tcase_add_test(files, core_in_file);
    tcase_add_test(limits, limits_graph);
    tcase_add_test(limits, limits_tensors);
    tcase_add_test(limits, limits_bytes);
    tcase_add_test(limits, limits_files);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, files);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
