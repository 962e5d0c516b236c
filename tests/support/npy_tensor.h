// SPDX-License-Identifier: MIT
// Tensors in NPY files for tests: float32 or float64, C order, any rank; read as double.
#ifndef TESTS_SUPPORT_NPY_TENSOR_H
#define TESTS_SUPPORT_NPY_TENSOR_H

#include "base/err.h"
#include "graph/graph.h"

struct npy_tensor {
    struct cs_shape shape;
    int64_t elements;
    double *data; // owned
};
int npy_tensor_read(const char *path, struct npy_tensor *tensor, struct cs_err *err);
float *npy_tensor_floats(const struct npy_tensor *tensor); // caller frees with free()
void npy_tensor_release(struct npy_tensor *tensor);
// |got - expected| / |expected|, Euclidean; NaN and infinity give infinity.
double npy_tensor_error(const float *got, const struct npy_tensor *expected);

#endif
