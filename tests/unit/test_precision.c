// SPDX-License-Identifier: MIT
// infer/precision.h, and the binary16 that `fake` computes in.
#include <math.h>
#include <string.h>

#include "infer/precision.h"
#include "opcase.h"
#include "suite.h"

// Through one Identity-like node on `fake` in fp16.
static void halve(const float *in, float *out, int count)
{
    const struct cs_backend *fake = cs_backend_find("fake");
    const struct cs_device_options options = {.threads = 1, .detail = "fp16"};
    struct cs_device *device;
    struct cs_network *network;
    struct cs_plan *plan;
    struct cs_slot *slot;
    struct cs_graph graph;
    struct cs_err err = {0};
    struct opcase c;
    opcase_init(&c, 17, 1);
    opcase_input_data(&c, SHAPE(count), in);
    opcase_node(&c, "Neg", 1);
    ck_assert_int_eq(cs_graph_infer(&c.graph, c.shapes, &graph, &err), 0);
    ck_assert_int_eq(fake->device_open(&options, &device, &err), 0);
    ck_assert_uint_eq(fake->precisions(device), 1U << CS_FP32 | 1U << CS_FP16);
    ck_assert_int_eq(fake->network_open(device, &network, &err), 0);
    ck_assert_int_eq(fake->plan_open(network, &graph, CS_FP16, false, &plan, &err), 0);
    ck_assert_int_eq(fake->slot_open(network, &plan, 1, &slot, &err), 0);
    ck_assert_int_eq(fake->run_tensors(slot, plan, (const void *[]){in}, (void *[]){out}, &err), 0);
    fake->slot_close(slot);
    fake->plan_close(plan);
    fake->network_close(network);
    fake->device_close(device);
    cs_graph_release(&graph);
    opcase_release(&c);
}

START_TEST(core_binary16)
{
    static const float in[] = {1,        1 + 0x1p-11F, 1 + 0x3p-11F, 65519.9F,    65520, -1e30F,
                               0x1p-14F, 0x1.8p-25F,   0x1p-25F,     -0x1.8p-24F, 2049,  0.1F,
                               -0.0F,    0x1.ffep15F,  0x1.ffbp-15F, -INFINITY,   NAN};
    // By hand: 11 bits of significand, ties to even, subnormal steps of 2^-24.
    static const float out[] = {
        1,         1,    1 + 0x1p-9F,      65504, INFINITY,    -1e30F,       0x1p-14F, 0x1p-24F, 0,
        -0x1p-23F, 2048, 0.0999755859375F, -0.0F, 0x1.ffep15F, 0x1.ff8p-15F, -INFINITY};
    enum { COUNT = sizeof in / sizeof *in };
    float got[COUNT];
    halve(in, got, COUNT);
    for (int i = 0; i < COUNT - 1; i++) {
        float expected = fabsf(out[i]) > 65504 ? copysignf(INFINITY, out[i]) : out[i];
        ck_assert_msg(got[i] == -expected, "%a gives %a instead of %a", (double)in[i],
                      -(double)got[i], (double)expected);
    }
    ck_assert(isnan(got[COUNT - 1]));
}
END_TEST

START_TEST(core_offers)
{
    struct cs_session_info info = {.device_text = "a device"};
    struct cs_err err = {0};
    char text[64], small[8];
    cs_precision_list(1U << CS_FP32 | 1U << CS_TF32 | 1U << CS_BF16, text, sizeof text);
    ck_assert_str_eq(text, "fp32, tf32, bf16");
    cs_precision_list(15, small, sizeof small);
    ck_assert_str_eq(small, "fp32, t");
    info.precisions = 1U << CS_FP32 | 1U << CS_FP16;
    ck_assert_int_eq(cs_precision_check(&info, CS_FP16, &err), 0);
    ck_assert_int_eq(cs_precision_check(&info, CS_BF16, &err), -1);
    ck_assert_int_eq(err.code, CS_EDEVICE);
    ck_assert_str_eq(err.text, "--precision bf16: the device offers fp32, fp16 (a device)");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("precision");
    TCase *core = tcase_create("core");
    tcase_add_test(core, core_binary16);
    tcase_add_test(core, core_offers);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
