// SPDX-License-Identifier: MIT
// 1x1 convolutions with few output channels, part of kernels_body.h: channels lie in lanes, each
// result is the sum of the lanes of one register, and a register of such sums is made at once.

// Of a half that is a constant: lanes with that bit from b, the others from a; and their partners.
#define KEPT(l, half)  ((l) & (half) ? WIDTH + (l) : (l))
#define OTHER(l, half) (((l) & (half) ? WIDTH : 0) + ((l) ^ (half)))
#if WIDTH == 16
#define EACH_LANE(f, h)                                                                            \
    f(0, h), f(1, h), f(2, h), f(3, h), f(4, h), f(5, h), f(6, h), f(7, h), f(8, h), f(9, h),      \
        f(10, h), f(11, h), f(12, h), f(13, h), f(14, h), f(15, h)
#elif WIDTH == 8
#define EACH_LANE(f, h) f(0, h), f(1, h), f(2, h), f(3, h), f(4, h), f(5, h), f(6, h), f(7, h)
#else
#define EACH_LANE(f, h) f(0, h), f(1, h), f(2, h), f(3, h)
#endif
#define FOLD(v, half)                                                                              \
    EACH for (int i = 0; i < (half); i++) v[i] =                                                   \
        __builtin_shufflevector(v[i], v[i + (half)], EACH_LANE(KEPT, half)) +                      \
        __builtin_shufflevector(v[i], v[i + (half)], EACH_LANE(OTHER, half))

// Lane l: the sum of the lanes of v[l], all in the same order. v is overwritten.
ALWAYS_INLINE vec narrow_sums(vec *v)
{
#if WIDTH == 16
    FOLD(v, 8);
#endif
#if WIDTH >= 8
    FOLD(v, 4);
#endif
    FOLD(v, 2);
    FOLD(v, 1);
    return v[0];
}

// The products of as many pixels as fit, from the i-th on, one behind the other; pixels from
// t->pixels on are the last one again.
ALWAYS_INLINE vec narrow_products(const struct cs_pointwise_narrow *t, int64_t i, int columns)
{
    vec sum[WIDTH];
    const float *b = t->b;
    const int pixels = WIDTH / columns;
    EACH for (int n = 0; n < WIDTH; n++) sum[n] = (vec){0};
    for (int p = 0; p < t->part_count; p++) {
        const struct cs_pointwise_part *part = &t->parts[p];
        const float *a[WIDTH];
        EACH for (int r = 0; r < pixels; r++) a[r] =
            part->a + (i + r < t->pixels ? i + r : t->pixels - 1) * part->step;
        for (int64_t k = 0; k < part->depth; k += WIDTH, b += columns * WIDTH)
            EACH for (int r = 0; r < pixels; r++)
            {
                vec x = LOAD(a[r] + k);
                EACH for (int j = 0; j < columns; j++) sum[r * columns + j] =
                    MULTIPLY_ADD(x, LOAD(b + j * WIDTH), sum[r * columns + j]);
            }
    }
    return narrow_sums(sum);
}

ALWAYS_INLINE void narrow_pixels(const struct cs_pointwise_narrow *t, int columns)
{
    const int64_t count = t->pixels * columns, at_once = WIDTH / columns * columns;
    const vec bias = LOAD(t->bias);
    for (int64_t at = 0; at < count; at += at_once) {
        int64_t lanes = count - at < at_once ? count - at : at_once;
        vec y = narrow_products(t, at / columns, columns) + bias;
        if (lanes == WIDTH) {
            y = t->add ? y + LOAD(t->add + at) : y;
            STORE(t->c + at, point_finish(&t->finish, y));
        } else {
            float part[WIDTH] = {0};
            if (t->add)
                memcpy(part, t->add + at, (size_t)lanes * sizeof *part);
            y = t->add ? y + LOAD(part) : y;
            STORE(part, point_finish(&t->finish, y));
            memcpy(t->c + at, part, (size_t)lanes * sizeof *part);
        }
    }
}

static void narrow(const struct cs_pointwise_narrow *t)
{
    switch (t->columns) {
    case 1:
        narrow_pixels(t, 1);
        break;
    case 2:
        narrow_pixels(t, 2);
        break;
    case 3:
        narrow_pixels(t, 3);
        break;
    default:
        narrow_pixels(t, 4);
        break;
    }
}
