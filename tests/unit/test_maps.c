// SPDX-License-Identifier: MIT
// Which outputs of a network a package's maps come from (infer/maps.h).
#include <string.h>

#include "infer/maps.h"
#include "opcase.h"
#include "suite.h"

static struct cs_err err;

// Outputs "plane" (1 channel), "vector", "pair" (2 channels), each made by a node of its own.
static void make_network(struct opcase *c)
{
    static const char *const names[] = {"plane", "vector", "pair"};
    opcase_init(c, 17, 1);
    int x = opcase_input(c, SHAPE(1, 2, 4, 4));
    int made[3];
    opcase_weight(c, SHAPE(1, 2, 1, 1));
    opcase_node(c, "Conv", 1);
    made[0] = c->graph.outputs[0];
    opcase_value(c, x);
    opcase_node(c, "Flatten", 1);
    made[1] = c->graph.outputs[0];
    opcase_value(c, x);
    opcase_node(c, "Relu", 1);
    made[2] = c->graph.outputs[0];
    c->graph.output_count = 0;
    for (int i = 0; i < 3; i++) {
        c->graph.values[made[i]].name = names[i];
        cs_graph_add_output(&c->graph, made[i]);
    }
    ck_assert_msg(cs_graph_finish(&c->graph, &err) == 0, "%s", err.text);
}

static void add_output(struct cs_package *p, const char *name, bool image)
{
    struct cs_tensor_spec *spec = &p->outputs[p->output_count++];
    spec->name = name;
    spec->axis_count = image ? 4 : 2;
    for (int i = 0; i < spec->axis_count; i++)
        spec->axes[i].kind = (enum cs_axis_kind)i;
}

static int choose(struct opcase *c, const struct cs_package *p, bool keep_all,
                  struct cs_session_info *info)
{
    *info = (struct cs_session_info){.maps = 0};
    make_network(c);
    return cs_maps_choose(p, keep_all, &c->graph, info, &err);
}

static int check(struct opcase *c, const struct cs_package *p, uint32_t side,
                 struct cs_session_info *info)
{
    struct cs_graph concrete;
    ck_assert_msg(cs_graph_infer(&c->graph, c->shapes, &concrete, &err) == 0, "%s", err.text);
    int result = cs_maps_check(p, &concrete, side, side, info, &err);
    cs_graph_release(&concrete);
    return result;
}

START_TEST(core_by_name)
{
    struct opcase c;
    struct cs_session_info info;
    struct cs_package p = {.map_output = -1, .map_count = 2};
    add_output(&p, "vector", false);
    add_output(&p, "pair", true);
    add_output(&p, "plane", true);
    p.outputs[2].steps[p.outputs[2].step_count++].op = CS_STEP_SIGMOID;
    p.maps[0] = (struct cs_package_map){"b", 1, 1};
    p.maps[1] = (struct cs_package_map){"a", 2, 0};
    ck_assert_msg(choose(&c, &p, false, &info) == 0, "%s", err.text);
    ck_assert_str_eq(info.unused, "vector");
    ck_assert_int_eq(c.graph.output_count, 2);
    ck_assert_int_eq(c.graph.node_count, 2); // Flatten went with its output
    ck_assert_int_eq(info.output_of[0], -1);
    ck_assert_int_eq(check(&c, &p, 4, &info), 0);
    ck_assert_int_eq(info.maps, 2);
    ck_assert(info.same_size);
    const int first = info.sources[0].output, second = info.sources[1].output;
    ck_assert_str_eq(c.graph.values[c.graph.outputs[first]].name, "pair");
    ck_assert_int_eq(info.sources[0].channel, 1);
    ck_assert_int_eq(info.sources[0].activation, CS_ACT_NONE);
    ck_assert_str_eq(c.graph.values[c.graph.outputs[second]].name, "plane");
    ck_assert_int_eq(info.sources[1].activation, CS_ACT_SIGMOID);
    ck_assert_int_eq(check(&c, &p, 8, &info), 0);
    ck_assert(!info.same_size);
    p.maps[1].channel = 1;
    opcase_release(&c);
    ck_assert_int_eq(choose(&c, &p, true, &info), 0);
    ck_assert_int_eq(c.graph.output_count, 3);
    ck_assert_int_eq(info.output_of[0], 1);
    ck_assert_int_eq(info.sources[1].output, 0);
    ck_assert_int_eq(check(&c, &p, 4, &info), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "map a: output plane has no channel 1"));
    opcase_release(&c);
}
END_TEST

START_TEST(core_by_place)
{
    struct opcase c;
    struct cs_session_info info;
    struct cs_package p = {.map_output = 0};
    add_output(&p, "mask", true);
    ck_assert_int_eq(choose(&c, &p, false, &info), 0);
    ck_assert_str_eq(info.unused, "vector, pair");
    ck_assert_int_eq(check(&c, &p, 4, &info), 0);
    ck_assert_int_eq(info.maps, 1);
    opcase_release(&c);

    p.map_output = 2; // all channels of one output
    add_output(&p, "vector", false);
    add_output(&p, "third", true);
    ck_assert_int_eq(choose(&c, &p, false, &info), 0);
    ck_assert_int_eq(check(&c, &p, 4, &info), 0);
    ck_assert_int_eq(info.maps, 2);
    ck_assert_int_eq(info.sources[1].channel, 1);
    p.map_count = 3;
    ck_assert_int_eq(check(&c, &p, 4, &info), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "names 3 output channels, the network gives 2"));
    opcase_release(&c);
}
END_TEST

START_TEST(limits_outputs)
{
    struct opcase c;
    struct cs_session_info info;
    struct cs_package p = {.map_output = 1};
    add_output(&p, "a", true);
    add_output(&p, "b", true);
    ck_assert_int_eq(choose(&c, &p, false, &info), 0);
    ck_assert_int_eq(check(&c, &p, 4, &info), -1); // the vector
    ck_assert_ptr_nonnull(strstr(err.text, "vector is not N, C, H, W"));
    opcase_release(&c);
    add_output(&p, "c", true);
    add_output(&p, "d", true);
    ck_assert_int_eq(choose(&c, &p, false, &info), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "describes 4 outputs, the network has 3"));
    opcase_release(&c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("maps");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_by_name);
    tcase_add_test(core, core_by_place);
    tcase_add_test(limits, limits_outputs);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
