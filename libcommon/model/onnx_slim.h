// SPDX-License-Identifier: MIT
// An ONNX file without the bulk of its weights: inside of the reader.
#ifndef CS_MODEL_ONNX_SLIM_H
#define CS_MODEL_ONNX_SLIM_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct cs_onnx_raw {
    const uint8_t *data; // in the file's bytes; NULL: the tensor has no raw_data
    size_t bytes;
};

struct cs_onnx_slim {
    struct cs_buf message;    // the file's bytes without raw_data of initialisers
    struct cs_onnx_raw *raws; // one an initialiser, in the file's order
    size_t raw_count, raw_capacity;
};

// CS_EMODEL when the bytes are no protobuf message; that they are ONNX is left to protobuf-c.
int cs_onnx_slim_make(struct cs_onnx_slim *slim, const void *bytes, size_t size,
                      struct cs_err *err);
void cs_onnx_slim_release(struct cs_onnx_slim *slim);

#endif
