// SPDX-License-Identifier: MIT
// Resize and Upsample: every coordinate convention, filter and edge of graph/resize.c.
//
// A block makes a tile of a plane. Its threads first work out the filters of the tile's columns and
// rows in double, into shared memory; then each makes outputs of 8, 4 or 1 channels. Filters of up
// to four samples are kept as weights; those that antialiasing widens are worked out at each use.
#include "backend/cuda/axes.cuh"

using namespace cs;

namespace {

constexpr int THREADS = 256, SPACE = 3, KEPT = 4, ROWS = 4, MOST_COLUMNS = 128, ITEMS = 1024;

struct resize_job {
    steps<3> planes; // output, input, addend: image, and channel where it is not innermost
    divisor depth, tiles_x, tiles_y, vectors, columns; // output planes; tiles; of a tile
    const void *in, *add;
    void *out;
    int in_type, add_type, out_type;
    int32_t size[SPACE], out_size[SPACE];
    int64_t stride[3][SPACE]; // of output, input, addend
    int mode, coord, nearest;
    bool antialias, exclude_outside;
    double cubic, scale[SPACE], length[SPACE], region[SPACE][2];
    float extrapolation;
    cs_cuda_activation activation;
};

// The samples of an output index: `count` from `first` on, at their edge where outside.
struct filter {
    int32_t first, count;
    bool outside;
    float weight[KEPT]; // kept
    double source;      // worked out: where it lies, and what weights are multiplied by
    float share;
};

__device__ double source_of(const resize_job &j, int axis, int32_t at)
{
    double x = at, in = j.size[axis], length = j.length[axis], offset = 0;
    double first = j.region[axis][0], last = j.region[axis][1];
    switch (j.coord) {
    case CS_CUDA_PYTORCH_HALF_PIXEL:
        if (length <= 1)
            return 0;
        break;
    case CS_CUDA_ALIGN_CORNERS:
        return length == 1 ? 0 : x * (in - 1) / (length - 1);
    case CS_CUDA_ASYMMETRIC:
        return x / j.scale[axis];
    case CS_CUDA_CROP:
        return length <= 1 ? (first + last) / 2 * (in - 1)
                           : (first + x / (length - 1) * (last - first)) * (in - 1);
    case CS_CUDA_HALF_PIXEL_SYMMETRIC:
        offset = in / 2 * (1 - j.out_size[axis] / length);
        break;
    default:
        break;
    }
    return offset + (x + 0.5) / j.scale[axis] - 0.5;
}

__device__ int32_t pick(const resize_job &j, int axis, double x)
{
    double picked = j.nearest == CS_CUDA_PREFER_FLOOR  ? ceil(x - 0.5)
                    : j.nearest == CS_CUDA_PREFER_CEIL ? floor(x + 0.5)
                    : j.nearest == CS_CUDA_CEIL        ? ceil(x)
                                                       : floor(x);
    double last = j.size[axis] - 1;
    return static_cast<int32_t>(picked < 0 ? 0 : picked > last ? last : picked);
}

__device__ __forceinline__ double widening(const resize_job &j, int axis)
{
    return j.antialias && j.scale[axis] < 1 ? 1 / j.scale[axis] : 1;
}

__device__ double kernel_at(const resize_job &j, double x)
{
    double a = j.cubic;
    x = fabs(x);
    if (j.mode != CS_CUDA_CUBIC)
        return x < 1 ? 1 - x : 0;
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

__device__ double raw_weight(const resize_job &j, int axis, double source, int32_t sample)
{
    if (j.exclude_outside && (sample < 0 || sample >= j.size[axis]))
        return 0;
    return kernel_at(j, (sample - source) / widening(j, axis));
}

template <bool WIDE>
__device__ void make_filter(const resize_job &j, int axis, int32_t at, filter &f)
{
    bool one = j.size[axis] == 1 && j.out_size[axis] == 1;
    double source = one ? 0 : source_of(j, axis, at), sum = 0;
    f = {};
    f.outside = j.coord == CS_CUDA_CROP && !(source >= 0 && source <= j.size[axis] - 1);
    f.count = 1;
    f.share = f.weight[0] = 1;
    f.source = source;
    if (f.outside || one)
        return;
    if (j.mode == CS_CUDA_NEAREST) {
        f.first = pick(j, axis, source);
        return;
    }
    double radius = (j.mode == CS_CUDA_CUBIC ? 2 : 1) * widening(j, axis);
    // Without the samples that lie at the radius itself, whose weight is 0.
    f.first = static_cast<int32_t>(floor(source - radius)) + 1;
    f.count = static_cast<int32_t>(ceil(source + radius)) - f.first;
    f.source = source;
    for (int32_t i = 0; i < f.count; i++)
        sum += raw_weight(j, axis, source, f.first + i);
    double share = j.antialias || j.exclude_outside ? 1 / sum : 1;
    f.share = static_cast<float>(share);
    for (int i = 0; !WIDE && i < KEPT; i++)
        f.weight[i] =
            i < f.count ? static_cast<float>(share * raw_weight(j, axis, source, f.first + i)) : 0;
}

template <bool WIDE>
__device__ __forceinline__ float weight_of(const resize_job &j, int axis, const filter &f,
                                           int32_t i)
{
    if (!WIDE)
        return f.weight[i];
    if (f.count == 1)
        return 1;
    return f.share * static_cast<float>(raw_weight(j, axis, f.source, f.first + i));
}

__device__ __forceinline__ int64_t place_of(const resize_job &j, int axis, int32_t at)
{
    int32_t last = j.size[axis] - 1;
    return static_cast<int64_t>(at < 0 ? 0 : at > last ? last : at) * j.stride[1][axis];
}

template <int W, bool WIDE>
__device__ void gather(const resize_job &j, const filter &fz, const filter &fy, const filter &fx,
                       int64_t base, reals<W> &sum)
{
    for (int32_t z = 0; z < fz.count; z++)
        for (int32_t y = 0; y < fy.count; y++) {
            float outer = weight_of<WIDE>(j, 0, fz, z) * weight_of<WIDE>(j, 1, fy, y);
            int64_t line = base + place_of(j, 0, fz.first + z) + place_of(j, 1, fy.first + y);
            for (int32_t x = 0; x < fx.count; x++) {
                float weight = outer * weight_of<WIDE>(j, 2, fx, x);
                reals<W> sample = load<W>(j.in, j.in_type, line + place_of(j, 2, fx.first + x));
#pragma unroll
                for (int i = 0; i < W; i++)
                    sum.v[i] += weight * sample.v[i];
            }
        }
}

template <int W, bool WIDE>
__global__ void __launch_bounds__(THREADS) resize_kernel(const __grid_constant__ resize_job j)
{
    __shared__ filter across[MOST_COLUMNS], down[ROWS], deep;
    uint32_t tile = divide(blockIdx.x, j.tiles_x), tile_x = blockIdx.x - tile * j.tiles_x.by;
    uint32_t layer = divide(tile, j.tiles_y), tile_y = tile - layer * j.tiles_y.by;
    uint32_t plane = divide(layer, j.depth), z = layer - plane * j.depth.by;
    uint32_t columns = j.columns.by, first_x = tile_x * columns, first_y = tile_y * ROWS;
    for (uint32_t i = threadIdx.x; i < columns + ROWS + 1; i += THREADS) {
        bool is_row = i >= columns && i < columns + ROWS;
        int axis = i < columns ? 2 : is_row ? 1 : 0;
        uint32_t at = i < columns ? first_x + i : is_row ? first_y + i - columns : z;
        make_filter<WIDE>(j, axis, static_cast<int32_t>(at),
                          i < columns ? across[i]
                          : is_row    ? down[i - columns]
                                      : deep);
    }
    __syncthreads();
    int64_t base[3];
    offsets(j.planes, plane, base);
    for (uint32_t item = threadIdx.x; item < columns * ROWS * j.vectors.by; item += THREADS) {
        uint32_t pixel = divide(item, j.vectors), channel = (item - pixel * j.vectors.by) * W;
        uint32_t row = divide(pixel, j.columns), column = pixel - row * columns;
        uint32_t x = first_x + column, y = first_y + row;
        if (x >= static_cast<uint32_t>(j.out_size[2]) || y >= static_cast<uint32_t>(j.out_size[1]))
            continue;
        const filter &fx = across[column], &fy = down[row];
        reals<W> sum = {};
        if (deep.outside || fx.outside || fy.outside) {
#pragma unroll
            for (int i = 0; i < W; i++)
                sum.v[i] = j.extrapolation;
        } else {
            gather<W, WIDE>(j, deep, fy, fx, base[1] + channel, sum);
        }
        if (j.add) {
            reals<W> more = load<W>(j.add, j.add_type,
                                    base[2] + z * j.stride[2][0] + y * j.stride[2][1] +
                                        x * j.stride[2][2] + channel);
#pragma unroll
            for (int i = 0; i < W; i++)
                sum.v[i] += more.v[i];
        }
        activate(sum, j.activation);
        store<W>(j.out, j.out_type,
                 base[0] + z * j.stride[0][0] + y * j.stride[0][1] + x * j.stride[0][2] + channel,
                 sum);
    }
}

// ---- Launches ------------------------------------------------------------------------------

template <int W> int launch_width(void *stream, const resize_job &j, dim3 blocks, bool wide)
{
    return wide ? launch(stream, blocks, THREADS, resize_kernel<W, true>, j)
                : launch(stream, blocks, THREADS, resize_kernel<W, false>, j);
}

// Axes in the order that width_of wants them, channels last.
int choose_width(const cs_cuda_resize &r)
{
    const cs_cuda_tensor *const tensors[3] = {&r.out, &r.in, r.add.data ? &r.add : &r.out};
    const int order[5] = {0, 2, 3, 4, 1};
    loop<3> l = {};
    l.rank = 5;
    for (int d = 0; d < 5; d++) {
        l.dim[d] = r.out.dim[order[d]];
        for (int t = 0; t < 3; t++)
            l.stride[t][d] = tensors[t]->stride[order[d]];
    }
    for (int t = 0; t < 3; t++)
        if (l.stride[t][4] != 1)
            return 0; // not channels last
    return width_of(l, tensors);
}

void set_resize(resize_job &j, const cs_cuda_resize &r)
{
    const cs_cuda_tensor *const tensors[3] = {&r.out, &r.in, &r.add};
    j.in = r.in.data;
    j.out = r.out.data;
    j.add = r.add.data;
    j.in_type = r.in.type;
    j.out_type = r.out.type;
    j.add_type = r.add.type;
    j.mode = r.mode;
    j.coord = r.coord;
    j.nearest = r.nearest;
    j.antialias = r.antialias;
    j.exclude_outside = r.exclude_outside;
    j.cubic = r.cubic;
    j.extrapolation = static_cast<float>(r.extrapolation);
    j.activation = r.activation;
    for (int a = 0; a < SPACE; a++) {
        j.size[a] = static_cast<int32_t>(r.in.dim[2 + a]);
        j.out_size[a] = static_cast<int32_t>(r.out.dim[2 + a]);
        j.scale[a] = r.scale[a];
        j.length[a] = r.length[a];
        j.region[a][0] = r.region[a][0];
        j.region[a][1] = r.region[a][1];
        for (int t = 0; t < 3; t++)
            j.stride[t][a] = tensors[t]->stride[2 + a];
    }
}

} // namespace

int cs_cuda_resize_launch(void *stream, const struct cs_cuda_resize *resize)
{
    const cs_cuda_resize &r = *resize;
    const cs_cuda_tensor *const tensors[3] = {&r.out, &r.in, &r.add};
    resize_job j = {};
    loop<3> planes = {};
    int64_t elements = 1;
    int width = choose_width(r);
    for (int d = 0; d < 5; d++)
        elements *= r.out.dim[d];
    if (elements == 0)
        return 0;
    planes.rank = width ? 1 : 2;
    planes.count = r.out.dim[0] * (width ? 1 : r.out.dim[1]);
    for (int d = 0; d < planes.rank; d++) {
        planes.dim[d] = r.out.dim[d];
        for (int t = 0; t < 3; t++)
            planes.stride[t][d] = tensors[t]->stride[d];
    }
    set_resize(j, r);
    int64_t vectors = width ? r.out.dim[1] / width : 1, columns = 8;
    while (columns < MOST_COLUMNS && columns * ROWS * vectors < ITEMS && columns < r.out.dim[4])
        columns *= 2;
    int64_t tiles_x = blocks_for(r.out.dim[4], columns), tiles_y = blocks_for(r.out.dim[3], ROWS);
    j.planes = steps_of(planes, 1);
    j.depth = divisor_of(r.out.dim[2]);
    j.tiles_x = divisor_of(tiles_x);
    j.tiles_y = divisor_of(tiles_y);
    j.vectors = divisor_of(vectors);
    j.columns = divisor_of(columns);
    int64_t tiles = tiles_x * tiles_y * r.out.dim[2] * planes.count;
    if (tiles > CS_CUDA_MAX_ITEMS)
        return static_cast<int>(cudaErrorInvalidValue);
    dim3 blocks(static_cast<unsigned>(tiles));
    bool wide = r.antialias && r.mode != CS_CUDA_NEAREST;
    return width == 8   ? launch_width<8>(stream, j, blocks, wide)
           : width == 4 ? launch_width<4>(stream, j, blocks, wide)
                        : launch_width<1>(stream, j, blocks, wide);
}
