// SPDX-License-Identifier: MIT
// From ONNX's message to a graph. The message, without the bulk of the weights (onnx_slim.h), is
// unpacked by protobuf-c. Names become value indices through a hash table, in the file's order,
// which ONNX requires to be topological.
#include "model/onnx_graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "model/onnx.h"

enum {
    MAX_NODES = 20000,
    MAX_TENSORS = 50000,
    MAX_PORTS = 64, // inputs, outputs of the graph
    MAX_ATTRS = 64,
    MAX_LIST = 1 << 16, // numbers of one attribute
    MAX_NAME = 1000,
};

// Numbers of ONNX's AttributeProto.AttributeType.
enum { ATTR_FLOAT = 1, ATTR_INT, ATTR_STRING, ATTR_TENSOR, ATTR_FLOATS = 6, ATTR_INTS };

struct reader {
    struct cs_onnx_store *store;
    struct cs_graph *graph;
    struct cs_err *err;
    const struct cs_onnx_slim *slim;
    int *table; // value index + 1, by hash of the name; 0: free
    size_t slots;
    const char *node_name, *node_op; // the node at hand
};

// ---- Names ---------------------------------------------------------------------------------

static int *find_slot(struct reader *r, const char *name)
{
    size_t at = cs_xxh3(name, strlen(name)) % r->slots;
    while (r->table[at] && strcmp(r->graph->values[r->table[at] - 1].name, name) != 0)
        at = (at + 1) % r->slots;
    return &r->table[at];
}

static int CS_PRINTF(2, 3) bad_node(struct reader *r, const char *fmt, ...)
{
    char reason[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    return cs_fail(r->err, CS_EMODEL, "node %.120s (%.40s): %s", r->node_name, r->node_op, reason);
}

static int check_name(struct reader *r, const char *name)
{
    if (name && strlen(name) > MAX_NAME)
        return cs_fail(r->err, CS_EMODEL, "a name is longer than %d bytes", MAX_NAME);
    return 0;
}

// A new value under this name, which must be new too.
static int define(struct reader *r, const char *name, enum cs_type type,
                  const struct cs_shape *shape, const void *data)
{
    if (check_name(r, name) < 0)
        return -1;
    int *slot = find_slot(r, name);
    if (*slot)
        return cs_fail(r->err, CS_EMODEL, "\"%.120s\" is made twice", name);
    int value = data ? cs_graph_add_constant(r->graph, name, type, shape, data)
                     : cs_graph_add_value(r->graph, name, type, shape);
    *slot = value + 1;
    return value;
}

// ---- Initialisers, inputs, outputs ---------------------------------------------------------

static int read_initialisers(struct reader *r, const Onnx__GraphProto *proto)
{
    if (proto->n_initializer > MAX_TENSORS)
        return cs_fail(r->err, CS_EMODEL, "more than %d tensors", MAX_TENSORS);
    for (size_t i = 0; i < proto->n_initializer; i++) {
        const Onnx__TensorProto *t = proto->initializer[i];
        struct cs_onnx_tensor tensor;
        if (!t->name || !*t->name)
            return cs_fail(r->err, CS_EMODEL, "tensor %zu has no name", i);
        // Both come from the same walk over the file; protobuf-c would have to skip a tensor.
        const struct cs_onnx_raw *raw = i < r->slim->raw_count ? &r->slim->raws[i] : NULL;
        if (cs_onnx_tensor_read(r->store, t, raw, &tensor, r->err) < 0)
            return -1;
        int value = define(r, t->name, tensor.type, &tensor.shape, tensor.data);
        if (value < 0)
            return -1;
        r->graph->values[value].in_file = tensor.in_file;
    }
    return 0;
}

static int read_input(struct reader *r, const Onnx__ValueInfoProto *info)
{
    const Onnx__TypeProto__Tensor *type = info->type ? info->type->tensor_type : NULL;
    struct cs_shape shape = {.rank = -1};
    if (!info->name || !*info->name || !type)
        return cs_fail(r->err, CS_EMODEL, "an input has no name or is no tensor");
    if (check_name(r, info->name) < 0)
        return -1;
    if (*find_slot(r, info->name))
        return 0; // an initialiser that older files also list as input
    enum cs_type kind = cs_onnx_type(type->elem_type);
    if (kind == CS_TYPE_NONE)
        return cs_fail(r->err, CS_EMODEL, "input \"%.120s\": type %d is not supported", info->name,
                       type->elem_type);
    if (type->shape) {
        if (type->shape->n_dim > CS_MAX_RANK)
            return cs_fail(r->err, CS_EMODEL, "input \"%.120s\" has %zu dimensions", info->name,
                           type->shape->n_dim);
        shape.rank = (int)type->shape->n_dim;
        for (int d = 0; d < shape.rank; d++) {
            const Onnx__TensorShapeProto__Dimension *dim = type->shape->dim[d];
            shape.dim[d] = dim->has_dim_value && dim->dim_value > 0 ? dim->dim_value : -1;
        }
    }
    int value = define(r, info->name, kind, &shape, NULL);
    if (value < 0)
        return -1;
    cs_graph_add_input(r->graph, value);
    return 0;
}

static int read_outputs(struct reader *r, const Onnx__GraphProto *proto)
{
    for (size_t i = 0; i < proto->n_output; i++) {
        const char *name = proto->output[i]->name;
        if (!name || check_name(r, name) < 0 || !*find_slot(r, name))
            return cs_fail(r->err, CS_EMODEL, "output \"%.120s\" is made by no node",
                           name ? name : "");
        cs_graph_add_output(r->graph, *find_slot(r, name) - 1);
    }
    return 0;
}

// ---- Attributes ----------------------------------------------------------------------------

static int attr_type(const Onnx__AttributeProto *attr)
{
    if (attr->type)
        return attr->type;
    return attr->n_ints     ? ATTR_INTS
           : attr->n_floats ? ATTR_FLOATS
           : attr->has_i    ? ATTR_INT
           : attr->has_f    ? ATTR_FLOAT
           : attr->has_s    ? ATTR_STRING
           : attr->t        ? ATTR_TENSOR
                            : 0;
}

// ConstantOfShape's value: one element becomes a plain number, beside its type.
static int add_tensor_attr(struct reader *r, struct cs_node *node, const Onnx__AttributeProto *attr)
{
    struct cs_onnx_tensor tensor;
    if (strcmp(node->op, "ConstantOfShape") != 0 || !attr->t)
        return bad_node(r, "attribute %s is not supported", attr->name);
    if (cs_onnx_tensor_read(r->store, attr->t, NULL, &tensor, r->err) < 0)
        return -1;
    if (cs_shape_elements(&tensor.shape) != 1)
        return bad_node(r, "attribute %s must be one number", attr->name);
    switch (tensor.type) {
    case CS_TYPE_F32:
        cs_node_add_float(r->graph, node, attr->name, *(const float *)tensor.data);
        return 0;
    case CS_TYPE_I64:
        cs_node_add_int(r->graph, node, attr->name, *(const int64_t *)tensor.data);
        return 0;
    case CS_TYPE_I32:
        cs_node_add_int(r->graph, node, attr->name, *(const int32_t *)tensor.data);
        break;
    case CS_TYPE_BOOL:
        cs_node_add_int(r->graph, node, attr->name, *(const unsigned char *)tensor.data != 0);
        break;
    case CS_TYPE_NONE:
        break;
    }
    cs_node_add_int(r->graph, node, "value_type", (int64_t)tensor.type);
    return 0;
}

static int add_attr(struct reader *r, struct cs_node *node, const Onnx__AttributeProto *attr)
{
    if (!attr->name || check_name(r, attr->name) < 0 || attr->n_ints > MAX_LIST ||
        attr->n_floats > MAX_LIST || attr->s.len > MAX_LIST)
        return bad_node(r, "an attribute has no name or is too long");
    switch (attr_type(attr)) {
    case ATTR_FLOAT:
        cs_node_add_float(r->graph, node, attr->name, attr->f);
        return 0;
    case ATTR_INT:
        cs_node_add_int(r->graph, node, attr->name, attr->i);
        return 0;
    case ATTR_STRING: {
        char *text =
            attr->s.len ? cs_xstrndup((const char *)attr->s.data, attr->s.len) : cs_xstrdup("");
        cs_node_add_string(r->graph, node, attr->name, text);
        free(text);
        return 0;
    }
    case ATTR_INTS:
        cs_node_add_ints(r->graph, node, attr->name, attr->ints, (int)attr->n_ints);
        return 0;
    case ATTR_FLOATS:
        cs_node_add_floats(r->graph, node, attr->name, attr->floats, (int)attr->n_floats);
        return 0;
    case ATTR_TENSOR:
        return add_tensor_attr(r, node, attr);
    default:
        return bad_node(r, "attribute %s has a type that is not supported", attr->name);
    }
}

// ---- Nodes ---------------------------------------------------------------------------------

// A Constant node is no node of the graph: its one attribute becomes a constant.
static int read_constant(struct reader *r, const Onnx__NodeProto *proto)
{
    struct cs_onnx_tensor tensor = {.type = CS_TYPE_NONE};
    if (proto->n_attribute != 1 || proto->n_output != 1)
        return bad_node(r, "must have one attribute and one output");
    const Onnx__AttributeProto *attr = proto->attribute[0];
    int type = attr_type(attr);
    struct cs_onnx_store *store = r->store;
    if (type == ATTR_TENSOR && attr->t) {
        if (cs_onnx_tensor_read(store, attr->t, NULL, &tensor, r->err) < 0)
            return cs_err_context(r->err, "node %.120s (Constant)", r->node_name);
    } else if (type == ATTR_FLOAT || (type == ATTR_FLOATS && attr->n_floats)) {
        const float *from = type == ATTR_FLOAT ? &attr->f : attr->floats;
        size_t count = type == ATTR_FLOAT ? 1 : attr->n_floats;
        tensor = (struct cs_onnx_tensor){
            CS_TYPE_F32, {type != ATTR_FLOAT, {(int64_t)count}}, NULL, false};
        tensor.data = cs_onnx_store_copy(store, from, count * sizeof *from);
    } else if (type == ATTR_INT || (type == ATTR_INTS && attr->n_ints)) {
        const int64_t *from = type == ATTR_INT ? &attr->i : attr->ints;
        size_t count = type == ATTR_INT ? 1 : attr->n_ints;
        tensor =
            (struct cs_onnx_tensor){CS_TYPE_I64, {type != ATTR_INT, {(int64_t)count}}, NULL, false};
        tensor.data = cs_onnx_store_copy(store, from, count * sizeof *from);
    } else {
        return bad_node(r, "this kind of constant is not supported");
    }
    return define(r, proto->output[0], tensor.type, &tensor.shape, tensor.data) < 0 ? -1 : 0;
}

static int check_node(struct reader *r, const Onnx__NodeProto *proto)
{
    if (!proto->op_type || !*proto->op_type || strlen(proto->op_type) > MAX_NAME)
        return bad_node(r, "has no operator");
    if (proto->domain && *proto->domain && strcmp(proto->domain, "ai.onnx") != 0)
        return bad_node(r, "operators of domain \"%.100s\" are not supported", proto->domain);
    if (proto->n_input > CS_MAX_NODE_IO || proto->n_output > CS_MAX_NODE_IO ||
        proto->n_output == 0 || proto->n_attribute > MAX_ATTRS)
        return bad_node(r, "has no outputs, or too many inputs, outputs or attributes");
    return check_name(r, proto->name);
}

static int read_node(struct reader *r, const Onnx__NodeProto *proto)
{
    int inputs[CS_MAX_NODE_IO], outputs[CS_MAX_NODE_IO];
    r->node_op = proto->op_type ? proto->op_type : "";
    r->node_name = proto->name && *proto->name ? proto->name
                   : proto->n_output           ? proto->output[0]
                                               : "?";
    if (check_node(r, proto) < 0)
        return -1;
    if (strcmp(proto->op_type, "Constant") == 0)
        return read_constant(r, proto);
    for (size_t i = 0; i < proto->n_input; i++) {
        inputs[i] = -1;
        if (!*proto->input[i])
            continue;
        int known = *find_slot(r, proto->input[i]);
        if (!known)
            return bad_node(r, "input \"%.120s\" is made by no earlier node", proto->input[i]);
        inputs[i] = known - 1;
    }
    for (size_t i = 0; i < proto->n_output; i++) {
        outputs[i] = -1;
        if (!*proto->output[i])
            continue;
        outputs[i] = define(r, proto->output[i], CS_TYPE_NONE, NULL, NULL);
        if (outputs[i] < 0)
            return -1;
    }
    struct cs_node *node = cs_graph_add_node(r->graph, proto->op_type, r->node_name, inputs,
                                             (int)proto->n_input, outputs, (int)proto->n_output);
    for (size_t i = 0; i < proto->n_attribute; i++)
        if (add_attr(r, node, proto->attribute[i]) < 0)
            return -1;
    return 0;
}

// ---- The model -----------------------------------------------------------------------------

static int find_opset(const Onnx__ModelProto *model, int *opset, struct cs_err *err)
{
    int64_t version = -1;
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *set = model->opset_import[i];
        if (!set->domain || !*set->domain || strcmp(set->domain, "ai.onnx") == 0)
            version = set->version;
    }
    if (version < CS_ONNX_MIN_OPSET || version > CS_ONNX_MAX_OPSET)
        return cs_fail(err, CS_EMODEL, "opset %lld is not supported (%d to %d are)",
                       (long long)version, CS_ONNX_MIN_OPSET, CS_ONNX_MAX_OPSET);
    *opset = (int)version;
    return 0;
}

static int read_graph(struct reader *r, const Onnx__GraphProto *proto)
{
    if (proto->n_node > MAX_NODES || proto->n_input > MAX_TENSORS + MAX_PORTS ||
        proto->n_output > MAX_PORTS || proto->n_output == 0)
        return cs_fail(r->err, CS_EMODEL, "no outputs, or too many nodes, inputs or outputs");
    if (read_initialisers(r, proto) < 0)
        return -1;
    for (size_t i = 0; i < proto->n_input; i++)
        if (read_input(r, proto->input[i]) < 0)
            return -1;
    if (r->graph->input_count > MAX_PORTS)
        return cs_fail(r->err, CS_EMODEL, "%d inputs", r->graph->input_count);
    for (size_t i = 0; i < proto->n_node; i++)
        if (read_node(r, proto->node[i]) < 0)
            return -1;
    if (read_outputs(r, proto) < 0)
        return -1;
    return cs_graph_finish(r->graph, r->err);
}

// Room for every name that the message can define, at most two thirds full.
static size_t table_slots(const Onnx__GraphProto *proto)
{
    size_t names = proto->n_initializer + proto->n_input;
    for (size_t i = 0; i < proto->n_node; i++)
        names += proto->node[i]->n_output;
    return names * 3 / 2 + 16;
}

// Whether all that read the value take it for weights, which backends pack.
static bool is_weights(const struct cs_graph *graph, int value)
{
    static const char *const takers[] = {"Conv", "ConvTranspose", "MatMul", "Gemm", NULL};
    const struct cs_value *v = &graph->values[value];
    int uses = 0;
    for (int n = 0; n < graph->node_count; n++) {
        const struct cs_node *node = &graph->nodes[n];
        int k = 0;
        if (node->input_count < 2 || node->inputs[1] != value)
            continue;
        while (takers[k] && strcmp(takers[k], node->op) != 0)
            k++;
        uses += takers[k] && v->shape.rank == (k < 2 ? 4 : 2);
    }
    return uses == v->uses;
}

// What stays in the file and is no weights is wanted at every run: it gets memory.
static void settle(struct cs_onnx_store *store, struct cs_graph *graph)
{
    for (int v = 0; v < graph->value_count; v++) {
        struct cs_value *value = &graph->values[v];
        if (!value->in_file || is_weights(graph, v))
            continue;
        size_t bytes = (size_t)cs_shape_elements(&value->shape) * cs_type_bytes(value->type);
        value->data = cs_onnx_store_copy(store, value->data, bytes);
        value->in_file = false;
    }
}

// protobuf-c says NULL for lack of memory and for broken bytes alike.
static void *unpack_alloc(void *failed, size_t bytes)
{
    void *memory = malloc(bytes);
    if (!memory)
        *(bool *)failed = true;
    return memory;
}

static void unpack_free(void *failed, void *memory)
{
    (void)failed;
    free(memory);
}

static int read_model(struct reader *r, const Onnx__ModelProto *model)
{
    int opset = 0;
    if (!model->graph)
        return cs_fail(r->err, CS_EMODEL, "not an ONNX file, or truncated");
    if (find_opset(model, &opset, r->err) < 0)
        return -1;
    cs_graph_init(r->graph, opset);
    r->slots = table_slots(model->graph);
    r->table = cs_xcalloc(r->slots, sizeof *r->table);
    int result = read_graph(r, model->graph);
    free(r->table);
    return result;
}

int cs_onnx_graph_read(struct cs_onnx_store *store, const void *bytes, size_t size,
                       struct cs_graph *graph, struct cs_err *err)
{
    struct cs_onnx_slim slim;
    struct reader r = {.store = store, .graph = graph, .err = err, .slim = &slim};
    if (cs_onnx_slim_make(&slim, bytes, size, err) < 0)
        return -1;
    bool lack = false;
    ProtobufCAllocator allocator = {unpack_alloc, unpack_free, &lack};
    Onnx__ModelProto *model =
        onnx__model_proto__unpack(&allocator, slim.message.len, (const uint8_t *)slim.message.data);
    int result = model  ? read_model(&r, model)
                 : lack ? cs_fail(err, CS_ENOMEM, "no memory for a description of %zu bytes",
                                  slim.message.len)
                        : cs_fail(err, CS_EMODEL, "not an ONNX file, or truncated");
    if (result == 0)
        settle(store, graph);
    onnx__model_proto__free_unpacked(model, &allocator);
    cs_onnx_slim_release(&slim);
    return result;
}
