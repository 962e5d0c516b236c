// SPDX-License-Identifier: MIT
// Pools over windows: a thread makes one output of 8, 4 or 1 neighbouring channels. Neighbouring
// windows overlap by little, so that the caches serve what is read again.
#include "backend/cuda/axes.cuh"

using namespace cs;

namespace {

constexpr int THREADS = 256, SPACE = 3;

struct pool_job {
    steps<3> out; // output, indices, the input's image and channel
    const void *in;
    void *target;
    int64_t *indices;
    int in_type, out_type;
    int32_t size[SPACE], padded[SPACE], kernel[SPACE], stride[SPACE], dilation[SPACE];
    int32_t begin[SPACE];
    int64_t in_stride[SPACE];
    divisor dim[SPACE]; // of the output
    int32_t channels, width;
    bool mean, count_pads, by_columns;
};

// Taps of one axis: the first inside, how many are, and how many a mean counts.
struct range {
    int32_t first, count, counted;
};

__device__ __forceinline__ range taps(const pool_job &j, int axis, int32_t at)
{
    int32_t dilation = j.dilation[axis], size = j.size[axis], kernel = j.kernel[axis];
    int32_t start = at * j.stride[axis] - j.begin[axis];
    int32_t before = start < 0 ? (-start + dilation - 1) / dilation : 0;
    int32_t behind = start < size ? min(kernel, (size - 1 - start) / dilation + 1) : 0;
    int32_t padded = j.padded[axis];
    int32_t counted = start < padded ? min(kernel, (padded - 1 - start) / dilation + 1) : 0;
    return {start + before * dilation, behind - before, j.count_pads ? counted : behind - before};
}

enum kind { MEAN, MAX, WHERE }; // WHERE: of one channel, also where the greatest is

template <int W, kind KIND>
__device__ __forceinline__ void visit(const pool_job &j, int64_t base, const range (&r)[SPACE],
                                      reals<W> &sum, int64_t &where)
{
    // Windows are small: unrolled loops would take registers and be left at once.
#pragma unroll 1
    for (int32_t z = 0; z < r[0].count; z++)
#pragma unroll 1
        for (int32_t y = 0; y < r[1].count; y++)
#pragma unroll 1
            for (int32_t x = 0; x < r[2].count; x++) {
                int64_t at[SPACE] = {r[0].first + static_cast<int64_t>(z) * j.dilation[0],
                                     r[1].first + static_cast<int64_t>(y) * j.dilation[1],
                                     r[2].first + static_cast<int64_t>(x) * j.dilation[2]};
                int64_t from =
                    base + at[0] * j.in_stride[0] + at[1] * j.in_stride[1] + at[2] * j.in_stride[2];
                reals<W> sample = load<W>(j.in, j.in_type, from);
                bool first = z == 0 && y == 0 && x == 0;
                if (KIND == WHERE && (first || sample.v[0] > sum.v[0] || isnan(sample.v[0])))
                    where = j.by_columns ? (at[2] * j.size[1] + at[1]) * j.size[0] + at[0]
                                         : (at[0] * j.size[1] + at[1]) * j.size[2] + at[2];
#pragma unroll
                for (int i = 0; i < W; i++) {
                    if (KIND == MEAN)
                        sum.v[i] += sample.v[i];
                    else if (first || sample.v[i] > sum.v[i] || isnan(sample.v[i]))
                        sum.v[i] = sample.v[i];
                }
            }
}

// Axes of `out`: image, depth, height, width, channel; `out` counts channels in vectors.
template <int W, kind KIND>
__global__ void __launch_bounds__(THREADS, 4) pool_kernel(const __grid_constant__ pool_job j)
{
    uint32_t index = blockIdx.x * THREADS + threadIdx.x;
    if (index >= j.out.count)
        return;
    int64_t at[3], where = 0;
    offsets(j.out, index, at);
    uint32_t pixel = divide(index, j.out.dim[4]), row = divide(pixel, j.dim[2]);
    uint32_t plane = divide(row, j.dim[1]), image = divide(plane, j.dim[0]);
    range r[SPACE] = {taps(j, 0, plane - image * j.dim[0].by),
                      taps(j, 1, row - plane * j.dim[1].by), taps(j, 2, pixel - row * j.dim[2].by)};
    reals<W> sum;
#pragma unroll
    for (int i = 0; i < W; i++)
        sum.v[i] = KIND == MEAN ? 0 : -INFINITY;
    visit<W, KIND>(j, at[2], r, sum, where);
    if (KIND == MEAN) {
        float counted = static_cast<float>(r[0].counted) * r[1].counted * r[2].counted;
#pragma unroll
        for (int i = 0; i < W; i++)
            sum.v[i] /= counted;
    }
    store<W>(j.target, j.out_type, at[0], sum);
    if (KIND != WHERE)
        return;
    int64_t volume = static_cast<int64_t>(j.size[0]) * j.size[1] * j.size[2];
    int64_t channel = index - pixel * j.out.dim[4].by;
    j.indices[at[1]] = (image * static_cast<int64_t>(j.channels) + channel) * volume + where;
}

int width_of_pool(const cs_cuda_pool *p)
{
    loop<2> l = {};
    l.rank = 5;
    const int order[5] = {0, 2, 3, 4, 1};
    for (int d = 0; d < 5; d++) {
        l.dim[d] = p->out.dim[order[d]];
        l.stride[0][d] = p->out.stride[order[d]];
        l.stride[1][d] = p->in.stride[order[d]];
    }
    const cs_cuda_tensor *const tensors[2] = {&p->out, &p->in};
    return p->indices.data || l.stride[1][4] != 1 ? 1 : width_of(l, tensors);
}

template <int W> int launch_pool(void *stream, const pool_job &j)
{
    dim3 blocks(static_cast<unsigned>(blocks_for(j.out.count, THREADS)));
    if (j.indices)
        return launch(stream, blocks, THREADS, pool_kernel<1, WHERE>, j);
    return j.mean ? launch(stream, blocks, THREADS, pool_kernel<W, MEAN>, j)
                  : launch(stream, blocks, THREADS, pool_kernel<W, MAX>, j);
}

} // namespace

int cs_cuda_pool_launch(void *stream, const struct cs_cuda_pool *pool)
{
    const int order[5] = {0, 2, 3, 4, 1};
    loop<3> l = {};
    l.rank = 5;
    l.count = 1;
    for (int d = 0; d < 5; d++) {
        l.dim[d] = pool->out.dim[order[d]];
        l.count *= l.dim[d];
        l.stride[0][d] = pool->out.stride[order[d]];
        l.stride[1][d] = pool->indices.data ? pool->indices.stride[order[d]] : 0;
        l.stride[2][d] = d == 0 || d == 4 ? pool->in.stride[order[d]] : 0;
    }
    if (l.count == 0)
        return 0;
    int width = width_of_pool(pool);
    if (l.count / width > CS_CUDA_MAX_ITEMS)
        return static_cast<int>(cudaErrorInvalidValue);
    pool_job j = {};
    j.out = steps_of(l, width);
    j.in = pool->in.data;
    j.target = pool->out.data;
    j.indices = static_cast<int64_t *>(pool->indices.data);
    j.in_type = pool->in.type;
    j.out_type = pool->out.type;
    j.channels = static_cast<int32_t>(pool->in.dim[1]);
    j.mean = pool->mean;
    j.count_pads = pool->count_pads;
    j.by_columns = pool->by_columns;
    for (int a = 0; a < SPACE; a++) {
        const cs_cuda_window &w = pool->window;
        j.size[a] = static_cast<int32_t>(pool->in.dim[2 + a]);
        j.padded[a] = static_cast<int32_t>(pool->in.dim[2 + a] + w.pad_end[a]);
        j.kernel[a] = static_cast<int32_t>(w.kernel[a]);
        j.stride[a] = static_cast<int32_t>(w.stride[a]);
        j.dilation[a] = static_cast<int32_t>(w.dilation[a]);
        j.begin[a] = static_cast<int32_t>(w.pad_begin[a]);
        j.in_stride[a] = pool->in.stride[2 + a];
        j.dim[a] = divisor_of(pool->out.dim[2 + a]);
    }
    return width == 8   ? launch_pool<8>(stream, j)
           : width == 4 ? launch_pool<4>(stream, j)
                        : launch_pool<1>(stream, j);
}
