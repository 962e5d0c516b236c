// SPDX-License-Identifier: MIT
// Pixels to the network's input, and its outputs to maps: what backend/job_prepare.c and
// job_finish.c do on the CPU, a thread a pixel. Samples under a filter are read anew by every pixel
// that needs them, from caches; no image is kept between two passes.
//
// Pillow's filter is worked out in double without fused operations (the Makefile sees to it), since
// its results are exact.
#include "backend/cuda/device.cuh"

using namespace cs;

namespace {

constexpr int THREADS = 256;
constexpr int WEIGHT_BITS = 22; // of Pillow

// ---- Samples -------------------------------------------------------------------------------

__device__ __forceinline__ float half_sample(uint16_t bits)
{
    __half h;
    memcpy(&h, &bits, sizeof h);
    return __half2float(h);
}

// Samples wider than 16 bits are normalised in double, so that a large offset costs no contrast.
__device__ double wide_sample(const void *p, int dtype, int64_t at)
{
    switch (dtype) {
    case CS_U32:
        return static_cast<const uint32_t *>(p)[at];
    case CS_U64:
        return static_cast<double>(static_cast<const uint64_t *>(p)[at]);
    case CS_I32:
        return static_cast<const int32_t *>(p)[at];
    case CS_I64:
        return static_cast<double>(static_cast<const int64_t *>(p)[at]);
    case CS_F32:
        return static_cast<const float *>(p)[at];
    default:
        return static_cast<const double *>(p)[at];
    }
}

__device__ float narrow_sample(const void *p, int dtype, int64_t at)
{
    switch (dtype) {
    case CS_U8:
        return static_cast<const uint8_t *>(p)[at];
    case CS_U16:
        return static_cast<const uint16_t *>(p)[at];
    case CS_I8:
        return static_cast<const int8_t *>(p)[at];
    case CS_I16:
        return static_cast<const int16_t *>(p)[at];
    default:
        return half_sample(static_cast<const uint16_t *>(p)[at]);
    }
}

__device__ __forceinline__ bool is_narrow(int dtype)
{
    return dtype == CS_U8 || dtype == CS_U16 || dtype == CS_I8 || dtype == CS_I16 ||
           dtype == CS_F16;
}

// Where the pixel of the image lies in what was sent up.
__device__ __forceinline__ int64_t pixel_at(const cs_cuda_job &j, int64_t x, int64_t y)
{
    return ((y - j.window.y) * j.window.width + x - j.window.x) * j.job.channels;
}

template <typename Real, Real (*SAMPLE)(const void *, int, int64_t)>
__device__ __forceinline__ float normalised(const cs_job &job, int64_t pixel, int c)
{
    int from = job.from[c];
    Real value = 0;
    if (from >= 0) {
        value = SAMPLE(job.pixels, job.dtype, pixel + from);
    } else {
        for (int i = 0; i < job.channels; i++)
            value += SAMPLE(job.pixels, job.dtype, pixel + i);
        value /= static_cast<Real>(job.channels);
    }
    return static_cast<float>(value * static_cast<Real>(job.scale[c]) +
                              static_cast<Real>(job.shift[c]));
}

__device__ float network_value(const cs_job &job, int64_t pixel, int c)
{
    return is_narrow(job.dtype) ? normalised<float, narrow_sample>(job, pixel, c)
                                : normalised<double, wide_sample>(job, pixel, c);
}

__device__ __forceinline__ float clamp(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value; // NaN stays
}

// ---- Places --------------------------------------------------------------------------------

// Index into 0..size-1 of an unbounded mirror that does not repeat the edge.
__device__ int64_t reflect(int64_t i, int64_t size)
{
    if (size == 1)
        return 0;
    int64_t period = 2 * (size - 1);
    i %= period;
    if (i < 0)
        i += period;
    return i < size ? i : period - i;
}

// The image pixels under an output pixel: a triangle round its centre.
struct taps {
    int64_t first, last;
    double centre, radius, total;
};

__device__ __forceinline__ double triangle(const taps &t, int64_t k)
{
    double w = 1 - fabs(static_cast<double>(k) + 0.5 - t.centre) / t.radius;
    return w > 0 ? w : 0;
}

__device__ taps taps_at(int64_t i, int64_t size, int64_t image_size)
{
    double shrink = static_cast<double>(image_size) / static_cast<double>(size);
    taps t = {};
    t.centre = (static_cast<double>(i) + 0.5) * shrink;
    t.radius = shrink > 1 ? shrink : 1;
    t.first = static_cast<int64_t>(floor(t.centre - t.radius + 0.5));
    t.last = static_cast<int64_t>(ceil(t.centre + t.radius - 0.5)) + 1;
    t.first = t.first < 0 ? 0 : t.first;
    t.last = t.last > image_size ? image_size : t.last;
    for (int64_t k = t.first; k < t.last; k++)
        t.total += triangle(t, k);
    return t;
}

// ---- Pillow --------------------------------------------------------------------------------

__device__ __forceinline__ double pillow_triangle(const taps &t, int64_t k)
{
    double at = fabs((static_cast<double>(k) - t.centre + 0.5) * t.radius);
    return at < 1 ? 1 - at : 0;
}

__device__ __forceinline__ uint32_t pillow_weight(const taps &t, int64_t k)
{
    return static_cast<uint32_t>(0.5 + pillow_triangle(t, k) / t.total * (1 << WEIGHT_BITS));
}

// `radius` holds its reciprocal here.
__device__ taps pillow_taps(int64_t i, int64_t size, int64_t image_size)
{
    double scale = static_cast<double>(image_size) / static_cast<double>(size);
    double radius = scale > 1 ? scale : 1;
    taps t = {};
    t.centre = (static_cast<double>(i) + 0.5) * scale;
    t.radius = 1 / radius;
    t.last = static_cast<int64_t>(t.centre + radius + 0.5);
    t.first = t.centre - radius + 0.5 > 0 ? static_cast<int64_t>(t.centre - radius + 0.5) : 0;
    t.last = t.last < image_size ? t.last : image_size;
    for (int64_t k = t.first; k < t.last; k++)
        t.total += pillow_triangle(t, k);
    return t;
}

__device__ __forceinline__ uint32_t round_sum(uint32_t sum)
{
    uint32_t value = (sum + (1U << (WEIGHT_BITS - 1))) >> WEIGHT_BITS;
    return value < 255 ? value : 255;
}

// As Image.convert('RGB') makes it: one channel is clipped, of colour the upper byte is kept.
__device__ uint32_t pillow_sample(const cs_job &job, int64_t at)
{
    if (job.dtype == CS_U8)
        return static_cast<const uint8_t *>(job.pixels)[at];
    if (job.dtype == CS_U16) {
        uint32_t sample = static_cast<const uint16_t *>(job.pixels)[at];
        return job.channels > 1 ? sample >> 8 : sample < 255 ? sample : 255;
    }
    float sample = static_cast<const float *>(job.pixels)[at];
    return sample > 0 ? (sample < 255 ? static_cast<uint32_t>(sample) : 255) : 0;
}

__device__ void pillow_pixel(const cs_cuda_job &j, int64_t x, int64_t y, int width, int height,
                             int channels, float *out)
{
    const cs_job &job = j.job;
    taps columns = pillow_taps(x, width, job.width), rows = pillow_taps(y, height, job.height);
    uint32_t sum[CS_JOB_MAX_CHANNELS] = {};
    for (int64_t r = rows.first; r < rows.last; r++) {
        uint32_t line[CS_JOB_MAX_CHANNELS] = {}, weight = pillow_weight(rows, r);
        for (int64_t k = columns.first; k < columns.last; k++) {
            uint32_t share = pillow_weight(columns, k);
            for (int c = 0; c < channels; c++)
                line[c] += pillow_sample(job, pixel_at(j, k, r) + job.from[c]) * share;
        }
        for (int c = 0; c < channels; c++)
            sum[c] += weight * round_sum(line[c]);
    }
    for (int c = 0; c < channels; c++)
        out[c] = (static_cast<float>(round_sum(sum[c])) / 255.0F - job.shift[c]) / job.scale[c];
}

// ---- Preparing -----------------------------------------------------------------------------

__device__ void copied_pixel(const cs_cuda_job &j, int64_t x, int64_t y, int channels, float *out)
{
    int64_t pixel = pixel_at(j, reflect(x, j.job.width), reflect(y, j.job.height));
    for (int c = 0; c < channels; c++)
        out[c] = clamp(network_value(j.job, pixel, c), j.job.low, j.job.high);
}

// The plane that the whole image is stretched to, and where the network's lies on it.
__device__ cs_job_area scaled_plane(const cs_job &job, int width, int height)
{
    cs_job_area on = {};
    bool cut = job.scaled_width != 0;
    on.x = cut ? static_cast<uint32_t>(job.x0) : 0;
    on.y = cut ? static_cast<uint32_t>(job.y0) : 0;
    on.width = cut ? job.scaled_width : static_cast<uint32_t>(width);
    on.height = cut ? job.scaled_height : static_cast<uint32_t>(height);
    return on;
}

__device__ void scaled_pixel(const cs_cuda_job &j, const cs_job_area &on, int64_t x, int64_t y,
                             int channels, float *out)
{
    const cs_job &job = j.job;
    taps columns = taps_at(x, on.width, job.width), rows = taps_at(y, on.height, job.height);
    for (int c = 0; c < channels; c++)
        out[c] = 0;
    for (int64_t r = rows.first; r < rows.last; r++) {
        float weight = static_cast<float>(triangle(rows, r) / rows.total);
        for (int64_t k = columns.first; k < columns.last; k++) {
            float share = weight * static_cast<float>(triangle(columns, k) / columns.total);
            if (share > 0) // an infinity beside the filter must not become NaN
                for (int c = 0; c < channels; c++)
                    out[c] += share * network_value(job, pixel_at(j, k, r), c);
        }
    }
    for (int c = 0; c < channels; c++)
        out[c] = clamp(out[c], job.low, job.high);
}

struct input_plane {
    void *data;
    int type, width, height, channels, lanes; // lanes: channels with those that are 0
    int64_t stride_n, stride_c, stride_y, stride_x;
};

__global__ void prepare_kernel(const cs_cuda_job *jobs, input_plane p)
{
    int64_t index = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (index >= static_cast<int64_t>(p.width) * p.height)
        return;
    const cs_cuda_job &j = jobs[blockIdx.y];
    int64_t x = index % p.width, y = index / p.width;
    float value[CS_JOB_MAX_CHANNELS] = {};
    cs_job_area on = scaled_plane(j.job, p.width, p.height);
    bool same = j.job.width == on.width && j.job.height == on.height;
    if (j.job.width == 0)
        ; // missing: zeros
    else if (j.job.placement == CS_PLACE_PILLOW)
        pillow_pixel(j, x, y, p.width, p.height, p.channels, value);
    else if (j.job.placement == CS_PLACE_COPY)
        copied_pixel(j, x + j.job.x0, y + j.job.y0, p.channels, value);
    else if (same)
        copied_pixel(j, x + on.x, y + on.y, p.channels, value);
    else
        scaled_pixel(j, on, x + on.x, y + on.y, p.channels, value);
    int64_t at = blockIdx.y * p.stride_n + y * p.stride_y + x * p.stride_x;
    for (int c = 0; c < p.lanes; c++)
        store_real(p.data, p.type, at + c * p.stride_c, c < p.channels ? value[c] : 0);
}

// ---- Finishing -----------------------------------------------------------------------------

struct output_plane {
    const void *data; // NULL: no planes
    int type, width, height, channels;
    int64_t stride_n, stride_c, stride_y, stride_x;
};
struct output_planes {
    output_plane of[CS_JOB_MAX_OUTPUTS];
};

__device__ __forceinline__ float plane_value(const output_plane &p, int64_t pixel, int c)
{
    return load_real(p.data, p.type, pixel + c * p.stride_c);
}

__device__ __forceinline__ bool is_finite(float x)
{
    return fabsf(x) <= 3.402823466e38F;
}

// Whether the pixel of the plane counts for the job.
__device__ bool is_seen(const cs_cuda_job &j, int64_t x, int64_t y)
{
    int64_t bx = x - j.behind.x, by = y - j.behind.y;
    return bx >= 0 && by >= 0 && bx < j.behind.width && by < j.behind.height;
}

// Values of one output that are not finite, and whether some can be no probability.
__global__ void inspect_kernel(cs_cuda_job *jobs, output_plane p, int output)
{
    int64_t index = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    cs_cuda_job &j = jobs[blockIdx.y];
    const cs_job &job = j.job;
    unsigned found = 0, beyond = 0;
    if (job.width != 0 && index < static_cast<int64_t>(p.width) * p.height) {
        int64_t x = index % p.width, y = index / p.width;
        int64_t pixel = blockIdx.y * p.stride_n + y * p.stride_y + x * p.stride_x;
        bool logits = false, seen = is_seen(j, x, y);
        for (int c = 0; c < job.out_channels; c++) {
            const cs_map_source &from = job.out_from[c];
            if (from.output != output)
                continue;
            logits = logits || from.activation == CS_ACT_LOGITS;
            found += seen && !is_finite(plane_value(p, pixel, from.channel));
        }
        for (int c = 0; logits && c < p.channels; c++) {
            float value = plane_value(p, pixel, c);
            beyond |= value < 0 || value > 1;
        }
    }
    for (int lane = WARP / 2; lane > 0; lane /= 2) {
        found += __shfl_xor_sync(ALL, found, lane);
        beyond |= __shfl_xor_sync(ALL, beyond, lane);
    }
    if (threadIdx.x % WARP != 0)
        return;
    if (found)
        atomicAdd(reinterpret_cast<unsigned long long *>(&j.job.nonfinite),
                  static_cast<unsigned long long>(found));
    if (beyond)
        atomicOr(&j.beyond[output], 1);
}

__device__ float softmax(const output_plane &p, int64_t pixel, int channel)
{
    float largest = plane_value(p, pixel, 0), sum = 0;
    for (int c = 1; c < p.channels; c++)
        largest = fmaxf(largest, plane_value(p, pixel, c));
    for (int c = 0; c < p.channels; c++)
        sum += expf(plane_value(p, pixel, c) - largest);
    return expf(plane_value(p, pixel, channel) - largest) / sum;
}

__device__ float activated(const cs_cuda_job &j, const output_planes &planes,
                           const cs_map_source &from, int64_t image, int64_t x, int64_t y)
{
    const output_plane &p = planes.of[from.output];
    x -= j.job.skip_x;
    y -= j.job.skip_y;
    int64_t pixel = image * p.stride_n + y * p.stride_y + x * p.stride_x;
    if (from.activation == CS_ACT_SOFTMAX)
        return softmax(p, pixel, from.channel);
    float value = plane_value(p, pixel, from.channel);
    bool sigmoid = from.activation == CS_ACT_SIGMOID ||
                   (from.activation == CS_ACT_LOGITS && j.beyond[from.output]);
    return sigmoid ? 1 / (1 + expf(-value)) : value;
}

// Linear interpolation at output pixel i: low + part * (high - low).
struct blend {
    int64_t low, high;
    float part;
};

__device__ blend blend_at(int64_t i, int64_t net_size, int64_t size)
{
    double ratio = static_cast<double>(net_size) / static_cast<double>(size);
    double at = (static_cast<double>(i) + 0.5) * ratio - 0.5;
    double last = static_cast<double>(net_size - 1);
    at = at < 0 ? 0 : at > last ? last : at;
    blend b = {};
    b.low = static_cast<int64_t>(at);
    b.high = b.low + 1 < net_size ? b.low + 1 : b.low;
    b.part = static_cast<float>(at - static_cast<double>(b.low));
    return b;
}

__device__ float blended(const cs_cuda_job &j, const output_planes &planes,
                         const cs_map_source &from, int64_t image, int64_t x, int64_t y)
{
    const output_plane &p = planes.of[from.output];
    cs_job_area on = scaled_plane(j.job, p.width, p.height);
    blend columns = blend_at(x, on.width, j.job.out_width);
    blend rows = blend_at(y, on.height, j.job.out_height);
    float side[2];
    for (int s = 0; s < 2; s++) {
        int64_t column = (s ? columns.high : columns.low) - on.x;
        float low = activated(j, planes, from, image, column, rows.low - on.y);
        float high = activated(j, planes, from, image, column, rows.high - on.y);
        side[s] = low + rows.part * (high - low);
    }
    return side[0] + columns.part * (side[1] - side[0]);
}

// The nearest step, halves to even; NaN becomes 0.
__device__ __forceinline__ float quantised(float value, float steps)
{
    return value > 0 ? rintf((value < 1 ? value : 1) * steps) : 0;
}

__global__ void finish_kernel(const cs_cuda_job *jobs, output_planes planes)
{
    const cs_cuda_job &j = jobs[blockIdx.y];
    const cs_job &job = j.job;
    int64_t index = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
    if (index >= static_cast<int64_t>(job.part_width) * job.part_height)
        return;
    int64_t x = job.part_x + index % job.part_width, y = job.part_y + index / job.part_width;
    for (int c = 0; c < job.out_channels; c++) {
        const cs_map_source &from = job.out_from[c];
        float value = job.placement == CS_PLACE_COPY
                          ? activated(j, planes, from, blockIdx.y, x - job.x0, y - job.y0)
                          : blended(j, planes, from, blockIdx.y, x, y);
        int64_t at = index * job.out_channels + c;
        if (job.out_dtype == CS_U8)
            static_cast<uint8_t *>(job.out)[at] = static_cast<uint8_t>(quantised(value, 255));
        else if (job.out_dtype == CS_U16)
            static_cast<uint16_t *>(job.out)[at] = static_cast<uint16_t>(quantised(value, 65535));
        else
            static_cast<float *>(job.out)[at] = value;
    }
}

output_plane plane_of(const cs_cuda_tensor &t)
{
    output_plane p = {};
    if (t.rank != 4 || (t.type != CS_CUDA_F32 && t.type != CS_CUDA_F16))
        return p;
    p.data = t.data;
    p.type = t.type;
    p.channels = static_cast<int>(t.dim[1]);
    p.height = static_cast<int>(t.dim[2]);
    p.width = static_cast<int>(t.dim[3]);
    p.stride_n = t.stride[0];
    p.stride_c = t.stride[1];
    p.stride_y = t.stride[2];
    p.stride_x = t.stride[3];
    return p;
}

dim3 grid_of(int64_t pixels, int batch)
{
    return dim3(static_cast<unsigned>(blocks_for(pixels, THREADS)), static_cast<unsigned>(batch));
}

} // namespace

int cs_cuda_prepare(void *stream, const struct cs_cuda_job *jobs,
                    const struct cs_cuda_tensor *input)
{
    input_plane p = {};
    p.data = input->data;
    p.type = input->type;
    p.channels = static_cast<int>(input->dim[1]);
    p.height = static_cast<int>(input->dim[2]);
    p.width = static_cast<int>(input->dim[3]);
    p.stride_n = input->stride[0];
    p.stride_c = input->stride[1];
    p.stride_y = input->stride[2];
    p.stride_x = input->stride[3];
    p.lanes = p.stride_c == 1 ? static_cast<int>(p.stride_x) : p.channels;
    return launch(stream, grid_of(input->dim[2] * input->dim[3], static_cast<int>(input->dim[0])),
                  THREADS, prepare_kernel, jobs, p);
}

int cs_cuda_finish(void *stream, struct cs_cuda_job *jobs, const struct cs_cuda_job *staged,
                   int batch, const struct cs_cuda_tensor *planes, int count)
{
    output_planes all = {};
    int64_t most = 0;
    int failed = 0;
    for (int i = 0; i < count; i++) {
        all.of[i] = plane_of(planes[i]);
        const output_plane &p = all.of[i];
        int64_t pixels = p.data ? static_cast<int64_t>(p.width) * p.height : 0;
        if (pixels && !failed)
            failed = launch(stream, grid_of(pixels, batch), THREADS, inspect_kernel, jobs, p, i);
    }
    for (int i = 0; i < batch; i++) {
        int64_t pixels = static_cast<int64_t>(staged[i].job.part_width) * staged[i].job.part_height;
        most = pixels > most ? pixels : most;
    }
    if (failed || most == 0)
        return failed;
    return launch(stream, grid_of(most, batch), THREADS, finish_kernel, jobs, all);
}
