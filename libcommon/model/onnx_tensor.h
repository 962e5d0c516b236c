// SPDX-License-Identifier: MIT
// Tensors of an ONNX file: inside of the reader.
#ifndef CS_MODEL_ONNX_TENSOR_H
#define CS_MODEL_ONNX_TENSOR_H

#include "base/arena.h"
#include "graph/graph.h"
#include "model/onnx_slim.h"
#include "onnx.pb-c.h"

enum { CS_ONNX_MAX_FILES = 64 };

// Where tensors' samples come from and live.
struct cs_onnx_store {
    struct cs_arena arena; // samples that were copied or converted
    const char *folder;    // of external files; NULL: refused
    bool lends;            // large float32 tensors stay where the file is mapped
    struct cs_onnx_map {
        char *path;
        void *data;
        size_t bytes;
    } maps[CS_ONNX_MAX_FILES]; // external files, mapped once each
    int map_count;
};
void cs_onnx_store_release(struct cs_onnx_store *store);

struct cs_onnx_tensor {
    enum cs_type type;
    struct cs_shape shape;
    const void *data; // lives as long as the store
    bool in_file;     // in the mapped file, at any alignment
};
// raw: samples that are not in the message; NULL: none. float16 and double become float32.
// CS_EMODEL names the tensor.
int cs_onnx_tensor_read(struct cs_onnx_store *store, const Onnx__TensorProto *proto,
                        const struct cs_onnx_raw *raw, struct cs_onnx_tensor *tensor,
                        struct cs_err *err);
// A copy of samples that do not outlive the message.
const void *cs_onnx_store_copy(struct cs_onnx_store *store, const void *data, size_t bytes);
// ONNX's number of a sample type; CS_TYPE_NONE: not supported as it is.
enum cs_type cs_onnx_type(int data_type);

#endif
