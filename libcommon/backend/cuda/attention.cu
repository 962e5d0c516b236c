// SPDX-License-Identifier: MIT
// Attention without the matrix of its scores: a block has 64 rows and 64 columns of the output and
// goes through the keys 64 at a time, with the running maximum and sum of each row (Milakov and
// Gimelshein, Online normalizer calculation for softmax, 2018; Dao et al., FlashAttention, 2022).
// Scores are made again for every 64 columns, of which heads have no more as a rule. Matrices of
// fp16 are multiplied by tensor cores, the shares rounded to fp16.
#include "backend/cuda/axes.cuh"
#include "backend/cuda/tensor.cuh"

using namespace cs;

namespace {

constexpr int THREADS = 256, TILE = 64, DEPTH = 16, PART = 4, ACROSS = TILE / PART;

struct attention_job {
    steps<5> batch; // out, q, k, v, mask
    const void *q, *k, *v, *mask;
    void *out;
    int type, mask_type, out_type;
    uint32_t rows, keys, depth, columns;
    int64_t q_row, q_depth, k_depth, k_key, v_key, v_column, mask_row, mask_key, out_row,
        out_column;
    bool q_aligned, k_aligned, v_aligned; // fp16: vectors may be loaded
    float scale;
};

typedef float slice[DEPTH][TILE + 4];

// values[d][i] = element (first + i, begin + d) of a matrix, 0 outside.
__device__ __forceinline__ void fill(slice &values, const void *data, int type, int64_t base,
                                     uint32_t first, uint32_t count, int64_t stride, uint32_t begin,
                                     uint32_t depth, int64_t depth_stride)
{
    bool along = depth_stride == 1; // neighbouring threads read neighbours in memory
    for (int n = threadIdx.x; n < TILE * DEPTH; n += THREADS) {
        uint32_t d = along ? n % DEPTH : n / TILE, i = along ? n / DEPTH : n % TILE;
        bool real = first + i < count && begin + d < depth;
        values[d][i] =
            real ? load_real(data, type, base + (first + i) * stride + (begin + d) * depth_stride)
                 : 0;
    }
}

// sums += left^T right over a slice.
__device__ __forceinline__ void multiply(const slice &left, const slice &right, uint32_t y,
                                         uint32_t x, float (&sums)[PART][PART])
{
#pragma unroll
    for (int d = 0; d < DEPTH; d++)
#pragma unroll
        for (int i = 0; i < PART; i++)
#pragma unroll
            for (int c = 0; c < PART; c++)
                sums[i][c] += left[d][y * PART + i] * right[d][x * PART + c];
}

__device__ __forceinline__ float greatest_of_row(float value)
{
#pragma unroll
    for (int by = ACROSS / 2; by > 0; by /= 2)
        value = fmaxf(value, __shfl_xor_sync(ALL, value, by));
    return value;
}

__device__ __forceinline__ float sum_of_row(float value)
{
#pragma unroll
    for (int by = ACROSS / 2; by > 0; by /= 2)
        value += __shfl_xor_sync(ALL, value, by);
    return value;
}

// Scores of one row become shares of its greatest so far; what was summed before shrinks with it.
__device__ __forceinline__ void weigh(float (&scores)[PART], float (&out)[PART], float &most,
                                      float &total)
{
    float here = scores[0];
#pragma unroll
    for (int c = 1; c < PART; c++)
        here = fmaxf(here, scores[c]);
    float next = fmaxf(most, greatest_of_row(here));
    float base = next == -INFINITY ? 0 : next, sum = 0; // all masked so far
    float shrink = expf(most - base);
#pragma unroll
    for (int c = 0; c < PART; c++) {
        scores[c] = expf(scores[c] - base);
        sum += scores[c];
        out[c] *= shrink;
    }
    total = total * shrink + sum_of_row(sum);
    most = next;
}

// A thread's scores of a product: scaled, masked, -infinity behind the last key.
__device__ __forceinline__ void finish_scores(const attention_job &j, int64_t mask, uint32_t m,
                                              uint32_t n, float (&scores)[PART])
{
#pragma unroll
    for (int c = 0; c < PART; c++) {
        scores[c] *= j.scale;
        if (j.mask && m < j.rows && n + c < j.keys)
            scores[c] +=
                load_real(j.mask, j.mask_type, mask + m * j.mask_row + (n + c) * j.mask_key);
        if (n + c >= j.keys)
            scores[c] = -INFINITY;
    }
}

__device__ __forceinline__ void put(const attention_job &j, int64_t base, uint32_t m, uint32_t n,
                                    const float (&out)[PART][PART], const float (&total)[PART])
{
#pragma unroll
    for (int i = 0; i < PART; i++)
#pragma unroll
        for (int c = 0; c < PART; c++)
            if (m + i < j.rows && n + c < j.columns)
                store_real(j.out, j.out_type, base + (m + i) * j.out_row + (n + c) * j.out_column,
                           out[i][c] / total[i]);
}

// x: tiles of rows, y: of columns, z: batches.
__global__ void __launch_bounds__(THREADS, 2)
    attention_kernel(const __grid_constant__ attention_job j)
{
    alignas(16) __shared__ slice left, right;
    alignas(16) __shared__ float shares[TILE][TILE + 4]; // key, row
    uint32_t row = blockIdx.x * TILE, column = blockIdx.y * TILE;
    uint32_t y = threadIdx.x / ACROSS, x = threadIdx.x % ACROSS;
    float out[PART][PART] = {}, most[PART], total[PART] = {};
    int64_t base[5];
    offsets(j.batch, blockIdx.z, base);
#pragma unroll
    for (int i = 0; i < PART; i++)
        most[i] = -INFINITY;
    for (uint32_t key = 0; key < j.keys; key += TILE) {
        float scores[PART][PART] = {};
        for (uint32_t d = 0; d < j.depth; d += DEPTH) {
            fill(left, j.q, j.type, base[1], row, j.rows, j.q_row, d, j.depth, j.q_depth);
            fill(right, j.k, j.type, base[2], key, j.keys, j.k_key, d, j.depth, j.k_depth);
            __syncthreads();
            multiply(left, right, y, x, scores);
            __syncthreads();
        }
#pragma unroll
        for (int i = 0; i < PART; i++) {
            finish_scores(j, base[4], row + y * PART + i, key + x * PART, scores[i]);
            weigh(scores[i], out[i], most[i], total[i]);
#pragma unroll
            for (int c = 0; c < PART; c++)
                shares[x * PART + c][y * PART + i] = scores[i][c];
        }
        for (uint32_t k = 0; k < TILE; k += DEPTH) {
            fill(right, j.v, j.type, base[3], column, j.columns, j.v_column, key + k, j.keys,
                 j.v_key);
            __syncthreads();
            multiply(*reinterpret_cast<const slice *>(&shares[k]), right, y, x, out);
            __syncthreads();
        }
    }
    put(j, base[0], row + y * PART, column + x * PART, out, total);
}

// The same with matrices of fp16.
__global__ void __launch_bounds__(THREADS, 2) tensor_kernel(const __grid_constant__ attention_job j)
{
    alignas(32) __shared__ tensor_tile left, right;
    alignas(32) __shared__ tensor_sums sums;
    uint32_t row = blockIdx.x * TILE, column = blockIdx.y * TILE;
    uint32_t y = threadIdx.x / ACROSS, x = threadIdx.x % ACROSS;
    float out[PART][PART] = {}, most[PART], total[PART] = {};
    int64_t base[5];
    tensor_load load;
    tensor_part part;
    offsets(j.batch, blockIdx.z, base);
#pragma unroll
    for (int i = 0; i < PART; i++)
        most[i] = -INFINITY;
    for (uint32_t key = 0; key < j.keys; key += TILE) {
        part.clear();
        for (uint32_t d = 0; d < j.depth; d += TILE) {
            __syncthreads(); // tiles have been multiplied, sums read
            load.read(j.q, base[1], row, j.rows, j.q_row, d, j.depth, j.q_depth, j.q_aligned);
            load.write(left);
            load.read(j.k, base[2], d, j.depth, j.k_depth, key, j.keys, j.k_key, j.k_aligned);
            load.write(right);
            __syncthreads();
            part.multiply<false>(left, right);
        }
        part.store(sums);
        load.read(j.v, base[3], key, j.keys, j.v_key, column, j.columns, j.v_column, j.v_aligned);
        __syncthreads();
        load.write(right);
#pragma unroll
        for (int i = 0; i < PART; i++) {
            float scores[PART];
#pragma unroll
            for (int c = 0; c < PART; c++)
                scores[c] = sums[y * PART + i][x * PART + c];
            finish_scores(j, base[4], row + y * PART + i, key + x * PART, scores);
            weigh(scores, out[i], most[i], total[i]);
#pragma unroll
            for (int c = 0; c < PART; c++)
                left[y * PART + i][x * PART + c] = __float2half_rn(scores[c]);
        }
        __syncthreads();
        part.clear();
        part.multiply<false>(left, right);
        part.store(sums);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < PART; i++)
#pragma unroll
            for (int c = 0; c < PART; c++)
                out[i][c] += sums[y * PART + i][x * PART + c];
    }
    put(j, base[0], row + y * PART, column + x * PART, out, total);
}

} // namespace

int cs_cuda_attention_launch(void *stream, const struct cs_cuda_attention *attention)
{
    const cs_cuda_attention &a = *attention;
    const cs_cuda_tensor *const tensors[5] = {&a.out, &a.q, &a.k, &a.v, &a.mask};
    int64_t stride[5][CS_CUDA_MAX_RANK] = {};
    int rank = a.out.rank, m = rank - 2, n = rank - 1;
    attention_job j = {};
    loop<5> batch = {};
    for (int t = 0; t < 5; t++)
        broadcast_strides(*tensors[t], rank, stride[t]);
    batch.rank = m;
    batch.count = 1;
    for (int d = 0; d < m; d++) {
        batch.dim[d] = a.out.dim[d];
        batch.count *= a.out.dim[d];
        for (int t = 0; t < 5; t++)
            batch.stride[t][d] = stride[t][d];
    }
    j.batch = steps_of(batch, 1);
    j.q = a.q.data;
    j.k = a.k.data;
    j.v = a.v.data;
    j.mask = a.mask.data;
    j.out = a.out.data;
    j.type = a.q.type;
    j.mask_type = a.mask.type;
    j.out_type = a.out.type;
    j.rows = static_cast<uint32_t>(a.out.dim[m]);
    j.columns = static_cast<uint32_t>(a.out.dim[n]);
    j.depth = static_cast<uint32_t>(a.q.dim[n]);
    j.keys = static_cast<uint32_t>(a.k.dim[n]);
    j.q_row = a.q.stride[m];
    j.q_depth = a.q.stride[n];
    j.k_depth = a.k.stride[m];
    j.k_key = a.k.stride[n];
    j.v_key = a.v.stride[m];
    j.v_column = a.v.stride[n];
    j.mask_row = stride[4][m];
    j.mask_key = stride[4][n];
    j.out_row = a.out.stride[m];
    j.out_column = a.out.stride[n];
    j.scale = a.scale;
    int64_t tiles = blocks_for(j.rows, TILE), across = blocks_for(j.columns, TILE);
    if (tiles == 0 || across == 0 || batch.count == 0)
        return 0;
    if (across > 65535 || batch.count > 65535 || a.k.type != a.q.type || a.v.type != a.q.type)
        return static_cast<int>(cudaErrorInvalidValue);
    j.q_aligned = tensor_aligned(a.q.data, j.q_depth, j.q_row, stride[1], m);
    j.k_aligned = tensor_aligned(a.k.data, j.k_key, j.k_depth, stride[2], m);
    j.v_aligned = tensor_aligned(a.v.data, j.v_column, j.v_key, stride[3], m);
    return launch(stream,
                  dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(across),
                       static_cast<unsigned>(batch.count)),
                  THREADS, j.type == CS_CUDA_F16 ? tensor_kernel : attention_kernel, j);
}
