// SPDX-License-Identifier: MIT
// Kernels of the CUDA backend, compiled for the host (tests/cuda/), on every golden case: in three
// layouts, in float32 and float16, threads forwards and backwards with the same bits.
#include "golden.h"
#include "host.h"
#include "suite.h"

static const char floats[] = "tests/golden/ops/cases.txt", typed[] = "tests/golden/ops/typed.txt";

START_TEST(cuda_golden)
{
    const struct golden_run run = {
        .backend = "cuda on the host", .tolerance = 2e-6, .own = &host_cuda};
    host_set_layout((enum host_layout)_i);
    ck_assert_int_gt(golden_run(floats, &run), 100);
    ck_assert_int_gt(golden_run(typed, &run), 100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda_ops");
    TCase *core = tcase_create("core");
    tcase_set_timeout(core, 120);
    tcase_add_loop_test(core, cuda_golden, 0, HOST_LAYOUTS);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
