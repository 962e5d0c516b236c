// SPDX-License-Identifier: MIT
// An ONNX message as a graph: inside of the reader.
#ifndef CS_MODEL_ONNX_GRAPH_H
#define CS_MODEL_ONNX_GRAPH_H

#include "model/onnx_tensor.h"

// Constants' samples belong to the store, or lie in `bytes` where it lends. Release the graph also
// on failure. CS_EMODEL: broken or not supported, with the node or tensor; CS_ENOMEM.
int cs_onnx_graph_read(struct cs_onnx_store *store, const void *bytes, size_t size,
                       struct cs_graph *graph, struct cs_err *err);

#endif
