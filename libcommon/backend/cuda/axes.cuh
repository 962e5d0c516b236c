// SPDX-License-Identifier: MIT
// Loops over the axes of several tensors at once: axes of one element are dropped, the others put
// in the order of the first tensor's memory and merged where all tensors allow that, so that the
// innermost axis is as long as can be.
#ifndef CS_BACKEND_CUDA_AXES_CUH
#define CS_BACKEND_CUDA_AXES_CUH

#include "backend/cuda/device.cuh"

namespace cs {

// Host side: sizes with the strides of N tensors, outermost first.
template <int N> struct loop {
    int rank;
    int64_t dim[CS_CUDA_MAX_RANK], stride[N][CS_CUDA_MAX_RANK];
    int64_t count;
};

template <int N> inline void swap_axes(loop<N> &l, int a, int b)
{
    for (int t = -1; t < N; t++) {
        int64_t *list = t < 0 ? l.dim : l.stride[t];
        int64_t kept = list[a];
        list[a] = list[b];
        list[b] = kept;
    }
}

// Merges axis d into the one before if every tensor steps through both as through one.
template <int N> inline bool merges(const loop<N> &l, int d)
{
    for (int t = 0; t < N; t++)
        if (l.stride[t][d - 1] != l.stride[t][d] * l.dim[d])
            return false;
    return true;
}

// The loop over `dim` axes as tensor 0 has them in memory.
template <int N> inline void simplify(loop<N> &l)
{
    int kept = 0;
    l.count = 1;
    for (int d = 0; d < l.rank; d++) {
        l.count *= l.dim[d];
        if (l.dim[d] == 1)
            continue;
        swap_axes(l, kept, d);
        kept++;
    }
    l.rank = kept;
    for (int d = 1; d < l.rank; d++) // by insertion: equal strides keep their order
        for (int e = d; e > 0 && l.stride[0][e - 1] < l.stride[0][e]; e--)
            swap_axes(l, e - 1, e);
    for (int d = l.rank - 1; d > 0; d--) {
        if (!merges(l, d))
            continue;
        l.dim[d - 1] *= l.dim[d];
        for (int t = 0; t < N; t++)
            l.stride[t][d - 1] = l.stride[t][d];
        for (int e = d; e + 1 < l.rank; e++)
            swap_axes(l, e, e + 1);
        l.rank--;
    }
}

// Strides of a tensor in a loop over `dims`: 0 where its axis is repeated.
inline void broadcast_strides(const cs_cuda_tensor &tensor, int rank, int64_t *stride)
{
    for (int d = 0; d < rank; d++) {
        int own = d - (rank - tensor.rank);
        stride[d] = own < 0 || tensor.dim[own] == 1 ? 0 : tensor.stride[own];
    }
}

// How many elements of the innermost axis, of 8, 4 or 1, can be moved at once: tensors step
// through it by 1, or stand still.
template <int N> inline int width_of(const loop<N> &l, const cs_cuda_tensor *const (&tensors)[N])
{
    for (int width = 8; width > 1; width /= 2) {
        bool fits = l.rank > 0 && l.dim[l.rank - 1] % width == 0 && width != 2;
        for (int t = 0; fits && t < N; t++) {
            int64_t bytes = tensors[t]->type == CS_CUDA_F16 ? 2 : 4,
                    inner = l.stride[t][l.rank - 1];
            int64_t align = bytes * width < 16 ? bytes * width : 16;
            fits = inner == 0 || (inner == 1 && (uintptr_t)tensors[t]->data % align == 0);
            for (int d = 0; fits && inner == 1 && d < l.rank - 1; d++)
                fits = l.stride[t][d] * bytes % align == 0;
        }
        if (fits)
            return width;
    }
    return 1;
}

// Device side: the same, an index of `width` elements at a time. Axis 0 needs no division.
template <int N> struct steps {
    int rank;
    uint32_t count; // indices
    divisor dim[CS_CUDA_MAX_RANK];
    int64_t stride[N][CS_CUDA_MAX_RANK];
};

template <int N> inline steps<N> steps_of(const loop<N> &l, int width)
{
    steps<N> s = {};
    s.rank = l.rank > 0 ? l.rank : 1;
    s.count = static_cast<uint32_t>(l.count / width);
    for (int d = 0; d < s.rank; d++) {
        int last = d == l.rank - 1;
        s.dim[d] = divisor_of(l.rank == 0 ? 1 : last ? l.dim[d] / width : l.dim[d]);
        for (int t = 0; t < N; t++)
            s.stride[t][d] = l.rank == 0 ? 0 : last ? l.stride[t][d] * width : l.stride[t][d];
    }
    return s;
}

template <int N>
__device__ __forceinline__ void offsets(const steps<N> &s, uint32_t index, int64_t (&at)[N])
{
#pragma unroll
    for (int t = 0; t < N; t++)
        at[t] = 0;
#pragma unroll
    for (int d = CS_CUDA_MAX_RANK - 1; d >= 0; d--) {
        if (d >= s.rank)
            continue;
        uint32_t outer = d > 0 ? divide(index, s.dim[d]) : 0;
        int64_t here = index - outer * s.dim[d].by;
        index = outer;
#pragma unroll
        for (int t = 0; t < N; t++)
            at[t] += here * s.stride[t][d];
    }
}

} // namespace cs

#endif
