// SPDX-License-Identifier: MIT
// Test tensors of a package: NPY files of any rank, read as 32-bit floats.
#ifndef CS_MODEL_NPY_TENSOR_H
#define CS_MODEL_NPY_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { CS_TENSOR_MAX_RANK = 8 };
#define CS_TENSOR_MAX_BYTES ((size_t)1 << 30)

struct cs_tensor {
    int rank;
    int64_t dim[CS_TENSOR_MAX_RANK];
    float *data; // dense, row-major; owned
    size_t count;
};

// NPY format 1 to 3, little-endian or one byte, C order. CS_EMODEL names the file and reason.
int cs_tensor_read(struct cs_tensor *tensor, const char *path, struct cs_err *err);
// The same for bytes in memory.
int cs_tensor_parse(struct cs_tensor *tensor, const void *bytes, size_t size, struct cs_err *err);
// The bytes of the tensor as an NPY file of "<f4", appended to out. At least two dimensions.
void cs_tensor_write(const struct cs_tensor *tensor, struct cs_buf *out);
void cs_tensor_release(struct cs_tensor *tensor); // accepts a zeroed struct

#endif
