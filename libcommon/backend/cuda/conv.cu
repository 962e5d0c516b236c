// SPDX-License-Identifier: MIT
// Convolutions that are no matrix products worth the name: one channel a group, and a few outputs
// of all channels (heads, gates, maps of attention). Channels lie innermost in input and weights.
#include "backend/cuda/axes.cuh"

using namespace cs;

namespace {

constexpr int THREADS = 256, SPACE = 3;

struct direct_job {
    steps<3> out; // output, addend, input's image (and channel, where a thread has its own)
    divisor size[SPACE], vectors;
    const void *in, *weights, *bias, *add;
    void *to;
    int in_type, weight_type, bias_type, add_type, out_type;
    int32_t kernel[SPACE], step[SPACE], begin[SPACE], dilation[SPACE], in_size[SPACE];
    int64_t in_stride[SPACE], tap[SPACE];
    uint32_t channels; // of the input
    int outputs;
    int64_t filter, out_channel, add_channel; // strides of an output's weights and of channels
    cs_cuda_activation activation;
};

// Where the window of output pixel `index` starts.
__device__ __forceinline__ void find_window(const direct_job &j, uint32_t index,
                                            int32_t (&at)[SPACE])
{
#pragma unroll
    for (int a = SPACE - 1; a >= 0; a--) {
        uint32_t outer = divide(index, j.size[a]);
        at[a] = static_cast<int32_t>(index - outer * j.size[a].by) * j.step[a] - j.begin[a];
        index = outer;
    }
}

// visit(input offset, weight offset) for every tap inside the input.
template <typename Visit>
__device__ __forceinline__ void visit_taps(const direct_job &j, const int32_t (&at)[SPACE],
                                           const Visit &visit)
{
    for (int32_t z = 0; z < j.kernel[0]; z++) {
        int32_t iz = at[0] + z * j.dilation[0];
        if (iz < 0 || iz >= j.in_size[0])
            continue;
        for (int32_t y = 0; y < j.kernel[1]; y++) {
            int32_t iy = at[1] + y * j.dilation[1];
            if (iy < 0 || iy >= j.in_size[1])
                continue;
            for (int32_t x = 0; x < j.kernel[2]; x++) {
                int32_t ix = at[2] + x * j.dilation[2];
                if (ix >= 0 && ix < j.in_size[2])
                    visit(iz * j.in_stride[0] + iy * j.in_stride[1] + ix * j.in_stride[2],
                          z * j.tap[0] + y * j.tap[1] + x * j.tap[2]);
            }
        }
    }
}

// A thread: one pixel, W neighbouring channels. `out` counts vectors of channels.
template <int W>
__global__ void __launch_bounds__(THREADS, 2) depthwise_kernel(const __grid_constant__ direct_job j)
{
    uint32_t index = blockIdx.x * THREADS + threadIdx.x;
    if (index >= j.out.count)
        return;
    int64_t at[3];
    int32_t window[SPACE];
    offsets(j.out, index, at);
    uint32_t pixel = divide(index, j.vectors), channel = (index - pixel * j.vectors.by) * W;
    find_window(j, pixel, window);
    reals<W> sum = {};
    visit_taps(j, window, [&](int64_t from, int64_t tap) {
        reals<W> x = load<W>(j.in, j.in_type, at[2] + from);
        reals<W> w = load<W>(j.weights, j.weight_type, tap + channel);
#pragma unroll
        for (int i = 0; i < W; i++)
            sum.v[i] += x.v[i] * w.v[i];
    });
#pragma unroll
    for (int i = 0; i < W; i++)
        sum.v[i] += j.bias ? load_real(j.bias, j.bias_type, channel + i) : 0;
    if (j.add) {
        reals<W> more = load<W>(j.add, j.add_type, at[1]);
#pragma unroll
        for (int i = 0; i < W; i++)
            sum.v[i] += more.v[i];
    }
    activate(sum, j.activation);
    store<W>(j.to, j.out_type, at[0], sum);
}

// LANES threads: one pixel, all outputs; a lane has every LANES-th vector of W input channels.
template <int W, int LANES>
__global__ void __launch_bounds__(THREADS, 2) few_kernel(const __grid_constant__ direct_job j)
{
    uint32_t thread = blockIdx.x * THREADS + threadIdx.x, pixel = thread / LANES;
    uint32_t lane = threadIdx.x % LANES;
    bool real = pixel < j.out.count;
    int64_t at[3];
    int32_t window[SPACE];
    pixel = real ? pixel : j.out.count - 1;
    offsets(j.out, pixel, at);
    find_window(j, pixel, window);
    float sums[CS_CUDA_FEW] = {};
    visit_taps(j, window, [&](int64_t from, int64_t tap) {
        for (uint32_t c = lane * W; c < j.channels; c += LANES * W) {
            reals<W> x = load<W>(j.in, j.in_type, at[2] + from + c);
#pragma unroll
            for (int o = 0; o < CS_CUDA_FEW; o++) {
                if (o >= j.outputs)
                    continue;
                reals<W> w = load<W>(j.weights, j.weight_type, o * j.filter + tap + c);
#pragma unroll
                for (int i = 0; i < W; i++)
                    sums[o] += x.v[i] * w.v[i];
            }
        }
    });
#pragma unroll
    for (int o = 0; o < CS_CUDA_FEW; o++) {
#pragma unroll
        for (int by = WARP / 2; by > 0; by /= 2)
            if (by < LANES)
                sums[o] += __shfl_xor_sync(ALL, sums[o], by);
        if (!real || lane != 0 || o >= j.outputs)
            continue;
        reals<1> r = {{sums[o]}};
        if (j.bias)
            r.v[0] += load_real(j.bias, j.bias_type, o);
        if (j.add)
            r.v[0] += load_real(j.add, j.add_type, at[1] + o * j.add_channel);
        activate(r, j.activation);
        store_real(j.to, j.out_type, at[0] + o * j.out_channel, r.v[0]);
    }
}

// ---- Launches ------------------------------------------------------------------------------

direct_job describe(const cs_cuda_conv &c)
{
    direct_job j = {};
    j.in = c.in.data;
    j.weights = c.weights.data;
    j.bias = c.bias.data;
    j.add = c.add.data;
    j.to = c.out.data;
    j.in_type = c.in.type;
    j.weight_type = c.weights.type;
    j.bias_type = c.bias.type;
    j.add_type = c.add.type;
    j.out_type = c.out.type;
    j.channels = static_cast<uint32_t>(c.in.dim[1]);
    j.outputs = static_cast<int>(c.out.dim[1]);
    j.filter = c.weights.stride[0];
    j.out_channel = c.out.stride[1];
    j.add_channel = c.add.stride[1];
    j.activation = c.activation;
    for (int a = 0; a < SPACE; a++) {
        j.size[a] = divisor_of(c.out.dim[2 + a]);
        j.kernel[a] = static_cast<int32_t>(c.window.kernel[a]);
        j.step[a] = static_cast<int32_t>(c.window.stride[a]);
        j.begin[a] = static_cast<int32_t>(c.window.pad_begin[a]);
        j.dilation[a] = static_cast<int32_t>(c.window.dilation[a]);
        j.in_size[a] = static_cast<int32_t>(c.in.dim[2 + a]);
        j.in_stride[a] = c.in.stride[2 + a];
        j.tap[a] = c.weights.stride[2 + a];
    }
    return j;
}

// Over image, space and, with `channels`, the output's channels: output, addend, input.
loop<3> loop_of(const cs_cuda_conv &c, bool channels)
{
    const cs_cuda_tensor *const tensors[3] = {&c.out, &c.add, &c.in};
    const int order[5] = {0, 2, 3, 4, 1};
    loop<3> l = {};
    l.rank = channels ? 5 : 4;
    l.count = 1;
    for (int d = 0; d < l.rank; d++) {
        l.dim[d] = c.out.dim[order[d]];
        l.count *= l.dim[d];
        for (int t = 0; t < 3; t++)
            l.stride[t][d] = t == 2 && d > 0 && d < 4 ? 0 : tensors[t]->stride[order[d]];
    }
    return l;
}

// Elements side by side in input and weights, at addresses where vectors of them may be.
bool fits(const cs_cuda_tensor &tensor, int width, int innermost)
{
    int64_t bytes = tensor.type == CS_CUDA_F16 ? 2 : 4;
    int64_t align = bytes * width < 16 ? bytes * width : 16;
    bool even = (uintptr_t)tensor.data % align == 0;
    for (int d = 0; d < tensor.rank; d++)
        even =
            even && (d == innermost || tensor.dim[d] == 1 || tensor.stride[d] * bytes % align == 0);
    return even && tensor.stride[innermost] == 1 && tensor.dim[innermost] % width == 0;
}

template <int W> int launch_few(void *stream, const direct_job &j, int64_t pixels)
{
    uint32_t vectors = j.channels / W;
    int lanes = vectors >= 16 ? 16 : vectors >= 4 ? 4 : 1;
    dim3 blocks(static_cast<unsigned>(blocks_for(pixels * lanes, THREADS)));
    return lanes == 16  ? launch(stream, blocks, THREADS, few_kernel<W, 16>, j)
           : lanes == 4 ? launch(stream, blocks, THREADS, few_kernel<W, 4>, j)
                        : launch(stream, blocks, THREADS, few_kernel<W, 1>, j);
}

} // namespace

int cs_cuda_depthwise_launch(void *stream, const struct cs_cuda_conv *conv)
{
    const cs_cuda_conv &c = *conv;
    direct_job j = describe(c);
    loop<3> l = loop_of(c, true);
    if (l.count == 0)
        return 0;
    if (c.weights.stride[0] != 1)
        return static_cast<int>(cudaErrorInvalidValue);
    int width = 8;
    while (width > 1 && !(fits(c.in, width, 1) && fits(c.weights, width, 0) &&
                          fits(c.out, width, 1) && (!c.add.data || fits(c.add, width, 1))))
        width = width == 8 ? 4 : 1;
    if (l.count / width > CS_CUDA_MAX_ITEMS)
        return static_cast<int>(cudaErrorInvalidValue);
    j.out = steps_of(l, width);
    j.vectors = divisor_of(c.out.dim[1] / width);
    dim3 blocks(static_cast<unsigned>(blocks_for(j.out.count, THREADS)));
    return width == 8   ? launch(stream, blocks, THREADS, depthwise_kernel<8>, j)
           : width == 4 ? launch(stream, blocks, THREADS, depthwise_kernel<4>, j)
                        : launch(stream, blocks, THREADS, depthwise_kernel<1>, j);
}

int cs_cuda_few_launch(void *stream, const struct cs_cuda_conv *conv)
{
    const cs_cuda_conv &c = *conv;
    direct_job j = describe(c);
    loop<3> l = loop_of(c, false);
    if (l.count == 0 || c.out.dim[1] == 0)
        return 0;
    if (l.count > CS_CUDA_MAX_ITEMS / 16 || c.out.dim[1] > CS_CUDA_FEW ||
        c.weights.stride[1] != 1 || c.in.stride[1] != 1)
        return static_cast<int>(cudaErrorInvalidValue);
    j.out = steps_of(l, 1);
    return fits(c.in, 8, 1) && fits(c.weights, 8, 1)   ? launch_few<8>(stream, j, l.count)
           : fits(c.in, 4, 1) && fits(c.weights, 4, 1) ? launch_few<4>(stream, j, l.count)
           : fits(c.in, 2, 1) && fits(c.weights, 2, 1) ? launch_few<2>(stream, j, l.count)
                                                       : launch_few<1>(stream, j, l.count);
}
