// SPDX-License-Identifier: MIT
// Movements that are no loop over strides: padding, changes of shape, choice by index. Elements are
// moved as the 1, 2, 4 or 8 bytes that they are, one a thread.
#include "backend/cuda/axes.cuh"

using namespace cs;

namespace {

constexpr int THREADS = 256;

unsigned blocks_of(uint32_t count)
{
    return static_cast<unsigned>(blocks_for(count, THREADS));
}

// A loop over the axes as they are, in row-major order.
template <int N> loop<N> plain_loop(const cs_cuda_tensor &tensor)
{
    loop<N> l = {};
    l.count = 1;
    l.rank = tensor.rank;
    for (int d = 0; d < l.rank; d++) {
        l.dim[d] = tensor.dim[d];
        l.stride[0][d] = tensor.stride[d];
        l.count *= l.dim[d];
    }
    return l;
}

bool too_many(int64_t count)
{
    return count > CS_CUDA_MAX_ITEMS;
}

// run(T()) with an unsigned integer as large as an element.
template <typename Run> int by_size(cs_cuda_type type, const Run &run)
{
    switch (type) {
    case CS_CUDA_F16:
        return run(uint16_t());
    case CS_CUDA_I64:
        return run(uint64_t());
    case CS_CUDA_BOOL:
        return run(uint8_t());
    default:
        return run(uint32_t());
    }
}

// ---- Reshape -------------------------------------------------------------------------------

template <typename T>
__global__ void __launch_bounds__(THREADS)
    reshape_kernel(const __grid_constant__ steps<1> from, const __grid_constant__ steps<1> to,
                   const T *source, T *target)
{
    uint32_t index = blockIdx.x * THREADS + threadIdx.x;
    int64_t at_from[1], at_to[1];
    if (index >= to.count)
        return;
    offsets(from, index, at_from);
    offsets(to, index, at_to);
    target[at_to[0]] = source[at_from[0]];
}

// ---- Pad -----------------------------------------------------------------------------------

struct pad_job {
    steps<1> out;
    const void *source, *value;
    void *target;
    int mode;
    uint64_t bits; // of the value, where there is no tensor
    int32_t begin[CS_CUDA_MAX_RANK], size[CS_CUDA_MAX_RANK];
    int64_t stride[CS_CUDA_MAX_RANK]; // of the source
};

// The index inside that stands for index `at`; -1: none.
__device__ __forceinline__ int32_t inside(int mode, int32_t at, int32_t size)
{
    if (at >= 0 && at < size)
        return at;
    switch (mode) {
    case CS_CUDA_PAD_REFLECT:
        return at < 0 ? -at : 2 * (size - 1) - at;
    case CS_CUDA_PAD_EDGE:
        return at < 0 ? 0 : size - 1;
    case CS_CUDA_PAD_WRAP:
        at %= size;
        return at < 0 ? at + size : at;
    default:
        return -1;
    }
}

template <typename T>
__global__ void __launch_bounds__(THREADS) pad_kernel(const __grid_constant__ pad_job j)
{
    uint32_t index = blockIdx.x * THREADS + threadIdx.x;
    if (index >= j.out.count)
        return;
    int64_t to = 0, from = 0;
    bool outside = false;
#pragma unroll
    for (int d = CS_CUDA_MAX_RANK - 1; d >= 0; d--) {
        if (d >= j.out.rank)
            continue;
        uint32_t outer = d > 0 ? divide(index, j.out.dim[d]) : 0;
        uint32_t here = index - outer * j.out.dim[d].by;
        int32_t at = inside(j.mode, static_cast<int32_t>(here) - j.begin[d], j.size[d]);
        index = outer;
        to += here * j.out.stride[0][d];
        from += at * j.stride[d];
        outside = outside || at < 0;
    }
    T value = static_cast<T>(j.bits);
    if (!outside)
        value = static_cast<const T *>(j.source)[from];
    else if (j.value)
        value = *static_cast<const T *>(j.value);
    static_cast<T *>(j.target)[to] = value;
}

uint64_t bits_of(cs_cuda_type type, float number)
{
    uint64_t bits = 0;
    __half half = __float2half_rn(number);
    if (type == CS_CUDA_F32)
        memcpy(&bits, &number, sizeof number);
    else if (type == CS_CUDA_F16)
        memcpy(&bits, &half, sizeof half);
    return bits;
}

// ---- Choice by index -----------------------------------------------------------------------

struct index_job {
    steps<3> over; // output, source, indices
    const void *source, *indices;
    void *target;
    bool wide; // indices are int64
    int depth;
    int64_t axis_stride[CS_CUDA_MAX_RANK], axis_size[CS_CUDA_MAX_RANK], tuple_stride;
    uint32_t *fault;
};

__device__ int64_t index_at(const void *indices, bool wide, int64_t at, int64_t size,
                            uint32_t *fault)
{
    int64_t index = wide ? static_cast<const int64_t *>(indices)[at]
                         : static_cast<const int32_t *>(indices)[at];
    index = index < 0 ? index + size : index;
    if (index >= 0 && index < size)
        return index;
    set_fault(fault);
    return index < 0 ? 0 : size - 1;
}

template <typename T>
__global__ void __launch_bounds__(THREADS) gather_kernel(const __grid_constant__ index_job j)
{
    uint32_t index = blockIdx.x * THREADS + threadIdx.x;
    int64_t at[3];
    if (index >= j.over.count)
        return;
    offsets(j.over, index, at);
    for (int k = 0; k < j.depth; k++)
        at[1] += j.axis_stride[k] *
                 index_at(j.indices, j.wide, at[2] + k * j.tuple_stride, j.axis_size[k], j.fault);
    static_cast<T *>(j.target)[at[0]] = static_cast<const T *>(j.source)[at[1]];
}

struct scatter_job {
    steps<2> slice;  // output, updates
    steps<1> tuples; // updates
    const void *indices, *updates;
    void *out;
    bool wide;
    int depth;
    int64_t axis_stride[CS_CUDA_MAX_RANK], axis_size[CS_CUDA_MAX_RANK];
    uint32_t *fault;
};

template <typename T>
__global__ void __launch_bounds__(THREADS) scatter_kernel(const __grid_constant__ scatter_job j)
{
    uint32_t index = blockIdx.x * THREADS + threadIdx.x;
    int64_t at[2], tuple[1];
    if (index >= j.slice.count)
        return;
    offsets(j.slice, index, at);
    for (uint32_t t = 0; t < j.tuples.count; t++) {
        int64_t to = at[0];
        for (int k = 0; k < j.depth; k++)
            to += j.axis_stride[k] * index_at(j.indices, j.wide,
                                              static_cast<int64_t>(t) * j.depth + k, j.axis_size[k],
                                              j.fault);
        offsets(j.tuples, t, tuple);
        static_cast<T *>(j.out)[to] = static_cast<const T *>(j.updates)[at[1] + tuple[0]];
    }
}

// ---- Fill ----------------------------------------------------------------------------------

template <typename T>
__global__ void __launch_bounds__(THREADS)
    fill_kernel(const __grid_constant__ steps<1> over, T *target, T value)
{
    uint32_t index = blockIdx.x * THREADS + threadIdx.x;
    int64_t at[1];
    if (index >= over.count)
        return;
    offsets(over, index, at);
    target[at[0]] = value;
}

uint64_t integer_bits(cs_cuda_type type, double value)
{
    bool real = type == CS_CUDA_F32 || type == CS_CUDA_F16;
    return real ? bits_of(type, static_cast<float>(value))
                : static_cast<uint64_t>(static_cast<int64_t>(value));
}

} // namespace

int cs_cuda_set_all(void *stream, const struct cs_cuda_tensor *out, double value)
{
    loop<1> l = plain_loop<1>(*out);
    simplify(l);
    if (l.count == 0)
        return 0;
    if (too_many(l.count))
        return static_cast<int>(cudaErrorInvalidValue);
    steps<1> over = steps_of(l, 1);
    uint64_t bits = integer_bits(out->type, value);
    return by_size(out->type, [&](auto element) {
        using T = decltype(element);
        return launch(stream, dim3(blocks_of(over.count)), THREADS, fill_kernel<T>, over,
                      static_cast<T *>(out->data), static_cast<T>(bits));
    });
}

int cs_cuda_reshape(void *stream, const struct cs_cuda_tensor *from,
                    const struct cs_cuda_tensor *to)
{
    loop<1> source = plain_loop<1>(*from), target = plain_loop<1>(*to);
    if (target.count == 0)
        return 0;
    if (source.count != target.count || too_many(target.count))
        return static_cast<int>(cudaErrorInvalidValue);
    steps<1> f = steps_of(source, 1), t = steps_of(target, 1);
    return by_size(to->type, [&](auto element) {
        using T = decltype(element);
        return launch(stream, dim3(blocks_of(t.count)), THREADS, reshape_kernel<T>, f, t,
                      static_cast<const T *>(from->data), static_cast<T *>(to->data));
    });
}

int cs_cuda_pad_launch(void *stream, const struct cs_cuda_pad *pad)
{
    loop<1> l = plain_loop<1>(pad->out);
    if (l.count == 0)
        return 0;
    if (too_many(l.count))
        return static_cast<int>(cudaErrorInvalidValue);
    pad_job j = {};
    j.out = steps_of(l, 1);
    j.source = pad->in.data;
    j.target = pad->out.data;
    j.value = pad->value.data;
    j.mode = pad->mode;
    j.bits = bits_of(pad->out.type, pad->number);
    for (int d = 0; d < l.rank; d++) {
        j.begin[d] = static_cast<int32_t>(pad->begin[d]);
        j.size[d] = static_cast<int32_t>(pad->in.dim[d]);
        j.stride[d] = pad->in.stride[d];
    }
    if (l.rank == 0)
        j.size[0] = 1;
    return by_size(pad->out.type, [&](auto element) {
        return launch(stream, dim3(blocks_of(j.out.count)), THREADS, pad_kernel<decltype(element)>,
                      j);
    });
}

int cs_cuda_gather_launch(void *stream, const struct cs_cuda_gather *gather)
{
    loop<3> l = plain_loop<3>(gather->out);
    for (int d = 0; d < l.rank; d++) {
        l.stride[1][d] = gather->in_stride[d];
        l.stride[2][d] = gather->index_stride[d];
    }
    simplify(l);
    if (l.count == 0)
        return 0;
    if (too_many(l.count))
        return static_cast<int>(cudaErrorInvalidValue);
    index_job j = {};
    j.over = steps_of(l, 1);
    j.source = gather->in.data;
    j.indices = gather->indices.data;
    j.target = gather->out.data;
    j.wide = gather->indices.type == CS_CUDA_I64;
    j.depth = gather->depth;
    for (int k = 0; k < gather->depth; k++) {
        j.axis_stride[k] = gather->axis_stride[k];
        j.axis_size[k] = gather->axis_size[k];
    }
    j.tuple_stride = gather->tuple_stride;
    j.fault = gather->fault;
    return by_size(gather->out.type, [&](auto element) {
        return launch(stream, dim3(blocks_of(j.over.count)), THREADS,
                      gather_kernel<decltype(element)>, j);
    });
}

int cs_cuda_scatter_launch(void *stream, const struct cs_cuda_scatter *scatter)
{
    const cs_cuda_tensor &out = scatter->out, &updates = scatter->updates;
    loop<2> slice = {};
    loop<1> tuples = {};
    slice.rank = out.rank - scatter->depth;
    tuples.rank = updates.rank - slice.rank;
    slice.count = tuples.count = 1;
    for (int d = 0; d < slice.rank; d++) {
        slice.dim[d] = out.dim[scatter->depth + d];
        slice.stride[0][d] = out.stride[scatter->depth + d];
        slice.stride[1][d] = updates.stride[tuples.rank + d];
        slice.count *= slice.dim[d];
    }
    for (int d = 0; d < tuples.rank; d++) {
        tuples.dim[d] = updates.dim[d];
        tuples.stride[0][d] = updates.stride[d];
        tuples.count *= tuples.dim[d];
    }
    if (slice.count == 0 || tuples.count == 0)
        return 0;
    if (too_many(slice.count) || too_many(tuples.count))
        return static_cast<int>(cudaErrorInvalidValue);
    scatter_job j = {};
    j.slice = steps_of(slice, 1);
    j.tuples = steps_of(tuples, 1);
    j.indices = scatter->indices.data;
    j.updates = updates.data;
    j.out = out.data;
    j.wide = scatter->indices.type == CS_CUDA_I64;
    j.depth = scatter->depth;
    for (int k = 0; k < scatter->depth; k++) {
        j.axis_stride[k] = out.stride[k];
        j.axis_size[k] = out.dim[k];
    }
    j.fault = scatter->fault;
    return by_size(out.type, [&](auto element) {
        return launch(stream, dim3(blocks_of(j.slice.count)), THREADS,
                      scatter_kernel<decltype(element)>, j);
    });
}
