// SPDX-License-Identifier: MIT
// Sums, products and extremes over any axes.
//
// Short dense rows, as the channels of a pixel, have a few threads each. For the rest,
// a block has lanes along what is kept and lanes along what is reduced; whichever is dense in
// memory lies along neighbouring threads. A thread sums its share with Kahan's compensation, the
// block adds its lanes up as a tree. Where outputs are few, the reduced part is cut into chunks,
// one a block, and the block that ends last adds the chunks up in their order. Two reductions of
// the same axes, as of channel attention, are made in one reading.
#include "backend/cuda/axes.cuh"

using namespace cs;

namespace {

constexpr int THREADS = 256, SHARE = 16, BLOCKS = 512, SHORT = 2048, MANY = 1024;
// Chunks are made for BLOCKS blocks at most, and one more a group, of which there are fewer.
static_assert(2 * BLOCKS * THREADS * 8 <= CS_CUDA_SUMS, "scratch");

// How a reduction is cut up; depends on shapes alone.
struct cut {
    loop<3> kept;          // output, input, second output
    loop<1> gone;          // input
    int width, lanes;      // outputs of a thread, and lanes along them
    int64_t groups;        // blocks along what is kept
    int64_t chunks, share; // blocks along what is reduced, and elements of each
    bool along_gone;       // neighbouring threads read what is reduced
};

struct reduce_job {
    steps<3> kept;
    steps<1> gone;
    const void *in;
    int in_type, out_type;
    uint32_t lanes, chunks, share, outputs; // outputs: of one chunk in scratch
    bool along_gone;
    void *out[2]; // of the kinds
    int kind[2];
    float scale[2]; // of a mean
    cs_cuda_activation activation[2];
    float *scratch;
    uint32_t *counters;
};

struct total {
    float sum, lost; // Kahan's
};

__device__ __forceinline__ void start(total &t, int kind)
{
    t.sum = kind == CS_RED_MAX   ? -INFINITY
            : kind == CS_RED_MIN ? INFINITY
                                 : static_cast<float>(kind == CS_RED_PRODUCT);
    t.lost = 0;
}

__device__ __forceinline__ void add(total &t, float x, int kind)
{
    switch (kind) {
    case CS_RED_MAX:
        t.sum = x > t.sum || isnan(x) ? x : t.sum;
        break;
    case CS_RED_MIN:
        t.sum = x < t.sum || isnan(x) ? x : t.sum;
        break;
    case CS_RED_PRODUCT:
        t.sum *= x;
        break;
    default: {
        float more = x - t.lost, next = t.sum + more;
        t.lost = isfinite(next) ? (next - t.sum) - more : 0;
        t.sum = next;
    }
    }
}

// Two finished parts; a length is still a sum of squares.
__device__ __forceinline__ float join(float a, float b, int kind)
{
    switch (kind) {
    case CS_RED_MAX:
        return b > a || isnan(b) ? b : a;
    case CS_RED_MIN:
        return b < a || isnan(b) ? b : a;
    case CS_RED_PRODUCT:
        return a * b;
    default:
        return a + b;
    }
}

// `k`: which of the kinds.
template <int W>
__device__ void finish(const reduce_job &j, int k, const int64_t (&at)[3], const float *sums)
{
    reals<W> r;
#pragma unroll
    for (int i = 0; i < W; i++)
        r.v[i] = j.kind[k] == CS_RED_LENGTH ? sqrtf(sums[i]) : sums[i] * j.scale[k];
    activate(r, j.activation[k]);
    store<W>(j.out[k], j.out_type, at[k == 0 ? 0 : 2], r);
}

__device__ __forceinline__ void take(total &t, float x, int kind)
{
    add(t, kind == CS_RED_LENGTH ? x * x : x, kind);
}

template <int W, int KINDS>
__global__ void __launch_bounds__(THREADS) reduce_kernel(const __grid_constant__ reduce_job j)
{
    __shared__ float sums[KINDS][THREADS][W];
    uint32_t depth = THREADS / j.lanes;
    uint32_t lane = j.along_gone ? threadIdx.x / depth : threadIdx.x % j.lanes;
    uint32_t level = j.along_gone ? threadIdx.x % depth : threadIdx.x / j.lanes;
    uint32_t index = blockIdx.x * j.lanes + lane, begin = blockIdx.y * j.share;
    uint32_t end = min(begin + j.share, j.gone.count);
    int64_t at[3] = {0, 0, 0}, from[1];
    total totals[KINDS][W];
    if (index < j.kept.count)
        offsets(j.kept, index, at);
#pragma unroll
    for (int i = 0; i < KINDS * W; i++)
        start(totals[i / W][i % W], j.kind[i / W]);
    for (uint32_t k = begin + level; index < j.kept.count && k < end; k += depth) {
        offsets(j.gone, k, from);
        reals<W> x = load<W>(j.in, j.in_type, at[1] + from[0]);
#pragma unroll
        for (int i = 0; i < KINDS * W; i++)
            take(totals[i / W][i % W], x.v[i % W], j.kind[i / W]);
    }
    uint32_t slot = level * j.lanes + lane;
#pragma unroll
    for (int i = 0; i < KINDS * W; i++)
        sums[i / W][slot][i % W] = totals[i / W][i % W].sum;
    for (uint32_t half = depth / 2; half > 0; half /= 2) {
        __syncthreads();
        if (level < half) {
            uint32_t other = slot + half * j.lanes;
#pragma unroll
            for (int i = 0; i < KINDS * W; i++)
                sums[i / W][slot][i % W] =
                    join(sums[i / W][slot][i % W], sums[i / W][other][i % W], j.kind[i / W]);
        }
    }
    bool mine = level == 0 && index < j.kept.count;
    if (j.chunks == 1) {
#pragma unroll
        for (int k = 0; mine && k < KINDS; k++)
            finish<W>(j, k, at, sums[k][slot]);
        return;
    }
    // Of each kind the chunks, of a chunk all outputs.
    for (int i = 0; mine && i < KINDS * W; i++) {
        int64_t chunk = static_cast<int64_t>(i / W) * j.chunks + blockIdx.y;
        j.scratch[chunk * j.outputs + index * W + i % W] = sums[i / W][slot][i % W];
    }
    if (!is_last(&j.counters[blockIdx.x], j.chunks) || !mine)
        return;
    for (int i = 0; i < KINDS * W; i++) {
        int64_t first = static_cast<int64_t>(i / W) * j.chunks;
        total all;
        start(all, j.kind[i / W]);
        for (uint32_t c = 0; c < j.chunks; c++)
            add(all, j.scratch[(first + c) * j.outputs + index * W + i % W], j.kind[i / W]);
        sums[i / W][slot][i % W] = all.sum;
    }
#pragma unroll
    for (int k = 0; k < KINDS; k++)
        finish<W>(j, k, at, sums[k][slot]);
}

// Short rows that are dense, as the channels of a pixel: LANES threads a row, W elements at a time.
template <int W, int LANES, int KINDS>
__global__ void __launch_bounds__(THREADS) row_kernel(const __grid_constant__ reduce_job j)
{
    // Not from the thread's number in the grid, which may be beyond 32 bits.
    uint32_t index = blockIdx.x * (THREADS / LANES) + threadIdx.x / LANES;
    uint32_t lane = threadIdx.x % LANES;
    bool real = index < j.kept.count;
    int64_t at[3];
    total t[KINDS];
    offsets(j.kept, real ? index : j.kept.count - 1, at);
#pragma unroll
    for (int k = 0; k < KINDS; k++)
        start(t[k], j.kind[k]);
    for (uint32_t e = lane * W; e < j.gone.count; e += LANES * W) {
        reals<W> x = load<W>(j.in, j.in_type, at[1] + e);
#pragma unroll
        for (int i = 0; i < KINDS * W; i++)
            take(t[i / W], x.v[i % W], j.kind[i / W]);
    }
#pragma unroll
    for (int k = 0; k < KINDS; k++) {
#pragma unroll
        for (int by = LANES / 2; by > 0; by /= 2)
            t[k].sum = join(t[k].sum, __shfl_xor_sync(ALL, t[k].sum, by), j.kind[k]);
        if (real && lane == 0)
            finish<1>(j, k, at, &t[k].sum);
    }
}

// ---- Integers and arguments: a thread an output ---------------------------------------------

struct serial_job {
    steps<3> kept;
    steps<1> gone;
    const void *in;
    void *out;
    int in_type, out_type, kind;
    bool least, last;
};

__device__ int64_t integer_at(const void *p, int type, int64_t at)
{
    return type == CS_CUDA_I64   ? static_cast<const int64_t *>(p)[at]
           : type == CS_CUDA_I32 ? static_cast<const int32_t *>(p)[at]
                                 : static_cast<const uint8_t *>(p)[at] != 0;
}

__device__ int64_t limit_of(int type, bool most)
{
    if (type == CS_CUDA_BOOL)
        return most;
    return type == CS_CUDA_I32 ? (most ? INT32_MAX : INT32_MIN) : most ? INT64_MAX : INT64_MIN;
}

__global__ void __launch_bounds__(THREADS) integer_kernel(const __grid_constant__ serial_job j)
{
    uint32_t index = blockIdx.x * THREADS + threadIdx.x;
    int64_t at[3], from[1], most = limit_of(j.in_type, false), least = limit_of(j.in_type, true);
    uint64_t sum = 0, product = 1;
    double squares = 0;
    if (index >= j.kept.count)
        return;
    offsets(j.kept, index, at);
    for (uint32_t k = 0; k < j.gone.count; k++) {
        offsets(j.gone, k, from);
        int64_t x = integer_at(j.in, j.in_type, at[1] + from[0]);
        most = x > most ? x : most;
        least = x < least ? x : least;
        sum += static_cast<uint64_t>(x);
        product *= static_cast<uint64_t>(x);
        squares += static_cast<double>(x) * static_cast<double>(x);
    }
    int64_t count = j.gone.count, total = static_cast<int64_t>(sum);
    int64_t result = j.kind == CS_RED_MAX       ? most
                     : j.kind == CS_RED_MIN     ? least
                     : j.kind == CS_RED_PRODUCT ? static_cast<int64_t>(product)
                     : j.kind == CS_RED_MEAN    ? (count ? total / count : 0)
                     : j.kind == CS_RED_LENGTH
                         ? (squares < 0x1p126 ? static_cast<int64_t>(sqrt(squares)) : INT64_MAX)
                         : total;
    if (j.out_type == CS_CUDA_I64)
        static_cast<int64_t *>(j.out)[at[0]] = result;
    else if (j.out_type == CS_CUDA_I32)
        static_cast<int32_t *>(j.out)[at[0]] = static_cast<int32_t>(result);
    else
        static_cast<uint8_t *>(j.out)[at[0]] = result != 0;
}

__global__ void __launch_bounds__(THREADS) arg_kernel(const __grid_constant__ serial_job j)
{
    uint32_t index = blockIdx.x * THREADS + threadIdx.x;
    int64_t at[3], from[1], best = 0, best_integer = 0;
    bool real = j.in_type == CS_CUDA_F32 || j.in_type == CS_CUDA_F16;
    float best_real = 0;
    if (index >= j.kept.count)
        return;
    offsets(j.kept, index, at);
    for (uint32_t k = 0; k < j.gone.count; k++) {
        offsets(j.gone, k, from);
        float x = real ? load_real(j.in, j.in_type, at[1] + from[0]) : 0;
        int64_t n = real ? 0 : integer_at(j.in, j.in_type, at[1] + from[0]);
        bool same = real ? x == best_real : n == best_integer;
        bool more = real ? (j.least ? x < best_real : x > best_real)
                         : (j.least ? n < best_integer : n > best_integer);
        more = more || (real && isnan(x) && !isnan(best_real)); // the first NaN wins
        if (k == 0 || more || (same && j.last)) {
            best = k;
            best_real = x;
            best_integer = n;
        }
    }
    static_cast<int64_t *>(j.out)[at[0]] = best;
}

// ---- Launches ------------------------------------------------------------------------------

// Axes where the output has as many elements are kept.
void split(const cs_cuda_tensor &in, const cs_cuda_tensor &out, const cs_cuda_tensor &second,
           cut &c)
{
    c.kept.count = c.gone.count = 1;
    for (int d = 0; d < in.rank; d++) {
        if (out.dim[d] == in.dim[d]) {
            c.kept.dim[c.kept.rank] = in.dim[d];
            c.kept.stride[0][c.kept.rank] = out.stride[d];
            c.kept.stride[2][c.kept.rank] = second.stride[d];
            c.kept.stride[1][c.kept.rank++] = in.stride[d];
            c.kept.count *= in.dim[d];
        } else {
            c.gone.dim[c.gone.rank] = in.dim[d];
            c.gone.stride[0][c.gone.rank++] = in.stride[d];
            c.gone.count *= in.dim[d];
        }
    }
    simplify(c.kept);
    simplify(c.gone);
}

int64_t power_below(int64_t n, int64_t most)
{
    int64_t power = 1;
    while (power * 2 <= n && power * 2 <= most)
        power *= 2;
    return power;
}

cut cut_up(const cs_cuda_tensor &in, const cs_cuda_tensor &out, const cs_cuda_tensor &second)
{
    cut c = {};
    split(in, out, second, c);
    c.along_gone = c.gone.rank > 0 && c.gone.stride[0][c.gone.rank - 1] == 1;
    const cs_cuda_tensor *const tensors[3] = {&out, &in, &second};
    bool floats = in.type <= CS_CUDA_F16 && out.type <= CS_CUDA_F16;
    bool columns = floats && !c.along_gone && c.kept.rank > 0 &&
                   c.kept.stride[1][c.kept.rank - 1] == 1 &&
                   c.kept.stride[0][c.kept.rank - 1] == 1 && c.kept.stride[2][c.kept.rank - 1] == 1;
    c.width = columns ? width_of(c.kept, tensors) : 1;
    for (int d = 0; c.width > 1 && d < c.gone.rank; d++) // addresses stay aligned on the way
        if (c.gone.stride[0][d] % c.width != 0)
            c.width = 1;
    int64_t items = c.kept.count / c.width;
    // As many lanes along what is reduced as have work.
    int64_t depth =
        power_below(blocks_for(c.gone.count, c.along_gone ? 1 : 4), c.along_gone ? THREADS : 32);
    c.lanes = static_cast<int>(THREADS / depth);
    c.groups = blocks_for(items, c.lanes);
    int64_t wanted = c.groups > 0 ? blocks_for(BLOCKS, c.groups) : 1;
    int64_t most = blocks_for(c.gone.count, depth * SHARE);
    c.chunks = wanted < most ? wanted : most;
    if (c.chunks > CS_CUDA_CHUNKS)
        c.chunks = CS_CUDA_CHUNKS;
    if (c.chunks < 1 || c.groups > CS_CUDA_COUNTERS)
        c.chunks = 1;
    c.share = blocks_for(c.gone.count, c.chunks);
    c.chunks = c.share > 0 ? blocks_for(c.gone.count, c.share) : 1;
    return c;
}

template <int W> int launch_reduce(void *stream, const reduce_job &j, int64_t groups)
{
    dim3 blocks(static_cast<unsigned>(groups), j.chunks);
    return j.out[1] ? launch(stream, blocks, THREADS, reduce_kernel<W, 2>, j)
                    : launch(stream, blocks, THREADS, reduce_kernel<W, 1>, j);
}

// How many elements of a short dense row can be loaded at once; 0: the rows are no such.
int row_width(const cs_cuda_tensor &in, const cut &c)
{
    int64_t bytes = in.type == CS_CUDA_F16 ? 2 : 4;
    if (!c.along_gone || c.gone.rank != 1 || c.gone.count > SHORT || c.kept.count < MANY)
        return 0;
    for (int width = 8; width > 1; width /= 2) {
        int64_t align = bytes * width < 16 ? bytes * width : 16;
        bool fits = width != 2 && c.gone.count % width == 0 && (uintptr_t)in.data % align == 0;
        for (int d = 0; d < c.kept.rank; d++)
            fits = fits && c.kept.stride[1][d] * bytes % align == 0;
        if (fits)
            return width;
    }
    return 1;
}

template <int W, int LANES> int launch_lanes(void *stream, const reduce_job &j)
{
    dim3 blocks(
        static_cast<unsigned>(blocks_for(static_cast<int64_t>(j.kept.count) * LANES, THREADS)));
    return j.out[1] ? launch(stream, blocks, THREADS, row_kernel<W, LANES, 2>, j)
                    : launch(stream, blocks, THREADS, row_kernel<W, LANES, 1>, j);
}

template <int W> int launch_rows(void *stream, const reduce_job &j)
{
    uint32_t vectors = j.gone.count / W;
    return vectors >= 16  ? launch_lanes<W, 16>(stream, j)
           : vectors >= 4 ? launch_lanes<W, 4>(stream, j)
                          : launch_lanes<W, 1>(stream, j);
}

serial_job serial_of(const cs_cuda_tensor &in, const cs_cuda_tensor &out, const cut &c)
{
    serial_job j = {};
    j.kept = steps_of(c.kept, 1);
    j.gone = steps_of(c.gone, 1);
    j.in = in.data;
    j.out = out.data;
    j.in_type = in.type;
    j.out_type = out.type;
    return j;
}

unsigned blocks_of(const cut &c)
{
    return static_cast<unsigned>(blocks_for(c.kept.count, THREADS));
}

} // namespace

int cs_cuda_reduce_launch(void *stream, const struct cs_cuda_reduce *reduce)
{
    const cs_cuda_tensor &in = reduce->in, &out = reduce->out;
    const cs_cuda_tensor &second = reduce->second.data ? reduce->second : out;
    cut c = cut_up(in, out, second);
    if (c.kept.count == 0)
        return 0;
    if (c.kept.count > CS_CUDA_MAX_ITEMS || c.gone.count > CS_CUDA_MAX_ITEMS)
        return static_cast<int>(cudaErrorInvalidValue);
    if (reduce->second.data && (in.type > CS_CUDA_F16 || second.type != out.type))
        return static_cast<int>(cudaErrorInvalidValue);
    if (in.type > CS_CUDA_F16) {
        serial_job serial = serial_of(in, out, c);
        serial.kind = reduce->kind;
        return launch(stream, dim3(blocks_of(c)), THREADS, integer_kernel, serial);
    }
    reduce_job j = {};
    j.kept = steps_of(c.kept, c.width);
    j.gone = steps_of(c.gone, 1);
    j.in = in.data;
    j.in_type = in.type;
    j.out_type = out.type;
    j.out[0] = out.data;
    j.out[1] = reduce->second.data;
    j.kind[0] = reduce->kind;
    j.kind[1] = reduce->second_kind;
    j.activation[0] = reduce->activation;
    j.activation[1] = reduce->second_activation;
    for (int k = 0; k < 2; k++)
        j.scale[k] = j.kind[k] == CS_RED_MEAN ? 1 / static_cast<float>(c.gone.count) : 1;
    j.lanes = static_cast<uint32_t>(c.lanes);
    j.chunks = static_cast<uint32_t>(c.chunks);
    j.share = static_cast<uint32_t>(c.share);
    j.outputs = static_cast<uint32_t>(c.kept.count);
    j.along_gone = c.along_gone;
    j.scratch = static_cast<float *>(reduce->scratch);
    j.counters = reduce->counters;
    int width = row_width(in, c);
    if (width > 0)
        return width == 8   ? launch_rows<8>(stream, j)
               : width == 4 ? launch_rows<4>(stream, j)
                            : launch_rows<1>(stream, j);
    return c.width == 8   ? launch_reduce<8>(stream, j, c.groups)
           : c.width == 4 ? launch_reduce<4>(stream, j, c.groups)
                          : launch_reduce<1>(stream, j, c.groups);
}

int cs_cuda_arg(void *stream, const struct cs_cuda_tensor *in, const struct cs_cuda_tensor *out,
                bool least, bool last)
{
    cut c = {};
    split(*in, *out, *out, c);
    if (c.kept.count == 0)
        return 0;
    if (c.kept.count > CS_CUDA_MAX_ITEMS || c.gone.count > CS_CUDA_MAX_ITEMS)
        return static_cast<int>(cudaErrorInvalidValue);
    serial_job j = serial_of(*in, *out, c);
    j.least = least;
    j.last = last;
    return launch(stream, dim3(blocks_of(c)), THREADS, arg_kernel, j);
}
