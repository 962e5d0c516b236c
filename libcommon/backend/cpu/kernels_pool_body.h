// SPDX-License-Identifier: MIT
// Maxima and weighted sums over the taps of windows, part of kernels_body.h. NaN wins a maximum.

static void max_of(float *dst, const float *const *src, int taps, int64_t count)
{
    int64_t i = 0;
    for (; i + WIDTH <= count; i += WIDTH) {
        vec best = LOAD(src[0] + i);
        mask nan = best != best;
        for (int t = 1; t < taps; t++) {
            vec x = LOAD(src[t] + i);
            nan |= x != x;
            best = LARGER(best, x);
        }
        STORE(dst + i, SELECT(nan, NANS, best));
    }
    for (; i < count; i++) {
        float best = src[0][i];
        for (int t = 1; t < taps; t++)
            best = src[t][i] > best || src[t][i] != src[t][i] ? src[t][i] : best;
        dst[i] = best;
    }
}

static void max_of_affine(float *dst, const float *const *src, int taps, int64_t count,
                          const struct cs_affine *f, float slope)
{
    int64_t i = 0;
    for (; i + WIDTH <= count; i += WIDTH) {
        vec offset = LOAD(f->offset + i), scale = LOAD(f->scale + i), shift = LOAD(f->shift + i);
        vec best = {0};
        mask nan = {0};
        for (int t = 0; t < taps; t++) {
            vec y = (LOAD(src[t] + i) - offset) * scale + shift;
            nan |= y != y;
            best = t ? LARGER(best, y) : y;
        }
        // The slope is not negative, so the largest stays the largest.
        STORE(dst + i, SELECT(nan, NANS, SELECT(best < 0, best * slope, best)));
    }
    for (; i < count; i++) {
        float best = 0;
        for (int t = 0; t < taps; t++) {
            float y = (src[t][i] - f->offset[i]) * f->scale[i] + f->shift[i];
            best = t == 0 || y > best || y != y ? y : best;
        }
        dst[i] = best < 0 ? best * slope : best;
    }
}

static void sum_of(float *dst, const float *const *src, const float *weight, int taps,
                   int64_t count)
{
    int64_t i = 0;
    for (; i + WIDTH <= count; i += WIDTH) {
        vec sum = LOAD(src[0] + i) * weight[0];
        for (int t = 1; t < taps; t++)
            sum += LOAD(src[t] + i) * weight[t];
        STORE(dst + i, sum);
    }
    for (; i < count; i++) {
        float sum = src[0][i] * weight[0];
        for (int t = 1; t < taps; t++)
            sum += src[t][i] * weight[t];
        dst[i] = sum;
    }
}

// ---- Rows of maxima ----------------------------------------------------------------------

// One register of channels, from c on, of the window whose first tap is `at` floats into the rows.
ALWAYS_INLINE vec max_window(const struct cs_max_row *r, int64_t at, int64_t c, int rows,
                             int columns, int maps)
{
    vec offset = {0}, scale = {0}, shift = {0}, best = {0};
    mask nan = {0};
    if (maps) {
        offset = LOAD(r->map->offset + c);
        scale = LOAD(r->map->scale + c);
        shift = LOAD(r->map->shift + c);
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            vec y = LOAD(r->rows[i] + at + j * r->tap + c);
            if (maps)
                y = (y - offset) * scale + shift;
            nan |= y != y;
            best = i + j ? LARGER(best, y) : y;
        }
    // The slope is not negative, so the largest stays the largest.
    if (maps)
        best = SELECT(best < 0, best * r->slope, best);
    return SELECT(nan, NANS, best);
}

ALWAYS_INLINE void max_row_of(const struct cs_max_row *r, int rows, int columns, int maps)
{
    int64_t whole = r->channels / WIDTH * WIDTH;
    float *dst = r->dst;
    for (int64_t i = 0, at = 0; i < r->pixels; i++, at += r->window, dst += r->channels) {
        for (int64_t c = 0; c < whole; c += WIDTH)
            STORE(dst + c, max_window(r, at, c, rows, columns, maps));
        for (int64_t c = whole; c < r->channels; c++) {
            float best = 0;
            for (int k = 0; k < rows * columns; k++) {
                float y = r->rows[k / columns][at + k % columns * r->tap + c];
                if (maps)
                    y = (y - r->map->offset[c]) * r->map->scale[c] + r->map->shift[c];
                best = k == 0 || y > best || y != y ? y : best;
            }
            dst[c] = maps && best < 0 ? best * r->slope : best;
        }
    }
}

static void max_row(const struct cs_max_row *r)
{
    if (r->row_count == 2 && r->columns == 2 && r->map)
        max_row_of(r, 2, 2, 1);
    else if (r->row_count == 2 && r->columns == 2)
        max_row_of(r, 2, 2, 0);
    else if (r->map)
        max_row_of(r, r->row_count, r->columns, 1);
    else
        max_row_of(r, r->row_count, r->columns, 0);
}
