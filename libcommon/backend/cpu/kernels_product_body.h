// SPDX-License-Identifier: MIT
// The tile of a matrix product, part of kernels_body.h: TILE_ROWS x 2 registers of sums stay in
// registers while depth goes by (Goto and van de Geijn 2008). An element is the same chain of
// multiply-adds wherever in a tile it lies and however many rows the tile has.

enum { TILE_ROWS = WIDTH == 16 ? 12 : 6 };

ALWAYS_INLINE void tile_rows(float *c, int64_t c_step, const float *a, int64_t a_step,
                             const float *b, int64_t depth, int rows, int adding)
{
    vec sum[TILE_ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < 2; j++)
            sum[r][j] = (vec){0};
    for (int64_t k = 0; k < depth; k++) {
        vec low = LOAD(b + 2 * WIDTH * k), high = LOAD(b + 2 * WIDTH * k + WIDTH);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            vec x = a[r * a_step + k] - (vec){0}; // in all lanes
            sum[r][0] = MULTIPLY_ADD(x, low, sum[r][0]);
            sum[r][1] = MULTIPLY_ADD(x, high, sum[r][1]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < 2; j++) {
            float *to = c + r * c_step + j * WIDTH;
            STORE(to, adding ? (vec)(LOAD(to) + sum[r][j]) : sum[r][j]);
        }
}

static void product_tile(float *c, int64_t c_step, const float *a, int64_t a_step, const float *b,
                         int64_t depth, int rows, int adding)
{
#define ROWS(n)                                                                                    \
    case n:                                                                                        \
        tile_rows(c, c_step, a, a_step, b, depth, n, adding);                                      \
        break
    switch (rows) {
        ROWS(1);
        ROWS(2);
        ROWS(3);
        ROWS(4);
        ROWS(5);
        ROWS(6);
#if WIDTH == 16
        ROWS(7);
        ROWS(8);
        ROWS(9);
        ROWS(10);
        ROWS(11);
        ROWS(12);
#endif
    default:
        break;
    }
#undef ROWS
}
