// SPDX-License-Identifier: MIT
// Matrix products of any strides, with the same bits for any number of threads, batch and place of
// a matrix in it: C[i] = A[i] x B[i], plus one number a column, an addend, then an activation.
#ifndef CS_BACKEND_CPU_PRODUCT_H
#define CS_BACKEND_CPU_PRODUCT_H

#include "backend/cpu/cpu.h"

// Strides in floats. Offsets of matrices: one for each of `batch`; matrices of B that many of A
// share are listed once in b_start, and b_of says which one it is.
struct cs_cpu_product {
    struct cs_cpu_place a, b, c;
    int64_t batch, rows, depth, columns;
    int64_t a_row, a_depth, b_depth, b_column, c_row, c_column;
    const int64_t *a_start, *c_start, *b_of, *b_start;
    int64_t b_count;
    const float *b_packed; // a constant B, packed when the plan is made; NULL: packed in each run
    // Work on finished rows, where c_column is 1:
    bool biased, adding;
    struct cs_cpu_place bias, add; // add lies as C does
    struct cs_cpu_activation activation;
    // Set by cs_cpu_product_size.
    int64_t panels, panel_depths; // panels of B's columns; blocks of depth
    size_t packed_floats;         // of one B
    size_t a_scratch; // by cs_cpu_add_product: bytes of scratch before the threads' copies of A
};

// The step; product must live as long as the plan.
void cs_cpu_add_product(struct cs_plan *plan, const struct cs_node *node,
                        struct cs_cpu_product *product);

// ---- Parts, for steps that multiply on the way -----------------------------------------------

enum {
    CS_CPU_PRODUCT_ROWS = 96, // of a block of A, a multiple of all tiles' rows
    // Floats of its copy: the rows lie in different sets of the cache.
    CS_CPU_PRODUCT_COPY = CS_CPU_PRODUCT_ROWS * (CS_KERNEL_DEPTH + 16),
};

// Panels and packed floats for the product's depth and columns.
void cs_cpu_product_size(const struct cs_kernels *kernels, struct cs_cpu_product *product);
// One B, `b` its first element, in the order of the kernels; the product was sized.
void cs_cpu_product_pack(const struct cs_kernels *kernels, const struct cs_cpu_product *product,
                         const float *b, float *packed);
// Rows of one C, at most CS_CPU_PRODUCT_ROWS, from as many of one A. Of the product, which was
// sized, sizes and strides count alone. `copy` has CS_CPU_PRODUCT_COPY floats.
void cs_cpu_product_rows(const struct cs_kernels *kernels, const struct cs_cpu_product *product,
                         float *c, const float *a, const float *packed, int64_t rows, float *copy);

#endif
