// SPDX-License-Identifier: MIT
// LayerNormalization and Softmax: rows of any length along any axes. A row is read three times, of
// which the caches serve two: for its mean or greatest, for the squares of deviations or the sum of
// exponentials, and for the result. A team of threads has a row: one where the rows lie side by
// side in memory, else as many as have work, up to a block.
#include "backend/cuda/axes.cuh"

using namespace cs;

namespace {

constexpr int THREADS = 256;

struct row_job {
    steps<4> outer; // output, input, mean, factor
    steps<4> inner; // output, input, scale, shift
    const void *in, *scale, *shift;
    void *out, *mean, *factor;
    int in_type, out_type, scale_type, shift_type, mean_type;
    float epsilon;
};

struct greatest {
    static __device__ __forceinline__ float join(float a, float b)
    {
        return fmaxf(a, b);
    }
};

struct sum {
    static __device__ __forceinline__ float join(float a, float b)
    {
        return a + b;
    }
};

// The same value for all threads of a team, joined as a tree.
template <typename Join, int TEAM> __device__ float all_of(float value)
{
#pragma unroll
    for (int by = WARP / 2; by > 0; by /= 2)
        if (by < TEAM)
            value = Join::join(value, __shfl_xor_sync(ALL, value, by));
    if constexpr (TEAM > WARP) {
        __shared__ float parts[THREADS / WARP];
        __syncthreads(); // of the call before
        if (threadIdx.x % WARP == 0)
            parts[threadIdx.x / WARP] = value;
        __syncthreads();
        value = parts[0];
#pragma unroll
        for (int w = 1; w < THREADS / WARP; w++)
            value = Join::join(value, parts[w]);
    }
    return value;
}

// This thread's row; those beyond the last do it too, and store nothing.
template <int TEAM> __device__ __forceinline__ bool find_row(const row_job &j, int64_t (&at)[4])
{
    // Not from the thread's number in the grid, which may be beyond 32 bits.
    uint32_t row = blockIdx.x * (THREADS / TEAM) + threadIdx.x / TEAM;
    bool real = row < j.outer.count;
    offsets(j.outer, real ? row : j.outer.count - 1, at);
    return real;
}

template <int TEAM>
__global__ void __launch_bounds__(THREADS) softmax_kernel(const __grid_constant__ row_job j)
{
    int64_t base[4], at[4];
    bool real = find_row<TEAM>(j, base);
    uint32_t first = threadIdx.x % TEAM;
    float most = -INFINITY, total = 0;
    for (uint32_t i = first; i < j.inner.count; i += TEAM) {
        offsets(j.inner, i, at);
        most = fmaxf(most, load_real(j.in, j.in_type, base[1] + at[1]));
    }
    most = all_of<greatest, TEAM>(most);
    for (uint32_t i = first; i < j.inner.count; i += TEAM) {
        offsets(j.inner, i, at);
        total += expf(load_real(j.in, j.in_type, base[1] + at[1]) - most);
    }
    total = all_of<sum, TEAM>(total);
    for (uint32_t i = first; real && i < j.inner.count; i += TEAM) {
        offsets(j.inner, i, at);
        float x = expf(load_real(j.in, j.in_type, base[1] + at[1]) - most) / total;
        store_real(j.out, j.out_type, base[0] + at[0], x);
    }
}

template <int TEAM>
__global__ void __launch_bounds__(THREADS) layer_norm_kernel(const __grid_constant__ row_job j)
{
    int64_t base[4], at[4];
    bool real = find_row<TEAM>(j, base);
    uint32_t first = threadIdx.x % TEAM;
    float mean = 0, squares = 0, size = static_cast<float>(j.inner.count);
    for (uint32_t i = first; i < j.inner.count; i += TEAM) {
        offsets(j.inner, i, at);
        mean += load_real(j.in, j.in_type, base[1] + at[1]);
    }
    mean = all_of<sum, TEAM>(mean) / size;
    for (uint32_t i = first; i < j.inner.count; i += TEAM) {
        offsets(j.inner, i, at);
        float x = load_real(j.in, j.in_type, base[1] + at[1]) - mean;
        squares += x * x;
    }
    float factor = 1 / sqrtf(all_of<sum, TEAM>(squares) / size + j.epsilon);
    for (uint32_t i = first; real && i < j.inner.count; i += TEAM) {
        offsets(j.inner, i, at);
        float x = (load_real(j.in, j.in_type, base[1] + at[1]) - mean) * factor;
        x *= load_real(j.scale, j.scale_type, at[2]);
        if (j.shift)
            x += load_real(j.shift, j.shift_type, at[3]);
        store_real(j.out, j.out_type, base[0] + at[0], x);
    }
    if (real && first == 0 && j.mean)
        store_real(j.mean, j.mean_type, base[2], mean);
    if (real && first == 0 && j.factor)
        store_real(j.factor, j.mean_type, base[3], factor);
}

// ---- Launches ------------------------------------------------------------------------------

// Loops over rows and along a row, with two tensors more in each; false: too many elements.
bool split(const cs_cuda_rows &rows, const cs_cuda_tensor *const (&more)[4], row_job &j, int &team)
{
    loop<4> outer = {}, inner = {};
    int64_t stride[4][CS_CUDA_MAX_RANK];
    const cs_cuda_tensor &out = rows.out;
    for (int t = 0; t < 4; t++)
        broadcast_strides(*more[t], out.rank, stride[t]);
    outer.count = inner.count = 1;
    for (int d = 0; d < out.rank; d++) {
        bool along = d >= rows.first && d <= rows.last;
        loop<4> &l = along ? inner : outer;
        l.dim[l.rank] = out.dim[d];
        l.stride[0][l.rank] = out.stride[d];
        l.stride[1][l.rank] = rows.in.stride[d];
        for (int t = 0; t < 2; t++)
            l.stride[2 + t][l.rank] = stride[along ? t : 2 + t][d];
        l.rank++;
        l.count *= out.dim[d];
    }
    simplify(outer);
    simplify(inner);
    if (outer.count > CS_CUDA_MAX_ITEMS || inner.count > CS_CUDA_MAX_ITEMS)
        return false;
    bool side_by_side = inner.rank > 0 && inner.stride[1][inner.rank - 1] != 1;
    team = side_by_side ? 1 : inner.count < WARP ? static_cast<int>(inner.count) : WARP;
    if (inner.count >= 4 * THREADS && (!side_by_side || outer.count < 4 * THREADS))
        team = THREADS;
    j.outer = steps_of(outer, 1);
    j.inner = steps_of(inner, 1);
    j.in = rows.in.data;
    j.out = out.data;
    j.in_type = rows.in.type;
    j.out_type = out.type;
    return true;
}

// Teams of 1, 8, 32 or 256.
typedef void row_kernel(const row_job);

int launch_team(void *stream, const row_job &j, int team, row_kernel *const (&kernels)[4])
{
    int which = team == 1 ? 0 : team <= 8 ? 1 : team <= WARP ? 2 : 3;
    static const int sizes[4] = {1, 8, WARP, THREADS};
    int64_t threads = static_cast<int64_t>(j.outer.count) * sizes[which];
    return launch(stream, dim3(static_cast<unsigned>(blocks_for(threads, THREADS))), THREADS,
                  kernels[which], j);
}

} // namespace

int cs_cuda_softmax(void *stream, const struct cs_cuda_rows *rows)
{
    static row_kernel *const kernels[4] = {softmax_kernel<1>, softmax_kernel<8>,
                                           softmax_kernel<WARP>, softmax_kernel<THREADS>};
    const cs_cuda_tensor *const more[4] = {&rows->in, &rows->in, &rows->in, &rows->in};
    row_job j = {};
    int team;
    if (!split(*rows, more, j, team))
        return static_cast<int>(cudaErrorInvalidValue);
    return j.outer.count == 0 || j.inner.count == 0 ? 0 : launch_team(stream, j, team, kernels);
}

int cs_cuda_layer_norm_launch(void *stream, const struct cs_cuda_layer_norm *norm)
{
    static row_kernel *const kernels[4] = {layer_norm_kernel<1>, layer_norm_kernel<8>,
                                           layer_norm_kernel<WARP>, layer_norm_kernel<THREADS>};
    const cs_cuda_tensor *const more[4] = {&norm->scale, &norm->shift, &norm->mean, &norm->factor};
    row_job j = {};
    int team;
    if (!split(norm->rows, more, j, team))
        return static_cast<int>(cudaErrorInvalidValue);
    j.scale = norm->scale.data;
    j.shift = norm->shift.data;
    j.mean = norm->mean.data;
    j.factor = norm->factor.data;
    j.scale_type = norm->scale.type;
    j.shift_type = norm->shift.type;
    j.mean_type = norm->mean.data ? norm->mean.type : norm->factor.type;
    j.epsilon = norm->epsilon;
    return j.outer.count == 0 || j.inner.count == 0 ? 0 : launch_team(stream, j, team, kernels);
}
