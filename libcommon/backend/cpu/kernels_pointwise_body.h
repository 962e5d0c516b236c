// SPDX-License-Identifier: MIT
// Tiles of 1x1 convolutions, part of kernels_body.h: rows of pixels times `vectors` registers of
// output channels, all sums in registers (Goto and van de Geijn 2008), then bias, addition,
// statistics and activation while they are there. An element is the same chain of multiply-adds
// wherever in a tile it lies and however many rows the tile has.

#if WIDTH == 16
enum { POINT_SUMS = 24, POINT_LEAST = 12, POINT_VECTORS = 4 }; // 32 registers
#else
enum { POINT_SUMS = 12, POINT_LEAST = 6, POINT_VECTORS = 3 };
#endif
#define POINT_ROWS(vectors)                                                                        \
    (POINT_SUMS / (vectors) < POINT_LEAST ? POINT_SUMS / (vectors) : POINT_LEAST)

// Of loops over sums: unrolled, they stay in registers.
#define EACH _Pragma("GCC unroll 32")

// To the sums of one register of channels: `total` of y, `spread` of (y - mean)^2, over `rows`.
ALWAYS_INLINE void point_add_sums(vec total, vec spread, int rows, double *sum, double *square)
{
    float y[WIDTH], off[WIDTH];
    double share = 1.0 / rows;
    STORE(y, total);
    STORE(off, spread);
    for (int h = 0; h < 2; h++) {
        wide_double s = __builtin_convertvector(*(const half_at *)(y + h * DOUBLES), wide_double);
        wide_double q = __builtin_convertvector(*(const half_at *)(off + h * DOUBLES), wide_double);
        wide_double old_sum, old_square;
        memcpy(&old_sum, sum + h * DOUBLES, sizeof old_sum);
        memcpy(&old_square, square + h * DOUBLES, sizeof old_square);
        old_sum += s;
        old_square += q + s * s * share;
        memcpy(sum + h * DOUBLES, &old_sum, sizeof old_sum);
        memcpy(square + h * DOUBLES, &old_square, sizeof old_square);
    }
}

// The sums of one register of channels, `step` registers apart.
ALWAYS_INLINE void point_gather(const vec *y, int rows, int step, double *sum, double *square)
{
    vec total = y[0], spread = {0};
    EACH for (int r = 1; r < rows; r++) total += y[r * step];
    vec mean = total * (1.0F / (float)rows);
    EACH for (int r = 0; r < rows; r++)
    {
        vec off = y[r * step] - mean;
        spread = MULTIPLY_ADD(off, off, spread);
    }
    point_add_sums(total, spread, rows, sum, square);
}

ALWAYS_INLINE vec point_finish(const struct cs_finish *f, vec y)
{
    if (f->kind == CS_FINISH_CLAMP)
        return SMALLER((vec){0} + f->high, LARGER((vec){0} + f->low, y));
    return f->kind == CS_FINISH_SLOPE ? SELECT(y < 0, y * f->slope, y) : y;
}

ALWAYS_INLINE void point_store(const struct cs_pointwise_tile *t, vec *y, int rows, int vectors,
                               float *c, int64_t step, const float *add)
{
    EACH for (int j = 0; j < vectors; j++)
    {
        vec bias = LOAD(t->bias + j * WIDTH);
        EACH for (int r = 0; r < rows; r++) y[r * vectors + j] += bias;
    }
    if (add)
        EACH for (int r = 0; r < rows; r++) EACH for (int j = 0; j < vectors; j++)
            y[r * vectors + j] += LOAD(add + r * step + j * WIDTH);
    if (t->sum)
        EACH for (int j = 0; j < vectors; j++)
            point_gather(y + j, rows, vectors, t->sum + j * WIDTH, t->square + j * WIDTH);
    if (t->finish.kind != CS_FINISH_LINEAR)
        EACH for (int r = 0; r < rows; r++) EACH for (int j = 0; j < vectors; j++)
            y[r * vectors + j] = point_finish(&t->finish, y[r * vectors + j]);
    if (t->stream)
        EACH for (int r = 0; r < rows; r++) EACH for (int j = 0; j < vectors; j++)
            STREAM(c + r * step + j * WIDTH, y[r * vectors + j]);
    else
        EACH for (int r = 0; r < rows; r++) EACH for (int j = 0; j < vectors; j++)
            STORE(c + r * step + j * WIDTH, y[r * vectors + j]);
}

// The last columns, fewer than registers hold, by way of a whole tile.
ALWAYS_INLINE void point_edge(const struct cs_pointwise_tile *t, vec *y, int rows, int vectors)
{
    float tile[POINT_LEAST * POINT_VECTORS * WIDTH];
    int64_t step = vectors * WIDTH;
    if (t->add) {
        memset(tile, 0, (size_t)(rows * step) * sizeof *tile);
        for (int r = 0; r < rows; r++)
            for (int64_t j = 0; j < t->columns; j++)
                tile[r * step + j] = t->add[r * t->step + j];
    }
    point_store(t, y, rows, vectors, tile, step, t->add ? tile : NULL);
    for (int r = 0; r < rows; r++)
        for (int64_t j = 0; j < t->columns; j++)
            t->c[r * t->step + j] = tile[r * step + j];
}

ALWAYS_INLINE void point_sums(const struct cs_pointwise_part *part, const float *b, vec *sum,
                              int rows, int vectors)
{
    const float *a = part->a;
    int64_t step = part->step;
    for (int64_t k = 0; k < part->depth; k++, b += vectors * WIDTH) {
        vec right[POINT_VECTORS];
        EACH for (int j = 0; j < vectors; j++) right[j] = LOAD(b + j * WIDTH);
        EACH for (int r = 0; r < rows; r++)
        {
            vec x = a[r * step + k] - (vec){0}; // in all lanes
            EACH for (int j = 0; j < vectors; j++) sum[r * vectors + j] =
                MULTIPLY_ADD(x, right[j], sum[r * vectors + j]);
        }
    }
}

// One sum over all parts: it stays in registers from one to the next.
ALWAYS_INLINE void point_chain(const struct cs_pointwise_tile *t, vec *sum, int rows, int vectors)
{
    const float *b = t->b;
    for (int i = 0; i < t->part_count; i++) {
        point_sums(&t->parts[i], b, sum, rows, vectors);
        b += t->parts[i].depth * vectors * WIDTH;
    }
}

ALWAYS_INLINE void point_apart(const struct cs_pointwise_tile *t, vec *sum, int rows, int vectors)
{
    vec next[POINT_LEAST * POINT_VECTORS];
    const float *b = t->b;
    point_sums(&t->parts[0], b, sum, rows, vectors);
    for (int i = 1; i < t->part_count; i++) {
        b += t->parts[i - 1].depth * vectors * WIDTH;
        EACH for (int n = 0; n < rows * vectors; n++) next[n] = (vec){0};
        point_sums(&t->parts[i], b, next, rows, vectors);
        EACH for (int n = 0; n < rows * vectors; n++) sum[n] += next[n];
    }
}

ALWAYS_INLINE void point_tile(const struct cs_pointwise_tile *t, int rows, int vectors)
{
    vec sum[POINT_LEAST * POINT_VECTORS];
    EACH for (int n = 0; n < rows * vectors; n++) sum[n] = (vec){0};
    if (t->chained)
        point_chain(t, sum, rows, vectors);
    else
        point_apart(t, sum, rows, vectors);
    if (t->columns == vectors * WIDTH)
        point_store(t, sum, rows, vectors, t->c, t->step, t->add);
    else
        point_edge(t, sum, rows, vectors);
}

// Rows that fill no tile go four at a time, then one.
#define POINT(vectors)                                                                             \
    static void point_full_##vectors(const struct cs_pointwise_tile *t)                            \
    {                                                                                              \
        point_tile(t, POINT_ROWS(vectors), vectors);                                               \
    }                                                                                              \
    static void point_four_##vectors(const struct cs_pointwise_tile *t)                            \
    {                                                                                              \
        point_tile(t, 4, vectors);                                                                 \
    }                                                                                              \
    static void point_one_##vectors(const struct cs_pointwise_tile *t)                             \
    {                                                                                              \
        point_tile(t, 1, vectors);                                                                 \
    }                                                                                              \
    static const struct cs_pointwise_kernel point_##vectors = {                                    \
        POINT_ROWS(vectors), {point_full_##vectors, point_four_##vectors, point_one_##vectors}};
POINT(1)
POINT(2)
POINT(3)
#if WIDTH == 16
POINT(4)
#endif
