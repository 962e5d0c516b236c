// SPDX-License-Identifier: MIT
// Which images share a batch, which are cut into tiles, and which fail before they are run.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "infer/batcher.h"
#include "suite.h"

static struct cs_package package;
static struct cs_recipe recipe;
static struct cs_buffers pool;
static struct cs_err err;

// The small test package, with a network that needs 1 MiB and 100 bytes a pixel and slot.
static void setup_slots(struct cs_infer_options o, int slots, uint64_t memory, bool tile_safe)
{
    char path[512];
    snprintf(path, sizeof path, "%s/models/tiny", getenv("TESTDATA"));
    ck_assert_msg(cs_package_open(&package, path, &err) == 0, "%s", err.text);
    struct cs_session_info info = {
        .channels = 1,
        .maps = 2,
        .max_batch = CS_MAX_BATCH,
        .same_size = true,
        .sources = {{.activation = CS_ACT_SIGMOID}, {.output = 1, .channel = 3}},
        .tile_safe = tile_safe,
        .unsafe = "GlobalAveragePool gap",
        .stride = 4,
        .halo = 11,
        .margin = 12,
        .fixed_bytes = 1 << 20,
        .probe_bytes = 100 * 64 * 64,
        .probe_height = 64,
        .probe_width = 64,
    };
    o.tool = "cs-infer";
    o.map = CS_U16;
    ck_assert_msg(cs_recipe_init(&recipe, &package, &info, &o, slots, 1, memory, &err) == 0, "%s",
                  err.text);
    cs_buffers_init(&pool);
}

static void setup_with(struct cs_infer_options o, uint64_t memory, bool tile_safe)
{
    setup_slots(o, 1, memory, tile_safe);
}

static void teardown(void)
{
    cs_buffers_release(&pool);
    cs_package_release(&package);
}

static struct cs_draft draft_of(uint32_t width, uint32_t height, int channels)
{
    struct cs_item item = {.number = 1};
    struct cs_draft draft;
    cs_meta_set(&item.done, CS_KEY_STATUS, "ok");
    if (width && cs_image_init(&item.planes[CS_PLANE_IMAGE], width, height, (uint16_t)channels,
                               CS_U8, 0, NULL, &err) != 0)
        ck_abort();
    for (uint32_t i = 0; i < width * height * (uint32_t)channels; i++)
        ((uint8_t *)item.planes[CS_PLANE_IMAGE].data)[i] = (uint8_t)(i * 7);
    cs_draft_make(&draft, &item, &recipe, &pool);
    cs_item_release(&item);
    return draft;
}

static void drop(struct cs_draft *draft)
{
    cs_item_release(&draft->unit.item);
    cs_buffer_release(&pool, draft->unit.buffer);
    free(draft->works);
}

static void fails_with(struct cs_draft draft, const char *words)
{
    ck_assert(cs_item_failed(&draft.unit.item));
    ck_assert_ptr_null(draft.unit.buffer);
    ck_assert_int_eq(draft.work_count, 0);
    const char *text = cs_meta_get(&draft.unit.item.done, CS_KEY_ERROR_TEXT);
    ck_assert_msg(strstr(text, words) != NULL, "'%s' lacks '%s'", text, words);
    drop(&draft);
}

START_TEST(core_batches)
{
    // Sizes in order; a batch ends before another size of the plane, and after three.
    static const uint32_t widths[] = {30, 32, 31, 29, 40, 40, 0, 40, 40, 8, 30};
    static const char expected[] = "30 32 31|29|40 40 0 40|40|8|30|";
    char got[128] = "";
    setup_with((struct cs_infer_options){.batch = 3}, (uint64_t)1 << 30, true);
    struct cs_batch *batch = cs_batch_new();
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        struct cs_draft draft = draft_of(widths[i], widths[i] ? 32 : 0, 1);
        size_t used = strlen(got);
        if (!cs_batch_takes(batch, &draft, &recipe)) {
            cs_batch_free(batch, &pool);
            batch = cs_batch_new();
            snprintf(got + used, sizeof got - used, "|%u", widths[i]);
        } else {
            snprintf(got + used, sizeof got - used, "%s%u", batch->unit_count ? " " : "",
                     widths[i]);
        }
        ck_assert(cs_batch_takes(batch, &draft, &recipe));
        cs_batch_add(batch, &draft, &recipe);
        ck_assert_int_eq(batch->full, batch->images == 3);
    }
    strncat(got, "|", 2);
    ck_assert_str_eq(got, expected);
    cs_batch_free(batch, &pool);
    teardown();
}
END_TEST

// Each plane size alone differs; and the bytes that a batch's images may have.
START_TEST(core_batch_limits)
{
    setup_with((struct cs_infer_options){.batch = 8}, (uint64_t)1 << 30, true);
    struct cs_batch *batch = cs_batch_new();
    struct cs_draft first = draft_of(32, 32, 1), higher = draft_of(32, 36, 1);
    struct cs_draft wider = draft_of(36, 32, 1);
    cs_batch_add(batch, &first, &recipe);
    ck_assert(!cs_batch_takes(batch, &higher, &recipe));
    ck_assert(!cs_batch_takes(batch, &wider, &recipe));
    drop(&higher);
    drop(&wider);
    cs_batch_free(batch, &pool);
    // One slot has a batch, one is ready, one is written.
    batch = cs_batch_new();
    first = draft_of(180, 150, 1);
    cs_batch_add(batch, &first, &recipe);
    struct cs_draft second = draft_of(180, 150, 1);
    recipe.image_bytes = 3 * (batch->bytes + second.bytes) - 1;
    ck_assert(!cs_batch_takes(batch, &second, &recipe));
    recipe.image_bytes++;
    ck_assert(cs_batch_takes(batch, &second, &recipe));
    drop(&second);
    cs_batch_free(batch, &pool);
    teardown();
}
END_TEST

// Failed items wait in their places, but not for an image that may never come.
START_TEST(core_failed_riders)
{
    setup_with((struct cs_infer_options){.batch = 8}, (uint64_t)1 << 30, true);
    struct cs_batch *batch = cs_batch_new();
    while (!batch->full && batch->unit_count < 1000) {
        struct cs_draft draft = draft_of(0, 0, 1);
        ck_assert(cs_batch_takes(batch, &draft, &recipe));
        cs_batch_add(batch, &draft, &recipe);
    }
    ck_assert_int_eq(batch->unit_count, 64);
    ck_assert_int_eq(batch->works_left, 0);
    cs_batch_free(batch, &pool);
    teardown();
}
END_TEST

START_TEST(core_jobs)
{
    setup_with((struct cs_infer_options){.batch = 1}, (uint64_t)1 << 30, true);
    struct cs_draft draft = draft_of(30, 17, 3);
    ck_assert_int_eq(draft.work_count, 1);
    ck_assert_uint_eq(draft.plane_width, 32);
    ck_assert_uint_eq(draft.plane_height, 20);
    const struct cs_job *job = &draft.works[0].job;
    ck_assert_ptr_eq(job->pixels, draft.unit.buffer->data);
    ck_assert_uint_ge(draft.unit.out_offset, 30 * 17 * 3);
    ck_assert_uint_eq(draft.unit.out_offset % (size_t)sysconf(_SC_PAGESIZE), 0);
    ck_assert_int_eq(job->from[0], -1); // the package asks for the mean
    ck_assert_uint_eq(job->out_channels, 2);
    ck_assert_uint_eq(job->part_width, 30);
    ck_assert_uint_eq(job->part_height, 17);
    ck_assert_int_eq(job->out_from[0].activation, CS_ACT_SIGMOID);
    ck_assert_int_eq(job->out_from[1].output, 1);
    ck_assert_int_eq(job->out_from[1].channel, 3);
    ck_assert(job->scale[0] > 0);
    ck_assert_float_eq(job->high, 2);
    drop(&draft);
    teardown();
}
END_TEST

START_TEST(core_tiles_when_memory_is_short)
{
    // Three quarters of 5 MiB, less a reserve and what is fixed: 163 x 163 at 100 bytes a pixel; a
    // quarter holds the image.
    setup_with((struct cs_infer_options){.batch = 4}, 5 << 20, true);
    struct cs_draft draft = draft_of(400, 300, 1);
    ck_assert_int_gt(draft.work_count, 1);
    ck_assert_uint_le(draft.plane_width * draft.plane_height, 160 * 168);
    uint64_t covered = 0;
    for (int i = 0; i < draft.work_count; i++)
        covered += (uint64_t)draft.works[i].job.part_width * draft.works[i].job.part_height;
    ck_assert_uint_eq(covered, 400 * 300);
    struct cs_batch *batch = cs_batch_new();
    cs_batch_add(batch, &draft, &recipe);
    ck_assert(batch->full);
    ck_assert_int_eq(batch->run_limit, 1);
    cs_batch_free(batch, &pool);
    // A batch shrinks before an image is cut.
    draft = draft_of(100, 100, 1);
    ck_assert_int_eq(draft.work_count, 1);
    batch = cs_batch_new();
    cs_batch_add(batch, &draft, &recipe);
    ck_assert_int_eq(batch->run_limit, 2);
    cs_batch_free(batch, &pool);
    teardown();
}
END_TEST

// Of 16 MiB 12 are the worker's, 1 is fixed, and 5 % are a margin: 10.4 MiB for slots.
START_TEST(core_sharing)
{
    static const struct {
        uint32_t side; // of planes
        int together, slots;
    } expected[] = {
        {64, 6, 4},  // 4 slots x 6 planes x 0.39 MiB
        {80, 4, 4},  // 0.61
        {128, 1, 4}, // 1.6
        {180, 1, 3}, // 3.1
        {240, 1, 1}, // 5.5
    };
    setup_slots((struct cs_infer_options){.batch = 8}, 4, 16 << 20, false);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct cs_draft draft = draft_of(expected[i].side, expected[i].side, 1);
        struct cs_batch *batch = cs_batch_new();
        ck_assert_int_eq(draft.work_count, 1);
        cs_batch_add(batch, &draft, &recipe);
        ck_assert_int_eq(batch->run_limit, expected[i].together);
        ck_assert_int_eq(batch->slots, expected[i].slots);
        cs_batch_free(batch, &pool);
    }
    fails_with(draft_of(340, 340, 1), "--memory 32M or --fit tile would do");
    teardown();
    // The largest tile that all slots can run; fewer slots where much less of it would be overlap.
    setup_slots((struct cs_infer_options){.batch = 8}, 4, 64 << 20, true);
    struct cs_draft draft = draft_of(700, 700, 1);
    ck_assert_int_eq(draft.slots, 4);
    ck_assert_uint_eq(draft.plane_width, 252); // 340 would do, for as many of them
    drop(&draft);
    teardown();
    setup_slots((struct cs_infer_options){.batch = 8}, 8, 2 << 20, true);
    draft = draft_of(200, 200, 1);
    ck_assert_uint_eq(draft.plane_width, 60);
    ck_assert_int_eq(draft.slots, 1);
    drop(&draft);
    teardown();
    // The session itself takes fewer slots where they are flexible: tiles are as large as one can.
    setup_slots((struct cs_infer_options){.batch = 8}, 4, 64 << 20, true);
    draft = draft_of(3000, 3000, 1);
    uint32_t shared = draft.plane_width;
    drop(&draft);
    recipe.info.flexible = true;
    draft = draft_of(3000, 3000, 1);
    uint32_t alone = draft.plane_width;
    ck_assert_uint_gt(alone, shared);
    drop(&draft);
    // Large planes have half as much for each pixel as the small one.
    recipe.info.large_bytes = 50 * 512 * 512;
    recipe.info.large_pixels = 512 * 512;
    draft = draft_of(3000, 3000, 1);
    ck_assert_uint_gt(draft.plane_width, alone);
    drop(&draft);
    teardown();
}
END_TEST

// An image that exceeds the quarter lies in the scratch folder, and the worker keeps its share.
START_TEST(core_large_images)
{
    setup_with((struct cs_infer_options){.batch = 8}, 16 << 20, true);
    struct cs_draft draft = draft_of(900, 800, 1); // 3.4 MiB with maps
    ck_assert(!draft.unit.buffer->scratch);
    ck_assert(!draft.works[0].job.paged);
    uint32_t side = draft.plane_width;
    drop(&draft);
    draft = draft_of(1000, 900, 1); // 4.3 MiB
    ck_assert(draft.unit.buffer->scratch);
    ck_assert(draft.works[0].job.paged);
    ck_assert_int_gt(draft.work_count, 1);
    ck_assert_uint_gt(2 * draft.plane_width, side);
    const uint8_t *pixels = draft.unit.buffer->data;
    for (uint32_t i = 0; i < 1000 * 900; i++)
        ck_assert_uint_eq(pixels[i], (uint8_t)(i * 7));
    cs_buffer_discard(draft.unit.buffer, 0, 8192); // reads as zeros: the place is gone
    ck_assert_uint_eq(pixels[1], 0);
    ck_assert_uint_eq(pixels[8193], (uint8_t)(8193 * 7));
    drop(&draft);
    pool.scratch_dir = "/nowhere";
    fails_with(draft_of(2000, 1000, 1), "scratch folder /nowhere");
    teardown();
}
END_TEST

START_TEST(limits_memory)
{
    struct cs_session_info info = {
        .channels = 1,
        .maps = 2,
        .max_batch = 1,
        .same_size = true,
        .stride = 4,
        .fixed_bytes = 30 << 20,
        .probe_bytes = 1 << 20,
        .probe_height = 64,
        .probe_width = 64,
    };
    struct cs_infer_options o = {.tool = "cs-infer"};
    char path[512];
    snprintf(path, sizeof path, "%s/models/tiny", getenv("TESTDATA"));
    ck_assert_int_eq(cs_package_open(&package, path, &err), 0);
    ck_assert_int_eq(cs_recipe_init(&recipe, &package, &info, &o, 1, 1, 10 << 10, &err), -1);
    ck_assert_int_eq(err.code, CS_ENOMEM);
    ck_assert_str_eq(err.text, "the network needs 31 MiB for one plane of 64 x 64, there are "
                               "7.5 KiB: --memory 48M would do");
    ck_assert_int_eq(cs_recipe_init(&recipe, &package, &info, &o, 1, 1, 48 << 20, &err), 0);
    cs_package_release(&package);

    setup_with((struct cs_infer_options){.batch = 1}, 4 << 20, false);
    fails_with(draft_of(400, 300, 1), "not safe to tile (GlobalAveragePool gap)");
    teardown();
    setup_with((struct cs_infer_options){.fit = CS_INFER_FIT_TILE}, 2 << 20, false);
    fails_with(draft_of(200, 150, 1), "for one plane of 132 x 132");
    teardown();
}
END_TEST

START_TEST(limits_images)
{
    setup_with((struct cs_infer_options){.fit = CS_INFER_FIT_NATIVE}, (uint64_t)1 << 30, true);
    fails_with(draft_of(0, 0, 1), "no image plane");
    fails_with(draft_of(30, 32, 1), "--fit pad");
    struct cs_draft draft = draft_of(32, 32, 1);
    ck_assert(!cs_item_failed(&draft.unit.item));
    drop(&draft);
    teardown();
}
END_TEST

START_TEST(limits_recipe)
{
    struct cs_session_info info = {.channels = 1, .maps = 2, .max_batch = 1, .stride = 4};
    struct cs_infer_options o = {.tool = "cs-infer", .batch = 8};
    char path[512];
    snprintf(path, sizeof path, "%s/models/tiny", getenv("TESTDATA"));
    ck_assert_int_eq(cs_package_open(&package, path, &err), 0);
    ck_assert_int_eq(cs_recipe_init(&recipe, &package, &info, &o, 1, 1, 1 << 30, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "another size"));
    info.same_size = true;
    ck_assert_int_eq(cs_recipe_init(&recipe, &package, &info, &o, 1, 1, 1 << 30, &err), 0);
    ck_assert_int_eq(recipe.batch, 1); // the network takes one at a time
    info.channels = 3;
    ck_assert_int_eq(cs_recipe_init(&recipe, &package, &info, &o, 1, 1, 1 << 30, &err), -1);
    cs_package_release(&package);
}
END_TEST

START_TEST(core_buffers)
{
    cs_buffers_init(&pool);
    struct cs_buffer *a = cs_buffer_acquire(&pool, 100, false, &err);
    struct cs_buffer *b = cs_buffer_acquire(&pool, 100, false, &err);
    ck_assert_int_ne(a->id, b->id);
    uint32_t generation = a->generation;
    void *data = a->data;
    cs_buffer_release(&pool, a);
    a = cs_buffer_acquire(&pool, 200, false, &err); // fits: the same memory again
    ck_assert_ptr_eq(a->data, data);
    ck_assert_uint_eq(a->generation, generation);
    cs_buffer_release(&pool, a);
    a = cs_buffer_acquire(&pool, (size_t)65 << 20, false, &err); // larger: another memory
    ck_assert_uint_ne(a->generation, generation);
    memset(a->data, 1, (size_t)65 << 20);
    cs_buffer_release(&pool, a); // and given back
    ck_assert_int_eq(a->fd, -1);
    ck_assert_ptr_null(cs_buffer_acquire(&pool, SIZE_MAX / 2 + 1, false, &err));
    ck_assert_int_eq(err.code, CS_ENOMEM);
    cs_buffer_release(&pool, b);
    cs_buffer_release(&pool, NULL);
    cs_buffers_release(&pool);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batcher");
    TCase *core = tcase_create("core"), *limits = tcase_create("limits");
    tcase_add_test(core, core_batches);
    tcase_add_test(core, core_batch_limits);
    tcase_add_test(core, core_failed_riders);
    tcase_add_test(core, core_jobs);
    tcase_add_test(core, core_tiles_when_memory_is_short);
    tcase_add_test(core, core_buffers);
    tcase_add_test(core, core_sharing);
    tcase_add_test(core, core_large_images);
    tcase_add_test(limits, limits_memory);
    tcase_add_test(limits, limits_images);
    tcase_add_test(limits, limits_recipe);
    suite_add_tcase(suite, core);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
