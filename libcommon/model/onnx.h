// SPDX-License-Identifier: MIT
// Reading ONNX files: opsets 9 to 28 of the standard operators, weights inside or in files beside
// the model. Bytes are not trusted: every count, size, type and path is checked.
#ifndef CS_MODEL_ONNX_H
#define CS_MODEL_ONNX_H

#include <stddef.h>

#include "base/err.h"
#include "graph/graph.h"

enum { CS_ONNX_MIN_OPSET = 9, CS_ONNX_MAX_OPSET = 28 };

// Keeps the constants that the graph borrows: must outlive it and every graph made from it.
struct cs_onnx;

// The file as a graph; unknown dimensions of inputs are -1. Weights in external files are found
// relative to the model's folder and never outside it.
// CS_EIO: unreadable. CS_EMODEL: broken or unsupported; the message names node or tensor.
// On failure nothing is left to release.
int cs_onnx_read(const char *path, struct cs_graph *graph, struct cs_onnx **file,
                 struct cs_err *err);
// The same, but large weights of convolutions and matrix products stay in the file (in_file), which
// must not change until cs_onnx_free.
int cs_onnx_map(const char *path, struct cs_graph *graph, struct cs_onnx **file,
                struct cs_err *err);
// The same for bytes in memory, which may be freed afterwards. folder: where external weights lie;
// NULL refuses them.
int cs_onnx_parse(const void *bytes, size_t size, const char *folder, struct cs_graph *graph,
                  struct cs_onnx **file, struct cs_err *err);
// Files of external weights that were read, by their path relative to the model's folder; NULL
// behind the last. Borrowed.
const char *cs_onnx_external(const struct cs_onnx *file, int index);
void cs_onnx_free(struct cs_onnx *file); // accepts NULL
// Give back pages of the file that were read; they come again when they are wanted.
void cs_onnx_rest(const struct cs_onnx *file);
// Bytes of memory that it holds; what stays in the file is not counted.
size_t cs_onnx_bytes(const struct cs_onnx *file);

#endif
