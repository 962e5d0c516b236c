// SPDX-License-Identifier: MIT
// Products of tiles in shared memory by tensor cores: fp16 with sums in float32, the same order of
// sums in every run. A block of 256 threads makes 64 x 64, a warp 16 x 32 of it.
#ifndef CS_BACKEND_CUDA_TENSOR_CUH
#define CS_BACKEND_CUDA_TENSOR_CUH

#include <mma.h>

#include "backend/cuda/device.cuh"

namespace cs {

// Rows are longer than a tile, so that 16 of them lie in different banks; their length is a
// multiple of 16 bytes, and that of 16 rows one of 32, as the instructions want it.
constexpr int TENSOR_TILE = 64, TENSOR_ROW = TENSOR_TILE + 8, TENSOR_SUMS = TENSOR_TILE + 4;
constexpr int TENSOR_THREADS = 256;
typedef __half tensor_tile[TENSOR_TILE][TENSOR_ROW];
typedef float tensor_sums[TENSOR_TILE][TENSOR_SUMS];

// This warp's part of the sums.
struct tensor_part {
    enum { SIDE = 16, ACROSS = 2 };
    nvcuda::wmma::fragment<nvcuda::wmma::accumulator, SIDE, SIDE, SIDE, float> sums[ACROSS];

    static __device__ __forceinline__ int row()
    {
        return static_cast<int>(threadIdx.x) / WARP / 2 * SIDE;
    }

    static __device__ __forceinline__ int column()
    {
        return static_cast<int>(threadIdx.x) / WARP % 2 * (ACROSS * SIDE);
    }

    __device__ __forceinline__ void clear()
    {
#pragma unroll
        for (int c = 0; c < ACROSS; c++)
            nvcuda::wmma::fill_fragment(sums[c], 0.0F);
    }

    // Adds a b: a's rows are those of the sums; b's are what is summed or, TURNED, the columns of
    // the sums. Between barriers: all of a and b must be there.
    template <bool TURNED>
    __device__ __forceinline__ void multiply(const tensor_tile &a, const tensor_tile &b)
    {
        using namespace nvcuda::wmma;
        typedef typename choose<TURNED>::layout layout;
#pragma unroll
        for (int k = 0; k < TENSOR_TILE; k += SIDE) {
            fragment<matrix_a, SIDE, SIDE, SIDE, __half, row_major> left;
            load_matrix_sync(left, &a[row()][k], TENSOR_ROW);
#pragma unroll
            for (int c = 0; c < ACROSS; c++) {
                fragment<matrix_b, SIDE, SIDE, SIDE, __half, layout> right;
                int n = column() + c * SIDE;
                load_matrix_sync(right, TURNED ? &b[n][k] : &b[k][n], TENSOR_ROW);
                mma_sync(sums[c], left, right, sums[c]);
            }
        }
    }

    __device__ __forceinline__ void store(tensor_sums &to) const
    {
#pragma unroll
        for (int c = 0; c < ACROSS; c++)
            nvcuda::wmma::store_matrix_sync(&to[row()][column() + c * SIDE], sums[c], TENSOR_SUMS,
                                            nvcuda::wmma::mem_row_major);
    }

  private:
    template <bool TURNED> struct choose {
        typedef nvcuda::wmma::row_major layout;
    };
};

template <> struct tensor_part::choose<true> {
    typedef nvcuda::wmma::col_major layout;
};

// A tile on its way from memory to shared memory: rows from `first` on, elements of a row from
// `begin` on, 0 outside. What this thread has of it lies in registers between read and write.
struct tensor_load {
    enum { VECTOR = 8, VECTORS = TENSOR_TILE * TENSOR_TILE / VECTOR / TENSOR_THREADS };
    vec<__half, VECTOR> held[VECTORS];

    static __device__ __forceinline__ int row(int i)
    {
        return (static_cast<int>(threadIdx.x) + i * TENSOR_THREADS) / (TENSOR_TILE / VECTOR);
    }

    static __device__ __forceinline__ int column()
    {
        return static_cast<int>(threadIdx.x) % (TENSOR_TILE / VECTOR) * VECTOR;
    }

    // Element (r, c) at data[base + r * stride + c * step]; `aligned`: step is 1 and vectors may be
    // loaded as such.
    __device__ __forceinline__ void read(const void *data, int64_t base, uint32_t first,
                                         uint32_t rows, int64_t stride, uint32_t begin,
                                         uint32_t columns, int64_t step, bool aligned)
    {
        const __half *from = static_cast<const __half *>(data) + base;
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
            uint32_t r = first + row(i), c = begin + column();
            bool whole = aligned && r < rows && c + VECTOR <= columns;
            if (whole)
                held[i] = *reinterpret_cast<const vec<__half, VECTOR> *>(from + r * stride + c);
#pragma unroll
            for (int e = 0; e < VECTOR && !whole; e++)
                held[i].v[e] = r < rows && c + e < columns ? from[r * stride + (c + e) * step]
                                                           : __float2half_rn(0);
        }
    }

    __device__ __forceinline__ void write(tensor_tile &to) const
    {
#pragma unroll
        for (int i = 0; i < VECTORS; i++)
            *reinterpret_cast<vec<__half, VECTOR> *>(&to[row(i)][column()]) = held[i];
    }
};

// Whether vectors of a matrix may be loaded: rows of `stride`, matrices of `others` apart.
inline bool tensor_aligned(const void *data, int64_t step, int64_t stride, const int64_t *others,
                           int count)
{
    bool yes = step == 1 && reinterpret_cast<uintptr_t>(data) % 16 == 0 && stride % 8 == 0;
    for (int i = 0; i < count; i++)
        yes = yes && others[i] % 8 == 0;
    return yes;
}

} // namespace cs

#endif
