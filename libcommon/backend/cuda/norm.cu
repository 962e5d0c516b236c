// SPDX-License-Identifier: MIT
// InstanceNormalization, GroupNormalization, BatchNormalization.
//
// A block has lanes along the channels, of 8, 4 or 1 each, and lanes along the pixels. Statistics:
// a thread runs Welford's method over its pixels, the block joins its lanes as a tree, and the
// block of an image that ends last joins the chunks of the plane and makes mean and factor of every
// channel. A second kernel applies them, adds and activates. Planes that a block gets through at
// once do all that in one kernel, which reads the plane again from the caches.
#include "backend/cuda/axes.cuh"

using namespace cs;

namespace {

constexpr int THREADS = 256, BLOCKS = 512, SMALL = 1024, MAX_LANES = 32, MOST_Y = 65535;

struct norm_job {
    steps<3> space; // output, input, addend
    const void *in, *add, *scale, *shift;
    void *out;
    int scale_type, shift_type;
    int64_t image[3], channel[3]; // strides of the three
    uint32_t first, first_block;  // image, and block along the channels, of this launch
    uint32_t channels, lanes, chunks, share, wide, groups;
    bool per_group; // scale and shift
    bool one_map;   // of all images
    float epsilon;
    cs_cuda_activation activation;
    const float *sums;    // given: of a channel, and of its squares `pitch` behind
    const float *add_map; // the addend's scale, and shift `pitch` behind
    int64_t pitch;
    float *parts, *maps; // mean and squares of each chunk; mean and factor of each channel
    uint32_t *counters;
};

// Mean and sum of squared deviations of `count` values.
struct moments {
    float mean, squares, count;
};

__device__ __forceinline__ moments join(const moments &a, const moments &b)
{
    float count = a.count + b.count, delta = b.mean - a.mean;
    if (b.count == 0)
        return a;
    float share = b.count / count;
    return {a.mean + delta * share, a.squares + b.squares + delta * delta * a.count * share, count};
}

struct lanes_of_block {
    uint32_t lane, level, depth; // level: along the pixels
};

// Threads side by side are side by side in memory: channels, or pixels where `lanes` is 1.
__device__ __forceinline__ lanes_of_block find_lanes(const norm_job &j)
{
    uint32_t depth = THREADS / j.lanes;
    return {threadIdx.x % j.lanes, threadIdx.x / j.lanes, depth};
}

// The first channel of this block.
template <int W> __device__ __forceinline__ uint32_t first_channel(const norm_job &j)
{
    return (j.first_block + blockIdx.x) * j.lanes * W;
}

// Pixels that a thread asks for before it looks at the first, so that memory is kept busy.
template <typename T, int W> constexpr uint32_t AHEAD = sizeof(T) * W > 16 ? 2 : 4;

template <typename T, int W> __device__ __forceinline__ vec<T, W> fetch(const void *p, int64_t at)
{
    return *reinterpret_cast<const vec<T, W> *>(static_cast<const T *>(p) + at);
}

__device__ __forceinline__ float number(float x)
{
    return x;
}

__device__ __forceinline__ float number(__half x)
{
    return __half2float(x);
}

// The moments of this lane's channels over pixels begin..end-1, the same for all levels; lanes
// beyond the channels take part in the barriers.
template <typename T, int W>
__device__ void measure(const norm_job &j, const lanes_of_block &l, int64_t base, bool real,
                        uint32_t begin, uint32_t end, moments (&result)[W])
{
    __shared__ float means[THREADS][W], squares[THREADS][W], counts[THREADS];
    float mean[W], m2[W], count = 0;
    constexpr uint32_t MANY = AHEAD<T, W>;
    int64_t at[3];
#pragma unroll
    for (int i = 0; i < W; i++)
        mean[i] = m2[i] = 0;
    end = real && l.level < l.depth ? end : 0;
    for (uint32_t p = begin + l.level; p < end; p += l.depth * MANY) {
        vec<T, W> x[MANY];
#pragma unroll
        for (uint32_t k = 0; k < MANY; k++)
            if (p + k * l.depth < end) {
                offsets(j.space, p + k * l.depth, at);
                x[k] = fetch<T, W>(j.in, base + at[1]);
            }
#pragma unroll
        for (uint32_t k = 0; k < MANY; k++) {
            if (p + k * l.depth >= end)
                break;
            count += 1;
            float share = 1 / count;
#pragma unroll
            for (int i = 0; i < W; i++) {
                float value = number(x[k].v[i]), delta = value - mean[i];
                mean[i] += delta * share;
                m2[i] += delta * (value - mean[i]);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < W; i++) {
        means[threadIdx.x][i] = mean[i];
        squares[threadIdx.x][i] = m2[i];
    }
    counts[threadIdx.x] = count;
    uint32_t half = 1;
    while (half * 2 < l.depth)
        half *= 2;
    for (; half > 0; half /= 2) {
        __syncthreads();
        uint32_t other = threadIdx.x + half * j.lanes;
        if (l.level < half && l.level + half < l.depth) {
            moments sum = {};
#pragma unroll
            for (int i = 0; i < W; i++) {
                sum = join({means[threadIdx.x][i], squares[threadIdx.x][i], counts[threadIdx.x]},
                           {means[other][i], squares[other][i], counts[other]});
                means[threadIdx.x][i] = sum.mean;
                squares[threadIdx.x][i] = sum.squares;
            }
            counts[threadIdx.x] = sum.count;
        }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < W; i++)
        result[i] = {means[l.lane][i], squares[l.lane][i], counts[l.lane]};
}

__device__ __forceinline__ float factor_of(const moments &m, float epsilon)
{
    return 1 / sqrtf(m.squares / m.count + epsilon);
}

// Channels first..last-1 of the image: chunks are joined in a fixed tree, LEVELS threads a channel.
__device__ void join_chunks(const norm_job &j, uint32_t image, uint32_t first, uint32_t last)
{
    constexpr uint32_t LEVELS = 8, CHANNELS = THREADS / LEVELS;
    __shared__ moments sums[THREADS];
    uint32_t lane = threadIdx.x % CHANNELS, level = threadIdx.x / CHANNELS;
    for (uint32_t start = first; start < last; start += CHANNELS) {
        uint32_t channel = start + lane;
        moments sum = {};
        for (uint32_t k = level; channel < last && k < j.chunks; k += LEVELS) {
            int64_t at =
                (static_cast<int64_t>(image - j.first) * j.chunks + k) * j.channels + channel;
            uint32_t begin = k * j.share, end = min(begin + j.share, j.space.count);
            moments part = {j.parts[2 * at], j.parts[2 * at + 1], static_cast<float>(end - begin)};
            sum = join(sum, part);
        }
        sums[threadIdx.x] = sum;
        for (uint32_t half = LEVELS / 2; half > 0; half /= 2) {
            __syncthreads();
            if (level < half)
                sums[threadIdx.x] = join(sums[threadIdx.x], sums[threadIdx.x + half * CHANNELS]);
        }
        if (level == 0 && channel < last) {
            const moments &m = sums[threadIdx.x];
            int64_t at = static_cast<int64_t>(image) * j.channels + channel;
            j.maps[2 * at] = m.mean;
            j.maps[2 * at + 1] = j.wide > 1 ? m.squares : factor_of(m, j.epsilon);
        }
        __syncthreads();
    }
}

// Means and squares of a group's channels become the group's mean and factor.
__device__ void join_groups(const norm_job &j, uint32_t image)
{
    for (uint32_t g = threadIdx.x; g < j.groups; g += THREADS) {
        float *map = j.maps + 2 * (static_cast<int64_t>(image) * j.channels + g * j.wide);
        moments sum = {};
        for (uint32_t k = 0; k < j.wide; k++)
            sum = join(sum, {map[2 * k], map[2 * k + 1], static_cast<float>(j.space.count)});
        for (uint32_t k = 0; k < j.wide; k++) {
            map[2 * k] = sum.mean;
            map[2 * k + 1] = factor_of(sum, j.epsilon);
        }
    }
}

// x: blocks along the channels, y: chunks of the plane, z: images.
template <typename T, int W>
__global__ void __launch_bounds__(THREADS, 2) moments_kernel(const __grid_constant__ norm_job j)
{
    lanes_of_block l = find_lanes(j);
    uint32_t image = j.first + blockIdx.z, channel = first_channel<W>(j) + l.lane * W;
    uint32_t begin = blockIdx.y * j.share, end = min(begin + j.share, j.space.count);
    bool real = channel < j.channels;
    moments m[W];
    measure<T, W>(j, l, image * j.image[1] + channel * j.channel[1], real, begin, end, m);
    if (real && l.level == 0) {
        int64_t at =
            (static_cast<int64_t>(blockIdx.z) * j.chunks + blockIdx.y) * j.channels + channel;
#pragma unroll
        for (int i = 0; i < W; i++) {
            j.parts[2 * (at + i)] = m[i].mean;
            j.parts[2 * (at + i) + 1] = m[i].squares;
        }
    }
    bool alone = j.wide == 1; // a block's channels need no other block's
    uint32_t counter = alone ? blockIdx.z * gridDim.x + blockIdx.x : blockIdx.z;
    if (!is_last(&j.counters[counter], alone ? j.chunks : j.chunks * gridDim.x))
        return;
    uint32_t first = alone ? first_channel<W>(j) : 0;
    uint32_t last = alone ? min(first + j.lanes * W, j.channels) : j.channels;
    join_chunks(j, image, first, last);
    if (!alone)
        join_groups(j, image);
}

// What a channel's values go through, and those of an addend that is not normalised yet (MAPPED).
template <int W, bool MAPPED> struct map_of {
    float mean[W], factor[W], shift[W], add_scale[MAPPED ? W : 1], add_shift[MAPPED ? W : 1];
};

// From sums: the difference of large numbers, where the mean is large, may come out below 0.
__device__ __forceinline__ void read_sums(const norm_job &j, int64_t image, uint32_t channel,
                                          float &mean, float &factor)
{
    const float *sums = j.sums + image * 2 * j.pitch + channel;
    float count = static_cast<float>(j.space.count);
    mean = sums[0] / count;
    float variance = sums[j.pitch] / count - mean * mean;
    factor = 1 / sqrtf((variance < 0 ? 0 : variance) + j.epsilon);
}

template <int W, bool MAPPED>
__device__ __forceinline__ void scale_map(const norm_job &j, int64_t image, uint32_t channel,
                                          map_of<W, MAPPED> &map)
{
#pragma unroll
    for (int i = 0; i < W; i++) {
        uint32_t at = j.per_group ? (channel + i) / j.wide : channel + i;
        map.factor[i] *= load_real(j.scale, j.scale_type, at);
        map.shift[i] = load_real(j.shift, j.shift_type, at);
    }
#pragma unroll
    for (int i = 0; MAPPED && i < W; i++) {
        int64_t at = image * 2 * j.pitch + channel + i;
        map.add_scale[i] = j.add_map[at];
        map.add_shift[i] = j.add_map[at + j.pitch];
    }
}

// Pixels begin, begin + step... before `end`: the input may lie where the output does, so that
// what comes next must be read before anything is stored.
template <typename T, int W, bool MAPPED>
__device__ __forceinline__ void apply_map(const norm_job &j, const map_of<W, MAPPED> &map,
                                          const int64_t (&base)[3], uint32_t begin, uint32_t end,
                                          uint32_t step)
{
    constexpr uint32_t MANY = MAPPED ? 2 : AHEAD<T, W>; // registers are not without end
    for (uint32_t p = begin; p < end; p += step * MANY) {
        vec<T, W> in[MANY], more[MANY];
        int64_t at[3], to[MANY];
#pragma unroll
        for (uint32_t k = 0; k < MANY; k++)
            if (p + k * step < end) {
                offsets(j.space, p + k * step, at);
                to[k] = at[0];
                in[k] = fetch<T, W>(j.in, base[1] + at[1]);
                if (j.add)
                    more[k] = fetch<T, W>(j.add, base[2] + at[2]);
            }
#pragma unroll
        for (uint32_t k = 0; k < MANY; k++) {
            if (p + k * step >= end)
                break;
            reals<W> x;
#pragma unroll
            for (int i = 0; i < W; i++) {
                x.v[i] = (number(in[k].v[i]) - map.mean[i]) * map.factor[i] + map.shift[i];
                if (MAPPED)
                    x.v[i] += number(more[k].v[i]) * map.add_scale[i] + map.add_shift[i];
                else if (j.add)
                    x.v[i] += number(more[k].v[i]);
            }
            activate(x, j.activation);
            store<W>(static_cast<T *>(j.out) + base[0] + to[k], x);
        }
    }
}

__device__ __forceinline__ void bases(const norm_job &j, uint32_t image, uint32_t channel,
                                      int64_t (&base)[3])
{
#pragma unroll
    for (int t = 0; t < 3; t++)
        base[t] = image * j.image[t] + channel * j.channel[t];
}

template <typename T, int W, bool MAPPED>
__global__ void __launch_bounds__(THREADS, 2) apply_kernel(const __grid_constant__ norm_job j)
{
    lanes_of_block l = find_lanes(j);
    uint32_t image = j.first + blockIdx.z, channel = first_channel<W>(j) + l.lane * W;
    uint32_t begin = blockIdx.y * j.share, end = min(begin + j.share, j.space.count);
    if (channel >= j.channels || l.level >= l.depth)
        return;
    map_of<W, MAPPED> map;
    int64_t base[3], at = (j.one_map ? 0 : static_cast<int64_t>(image) * j.channels) + channel;
#pragma unroll
    for (int i = 0; i < W; i++) {
        if (j.sums) {
            read_sums(j, image, channel + i, map.mean[i], map.factor[i]);
        } else {
            map.mean[i] = j.maps[2 * (at + i)];
            map.factor[i] = j.maps[2 * (at + i) + 1];
        }
    }
    scale_map(j, image, channel, map);
    bases(j, image, channel, base);
    apply_map<T>(j, map, base, begin + l.level, end, l.depth);
}

// Both at once: a block has all pixels of its channels.
template <typename T, int W>
__global__ void __launch_bounds__(THREADS, 2) small_kernel(const __grid_constant__ norm_job j)
{
    lanes_of_block l = find_lanes(j);
    uint32_t image = j.first + blockIdx.z, channel = first_channel<W>(j) + l.lane * W;
    bool real = channel < j.channels;
    int64_t base[3];
    moments m[W];
    bases(j, image, channel, base);
    measure<T, W>(j, l, base[1], real, 0, j.space.count, m);
    if (!real || l.level >= l.depth)
        return;
    map_of<W, false> map;
#pragma unroll
    for (int i = 0; i < W; i++) {
        map.mean[i] = m[i].mean;
        map.factor[i] = factor_of(m[i], j.epsilon);
    }
    scale_map(j, image, channel, map);
    apply_map<T>(j, map, base, l.level, j.space.count, l.depth);
}

// x: channels, y: images.
__global__ void __launch_bounds__(THREADS)
    map_kernel(const __grid_constant__ norm_job j, void *map, int type)
{
    uint32_t c = blockIdx.x * THREADS + threadIdx.x, image = j.first + blockIdx.y;
    if (c >= j.channels)
        return;
    float mean, factor;
    read_sums(j, image, c, mean, factor);
    int64_t at = static_cast<int64_t>(image) * 2 * j.pitch + c;
    store_real(map, type, at, factor * load_real(j.scale, j.scale_type, c));
    float scale = load_real(map, type, at); // as it is rounded
    store_real(map, type, at + j.pitch, load_real(j.shift, j.shift_type, c) - mean * scale);
}

__global__ void __launch_bounds__(THREADS)
    given_kernel(const void *mean, int mean_type, const void *variance, int variance_type,
                 uint32_t channels, float epsilon, float *maps)
{
    uint32_t c = blockIdx.x * THREADS + threadIdx.x;
    if (c >= channels)
        return;
    maps[2 * c] = load_real(mean, mean_type, c);
    maps[2 * c + 1] = 1 / sqrtf(load_real(variance, variance_type, c) + epsilon);
}

// ---- Launches ------------------------------------------------------------------------------

// The loop over space, and how many channels a thread takes.
int describe(const cs_cuda_norm &n, norm_job &j)
{
    const cs_cuda_tensor *const tensors[3] = {&n.out, &n.in, n.add.data ? &n.add : &n.out};
    loop<3> space = {}, all = {};
    space.rank = n.in.rank - 2;
    space.count = 1;
    all.rank = n.in.rank;
    for (int t = 0; t < 3; t++) {
        j.image[t] = tensors[t]->stride[0];
        j.channel[t] = tensors[t]->stride[1];
        for (int d = 0; d < space.rank; d++)
            space.stride[t][d] = all.stride[t][1 + d] = tensors[t]->stride[2 + d];
        all.stride[t][0] = j.image[t];
        all.stride[t][all.rank - 1] = j.channel[t];
    }
    for (int d = 0; d < space.rank; d++) {
        space.dim[d] = n.in.dim[2 + d];
        space.count *= space.dim[d];
    }
    all.dim[all.rank - 1] = n.in.dim[1];
    bool last = j.channel[0] == 1 && j.channel[1] == 1 && j.channel[2] == 1;
    int width = last ? width_of(all, tensors) : 1;
    simplify(space);
    j.space = steps_of(space, 1);
    if (space.count > CS_CUDA_MAX_ITEMS)
        return 0;
    j.lanes = last ? 0 : 1; // 0: to be chosen
    return width;
}

// Lanes along the channels so that blocks are full: all of them, or parts of equal size.
uint32_t even_lanes(uint32_t vectors, uint32_t most)
{
    uint32_t blocks = (vectors + most - 1) / most;
    return (vectors + blocks - 1) / blocks;
}

void cut_plane(norm_job &j, int64_t others, int64_t most, uint32_t per_thread)
{
    uint32_t depth = THREADS / j.lanes;
    int64_t wanted = blocks_for(BLOCKS, others);
    int64_t possible = blocks_for(j.space.count, static_cast<int64_t>(depth) * per_thread);
    int64_t chunks = wanted < possible ? wanted : possible;
    chunks = chunks > most ? most : chunks < 1 ? 1 : chunks;
    j.share = static_cast<uint32_t>(blocks_for(j.space.count, chunks));
    j.chunks = static_cast<uint32_t>(blocks_for(j.space.count, j.share));
}

// `across`: blocks along the channels, of which this may be the last few.
template <typename T, int W>
int launch_images(void *stream, norm_job &j, dim3 blocks, uint32_t across, bool given, bool small)
{
    if (small)
        return launch(stream, blocks, THREADS, small_kernel<T, W>, j);
    int failed = 0;
    if (!given) {
        cut_plane(j, static_cast<int64_t>(across) * blocks.z, CS_CUDA_CHUNKS, 8);
        blocks.y = j.chunks;
        failed = launch(stream, blocks, THREADS, moments_kernel<T, W>, j);
    }
    cut_plane(j, 1, 65535, 4);
    blocks.y = j.chunks;
    if (failed)
        return failed;
    return j.add_map ? launch(stream, blocks, THREADS, apply_kernel<T, W, true>, j)
                     : launch(stream, blocks, THREADS, apply_kernel<T, W, false>, j);
}

// As many blocks along the channels and as many images at a time as there are counters for. A
// group's channels may be another block's: then an image has one counter.
template <typename T, int W> int launch_norm(void *stream, norm_job &j, uint32_t images, bool given)
{
    uint32_t vectors = j.channels / W;
    bool small = !given && !j.add_map && j.wide == 1 && j.space.count <= SMALL;
    if (j.lanes == 0)
        j.lanes = even_lanes(vectors, small && W >= 4 ? 2 : MAX_LANES);
    uint32_t across = static_cast<uint32_t>(blocks_for(vectors, j.lanes));
    const uint32_t counters = CS_CUDA_COUNTERS;
    uint32_t wide = j.wide == 1 && across > counters ? counters : across;
    uint32_t most = j.wide == 1 ? counters / wide : counters;
    j.parts = j.maps + 2 * static_cast<int64_t>(images) * j.channels;
    int failed = 0;
    for (j.first = 0; j.first < images && !failed; j.first += most)
        for (j.first_block = 0; j.first_block < across && !failed; j.first_block += wide) {
            dim3 blocks(wide < across - j.first_block ? wide : across - j.first_block);
            blocks.z = most < images - j.first ? most : images - j.first;
            failed = launch_images<T, W>(stream, j, blocks, wide, given, small);
        }
    return failed;
}

template <typename T>
int launch_width(void *stream, norm_job &j, uint32_t images, bool given, int width)
{
    return width == 8   ? launch_norm<T, 8>(stream, j, images, given)
           : width == 4 ? launch_norm<T, 4>(stream, j, images, given)
                        : launch_norm<T, 1>(stream, j, images, given);
}

// What the kernels need of the description, beside the loops.
void set_norm(const cs_cuda_norm &n, norm_job &j)
{
    int64_t channels = n.in.dim[1];
    j.in = n.in.data;
    j.out = n.out.data;
    j.add = n.add.data;
    j.scale = n.scale.data;
    j.shift = n.shift.data;
    j.scale_type = n.scale.type;
    j.shift_type = n.shift.type;
    j.channels = static_cast<uint32_t>(channels);
    j.groups = static_cast<uint32_t>(n.groups);
    j.wide = static_cast<uint32_t>(channels / n.groups);
    j.per_group = j.wide > 1 && n.scale.dim[0] != channels;
    j.sums = n.sums;
    j.pitch = n.pitch;
    j.add_map = n.add_map;
    j.one_map = n.mean.data != nullptr;
    j.epsilon = n.epsilon;
    j.activation = n.activation;
    j.maps = n.scratch;
    j.counters = n.counters;
}

} // namespace

size_t cs_cuda_norm_floats(int64_t images, int64_t channels)
{
    // Chunks are made for BLOCKS blocks of at most MAX_LANES * 8 channels, and one more a block.
    return 2 * static_cast<size_t>(2 * images * channels + 2 * BLOCKS * MAX_LANES * 8);
}

int cs_cuda_norm_launch(void *stream, const struct cs_cuda_norm *norm)
{
    const cs_cuda_tensor &in = norm->in;
    norm_job j = {};
    int width = describe(*norm, j);
    int64_t images = in.dim[0], channels = in.dim[1];
    bool given = norm->mean.data != nullptr || norm->sums;
    if (images == 0 || channels == 0 || j.space.count == 0)
        return 0;
    if (norm->out.type != in.type || (norm->add.data && norm->add.type != in.type))
        return static_cast<int>(cudaErrorInvalidValue);
    if (width == 0 || images > CS_CUDA_MAX_ITEMS || channels > CS_CUDA_MAX_ITEMS)
        return static_cast<int>(cudaErrorInvalidValue);
    set_norm(*norm, j);
    if (norm->mean.data) {
        int failed = launch(stream, dim3(static_cast<unsigned>(blocks_for(channels, THREADS))),
                            THREADS, given_kernel, norm->mean.data,
                            static_cast<int>(norm->mean.type), norm->variance.data,
                            static_cast<int>(norm->variance.type), j.channels, j.epsilon, j.maps);
        if (failed)
            return failed;
    }
    uint32_t count = static_cast<uint32_t>(images);
    return in.type == CS_CUDA_F16 ? launch_width<__half>(stream, j, count, given, width)
                                  : launch_width<float>(stream, j, count, given, width);
}

int cs_cuda_norm_map(void *stream, const struct cs_cuda_norm *norm, enum cs_cuda_type type,
                     void *map)
{
    const cs_cuda_tensor &in = norm->in;
    norm_job j = {};
    int64_t images = in.dim[0], blocks = blocks_for(in.dim[1], THREADS);
    if (describe(*norm, j) == 0 || !norm->sums)
        return static_cast<int>(cudaErrorInvalidValue);
    set_norm(*norm, j);
    int failed = 0;
    for (int64_t first = 0; first < images && !failed; first += MOST_Y) {
        j.first = static_cast<uint32_t>(first);
        dim3 grid(static_cast<unsigned>(blocks),
                  static_cast<unsigned>(images - first < MOST_Y ? images - first : MOST_Y));
        failed = launch(stream, grid, THREADS, map_kernel, j, map, static_cast<int>(type));
    }
    return failed;
}
