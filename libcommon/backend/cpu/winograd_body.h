// SPDX-License-Identifier: MIT
// The kernels of the Winograd convolution, compiled for each instruction set by the file that
// defines the macros used here and includes this:
//
//   TILE, WINOGRAD, WINOGRAD_NAME, SMALLER              side of a tile of outputs; the table
//   WIDTH, SUMS, MAX_VECTORS                            registers
//   vec, LOAD STORE STREAM SET1 ZERO ADD SUB MUL FMA FNMA MAX MIN   as the names say;
//       FNMA(a, b, c) = c - a * b, MAX and MIN give b where either is NaN
//   BELOW_ZERO(a, b, c): a where c < 0, else b
//   lanes, LANES(n), LOAD_LANES, STORE_LANES            the first n floats of a register
//   wide, WIDEN(v, half), LOAD_WIDE STORE_WIDE WIDE_ADD WIDE_FMA   doubles, half as many
//
// The transforms are those of the points 0, +-a, +-b, infinity with a = 5/8 and b = 3/2, whose
// constants are all exact, and for tiles of 2x2 those of 0, +-1 and infinity. Addresses are kept
// from the compiler's sight (OPAQUE): knowing them, it would hold 36 pointers and spill them.
#include "backend/cpu/winograd.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define OPAQUE(x)     __asm__ volatile("" : "+r"(x))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

enum { OUT = TILE, IN = TILE + 2 };

#define A 0.625F
#define B 1.5F

// ---- Input -------------------------------------------------------------------------------

// As many values to points: the columns of B^T.
#if TILE == 2
ALWAYS_INLINE void to_points(const vec *d, vec *p)
{
    p[0] = SUB(d[2], d[0]);
    p[1] = ADD(d[1], d[2]);
    p[2] = SUB(d[2], d[1]);
    p[3] = SUB(d[3], d[1]);
}
#else
ALWAYS_INLINE void to_points(const vec *d, vec *p)
{
    const vec a = SET1(A), b = SET1(B), aa = SET1(A * A), bb = SET1(B * B);
    const vec sum = SET1(A * A + B * B), product = SET1(A * A * B * B);
    p[0] = FMA(product, d[0], FNMA(sum, d[2], d[4]));
    vec even = FNMA(bb, d[2], d[4]), odd = FNMA(bb, d[1], d[3]);
    p[1] = FMA(a, odd, even);
    p[2] = FNMA(a, odd, even);
    even = FNMA(aa, d[2], d[4]);
    odd = FNMA(aa, d[1], d[3]);
    p[3] = FMA(b, odd, even);
    p[4] = FNMA(b, odd, even);
    p[5] = FMA(product, d[1], FNMA(sum, d[3], d[5]));
}
#endif

// The rows of a column of pixels.
ALWAYS_INLINE void read_inside(const char *p, int64_t row, int64_t row3, int64_t row5, vec *d)
{
    d[0] = LOAD((const float *)(const void *)p);
    d[1] = LOAD((const float *)(const void *)(p + row));
    d[2] = LOAD((const float *)(const void *)(p + 2 * row));
    d[3] = LOAD((const float *)(const void *)(p + row3));
#if TILE == 4
    d[4] = LOAD((const float *)(const void *)(p + 4 * row));
    d[5] = LOAD((const float *)(const void *)(p + row5));
#else
    (void)row5;
#endif
}

ALWAYS_INLINE void write_points(char *q, int64_t point, int64_t point3, int64_t point5,
                                const vec *p)
{
    STORE((float *)(void *)q, p[0]);
    STORE((float *)(void *)(q + point), p[1]);
    STORE((float *)(void *)(q + 2 * point), p[2]);
    STORE((float *)(void *)(q + point3), p[3]);
#if TILE == 4
    STORE((float *)(void *)(q + 4 * point), p[4]);
    STORE((float *)(void *)(q + point5), p[5]);
#else
    (void)point5;
#endif
}

ALWAYS_INLINE void write_tile(const struct cs_winograd_load *l, vec t[IN][IN], float *v)
{
    int64_t point = l->point * 4, point3 = point * 3, point5 = point * 5;
    char *q = (char *)v;
    OPAQUE(point3);
    OPAQUE(point5);
    UNROLL for (int r = 0; r < IN; r++)
    {
        vec p[IN];
        to_points(t[r], p);
        write_points(q, point, point3, point5, p);
        q += point * IN;
        OPAQUE(q);
    }
}

// Channels from c on of a column's pixels.
ALWAYS_INLINE void map_pixels(const struct cs_winograd_load *l, int64_t c, vec *d)
{
    const vec offset = LOAD(l->offset + c), scale = LOAD(l->scale + c), shift = LOAD(l->shift + c);
    const vec slope = SET1(l->slope);
    UNROLL for (int r = 0; r < IN; r++)
    {
        vec y = FMA(SUB(d[r], offset), scale, shift);
        d[r] = MAX(MUL(y, slope), y);
    }
}

// One register of channels, from c on, of a tile that lies inside the image.
ALWAYS_INLINE void load_inside(const struct cs_winograd_load *l, int64_t offset, int64_t c,
                               bool maps, float *v)
{
    const float *src = l->src + offset + c;
    int64_t row = l->row * 4, row3 = row * 3, row5 = row * 5;
    const char *p = (const char *)src;
    vec t[IN][IN];
    OPAQUE(row3);
    OPAQUE(row5);
    UNROLL for (int column = 0; column < IN; column++)
    {
        vec d[IN], o[IN];
        read_inside(p, row, row3, row5, d);
        if (maps)
            map_pixels(l, c, d);
        to_points(d, o);
        UNROLL for (int r = 0; r < IN; r++) t[r][column] = o[r];
        p += l->pixel * 4;
        OPAQUE(p);
    }
    write_tile(l, t, v);
}

// The same with zeros for pixels outside of the image, and for channels from c + n on.
static void load_border(const struct cs_winograd_load *l, int64_t offset, unsigned rows,
                        unsigned columns, int64_t c, int64_t n, float *v)
{
    lanes some = LANES(n);
    vec t[IN][IN], from = ZERO(), scale = ZERO(), shift = ZERO(), slope = SET1(l->slope);
    if (l->offset) {
        from = LOAD_LANES(l->offset + c, some);
        scale = LOAD_LANES(l->scale + c, some);
        shift = LOAD_LANES(l->shift + c, some);
    }
    for (int x = 0; x < IN; x++) {
        vec d[IN], o[IN];
        for (int y = 0; y < IN; y++) {
            d[y] = ZERO();
            if (!(rows >> y & 1) || !(columns >> x & 1))
                continue;
            d[y] = LOAD_LANES(l->src + offset + c + y * l->row + x * l->pixel, some);
            if (l->offset) {
                vec mapped = FMA(SUB(d[y], from), scale, shift);
                d[y] = MAX(MUL(mapped, slope), mapped);
            }
        }
        to_points(d, o);
        for (int y = 0; y < IN; y++)
            t[y][x] = o[y];
    }
    write_tile(l, t, v);
}

static void load(const struct cs_winograd_load *l, int64_t offset, unsigned rows, unsigned columns,
                 float *v)
{
    int64_t c = 0, whole = l->channels / WIDTH * WIDTH;
    if ((rows & columns) != (1U << IN) - 1)
        whole = 0;
    if (l->offset)
        for (; c < whole; c += WIDTH, v += l->group)
            load_inside(l, offset, c, true, v);
    else
        for (; c < whole; c += WIDTH, v += l->group)
            load_inside(l, offset, c, false, v);
    for (; c < l->channels; c += WIDTH, v += l->group) {
        int64_t n = l->channels - c < WIDTH ? l->channels - c : WIDTH;
        load_border(l, offset, rows, columns, c, n, v);
    }
}

// ---- Products ----------------------------------------------------------------------------

// rows tiles (of panels of max_rows) by `vectors` registers of output channels.
ALWAYS_INLINE void multiply(const struct cs_winograd_product *p, int rows, int max_rows,
                            int vectors)
{
    const float *v = p->v, *u = p->u;
    float *m = p->m;
    const char *ahead = p->prefetch ? p->prefetch : (const char *)p->u;
    const int64_t ahead_step = p->prefetch ? 256 : 0;
    vec sum[SUMS];
    UNROLL for (int i = 0; i < rows * vectors; i++) sum[i] = ZERO();
    for (int64_t left = p->quads; left > 0; left -= WIDTH / 4) {
        int64_t quads = left < WIDTH / 4 ? left : WIDTH / 4;
        const float *next = v + max_rows * WIDTH;
        for (int64_t q = 0; q < quads; q++) {
            UNROLL for (int k = 0; k < 4; k++)
            {
                vec w[MAX_VECTORS];
                UNROLL for (int j = 0; j < vectors; j++) w[j] = LOAD(u + (k * vectors + j) * WIDTH);
                UNROLL for (int r = 0; r < rows; r++)
                {
                    vec x = SET1(v[r * WIDTH + k]);
                    UNROLL for (int j = 0; j < vectors; j++) sum[r * vectors + j] =
                        FMA(x, w[j], sum[r * vectors + j]);
                }
                __builtin_prefetch(ahead + k * 64, 0, 2);
            }
            v += 4;
            u += 4 * vectors * WIDTH;
            ahead += ahead_step;
        }
        v = next;
    }
    if (p->add)
        UNROLL for (int i = 0; i < rows * vectors; i++) sum[i] = ADD(sum[i], LOAD(m + i * WIDTH));
    UNROLL for (int i = 0; i < rows * vectors; i++) STORE(m + i * WIDTH, sum[i]);
}

#define MULTIPLY(vectors)                                                                          \
    static void multiply_full_##vectors(const struct cs_winograd_product *p)                       \
    {                                                                                              \
        multiply(p, SUMS / (vectors), SUMS / (vectors), vectors);                                  \
    }                                                                                              \
    static void multiply_half_##vectors(const struct cs_winograd_product *p)                       \
    {                                                                                              \
        multiply(p, SUMS / (vectors) / 2, SUMS / (vectors), vectors);                              \
    }
MULTIPLY(1)
MULTIPLY(2)
MULTIPLY(3)
#if MAX_VECTORS > 3
MULTIPLY(4)
#endif

// ---- Output ------------------------------------------------------------------------------

// Points to values: the columns of A^T.
#if TILE == 2
ALWAYS_INLINE void from_points(const vec *p, vec *y)
{
    y[0] = ADD(p[0], ADD(p[1], p[2]));
    y[1] = ADD(p[3], SUB(p[1], p[2]));
}
#else
ALWAYS_INLINE void from_points(const vec *p, vec *y)
{
    const vec a = SET1(A), b = SET1(B), aa = SET1(A * A), bb = SET1(B * B);
    const vec aaa = SET1(A * A * A), bbb = SET1(B * B * B);
    vec sum_a = ADD(p[1], p[2]), difference_a = SUB(p[1], p[2]);
    vec sum_b = ADD(p[3], p[4]), difference_b = SUB(p[3], p[4]);
    y[0] = ADD(ADD(p[0], sum_a), sum_b);
    y[1] = FMA(a, difference_a, MUL(b, difference_b));
    y[2] = FMA(aa, sum_a, MUL(bb, sum_b));
    y[3] = FMA(aaa, difference_a, FMA(bbb, difference_b, p[5]));
}
#endif

ALWAYS_INLINE void read_tile(const struct cs_winograd_store *s, const float *m, vec *y)
{
    int64_t point = s->point * 4, point3 = point * 3, point5 = point * 5;
    const char *p = (const char *)m;
    vec t[OUT][IN];
    OPAQUE(point3);
    OPAQUE(point5);
    UNROLL for (int r = 0; r < IN; r++)
    {
        vec d[IN], o[OUT];
        read_inside(p, point, point3, point5, d);
        from_points(d, o);
        UNROLL for (int c = 0; c < OUT; c++) t[c][r] = o[c];
        p += point * IN;
        OPAQUE(p);
    }
    UNROLL for (int c = 0; c < OUT; c++)
    {
        vec o[OUT];
        from_points(t[c], o);
        UNROLL for (int r = 0; r < OUT; r++) y[r * OUT + c] = o[r];
    }
}

// NaN stays NaN.
ALWAYS_INLINE void activate(const struct cs_winograd_store *s, vec *y)
{
    if (s->finish.kind == CS_FINISH_CLAMP) {
        const vec low = SET1(s->finish.low), high = SET1(s->finish.high);
        UNROLL for (int i = 0; i < OUT * OUT; i++) y[i] = MIN(high, MAX(low, y[i]));
    } else if (s->finish.kind == CS_FINISH_SLOPE) {
        const vec slope = SET1(s->finish.slope);
        UNROLL for (int i = 0; i < OUT * OUT; i++) y[i] = BELOW_ZERO(MUL(y[i], slope), y[i], y[i]);
    }
}

// One register of channels of a whole tile.
ALWAYS_INLINE void store_whole(const struct cs_winograd_store *s, vec *y, float *dst,
                               const float *add)
{
    if (add)
        UNROLL for (int i = 0; i < OUT * OUT; i++) y[i] =
            ADD(y[i], LOAD(add + i / OUT * s->row + i % OUT * s->pixel));
    activate(s, y);
    if (s->stream)
        UNROLL for (int i = 0; i < OUT * OUT; i++)
            STREAM(dst + i / OUT * s->row + i % OUT * s->pixel, y[i]);
    else
        UNROLL for (int i = 0; i < OUT * OUT; i++)
            STORE(dst + i / OUT * s->row + i % OUT * s->pixel, y[i]);
}

// The same of the first rows and columns, and of n channels.
ALWAYS_INLINE void store_part(const struct cs_winograd_store *s, vec *y, float *dst,
                              const float *add, int rows, int columns, int64_t n)
{
    lanes some = LANES(n);
    for (int r = 0; add && r < rows; r++)
        for (int c = 0; c < columns; c++)
            y[r * OUT + c] = ADD(y[r * OUT + c], LOAD_LANES(add + r * s->row + c * s->pixel, some));
    activate(s, y);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++)
            STORE_LANES(dst + r * s->row + c * s->pixel, some, y[r * OUT + c]);
}

// The tile's values with their bias, for the register of channels from c on.
ALWAYS_INLINE void finish_tile(const struct cs_winograd_store *s, const float *m, int64_t c, vec *y)
{
    vec bias = LOAD(s->bias + c);
    read_tile(s, m, y);
    UNROLL for (int i = 0; i < OUT * OUT; i++) y[i] = ADD(y[i], bias);
}

static void store(const struct cs_winograd_store *s, const float *m, int64_t first,
                  int64_t channels, float *dst, const float *add, int rows, int columns)
{
    for (int64_t c = 0; c < channels; c += WIDTH) {
        vec y[OUT * OUT];
        int64_t at = first + c, n = channels - c < WIDTH ? channels - c : WIDTH;
        finish_tile(s, m + c, at, y);
        if (rows == OUT && columns == OUT && n == WIDTH)
            store_whole(s, y, dst + at, add ? add + at : NULL);
        else {
            vec part[OUT * OUT];
            for (int i = 0; i < OUT * OUT; i++)
                part[i] = y[i];
            store_part(s, part, dst + at, add ? add + at : NULL, rows, columns, n);
        }
    }
}

// Add what a tile's pixels give to the sums: `sum` of y, `spread` of (y - mean)^2.
ALWAYS_INLINE void add_sums(vec sum, vec spread, float pixels, double *sums, double *squares)
{
    vec mean = MUL(sum, SET1(1 / pixels));
    wide low = WIDEN(sum, 0), high = WIDEN(sum, 1);
    wide low_square = WIDE_FMA(low, WIDEN(mean, 0), WIDEN(spread, 0));
    wide high_square = WIDE_FMA(high, WIDEN(mean, 1), WIDEN(spread, 1));
    STORE_WIDE(sums, WIDE_ADD(LOAD_WIDE(sums), low));
    STORE_WIDE(sums + WIDTH / 2, WIDE_ADD(LOAD_WIDE(sums + WIDTH / 2), high));
    STORE_WIDE(squares, WIDE_ADD(LOAD_WIDE(squares), low_square));
    STORE_WIDE(squares + WIDTH / 2, WIDE_ADD(LOAD_WIDE(squares + WIDTH / 2), high_square));
}

// Of OUT registers, `step` apart.
ALWAYS_INLINE vec sum_of(const vec *y, int step)
{
#if TILE == 2
    return ADD(y[0], y[step]);
#else
    return ADD(ADD(y[0], y[step]), ADD(y[2 * step], y[3 * step]));
#endif
}

static void store_sums(const struct cs_winograd_store *s, const float *m, int64_t first,
                       int64_t channels, float *dst, int rows, int columns, double *sum,
                       double *square)
{
    for (int64_t c = 0; c < channels; c += WIDTH) {
        vec y[OUT * OUT];
        int64_t at = first + c, n = channels - c < WIDTH ? channels - c : WIDTH;
        vec total = ZERO(), spread = ZERO();
        finish_tile(s, m + c, at, y);
        if (rows == OUT && columns == OUT && n == WIDTH) {
            vec part[OUT];
            UNROLL for (int i = 0; i < OUT; i++) part[i] = sum_of(y + i, OUT);
            total = sum_of(part, 1);
            vec mean = MUL(total, SET1(1.0F / (OUT * OUT)));
            UNROLL for (int i = 0; i < OUT * OUT; i++)
            {
                vec off = SUB(y[i], mean);
                part[i % OUT] = i < OUT ? MUL(off, off) : FMA(off, off, part[i % OUT]);
            }
            spread = sum_of(part, 1);
            store_whole(s, y, dst + at, NULL);
        } else {
            vec part[OUT * OUT];
            for (int i = 0; i < OUT * OUT; i++)
                part[i] = y[i];
            for (int i = 0; i < rows * columns; i++)
                total = ADD(total, part[i / columns * OUT + i % columns]);
            vec mean = MUL(total, SET1(1 / (float)(rows * columns)));
            for (int i = 0; i < rows * columns; i++) {
                vec off = SUB(part[i / columns * OUT + i % columns], mean);
                spread = FMA(off, off, spread);
            }
            store_part(s, part, dst + at, NULL, rows, columns, n);
        }
        add_sums(total, spread, (float)(rows * columns), sum + c, square + c);
    }
}

const struct cs_winograd_kernels WINOGRAD = {
    .name = WINOGRAD_NAME,
    .smaller = SMALLER,
    .out = OUT,
    .in = IN,
    .points = IN * IN,
    .width = WIDTH,
    .sums = SUMS,
    .max_vectors = MAX_VECTORS,
    .load = load,
    .multiply =
        {
            {multiply_full_1, multiply_half_1},
            {multiply_full_2, multiply_half_2},
            {multiply_full_3, multiply_half_3},
#if MAX_VECTORS > 3
            {multiply_full_4, multiply_half_4},
#endif
        },
    .store = store,
    .store_sums = store_sums,
};
