// SPDX-License-Identifier: MIT
// Norms whose sums a convolution took (backend/cuda/launch.h): a channel that hardly varies about a
// large mean, whose variance the sums in float32 may put below 0, comes out finite, normed or as a
// map for those who read it.
#include <math.h>
#include <string.h>

#include "backend/cuda/launch.h"
#include "suite.h"

enum { PIXELS = 16, CHANNELS = 2, PITCH = 8 };

static struct cs_cuda_tensor plane_of(float *data)
{
    return (struct cs_cuda_tensor){.data = data,
                                   .type = CS_CUDA_F32,
                                   .rank = 4,
                                   .dim = {1, CHANNELS, 1, PIXELS},
                                   .stride = {PIXELS * CHANNELS, 1, PIXELS * CHANNELS, CHANNELS}};
}

static struct cs_cuda_tensor vector_of(float *data)
{
    return (struct cs_cuda_tensor){
        .data = data, .type = CS_CUDA_F32, .rank = 1, .dim = {CHANNELS}, .stride = {1}};
}

START_TEST(sums_below_zero)
{
    const float mean = 4096, epsilon = 1e-5F;
    _Alignas(16) float in[PIXELS * CHANNELS], out[PIXELS * CHANNELS];
    _Alignas(16) float scale[CHANNELS] = {1, 2}, shift[CHANNELS] = {0.5F, -1};
    float sums[2 * PITCH] = {0}, map[2 * PITCH] = {0};
    uint32_t counters[CS_CUDA_COUNTERS] = {0};
    for (int i = 0; i < PIXELS * CHANNELS; i++)
        in[i] = mean;
    for (int c = 0; c < CHANNELS; c++) {
        sums[c] = PIXELS * mean;
        sums[PITCH + c] = PIXELS * (mean * mean - 4); // as rounding may leave it
    }
    struct cs_cuda_norm norm = {.in = plane_of(in),
                                .out = plane_of(out),
                                .scale = vector_of(scale),
                                .shift = vector_of(shift),
                                .sums = sums,
                                .pitch = PITCH,
                                .groups = CHANNELS,
                                .epsilon = epsilon,
                                .counters = counters};
    ck_assert_int_eq(cs_cuda_norm_launch(NULL, &norm), 0);
    for (int i = 0; i < PIXELS * CHANNELS; i++)
        ck_assert_float_eq(out[i], shift[i % CHANNELS]);
    ck_assert_int_eq(cs_cuda_norm_map(NULL, &norm, CS_CUDA_F32, map), 0);
    for (int c = 0; c < CHANNELS; c++) {
        ck_assert_float_eq_tol(map[c], scale[c] / sqrtf(epsilon), 1e-3F * map[c]);
        ck_assert_float_eq_tol(mean * map[c] + map[PITCH + c], shift[c], 0.5F);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda_sums");
    TCase *core = tcase_create("core");
    tcase_add_test(core, sums_below_zero);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
