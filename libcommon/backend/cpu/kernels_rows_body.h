// SPDX-License-Identifier: MIT
// Rows of contiguous values, part of kernels_body.h: sums, Softmax, LayerNormalization, rows of
// pixels made of others, gates. Sums are taken in double, in an order that depends on nothing but
// the row's length.

// The sum of `count` values, and of their squares where square is not NULL.
ALWAYS_INLINE double row_moments(const float *src, int64_t count, double *square)
{
    enum { CHAINS = 4 };
    wide_double sums[CHAINS] = {{0}}, squares[CHAINS] = {{0}};
    int64_t i = 0;
    for (; i + CHAINS * DOUBLES <= count; i += CHAINS * DOUBLES)
        for (int k = 0; k < CHAINS; k++) {
            wide_double x =
                __builtin_convertvector(*(const half_at *)(src + i + DOUBLES * k), wide_double);
            sums[k] += x;
            if (square)
                squares[k] += x * x;
        }
    wide_double s = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    wide_double q = (squares[0] + squares[1]) + (squares[2] + squares[3]);
    double sum = 0, rest = 0;
    for (int j = 0; j < DOUBLES; j++) {
        sum += s[j];
        rest += q[j];
    }
    for (; i < count; i++) {
        double x = (double)src[i];
        sum += x;
        rest += x * x;
    }
    if (square)
        *square = rest;
    return sum;
}

static double row_sum(const float *src, int64_t count)
{
    return row_moments(src, count, NULL);
}

static float row_max(const float *src, int64_t count)
{
    float best = src[0];
    int64_t i = 0;
    if (count >= WIDTH) {
        float lanes[WIDTH];
        vec most = LOAD(src);
        mask nan = most != most;
        for (i = WIDTH; i + WIDTH <= count; i += WIDTH) {
            vec x = LOAD(src + i);
            nan |= x != x;
            most = LARGER(most, x);
        }
        STORE(lanes, most);
        int32_t any = 0;
        best = lanes[0];
        for (int j = 0; j < WIDTH; j++) {
            any |= nan[j];
            best = lanes[j] > best ? lanes[j] : best;
        }
        best = any ? NAN : best;
    }
    for (; i < count; i++)
        best = larger(best, src[i]);
    return best;
}

static void softmax(float *dst, const float *src, int64_t count, int64_t step)
{
    if (step == 1) {
        float best = row_max(src, count);
        INDEPENDENT
        for (int64_t i = 0; i < count; i++)
            dst[i] = cs_expf(src[i] - best);
        float part = (float)(1 / row_sum(dst, count));
        for (int64_t i = 0; i < count; i++)
            dst[i] *= part;
        return;
    }
    float best = src[0];
    double sum = 0;
    for (int64_t i = 1; i < count; i++)
        best = src[i * step] > best ? src[i * step] : best;
    for (int64_t i = 0; i < count; i++) {
        dst[i * step] = cs_expf(src[i * step] - best);
        sum += (double)dst[i * step];
    }
    float part = (float)(1 / sum);
    for (int64_t i = 0; i < count; i++)
        dst[i * step] *= part;
}

// The nearest float to the mean is subtracted first; what it lacks goes into the shift.
static void layer_norm(float *dst, const float *src, int64_t count, const float *scale,
                       const float *shift, double epsilon)
{
    double square, mean = row_moments(src, count, &square) / (double)count;
    double variance = square / (double)count - mean * mean;
    double factor = 1 / sqrt((variance > 0 ? variance : 0) + epsilon);
    float offset = (float)mean, f = (float)factor, rest = (float)((mean - (double)offset) * factor);
    if (shift) {
        INDEPENDENT
        for (int64_t i = 0; i < count; i++)
            dst[i] = ((src[i] - offset) * f - rest) * scale[i] + shift[i];
    } else {
        INDEPENDENT
        for (int64_t i = 0; i < count; i++)
            dst[i] = ((src[i] - offset) * f - rest) * scale[i];
    }
}

// ---- Blends ------------------------------------------------------------------------------

// Floats: the processor's own prefetch is late where rows are short (measured).
enum { FETCH_AHEAD = 2048 };

// One pixel of `count` samples.
ALWAYS_INLINE void blend_pixel(float *dst, const float *row, const float *add,
                               const struct cs_taps *taps, int64_t channels, int count)
{
    const float *first = row + taps->at[0] * channels;
    const float *second = count == 2 ? row + taps->at[1] * channels : NULL;
    float low = taps->weight[0], high = count == 2 ? taps->weight[1] : 0;
    int64_t c = 0;
    for (; c + WIDTH <= channels; c += WIDTH) {
        vec sum = LOAD(first + c) * low;
        if (count == 2)
            sum += LOAD(second + c) * high;
        for (int t = 1; count > 2 && t < count; t++)
            sum += LOAD(row + taps->at[t] * channels + c) * taps->weight[t];
        if (add)
            __builtin_prefetch(add + c + FETCH_AHEAD, 0, 2);
        STORE(dst + c, add ? sum + LOAD(add + c) : sum);
    }
    for (; c < channels; c++) {
        float sum = first[c] * low;
        if (count == 2)
            sum += second[c] * high;
        for (int t = 1; count > 2 && t < count; t++)
            sum += row[taps->at[t] * channels + c] * taps->weight[t];
        dst[c] = add ? sum + add[c] : sum;
    }
}

static void blend(float *dst, const float *row, const float *add, const struct cs_taps *taps,
                  int64_t pixels, int64_t channels)
{
    for (int64_t x = 0; x < pixels; x++, dst += channels, taps++) {
        const float *addend = add ? add + x * channels : NULL;
        if (taps->count == 2 && addend)
            blend_pixel(dst, row, addend, taps, channels, 2);
        else if (taps->count == 2)
            blend_pixel(dst, row, NULL, taps, channels, 2);
        else if (taps->count == 1)
            blend_pixel(dst, row, addend, taps, channels, 1);
        else
            blend_pixel(dst, row, addend, taps, channels, taps->count);
    }
}

// ---- Gates -------------------------------------------------------------------------------

static void gate(float *dst, const float *src, const float *channel, const float *pixel,
                 int64_t pixels, int64_t channels)
{
    for (int64_t i = 0; i < pixels; i++, src += channels, dst += channels) {
        int64_t c = 0;
        for (; c + WIDTH <= channels; c += WIDTH)
            STORE(dst + c, LOAD(src + c) * LOAD(channel + c) * pixel[i]);
        for (; c < channels; c++)
            dst[c] = src[c] * channel[c] * pixel[i];
    }
}

static float gated_maximum(const float *src, const float *channel, int64_t channels)
{
    float best = src[0] * channel[0];
    for (int64_t c = 1; c < channels; c++)
        best = larger(best, src[c] * channel[c]);
    return best;
}

static void gated_pool(float *mean, float *maximum, const float *src, const float *channel,
                       int64_t pixels, int64_t channels)
{
    for (int64_t i = 0; i < pixels; i++, src += channels) {
        wide_double sums[2] = {{0}};
        vec most = (vec){0} - INFINITY;
        int64_t c = 0;
        for (; c + WIDTH <= channels; c += WIDTH) {
            float lanes[WIDTH];
            vec x = LOAD(src + c) * LOAD(channel + c);
            STORE(lanes, x);
            for (int h = 0; h < 2; h++)
                sums[h] +=
                    __builtin_convertvector(*(const half_at *)(lanes + h * DOUBLES), wide_double);
            most = LARGER(most, x);
        }
        double sum = 0;
        float best = -INFINITY;
        sums[0] += sums[1];
        for (int j = 0; j < DOUBLES; j++)
            sum += sums[0][j];
        for (int j = 0; j < WIDTH; j++)
            best = most[j] > best ? most[j] : best;
        for (; c < channels; c++) {
            float x = src[c] * channel[c];
            best = x > best ? x : best;
            sum += (double)x;
        }
        mean[i] = (float)(sum / (double)channels);
        // A NaN among them makes the sum one.
        maximum[i] = sum == sum ? best : gated_maximum(src, channel, channels);
    }
}
