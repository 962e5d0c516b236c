// SPDX-License-Identifier: MIT
// Matrix products, and convolutions as such: the rows of the left matrix are output pixels, its
// columns the taps and channels under them, gathered while they are loaded.
//
// A block makes a tile of 64 x 64 from slices of 16 columns in shared memory, a thread 4 x 4 of it
// in registers; sums are float32 in the order of the columns. Plain arithmetic for any shape: what
// cuDNN has an engine for goes there. Matrices of fp16 are multiplied by tensor cores, from slices
// of 64 columns, the next of which is under way meanwhile.
#include "backend/cuda/axes.cuh"
#include "backend/cuda/tensor.cuh"

using namespace cs;

namespace {

constexpr int THREADS = 256, TILE = 64, DEPTH = 16, PART = 4, SPACE = 3;

enum kind { MATRIX, CONVOLUTION, TRANSPOSED };

struct window_job {
    divisor channels, columns, rows; // of a group; of the kernel's width and height
    divisor step[SPACE];             // strides
    int32_t begin[SPACE], dilation[SPACE], size[SPACE];
    int64_t stride[SPACE], channel; // of the input
    int64_t tap[SPACE], weight;     // of the weights: kernel axes, channel
};

struct product_job {
    steps<5> batch; // out, a, b, add, bias
    steps<4> rows;  // out, a, add, bias; a: of an image's start
    divisor out_size[SPACE];
    window_job window;
    const void *a, *b, *add, *bias;
    void *out;
    int a_type, b_type, add_type, bias_type, out_type;
    uint32_t count, columns, depth; // of rows, columns, and what is summed
    int64_t a_row, a_column, b_row, b_column, out_column, add_column, bias_column;
    bool a_along_rows, b_along_rows; // which neighbours in memory neighbouring threads load
    bool a_aligned, b_aligned;       // matrices of fp16: vectors may be loaded
    float alpha, beta;
    cs_cuda_activation activation;
};

// A row of the left matrix: where its image starts, and where its window does.
struct row {
    int64_t base;
    int32_t at[SPACE];
    bool real;
};

template <kind KIND>
__device__ __forceinline__ row find_row(const product_job &j, int64_t base, uint32_t index)
{
    row r = {base, {0, 0, 0}, index < j.count};
    int64_t at[4];
    offsets(j.rows, r.real ? index : 0, at);
    r.base += at[1];
#pragma unroll
    for (int a = SPACE - 1; KIND != MATRIX && a >= 0; a--) {
        uint32_t outer = divide(index, j.out_size[a]);
        int32_t place = static_cast<int32_t>(index - outer * j.out_size[a].by);
        index = outer;
        r.at[a] = KIND == CONVOLUTION
                      ? place * static_cast<int32_t>(j.window.step[a].by) - j.window.begin[a]
                      : place + j.window.begin[a];
    }
    return r;
}

// Column k of the left matrix of a convolution: a tap and a channel.
struct tap {
    int32_t at[SPACE];
    int64_t channel, weight; // offsets in the input and in the weights
};

__device__ __forceinline__ tap find_tap(const window_job &w, uint32_t k)
{
    tap t;
    uint32_t rest = divide(k, w.channels), channel = k - rest * w.channels.by;
    uint32_t line = divide(rest, w.columns), plane = divide(line, w.rows);
    uint32_t place[SPACE] = {plane, line - plane * w.rows.by, rest - line * w.columns.by};
    t.channel = channel * w.channel;
    t.weight = channel * w.weight;
#pragma unroll
    for (int a = 0; a < SPACE; a++) {
        t.at[a] = static_cast<int32_t>(place[a]) * w.dilation[a];
        t.weight += place[a] * w.tap[a];
    }
    return t;
}

template <kind KIND>
__device__ __forceinline__ float left(const product_job &j, const row &r, uint32_t k)
{
    if (!r.real || k >= j.depth)
        return 0;
    if (KIND == MATRIX)
        return load_real(j.a, j.a_type, r.base + k * j.a_column);
    const window_job &w = j.window;
    tap t = find_tap(w, k);
    int64_t from = r.base + t.channel;
#pragma unroll
    for (int a = 0; a < SPACE; a++) {
        int32_t at = KIND == CONVOLUTION ? r.at[a] + t.at[a] : r.at[a] - t.at[a];
        if (KIND == TRANSPOSED) {
            if (at < 0)
                return 0;
            uint32_t whole = divide(static_cast<uint32_t>(at), w.step[a]);
            if (whole * w.step[a].by != static_cast<uint32_t>(at))
                return 0;
            at = static_cast<int32_t>(whole);
        }
        if (at < 0 || at >= w.size[a])
            return 0;
        from += at * w.stride[a];
    }
    return load_real(j.a, j.a_type, from);
}

template <kind KIND>
__device__ __forceinline__ float right(const product_job &j, int64_t base, uint32_t k, uint32_t n)
{
    if (k >= j.depth || n >= j.columns)
        return 0;
    int64_t row = KIND == MATRIX ? k * j.b_row : find_tap(j.window, k).weight;
    return load_real(j.b, j.b_type, base + row + n * j.b_column);
}

__device__ __forceinline__ void put(const product_job &j, const int64_t (&batch)[5], uint32_t m,
                                    uint32_t n, float sum)
{
    int64_t at[4];
    offsets(j.rows, m, at);
    reals<1> r = {{sum * j.alpha}};
    if (j.bias)
        r.v[0] += j.beta * load_real(j.bias, j.bias_type, batch[4] + at[3] + n * j.bias_column);
    if (j.add)
        r.v[0] += load_real(j.add, j.add_type, batch[3] + at[2] + n * j.add_column);
    activate(r, j.activation);
    store_real(j.out, j.out_type, batch[0] + at[0] + n * j.out_column, r.v[0]);
}

// x: tiles along the rows, y: along the columns, z: batches or groups.
template <kind KIND>
__global__ void __launch_bounds__(THREADS, 2) product_kernel(const __grid_constant__ product_job j)
{
    alignas(16) __shared__ float a[DEPTH][TILE + 4], b[DEPTH][TILE + 4];
    uint32_t t = threadIdx.x, first_row = blockIdx.x * TILE, first_column = blockIdx.y * TILE;
    uint32_t a_row = j.a_along_rows ? t % TILE : t / DEPTH;
    uint32_t a_k = j.a_along_rows ? t / TILE : t % DEPTH;
    uint32_t b_column = j.b_along_rows ? t / DEPTH : t % TILE;
    uint32_t b_k = j.b_along_rows ? t % DEPTH : t / TILE;
    int64_t batch[5];
    offsets(j.batch, blockIdx.z, batch);
    row rows[PART];
#pragma unroll
    for (int i = 0; i < PART; i++)
        rows[i] =
            find_row<KIND>(j, batch[1], first_row + a_row + (j.a_along_rows ? 0 : i * TILE / PART));
    float sums[PART][PART] = {};
    uint32_t y = t / (TILE / PART), x = t % (TILE / PART);
    for (uint32_t k = 0; k < j.depth; k += DEPTH) {
#pragma unroll
        for (int i = 0; i < PART; i++) {
            uint32_t ak = a_k + (j.a_along_rows ? i * DEPTH / PART : 0);
            uint32_t ar = a_row + (j.a_along_rows ? 0 : i * TILE / PART);
            uint32_t bk = b_k + (j.b_along_rows ? 0 : i * DEPTH / PART);
            uint32_t bc = b_column + (j.b_along_rows ? i * TILE / PART : 0);
            a[ak][ar] = left<KIND>(j, rows[i], k + ak);
            b[bk][bc] = right<KIND>(j, batch[2], k + bk, first_column + bc);
        }
        __syncthreads();
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            vec<float, PART> l = *reinterpret_cast<vec<float, PART> *>(&a[d][y * PART]);
            vec<float, PART> r = *reinterpret_cast<vec<float, PART> *>(&b[d][x * PART]);
#pragma unroll
            for (int i = 0; i < PART; i++)
#pragma unroll
                for (int c = 0; c < PART; c++)
                    sums[i][c] += l.v[i] * r.v[c];
        }
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < PART; i++)
#pragma unroll
        for (int c = 0; c < PART; c++) {
            uint32_t m = first_row + y * PART + i, n = first_column + x * PART + c;
            if (m < j.count && n < j.columns)
                put(j, batch, m, n, sums[i][c]);
        }
}

// Matrices of fp16. TURNED: what is summed lies side by side in b too.
template <bool TURNED>
__global__ void __launch_bounds__(TENSOR_THREADS, 2)
    tensor_kernel(const __grid_constant__ product_job j)
{
    alignas(32) __shared__ tensor_tile a, b;
    alignas(32) __shared__ tensor_sums sums;
    uint32_t row = blockIdx.x * TENSOR_TILE, column = blockIdx.y * TENSOR_TILE;
    int64_t batch[5];
    tensor_load left, right;
    tensor_part part;
    offsets(j.batch, blockIdx.z, batch);
    auto read = [&](uint32_t k) {
        left.read(j.a, batch[1], row, j.count, j.a_row, k, j.depth, j.a_column, j.a_aligned);
        if (TURNED)
            right.read(j.b, batch[2], column, j.columns, j.b_column, k, j.depth, j.b_row,
                       j.b_aligned);
        else
            right.read(j.b, batch[2], k, j.depth, j.b_row, column, j.columns, j.b_column,
                       j.b_aligned);
    };
    part.clear();
    read(0);
    for (uint32_t k = 0; k < j.depth; k += TENSOR_TILE) {
        __syncthreads(); // the slice before has been multiplied
        left.write(a);
        right.write(b);
        __syncthreads();
        if (k + TENSOR_TILE < j.depth)
            read(k + TENSOR_TILE);
        part.multiply<TURNED>(a, b);
    }
    part.store(sums);
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < TENSOR_TILE * TENSOR_TILE; i += TENSOR_THREADS) {
        uint32_t m = row + i / TENSOR_TILE, n = column + i % TENSOR_TILE;
        if (m < j.count && n < j.columns)
            put(j, batch, m, n, sums[i / TENSOR_TILE][i % TENSOR_TILE]);
    }
}

// ---- Launches ------------------------------------------------------------------------------

static_assert(TILE == TENSOR_TILE && THREADS == TENSOR_THREADS, "one grid for all");

int launch_tiles(void *stream, const product_job &j, int64_t batches,
                 void (*kernel)(const product_job))
{
    int64_t x = blocks_for(j.count, TILE), y = blocks_for(j.columns, TILE);
    if (j.count == 0 || j.columns == 0 || batches == 0)
        return 0;
    if (y > 65535 || batches > 65535)
        return static_cast<int>(cudaErrorInvalidValue);
    return launch(
        stream,
        dim3(static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(batches)),
        THREADS, kernel, j);
}

// A tile of less than that has mostly nothing in it.
bool is_for_tensor_cores(const product_job &j)
{
    constexpr uint32_t LEAST = 16;
    return j.a_type == CS_CUDA_F16 && j.b_type == CS_CUDA_F16 && j.count >= LEAST &&
           j.columns >= LEAST && j.depth >= LEAST;
}

void set_tensors(product_job &j, const cs_cuda_tensor &a, const cs_cuda_tensor &b,
                 const cs_cuda_tensor &out, const cs_cuda_tensor &bias, const cs_cuda_tensor &add)
{
    j.a = a.data;
    j.b = b.data;
    j.out = out.data;
    j.bias = bias.data;
    j.add = add.data;
    j.a_type = a.type;
    j.b_type = b.type;
    j.out_type = out.type;
    j.bias_type = bias.type;
    j.add_type = add.type;
    j.alpha = j.beta = 1;
}

} // namespace

int cs_cuda_matmul_launch(void *stream, const struct cs_cuda_matmul *matmul)
{
    const cs_cuda_tensor &a = matmul->a, &b = matmul->b, &out = matmul->out;
    const cs_cuda_tensor *const tensors[5] = {&out, &a, &b, &matmul->add, &matmul->bias};
    int64_t stride[5][CS_CUDA_MAX_RANK] = {};
    int rank = out.rank, m = rank - 2, n = rank - 1;
    product_job j = {};
    loop<5> batch = {};
    loop<4> rows = {};
    for (int t = 0; t < 5; t++)
        broadcast_strides(*tensors[t], rank, stride[t]);
    batch.rank = rank - 2;
    batch.count = 1;
    for (int d = 0; d < rank - 2; d++) {
        batch.dim[d] = out.dim[d];
        batch.count *= out.dim[d];
        for (int t = 0; t < 5; t++)
            batch.stride[t][d] = stride[t][d];
    }
    rows.rank = 1;
    rows.dim[0] = rows.count = out.dim[m];
    rows.stride[0][0] = stride[0][m];
    rows.stride[1][0] = stride[1][m];
    rows.stride[2][0] = stride[3][m];
    rows.stride[3][0] = stride[4][m];
    j.batch = steps_of(batch, 1);
    j.rows = steps_of(rows, 1);
    set_tensors(j, a, b, out, matmul->bias, matmul->add);
    j.count = static_cast<uint32_t>(out.dim[m]);
    j.columns = static_cast<uint32_t>(out.dim[n]);
    j.depth = static_cast<uint32_t>(a.dim[a.rank - 1]);
    j.a_row = a.stride[a.rank - 2];
    j.a_column = a.stride[a.rank - 1];
    j.b_row = b.stride[b.rank - 2];
    j.b_column = stride[2][n];
    j.out_column = stride[0][n];
    j.add_column = stride[3][n];
    j.bias_column = stride[4][n];
    j.a_along_rows = j.a_column != 1;
    j.b_along_rows = j.b_row == 1 && j.b_column != 1;
    j.alpha = matmul->alpha;
    j.beta = matmul->beta;
    j.activation = matmul->activation;
    if (!is_for_tensor_cores(j))
        return launch_tiles(stream, j, batch.count, product_kernel<MATRIX>);
    j.a_aligned = tensor_aligned(a.data, j.a_column, j.a_row, stride[1], m);
    j.b_aligned = j.b_along_rows ? tensor_aligned(b.data, j.b_row, j.b_column, stride[2], m)
                                 : tensor_aligned(b.data, j.b_column, j.b_row, stride[2], m);
    return launch_tiles(stream, j, batch.count,
                        j.b_along_rows ? tensor_kernel<true> : tensor_kernel<false>);
}

// Rows are output pixels, which are counted; batches are groups.
static int64_t describe_conv(const cs_cuda_conv &c, product_job &j)
{
    const cs_cuda_tensor *const tensors[3] = {&c.out, &c.in, &c.add};
    loop<4> rows = {};
    loop<5> batch = {};
    rows.rank = 1 + SPACE;
    rows.count = 1;
    for (int d = 0; d < rows.rank; d++) {
        int axis = d == 0 ? 0 : d + 1;
        rows.dim[d] = c.out.dim[axis];
        rows.count *= rows.dim[d];
        for (int t = 0; t < 3; t++)
            rows.stride[t][d] = t == 1 && d > 0 ? 0 : tensors[t]->stride[axis];
    }
    int64_t in = c.in.dim[1] / c.groups, out = c.out.dim[1] / c.groups;
    batch.rank = 1;
    batch.dim[0] = batch.count = c.groups;
    batch.stride[0][0] = out * c.out.stride[1];
    batch.stride[1][0] = in * c.in.stride[1];
    batch.stride[2][0] = (c.transposed ? in : out) * c.weights.stride[0];
    batch.stride[3][0] = out * c.add.stride[1];
    batch.stride[4][0] = out * c.bias.stride[0];
    j.rows = steps_of(rows, 1);
    j.batch = steps_of(batch, 1);
    j.count = static_cast<uint32_t>(rows.count);
    j.columns = static_cast<uint32_t>(out);
    j.out_column = c.out.stride[1];
    j.add_column = c.add.stride[1];
    j.bias_column = c.bias.stride[0];
    j.b_column = c.weights.stride[c.transposed];
    j.window.weight = c.weights.stride[!c.transposed];
    j.window.channel = c.in.stride[1];
    j.window.channels = divisor_of(in);
    j.depth =
        static_cast<uint32_t>(in * c.window.kernel[0] * c.window.kernel[1] * c.window.kernel[2]);
    return rows.count;
}

int cs_cuda_conv_launch(void *stream, const struct cs_cuda_conv *conv)
{
    const cs_cuda_conv &c = *conv;
    product_job j = {};
    if (describe_conv(c, j) > CS_CUDA_MAX_ITEMS)
        return static_cast<int>(cudaErrorInvalidValue);
    set_tensors(j, c.in, c.weights, c.out, c.bias, c.add);
    j.activation = c.activation;
    j.window.columns = divisor_of(c.window.kernel[2]);
    j.window.rows = divisor_of(c.window.kernel[1]);
    for (int a = 0; a < SPACE; a++) {
        j.out_size[a] = divisor_of(c.out.dim[2 + a]);
        j.window.step[a] = divisor_of(c.window.stride[a]);
        j.window.begin[a] = static_cast<int32_t>(c.window.pad_begin[a]);
        j.window.dilation[a] = static_cast<int32_t>(c.window.dilation[a]);
        j.window.size[a] = static_cast<int32_t>(c.in.dim[2 + a]);
        j.window.stride[a] = c.in.stride[2 + a];
        j.window.tap[a] = c.weights.stride[2 + a];
    }
    j.a_along_rows = c.in.stride[1] != 1;
    j.b_along_rows = j.window.weight == 1;
    return launch_tiles(stream, j, c.groups,
                        c.transposed ? product_kernel<TRANSPOSED> : product_kernel<CONVOLUTION>);
}
