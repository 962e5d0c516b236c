// SPDX-License-Identifier: MIT
// Element by element: functions of one operand, arithmetic of two with broadcasting, choice,
// conversion; and so every movement that is a loop over strides (transposition, slices, joining,
// repetition). A thread makes 8, 4 or 1 neighbours along the innermost axis of the output.
//
// A transposition, whose operand is dense along another axis than its output, goes through tiles
// in shared memory, so that both sides are touched a line at a time.
#include "backend/cuda/axes.cuh"

using namespace cs;

namespace {

constexpr int THREADS = 256;

// ---- Floats --------------------------------------------------------------------------------

struct operand {
    const void *data;
    int type, step; // along the innermost axis
};

struct job {
    steps<4> over; // output, operands
    operand in[3];
    void *out;
    int out_type, operation;
    float share;
    cs_cuda_activation activation;
};

__device__ __forceinline__ bool is_real(int type)
{
    return type == CS_CUDA_F32 || type == CS_CUDA_F16;
}

__device__ float number(const void *p, int type, int64_t at)
{
    switch (type) {
    case CS_CUDA_I64:
        return static_cast<float>(static_cast<const int64_t *>(p)[at]);
    case CS_CUDA_I32:
        return static_cast<float>(static_cast<const int32_t *>(p)[at]);
    case CS_CUDA_BOOL:
        return static_cast<const uint8_t *>(p)[at] != 0 ? 1.0F : 0.0F;
    default:
        return load_real(p, type, at);
    }
}

// Integers that a float is cut to: towards 0, the nearest that there is, of NaN 0.
__device__ int64_t cut(float x)
{
    if (isnan(x))
        return 0;
    return x >= 9223372036854775808.0F   ? INT64_MAX
           : x < -9223372036854775808.0F ? INT64_MIN
                                         : (int64_t)x;
}

__device__ void put_integer(void *p, int type, int64_t at, int64_t value)
{
    switch (type) {
    case CS_CUDA_I64:
        static_cast<int64_t *>(p)[at] = value;
        break;
    case CS_CUDA_I32:
        static_cast<int32_t *>(p)[at] = static_cast<int32_t>(value);
        break;
    case CS_CUDA_BOOL:
        static_cast<uint8_t *>(p)[at] = value != 0;
        break;
    default:
        store_real(p, type, at, static_cast<float>(value));
    }
}

__device__ void put_number(void *p, int type, int64_t at, float value)
{
    if (is_real(type))
        store_real(p, type, at, value);
    else if (type == CS_CUDA_BOOL)
        put_integer(p, type, at, value != 0);
    else
        put_integer(p, type, at, cut(value));
}

template <int W> __device__ __forceinline__ reals<W> fetch(const operand &o, int64_t at)
{
    reals<W> r;
    if (is_real(o.type) && (W == 1 || o.step != 0))
        return load<W>(o.data, o.type, at);
    float same = number(o.data, o.type, at);
#pragma unroll
    for (int i = 0; i < W; i++)
        r.v[i] = same;
    return r;
}

__device__ float modulo(float a, float b)
{
    float rest = fmodf(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

__device__ float operate(int operation, float a, float b, float c)
{
    switch (operation) {
    case CS_EL_ADD:
        return a + b;
    case CS_EL_SUB:
        return a - b;
    case CS_EL_MUL:
        return a * b;
    case CS_EL_DIV:
        return a / b;
    case CS_EL_POW:
        return powf(a, b);
    case CS_EL_MOD:
        return modulo(a, b);
    case CS_EL_FMOD:
        return fmodf(a, b);
    case CS_EL_SLOPE:
        return a < 0 ? a * b : a;
    case CS_EL_MAX:
        return a > b || isnan(a) ? a : b;
    case CS_EL_MIN:
        return a < b || isnan(a) ? a : b;
    case CS_EL_EQUAL:
        return a == b;
    case CS_EL_GREATER:
        return a > b;
    case CS_EL_LESS:
        return a < b;
    case CS_EL_GREATER_EQUAL:
        return a >= b;
    case CS_EL_LESS_EQUAL:
        return a <= b;
    case CS_EL_WHERE:
        return a != 0 ? b : c;
    case CS_EL_AFFINE:
        return a * b + c;
    case CS_EL_CLIP:
        return isnan(a) ? a : fminf(fmaxf(a, b), c);
    default:
        return a;
    }
}

// N: operands.
template <int W, int N>
__global__ void __launch_bounds__(THREADS) element_kernel(const __grid_constant__ job j)
{
    uint32_t index = blockIdx.x * THREADS + threadIdx.x;
    if (index >= j.over.count)
        return;
    int64_t at[4];
    offsets(j.over, index, at);
    reals<W> in[N];
#pragma unroll
    for (int k = 0; k < N; k++)
        in[k] = fetch<W>(j.in[k], at[1 + k]);
    reals<W> r = in[0];
    if (N > 1) {
#pragma unroll
        for (int i = 0; i < W; i++)
            r.v[i] = operate(j.operation, in[0].v[i], in[N > 1].v[i], in[N > 2 ? 2 : 0].v[i]);
    }
    if (j.share != 1) {
#pragma unroll
        for (int i = 0; i < W; i++)
            r.v[i] *= j.share;
    }
    activate(r, j.activation);
    if (W > 1 || is_real(j.out_type))
        store<W>(j.out, j.out_type, at[0], r);
    else
        put_number(j.out, j.out_type, at[0], r.v[0]);
}

// ---- Integers ------------------------------------------------------------------------------

__device__ int64_t integer(const void *p, int type, int64_t at)
{
    switch (type) {
    case CS_CUDA_I64:
        return static_cast<const int64_t *>(p)[at];
    case CS_CUDA_I32:
        return static_cast<const int32_t *>(p)[at];
    case CS_CUDA_BOOL:
        return static_cast<const uint8_t *>(p)[at] != 0;
    default:
        return cut(load_real(p, type, at));
    }
}

__device__ int64_t power(int64_t a, int64_t b)
{
    if (b < 0)
        return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
    uint64_t result = 1, square = static_cast<uint64_t>(a);
    for (; b; b >>= 1, square *= square)
        result *= b & 1 ? square : 1;
    return static_cast<int64_t>(result);
}

__device__ int64_t wrap(uint64_t value)
{
    return static_cast<int64_t>(value);
}

// The quotient or, with `rest`, the remainder; 0 for a divisor of 0.
__device__ int64_t quotient(int64_t a, int64_t b, bool rest, uint32_t *fault)
{
    if (b == 0) {
        set_fault(fault);
        return 0;
    }
    if (b == -1) // the least integer has no positive counterpart
        return rest ? 0 : wrap(0 - static_cast<uint64_t>(a));
    return rest ? a % b : a / b;
}

__device__ int64_t operate_integers(int operation, int64_t a, int64_t b, int64_t c, uint32_t *fault)
{
    uint64_t x = static_cast<uint64_t>(a), y = static_cast<uint64_t>(b);
    switch (operation) {
    case CS_EL_ADD:
        return wrap(x + y);
    case CS_EL_SUB:
        return wrap(x - y);
    case CS_EL_MUL:
        return wrap(x * y);
    case CS_EL_DIV:
        return quotient(a, b, false, fault);
    case CS_EL_POW:
        return power(a, b);
    case CS_EL_MOD: {
        int64_t rest = quotient(a, b, true, fault);
        return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
    }
    case CS_EL_FMOD:
        return quotient(a, b, true, fault);
    case CS_EL_MAX:
        return a > b ? a : b;
    case CS_EL_MIN:
        return a < b ? a : b;
    case CS_EL_EQUAL:
        return a == b;
    case CS_EL_GREATER:
        return a > b;
    case CS_EL_LESS:
        return a < b;
    case CS_EL_GREATER_EQUAL:
        return a >= b;
    case CS_EL_LESS_EQUAL:
        return a <= b;
    case CS_EL_AND:
        return a != 0 && b != 0;
    case CS_EL_OR:
        return a != 0 || b != 0;
    case CS_EL_XOR:
        return (a != 0) != (b != 0);
    case CS_EL_WHERE:
        return a != 0 ? b : c;
    case CS_EL_CLIP:
        a = a > b ? a : b;
        return a < c ? a : c;
    default:
        return a;
    }
}

__device__ int64_t apply_integer(int function, int64_t x)
{
    switch (function) {
    case CS_FN_RELU:
        return x > 0 ? x : 0;
    case CS_FN_ABS:
        return x < 0 ? wrap(0 - static_cast<uint64_t>(x)) : x;
    case CS_FN_NEG:
        return wrap(0 - static_cast<uint64_t>(x));
    case CS_FN_SIGN:
        return (x > 0) - (x < 0);
    case CS_FN_NOT:
        return x == 0;
    default:
        return x;
    }
}

__global__ void __launch_bounds__(THREADS)
    integer_kernel(const __grid_constant__ job j, int operands, uint32_t *fault)
{
    uint32_t index = blockIdx.x * THREADS + threadIdx.x;
    if (index >= j.over.count)
        return;
    int64_t at[4], in[3] = {0, 0, 0};
    offsets(j.over, index, at);
#pragma unroll
    for (int k = 0; k < 3; k++)
        if (k < operands)
            in[k] = integer(j.in[k].data, j.in[k].type, at[1 + k]);
    int64_t result = operate_integers(j.operation, in[0], in[1], in[2], fault);
    put_integer(j.out, j.out_type, at[0], apply_integer(j.activation.function, result));
}

// ---- Tiles ---------------------------------------------------------------------------------

constexpr int TILE = 32, TILE_ROWS = 8;

// Axis `from_inner` is dense in the operand, axis `to_inner` in the output; the others are in
// `rest`. Tiles along both are the block's x.
struct turn {
    const void *from;
    void *to;
    steps<2> rest;
    uint32_t from_size, to_size, tiles_from;
    int64_t from_stride, to_stride; // of the axis that is not dense: `to_inner` in `from`, ...
};

template <typename T>
__global__ void __launch_bounds__(TILE *TILE_ROWS) turn_kernel(const __grid_constant__ turn t)
{
    __shared__ T tile[TILE][TILE + 1];
    int64_t at[2];
    offsets(t.rest, blockIdx.y, at);
    uint32_t tile_to = blockIdx.x / t.tiles_from, tile_from = blockIdx.x - tile_to * t.tiles_from;
    uint32_t lane = threadIdx.x % TILE, row = threadIdx.x / TILE;
    const T *from = static_cast<const T *>(t.from) + at[1];
    T *to = static_cast<T *>(t.to) + at[0];
    for (uint32_t i = row; i < TILE; i += TILE_ROWS) {
        uint32_t x = tile_from * TILE + lane, y = tile_to * TILE + i;
        if (x < t.from_size && y < t.to_size)
            tile[i][lane] = from[y * t.from_stride + x];
    }
    __syncthreads();
    for (uint32_t i = row; i < TILE; i += TILE_ROWS) {
        uint32_t x = tile_from * TILE + i, y = tile_to * TILE + lane;
        if (x < t.from_size && y < t.to_size)
            to[x * t.to_stride + y] = tile[lane][i];
    }
}

// ---- Launches ------------------------------------------------------------------------------

int operands_of(cs_cuda_operation operation)
{
    switch (operation) {
    case CS_EL_FIRST:
        return 1;
    case CS_EL_WHERE:
    case CS_EL_AFFINE:
    case CS_EL_CLIP:
        return 3;
    default:
        return 2;
    }
}

bool real_type(cs_cuda_type type)
{
    return type == CS_CUDA_F32 || type == CS_CUDA_F16;
}

template <int W> int launch_reals(void *stream, const job &j, int operands)
{
    dim3 blocks(static_cast<unsigned>(blocks_for(j.over.count, THREADS)));
    return operands == 1   ? launch(stream, blocks, THREADS, element_kernel<W, 1>, j)
           : operands == 2 ? launch(stream, blocks, THREADS, element_kernel<W, 2>, j)
                           : launch(stream, blocks, THREADS, element_kernel<W, 3>, j);
}

// The axis along which tensor t is dense; -1.
int dense_axis(const loop<4> &l, int t)
{
    for (int d = 0; d < l.rank; d++)
        if (l.stride[t][d] == 1)
            return d;
    return -1;
}

// Whether the loop is a plain transposition that tiles are good for, and its launch.
bool turns(const cs_cuda_element *e, const loop<4> &l)
{
    int to = dense_axis(l, 0), from = dense_axis(l, 1);
    return e->operation == CS_EL_FIRST && e->activation.function == CS_FN_IDENTITY &&
           e->share == 1 && e->in[0].type == e->out.type && e->out.type != CS_CUDA_BOOL &&
           e->in[0].data != e->out.data && to >= 0 && from >= 0 && from != to && l.dim[to] >= 8 &&
           l.dim[from] >= 8 && l.count / l.dim[to] / l.dim[from] <= 65535;
}

template <typename T> int launch_turn(void *stream, const cs_cuda_element *e, const loop<4> &l)
{
    int to = dense_axis(l, 0), from = dense_axis(l, 1);
    loop<2> rest = {};
    for (int d = 0; d < l.rank; d++) {
        if (d == to || d == from)
            continue;
        rest.dim[rest.rank] = l.dim[d];
        rest.stride[0][rest.rank] = l.stride[0][d];
        rest.stride[1][rest.rank++] = l.stride[1][d];
    }
    rest.count = l.count / l.dim[to] / l.dim[from];
    turn t = {};
    t.from = e->in[0].data;
    t.to = e->out.data;
    t.rest = steps_of(rest, 1);
    t.from_size = static_cast<uint32_t>(l.dim[from]);
    t.to_size = static_cast<uint32_t>(l.dim[to]);
    t.tiles_from = static_cast<uint32_t>(blocks_for(l.dim[from], TILE));
    t.from_stride = l.stride[1][to];
    t.to_stride = l.stride[0][from];
    dim3 blocks(t.tiles_from * static_cast<unsigned>(blocks_for(l.dim[to], TILE)),
                static_cast<unsigned>(rest.count));
    return launch(stream, blocks, TILE * TILE_ROWS, turn_kernel<T>, t);
}

int launch_turn_of(void *stream, const cs_cuda_element *e, const loop<4> &l)
{
    switch (e->out.type) {
    case CS_CUDA_F16:
        return launch_turn<uint16_t>(stream, e, l);
    case CS_CUDA_I64:
        return launch_turn<uint64_t>(stream, e, l);
    default:
        return launch_turn<uint32_t>(stream, e, l);
    }
}

int launch_loop(void *stream, const cs_cuda_element *e, const loop<4> &given)
{
    loop<4> l = given;
    int operands = operands_of(e->operation);
    bool reals = false, vectors = real_type(e->out.type);
    simplify(l);
    if (l.count == 0)
        return 0;
    if (turns(e, l))
        return launch_turn_of(stream, e, l);
    job j = {};
    for (int k = 0; k < operands; k++) {
        bool moves = l.rank > 0 && l.stride[1 + k][l.rank - 1] != 0;
        j.in[k] = {e->in[k].data, e->in[k].type, moves};
        reals = reals || real_type(e->in[k].type);
        vectors = vectors && (real_type(e->in[k].type) || !moves);
    }
    const cs_cuda_tensor *const tensors[4] = {&e->out, &e->in[0], &e->in[operands > 1],
                                              &e->in[operands > 2 ? 2 : 0]};
    int width = vectors ? width_of(l, tensors) : 1;
    if (l.count / width > CS_CUDA_MAX_ITEMS)
        return static_cast<int>(cudaErrorInvalidValue);
    j.over = steps_of(l, width);
    j.out = e->out.data;
    j.out_type = e->out.type;
    j.operation = e->operation;
    j.share = e->share;
    j.activation = e->activation;
    if (!reals)
        return launch(stream, dim3(static_cast<unsigned>(blocks_for(j.over.count, THREADS))),
                      THREADS, integer_kernel, j, operands, e->fault);
    return width == 8   ? launch_reals<8>(stream, j, operands)
           : width == 4 ? launch_reals<4>(stream, j, operands)
                        : launch_reals<1>(stream, j, operands);
}

} // namespace

int cs_cuda_element_launch(void *stream, const struct cs_cuda_element *element)
{
    loop<4> l = {};
    l.rank = element->out.rank;
    int operands = operands_of(element->operation);
    for (int d = 0; d < l.rank; d++) {
        l.dim[d] = element->out.dim[d];
        l.stride[0][d] = element->out.stride[d];
    }
    for (int k = 0; k < 3; k++)
        broadcast_strides(element->in[k < operands ? k : 0], l.rank, l.stride[1 + k]);
    return launch_loop(stream, element, l);
}

int cs_cuda_copy(void *stream, const struct cs_cuda_tensor *src, const struct cs_cuda_tensor *dst)
{
    struct cs_cuda_element copy = {};
    copy.in[0] = *src;
    copy.out = *dst;
    copy.share = 1;
    return cs_cuda_element_launch(stream, &copy);
}
