// SPDX-License-Identifier: MIT
// A network as a graph of ONNX operators: values (tensors) and nodes in topological order. Knows
// no device and no file format; libcommon/model builds it, the passes rewrite it, a backend runs
// it. Semantics of operators are those of ONNX at the graph's opset: activations are N, C, H, W.
//
// Two states. As built, activations may have unknown dimensions (-1). cs_graph_infer makes a
// concrete graph for given input shapes: every dimension known, all integer shape arithmetic
// folded into constants, nodes that became constant removed.
#ifndef CS_GRAPH_GRAPH_H
#define CS_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum { CS_MAX_RANK = 8, CS_MAX_NODE_IO = 64 };
// Of one tensor: what any machine could hold, so that sizes in bytes never overflow.
#define CS_MAX_ELEMENTS (INT64_C(1) << 38)

enum cs_type { CS_TYPE_NONE, CS_TYPE_F32, CS_TYPE_I64, CS_TYPE_I32, CS_TYPE_BOOL };
size_t cs_type_bytes(enum cs_type type);
const char *cs_type_name(enum cs_type type); // "float32"

struct cs_shape {
    int rank;                 // -1: unknown
    int64_t dim[CS_MAX_RANK]; // -1: unknown
};

// A value: graph input, initialiser, or output of one node.
struct cs_value {
    const char *name;
    enum cs_type type;
    struct cs_shape shape;
    const void *data; // constant: dense row-major samples, shared and never changed; else NULL
    bool in_file;     // data lies in a mapped file, at any alignment: cs_constant_hold reads it
    int producer;     // index of the node that makes it, -1 for inputs and constants
    int uses;         // nodes that read it, plus 1 if it is a graph output
};

enum cs_attr_kind { CS_ATTR_INT, CS_ATTR_FLOAT, CS_ATTR_STRING, CS_ATTR_INTS, CS_ATTR_FLOATS };
struct cs_attr {
    const char *name;
    enum cs_attr_kind kind;
    int64_t i;
    float f;
    const char *s;
    const int64_t *ints;
    const float *floats;
    int count; // of ints or floats
};

// Work that a pass moved into a node; a backend that does not support one refuses the node.
struct cs_fusion {
    int add;                // value added to the result before the activation; -1 none
    const char *activation; // "Relu", "Sigmoid", "LeakyRelu"...; NULL none
    float alpha;            // of the activation
    float beta;
};

struct cs_node {
    const char *op;             // ONNX operator name, "Conv"
    const char *name;           // for messages; never NULL
    int inputs[CS_MAX_NODE_IO]; // value indices, -1 for an omitted optional input
    int input_count;
    int outputs[CS_MAX_NODE_IO];
    int output_count;
    const struct cs_attr *attrs;
    int attr_count;
    struct cs_fusion fusion;
};

struct cs_graph {
    struct cs_arena arena; // owns names, attributes and what folding and passes make of constants
    struct cs_value *values;
    int value_count, value_capacity;
    struct cs_node *nodes; // topological order
    int node_count, node_capacity;
    int *inputs, *outputs; // value indices; initialisers are no inputs
    int input_count, output_count;
    int opset;
    size_t folded_bytes; // constants made by folding, which is bounded
};

// ---- Building ----------------------------------------------------------------------------

void cs_graph_init(struct cs_graph *graph, int opset);
void cs_graph_release(struct cs_graph *graph); // accepts a zeroed struct
int cs_graph_add_value(struct cs_graph *graph, const char *name, enum cs_type type,
                       const struct cs_shape *shape);
// data is borrowed: it must live as long as every graph made from this one.
int cs_graph_add_constant(struct cs_graph *graph, const char *name, enum cs_type type,
                          const struct cs_shape *shape, const void *data);
void cs_graph_add_input(struct cs_graph *graph, int value);
void cs_graph_add_output(struct cs_graph *graph, int value);
// Sets producers and uses of the outputs and inputs. The node may move with the next one added.
struct cs_node *cs_graph_add_node(struct cs_graph *graph, const char *op, const char *name,
                                  const int *inputs, int input_count, const int *outputs,
                                  int output_count);
// Attributes of the node last added; texts and lists are copied.
void cs_node_add_int(struct cs_graph *graph, struct cs_node *node, const char *name, int64_t value);
void cs_node_add_float(struct cs_graph *graph, struct cs_node *node, const char *name, float value);
void cs_node_add_string(struct cs_graph *graph, struct cs_node *node, const char *name,
                        const char *value);
void cs_node_add_ints(struct cs_graph *graph, struct cs_node *node, const char *name,
                      const int64_t *values, int count);
void cs_node_add_floats(struct cs_graph *graph, struct cs_node *node, const char *name,
                        const float *values, int count);
void cs_node_copy_attrs(struct cs_graph *graph, struct cs_node *node, const struct cs_node *from);
// Recompute producer and uses, drop nodes whose outputs nobody reads, check topological order and
// that every input exists. CS_EMODEL names the node.
int cs_graph_finish(struct cs_graph *graph, struct cs_err *err);

// ---- Asking ------------------------------------------------------------------------------

const struct cs_attr *cs_node_attr(const struct cs_node *node, const char *name); // NULL: absent
int64_t cs_node_int(const struct cs_node *node, const char *name, int64_t fallback);
float cs_node_float(const struct cs_node *node, const char *name, float fallback);
const char *cs_node_string(const struct cs_node *node, const char *name, const char *fallback);
// Copies an integer list of exactly `count`; fills with `fallback` when absent. CS_EMODEL.
int cs_node_ints(const struct cs_node *node, const char *name, int count, int64_t fallback,
                 int64_t *out, struct cs_err *err);
// CS_EMODEL "node NAME (Op): reason"; returns -1.
int cs_node_fail(const struct cs_node *node, struct cs_err *err, const char *fmt, ...)
    CS_PRINTF(3, 4);
// The value of input i, NULL when omitted.
const struct cs_value *cs_node_input(const struct cs_graph *graph, const struct cs_node *node,
                                     int i);
const struct cs_value *cs_node_output(const struct cs_graph *graph, const struct cs_node *node,
                                      int i);
bool cs_graph_is_output(const struct cs_graph *graph, int value);
// Whether a pass moved a sum or an activation into it.
bool cs_node_fuses(const struct cs_node *node);
// Samples of a constant for reading, aligned, until cs_constant_release: its data, or a copy where
// the file has them elsewhere. NULL with CS_ENOMEM. The value must stay where it is meanwhile.
struct cs_constant_hold {
    const struct cs_value *value;
    void *copy; // owned; NULL: none was needed
};
const void *cs_constant_hold(const struct cs_value *value, struct cs_constant_hold *hold,
                             struct cs_err *err);
// Gives pages of the file back too. Accepts a hold that failed.
void cs_constant_release(struct cs_constant_hold *hold);
// -1: unknown, or more than CS_MAX_ELEMENTS, where dimensions of 0 count as 1.
int64_t cs_shape_elements(const struct cs_shape *shape);
bool cs_shape_equal(const struct cs_shape *a, const struct cs_shape *b);
// "1x64x256x256" with "?" for unknown.
void cs_shape_text(const struct cs_shape *shape, char *text, size_t size);
// One line a node, for golden tests and cs-model.
void cs_graph_dump(const struct cs_graph *graph, struct cs_buf *out);

// ---- Shapes ------------------------------------------------------------------------------

// `concrete` becomes a copy of `graph` (constants' data shared) for the given input shapes (one a
// graph input, all dimensions known): every value typed and shaped, integer arithmetic folded.
// CS_EMODEL names node and reason: unsupported operator, shapes that do not fit, data-dependent
// shape.
int cs_graph_infer(const struct cs_graph *graph, const struct cs_shape *input_shapes,
                   struct cs_graph *concrete, struct cs_err *err);

// What tiling may do to the network, derived from its operators (graph/reach.c). Unknown sizes of
// the inputs are guessed: the answer is that for large planes. Names are borrowed from the graph.
struct cs_reach {
    bool tile_safe;        // no whole-image statistics
    const char *unsafe_op; // the operator that makes it unsafe
    const char *unsafe_node;
    int stride; // total stride: tile origins and sizes are multiples of it
    int halo;   // input pixels that an output pixel sees to each side, at most
    int margin; // that a part on multiples of the stride sees around it: multiples of it too
};
int cs_graph_reach(const struct cs_graph *graph, struct cs_reach *reach, struct cs_err *err);

// ---- Passes ------------------------------------------------------------------------------

// Rewrites that keep a graph's results. The table of passes and the reasons for their order are in
// graph/passes.c. Run CS_PASSES_ALGEBRA on the graph as built, once: weights that it folds are then
// shared by every concrete graph. Passes that need shapes match on concrete graphs only.
enum cs_pass_set {
    CS_PASSES_ALGEBRA, // constants, identities, BatchNormalization into Conv: for any backend
    CS_PASSES_FUSION,  // also node fusions (cs_fusion): for backends that run them
};
int cs_graph_run_passes(struct cs_graph *graph, enum cs_pass_set set, struct cs_err *err);

// ---- Parts -------------------------------------------------------------------------------

// Of a plane, in pixels: rows begin[0] to end[0] - 1, columns begin[1] to end[1] - 1.
struct cs_part {
    int64_t begin[2], end[2];
};
// Leave out of a concrete graph, which no pass for fusions has seen, what only pixels outside of
// the part depend on (graph/cut.c). Outputs with planes as large as the first input's then hold a
// rectangle around the part, whose first pixel is (origin[0], origin[1]) of those; others stay.
// Inside of the part values are those of the whole graph. After an error the graph is of no use.
int cs_graph_cut(struct cs_graph *graph, const struct cs_part *part, int64_t origin[2],
                 struct cs_err *err);

// ---- Memory plan -------------------------------------------------------------------------

// Static offsets of all activations of a concrete graph in one arena: two values that live at the
// same time never overlap. Alignment 64 bytes.
struct cs_memory_plan {
    size_t arena_bytes;
    size_t *offset; // per value; SIZE_MAX for constants and values without memory
    size_t *bytes;
};
// size_of says the bytes of a value (0: no memory); NULL: dense row-major. CS_ENOMEM.
int cs_memory_plan_make(const struct cs_graph *graph,
                        size_t (*size_of)(const struct cs_graph *, int value, void *context),
                        void *context, struct cs_memory_plan *plan, struct cs_err *err);
// The same with values that share memory: value v lies where share[v] lies (itself for most), which
// must be at least as large. For nodes that may write over what they read. CS_MEMORY_NONE: a
// value without memory; its readers read what its node reads, which lives as long. times: when each
// node runs, 0 to node_count - 1, nodes of one time side by side; NULL: one after the other.
enum { CS_MEMORY_NONE = -1 };
int cs_memory_plan_make_shared(const struct cs_graph *graph,
                               size_t (*size_of)(const struct cs_graph *, int value, void *context),
                               void *context, const int *share, const int *times,
                               struct cs_memory_plan *plan, struct cs_err *err);
void cs_memory_plan_release(struct cs_memory_plan *plan);

#endif
