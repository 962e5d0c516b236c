// SPDX-License-Identifier: MIT
// Tensor cores for the host: tiles of 16 x 16 that the lanes of a warp share, each with 8 elements
// of the sums. Addresses and row lengths that the device does not take end the program.
#ifndef SHIM_MMA_H
#define SHIM_MMA_H

#include <stdlib.h>

#include "cuda_fp16.h"
#include "cuda_runtime.h"

namespace nvcuda {
namespace wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };

constexpr int SIDE = 16, OWN = 8; // of a lane: a row, and every second half of it

template <typename Use, int M, int N, int K, typename T, typename Layout = void> struct fragment {
    static_assert(M == SIDE && N == SIDE && K == SIDE, "tiles are of 16 x 16");
    float v[SIDE][OWN]; // b: rows of a; a: v[k][0]; sums: v[0]
};

inline void shim_check(const void *at, unsigned row, unsigned multiple)
{
    if ((uintptr_t)at % 32 != 0 || row % multiple != 0)
        abort();
}

template <typename F> float shim_number(F x)
{
    return x;
}

inline float shim_number(__half x)
{
    return __half2float(x);
}

template <int M, int N, int K, typename T>
void load_matrix_sync(fragment<matrix_a, M, N, K, T, row_major> &f, const T *from, unsigned row)
{
    shim_check(from, row, 8);
    for (int k = 0; k < SIDE; k++)
        f.v[k][0] = shim_number(from[shim_lane() / 2 * row + (unsigned)k]);
}

template <int M, int N, int K, typename T>
void load_matrix_sync(fragment<matrix_b, M, N, K, T, row_major> &f, const T *from, unsigned row)
{
    shim_check(from, row, 8);
    for (int k = 0; k < SIDE; k++)
        for (int i = 0; i < OWN; i++)
            f.v[k][i] = shim_number(from[(unsigned)k * row + shim_lane() % 2 * OWN + (unsigned)i]);
}

template <int M, int N, int K, typename T>
void load_matrix_sync(fragment<matrix_b, M, N, K, T, col_major> &f, const T *from, unsigned row)
{
    shim_check(from, row, 8);
    for (int k = 0; k < SIDE; k++)
        for (int i = 0; i < OWN; i++)
            f.v[k][i] =
                shim_number(from[(shim_lane() % 2 * OWN + (unsigned)i) * row + (unsigned)k]);
}

template <typename F> void fill_fragment(F &f, float value)
{
    for (int i = 0; i < OWN; i++)
        f.v[0][i] = value;
}

template <typename Sums, typename Left, typename Right>
void mma_sync(Sums &to, const Left &a, const Right &b, const Sums &before)
{
    for (int i = 0; i < OWN; i++) {
        float sum = before.v[0][i];
        for (int k = 0; k < SIDE; k++)
            sum += a.v[k][0] * b.v[k][i];
        to.v[0][i] = sum;
    }
}

template <int M, int N, int K>
void store_matrix_sync(float *to, const fragment<accumulator, M, N, K, float> &f, unsigned row,
                       layout_t)
{
    shim_check(to, row, 4);
    for (int i = 0; i < OWN; i++)
        to[shim_lane() / 2 * row + shim_lane() % 2 * OWN + (unsigned)i] = f.v[0][i];
}

} // namespace wmma
} // namespace nvcuda

#endif
