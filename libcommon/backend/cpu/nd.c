// SPDX-License-Identifier: MIT
#include "backend/cpu/nd.h"

#include <omp.h>
#include <string.h>

enum {
    PIECE = 16384,         // elements of the innermost dimension done at once
    PARALLEL_FROM = 32768, // elements from which threads are worth waking
};

void cs_nd_dense(const struct cs_shape *shape, bool channels_last, int64_t stride[CS_MAX_RANK])
{
    int64_t next = 1;
    bool apart = channels_last && shape->rank >= 3;
    if (apart) {
        stride[1] = next;
        next *= shape->dim[1];
    }
    for (int d = shape->rank - 1; d >= 0; d--) {
        if (apart && d == 1)
            continue;
        stride[d] = next;
        next *= shape->dim[d];
    }
}

int64_t cs_nd_place(const struct cs_shape *shape, const int64_t *stride, int64_t index)
{
    int64_t at = 0;
    for (int d = shape->rank - 1; d >= 0; d--) {
        at += index % shape->dim[d] * stride[d];
        index /= shape->dim[d];
    }
    return at;
}

void cs_nd_init(struct cs_nd *nd, const struct cs_shape *shape)
{
    *nd = (struct cs_nd){.rank = shape->rank};
    memcpy(nd->dim, shape->dim, sizeof nd->dim);
}

void cs_nd_add(struct cs_nd *nd, const int64_t *stride)
{
    memcpy(nd->stride[nd->operands++], stride, (size_t)nd->rank * sizeof *stride);
}

void cs_nd_add_broadcast(struct cs_nd *nd, const struct cs_shape *shape, const int64_t *stride)
{
    int64_t *out = nd->stride[nd->operands++];
    int lead = nd->rank - shape->rank;
    for (int d = 0; d < nd->rank; d++)
        out[d] = d < lead || shape->dim[d - lead] == 1 ? 0 : stride[d - lead];
}

static void move_dimension(struct cs_nd *nd, int to, int from)
{
    nd->dim[to] = nd->dim[from];
    for (int k = 0; k < nd->operands; k++)
        nd->stride[k][to] = nd->stride[k][from];
}

static void swap_dimensions(struct cs_nd *nd, int a, int b)
{
    int64_t dim = nd->dim[a];
    nd->dim[a] = nd->dim[b];
    nd->dim[b] = dim;
    for (int k = 0; k < nd->operands; k++) {
        int64_t stride = nd->stride[k][a];
        nd->stride[k][a] = nd->stride[k][b];
        nd->stride[k][b] = stride;
    }
}

static bool mergeable(const struct cs_nd *nd, int outer, int inner)
{
    for (int k = 0; k < nd->operands; k++)
        if (nd->stride[k][outer] != nd->stride[k][inner] * nd->dim[inner])
            return false;
    return true;
}

void cs_nd_simplify(struct cs_nd *nd)
{
    int rank = 0;
    for (int d = 0; d < nd->rank; d++)
        if (nd->dim[d] != 1)
            move_dimension(nd, rank++, d);
    for (int d = 1; d < rank; d++) // insertion sort: outer strides first
        for (int e = d; e > 0 && nd->stride[0][e] > nd->stride[0][e - 1]; e--)
            swap_dimensions(nd, e, e - 1);
    nd->rank = 0;
    for (int d = 0; d < rank; d++) {
        move_dimension(nd, nd->rank, d);
        int last = nd->rank - 1;
        if (last >= 0 && mergeable(nd, last, nd->rank)) {
            int64_t outer = nd->dim[last];
            move_dimension(nd, last, nd->rank);
            nd->dim[last] *= outer;
        } else {
            nd->rank++;
        }
    }
    if (nd->rank == 0) {
        nd->rank = 1;
        nd->dim[0] = 1;
        for (int k = 0; k < nd->operands; k++)
            nd->stride[k][0] = 1;
    }
}

static float *element(float *base, int64_t index, size_t bytes)
{
    return (float *)(void *)((char *)(void *)base +
                             index * (int64_t)(bytes ? bytes : sizeof *base));
}

// Pieces first..last-1 of all; a piece is a range of the innermost dimension at one place of the
// others. The place is worked out once and then counted on.
static void run_pieces(const struct cs_nd *nd, float *const *base, cs_nd_fn *fn,
                       const void *context, int64_t first, int64_t last)
{
    int inner = nd->rank - 1;
    int64_t size = nd->dim[inner], pieces = (size + PIECE - 1) / PIECE;
    int64_t piece = first % pieces, rest = first / pieces, at[CS_MAX_RANK];
    int64_t stride[CS_ND_OPERANDS], row[CS_ND_OPERANDS] = {0};
    for (int d = inner - 1; d >= 0; d--) {
        at[d] = rest % nd->dim[d];
        rest /= nd->dim[d];
        for (int k = 0; k < nd->operands; k++)
            row[k] += at[d] * nd->stride[k][d];
    }
    for (int k = 0; k < nd->operands; k++)
        stride[k] = nd->stride[k][inner];
    for (int64_t i = first; i < last; i++) {
        float *ptr[CS_ND_OPERANDS];
        int64_t begin = piece * PIECE, count = size - begin < PIECE ? size - begin : PIECE;
        for (int k = 0; k < nd->operands; k++)
            ptr[k] = element(base[k], row[k] + begin * stride[k], nd->bytes[k]);
        fn(ptr, count, stride, context);
        if (++piece < pieces)
            continue;
        piece = 0;
        for (int d = inner - 1; d >= 0; d--) {
            bool carry = ++at[d] == nd->dim[d];
            for (int k = 0; k < nd->operands; k++)
                row[k] += carry ? nd->stride[k][d] * (1 - nd->dim[d]) : nd->stride[k][d];
            if (!carry)
                break;
            at[d] = 0;
        }
    }
}

void cs_nd_run(const struct cs_nd *nd, float *const *base, cs_nd_fn *fn, const void *context)
{
    int64_t inner = nd->dim[nd->rank - 1], outer = 1;
    for (int d = 0; d < nd->rank - 1; d++)
        outer *= nd->dim[d];
    int64_t total = outer * ((inner + PIECE - 1) / PIECE);
    if (total == 0)
        return;
#pragma omp parallel if (outer * inner >= PARALLEL_FROM)
    {
        int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
        int64_t first = total * thread / threads, last = total * (thread + 1) / threads;
        if (first < last)
            run_pieces(nd, base, fn, context, first, last);
    }
}

// ---- Copies ------------------------------------------------------------------------------

static void copy_run(float *const *ptr, int64_t count, const int64_t *stride, const void *context)
{
    (void)context;
    float *dst = ptr[0];
    const float *src = ptr[1];
    if (stride[0] == 1 && stride[1] == 1) {
        memcpy(dst, src, (size_t)count * sizeof *dst);
        return;
    }
    for (int64_t i = 0; i < count; i++)
        dst[i * stride[0]] = src[i * stride[1]];
}

// A square of a transposition: rows of dst are columns of src; four by four, so that every line is
// read and written in pieces.
static void turn_square(float *dst, int64_t dst_step, const float *src, int64_t src_step,
                        int64_t rows, int64_t columns)
{
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        int64_t c = 0;
        for (; c + 4 <= columns; c += 4) {
            float tile[4][4];
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++)
                    tile[j][i] = src[(c + i) * src_step + r + j];
            for (int j = 0; j < 4; j++)
                memcpy(dst + (r + j) * dst_step + c, tile[j], sizeof tile[j]);
        }
        for (; c < columns; c++)
            for (int j = 0; j < 4; j++)
                dst[(r + j) * dst_step + c] = src[c * src_step + r + j];
    }
    for (; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            dst[r * dst_step + c] = src[c * src_step + r];
}

enum { SQUARE = 32 }; // of a transposition: both sides' lines stay in the first cache

// The dimension along which the source is contiguous though the destination is not; -1: none.
static int turned_dimension(const struct cs_nd *nd)
{
    int inner = nd->rank - 1;
    if (nd->stride[0][inner] != 1 || nd->stride[1][inner] <= 1)
        return -1;
    for (int d = 0; d < inner; d++)
        if (nd->stride[1][d] == 1)
            return d;
    return -1;
}

// Squares of the two dimensions, at every place of the others.
static void copy_turned(const struct cs_nd *nd, float *const *base, int across)
{
    int inner = nd->rank - 1;
    int64_t rows = nd->dim[across], columns = nd->dim[inner], outer = 1;
    int64_t down = (rows + SQUARE - 1) / SQUARE, right = (columns + SQUARE - 1) / SQUARE;
    for (int d = 0; d < inner; d++)
        outer *= d == across ? 1 : nd->dim[d];
#pragma omp parallel for schedule(static) if (outer * rows * columns >= PARALLEL_FROM)
    for (int64_t i = 0; i < outer * down * right; i++) {
        int64_t x = i % right * SQUARE, y = i / right % down * SQUARE, rest = i / right / down;
        float *dst = base[0] + y * nd->stride[0][across] + x;
        const float *src = base[1] + y + x * nd->stride[1][inner];
        for (int d = inner - 1; d >= 0; d--) {
            if (d == across)
                continue;
            dst += rest % nd->dim[d] * nd->stride[0][d];
            src += rest % nd->dim[d] * nd->stride[1][d];
            rest /= nd->dim[d];
        }
        turn_square(dst, nd->stride[0][across], src, nd->stride[1][inner],
                    rows - y < SQUARE ? rows - y : SQUARE,
                    columns - x < SQUARE ? columns - x : SQUARE);
    }
}

void cs_nd_copy(const struct cs_nd *nd, float *const *base)
{
    int across = turned_dimension(nd);
    if (across >= 0)
        copy_turned(nd, base, across);
    else
        cs_nd_run(nd, base, copy_run, NULL);
}
