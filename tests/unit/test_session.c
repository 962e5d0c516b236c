// SPDX-License-Identifier: MIT
// A session within a limit of memory: slots by the size of the plane, plans that give way, refusals
// that leave the rest alone.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "infer/session.h"
#include "suite.h"

enum { SLOTS = 4, SMALL = 64, LARGE = 1024 };

static struct cs_package package;
static struct cs_session *session;
static struct cs_session_info info;
static struct cs_err err;

static void open_within(uint64_t memory)
{
    const struct cs_session_options o = {
        .device = "cpu", .slots = SLOTS, .threads = 1, .memory = memory};
    ck_assert_msg(cs_session_open(&session, &package, &o, &info, &err) == 0, "%s", err.text);
}

static void setup(void)
{
    char path[512];
    snprintf(path, sizeof path, "%s/models/tiny", getenv("TESTDATA"));
    ck_assert_msg(cs_package_open(&package, path, &err) == 0, "%s", err.text);
}

static void teardown(void)
{
    cs_session_close(session);
    cs_package_release(&package);
}

static int prepare(int slot, uint32_t side)
{
    const struct cs_session_key key = {.batch = 1, .height = side, .width = side};
    return cs_session_prepare(session, slot, &key, &err);
}

static int slots_of(uint32_t side)
{
    const struct cs_session_key key = {.batch = 1, .height = side, .width = side};
    return cs_session_slots(session, &key);
}

// What this process needs for the large plane on so many slots and a half.
static uint64_t half_more_than(int slots)
{
    struct cs_session_memory memory;
    const struct cs_graph *graph;
    open_within(0);
    const struct cs_session_key key = {.batch = 1, .height = LARGE, .width = LARGE};
    ck_assert_int_eq(cs_session_look(session, &key, &memory, &graph, &err), 0);
    uint64_t some = cs_session_memory_bytes(&memory, slots);
    uint64_t more = cs_session_memory_bytes(&memory, slots + 1);
    ck_assert_uint_gt(more - some, 20 << 20);
    ck_assert_uint_eq(more - some, (uint64_t)memory.slot.arena + memory.slot.workspace);
    cs_session_close(session);
    return some + (more - some) / 2;
}

START_TEST(core_slots)
{
    open_within(half_more_than(2));
    ck_assert_int_eq(slots_of(SMALL), 0); // there is no plan yet
    ck_assert_int_eq(prepare(0, SMALL), 0);
    ck_assert_int_eq(slots_of(SMALL), SLOTS);
    ck_assert_int_eq(prepare(3, SMALL), 0);
    ck_assert_int_eq(slots_of(LARGE), 0);
    ck_assert_int_eq(prepare(0, LARGE), 0);
    ck_assert_int_eq(slots_of(LARGE), 2);
    ck_assert_int_eq(prepare(1, LARGE), 0);
    ck_assert_int_eq(slots_of(SMALL), 0); // again once all slots are idle
    ck_assert_int_eq(prepare(0, SMALL), 0);
    ck_assert_int_eq(slots_of(SMALL), SLOTS);
    ck_assert_int_eq(slots_of(LARGE), 0);
}
END_TEST

START_TEST(core_no_limit)
{
    open_within(0);
    ck_assert_int_eq(prepare(0, LARGE), 0);
    ck_assert_int_eq(slots_of(LARGE), SLOTS);
    ck_assert_int_eq(prepare(0, SMALL), 0);
    ck_assert_int_eq(slots_of(SMALL), SLOTS);
    ck_assert_int_eq(slots_of(LARGE), SLOTS);
}
END_TEST

// Nothing fits a slot of the large plane; the small one is as it was.
START_TEST(limits_refusal)
{
    open_within(half_more_than(0));
    ck_assert_int_eq(prepare(0, SMALL), 0);
    ck_assert_int_eq(prepare(0, LARGE), -1);
    ck_assert_int_eq(err.code, CS_ENOMEM);
    ck_assert_msg(strstr(err.text, "1 x 1024 x 1024 pixels need ") == err.text, "%s", err.text);
    ck_assert_int_eq(prepare(0, SMALL), 0);
    ck_assert_int_eq(slots_of(SMALL), SLOTS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("session");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_checked_fixture(core, setup, teardown);
    tcase_add_checked_fixture(limits, setup, teardown);
    tcase_add_test(core, core_slots);
    tcase_add_test(core, core_no_limit);
    tcase_add_test(limits, limits_refusal);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
