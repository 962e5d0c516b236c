// SPDX-License-Identifier: MIT
// What a job reads of its image, pixel by pixel, and the pages of files that it holds meanwhile.
#include <check.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/job_area.h"
#include "backend/job_finish.h"
#include "backend/job_prepare.h"
#include "base/mem.h"
#include "planes.h"
#include "suite.h"

// ---- Areas ---------------------------------------------------------------------------------

static int64_t mirrored(int64_t i, int64_t size)
{
    while (size > 1 && (i < 0 || i >= size))
        i = i < 0 ? -i : 2 * (size - 1) - i;
    return size > 1 ? i : 0;
}

// The least and the greatest image pixel of a row that network pixels 0 .. count-1 read; `plane`:
// that it is stretched to, 0 where it is copied.
static void find_extent(int64_t origin, int64_t count, int64_t plane, int64_t size, int64_t *least,
                        int64_t *most)
{
    double shrink = (double)size / (double)plane;
    *least = size;
    *most = -1;
    for (int64_t i = origin; i < origin + count; i++)
        for (int64_t k = 0; k < size; k++) {
            bool read =
                plane ? fabs((double)k + 0.5 - ((double)i + 0.5) * shrink) < fmax(shrink, 1) - 1e-9
                      : mirrored(i, size) == k;
            *least = read && k < *least ? k : *least;
            *most = read && k > *most ? k : *most;
        }
}

// The area holds what is read and little else: of a copy inside the image nothing, of what is
// stretched two pixels on each side.
static void check_side(const struct cs_job *job, int64_t origin, int64_t count, int64_t plane,
                       int64_t size, int64_t first, int64_t extent)
{
    bool inside = origin >= 0 && origin + count <= size;
    int64_t least, most, more = job->placement == CS_PLACE_SCALE ? 2 : inside ? 0 : size;
    find_extent(origin, count, plane, size, &least, &most);
    ck_assert_int_ge(first, least - more < 0 ? 0 : least - more);
    ck_assert_int_le(first, least);
    ck_assert_int_ge(first + extent, most + 1);
    ck_assert_int_le(first + extent, most + 1 + more > size ? size : most + 1 + more);
}

START_TEST(core_image_area)
{
    uint64_t seed = 77;
    for (int round = 0; round < 400; round++) {
        bool scale = round % 2;
        struct cs_job job = {.placement = scale ? CS_PLACE_SCALE : CS_PLACE_COPY,
                             .width = 1 + planes_random(&seed) % 60,
                             .height = 1 + planes_random(&seed) % 60};
        int width = 1 + (int)(planes_random(&seed) % 50);
        int height = 1 + (int)(planes_random(&seed) % 50);
        job.x0 = (int)(planes_random(&seed) % 80) - (scale ? 0 : 40);
        job.y0 = (int)(planes_random(&seed) % 80) - (scale ? 0 : 40);
        job.scaled_width = scale ? (uint32_t)(job.x0 + width) + planes_random(&seed) % 40 : 0;
        job.scaled_height = scale ? (uint32_t)(job.y0 + height) + planes_random(&seed) % 40 : 0;
        struct cs_job_area area = cs_job_image_area(&job, width, height);
        check_side(&job, job.x0, width, job.scaled_width, job.width, area.x, area.width);
        check_side(&job, job.y0, height, job.scaled_height, job.height, area.y, area.height);
    }
}
END_TEST

// ---- Pages ---------------------------------------------------------------------------------

enum { SIDE = 7168, BYTES = SIDE * SIDE, KIB = BYTES / 1024, COLUMNS = 70 }; // whole pages

// KiB of shared mappings that this process holds.
static long held_pages(void)
{
    char line[128];
    long kib = -1;
    FILE *f = fopen("/proc/self/status", "r");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f))
        sscanf(line, "RssShmem: %ld", &kib);
    fclose(f);
    ck_assert_int_ge(kib, 0);
    return kib;
}

// An image and its map, of which no page is held.
static struct cs_job open_job(enum cs_placement placement)
{
    int fd = memfd_create("pages", MFD_CLOEXEC);
    ck_assert(fd >= 0 && ftruncate(fd, 2 * (off_t)BYTES) == 0);
    uint8_t *map = mmap(NULL, 2 * (size_t)BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert(map != MAP_FAILED);
    close(fd);
    for (size_t i = 0; i < BYTES; i++)
        map[i] = (uint8_t)(i / SIDE % 200);
    ck_assert_int_gt(held_pages(), KIB * 9 / 10);
    cs_shared_forget(map, 0, 2 * (size_t)BYTES);
    ck_assert_int_lt(held_pages(), KIB / 10);
    return (struct cs_job){.pixels = map,
                           .width = SIDE,
                           .height = SIDE,
                           .channels = 1,
                           .dtype = CS_U8,
                           .scale = {1},
                           .low = -INFINITY,
                           .high = INFINITY,
                           .placement = placement,
                           .out = map + BYTES,
                           .out_width = SIDE,
                           .out_height = SIDE,
                           .out_channels = 1,
                           .out_dtype = CS_U8,
                           .part_width = SIDE,
                           .part_height = SIDE};
}

static void close_job(const struct cs_job *job)
{
    munmap((void *)(uintptr_t)job->pixels, 2 * (size_t)BYTES);
}

// Whatever is done with them, most of their pages are let go meanwhile.
START_TEST(core_pages)
{
    static float plane[COLUMNS * SIDE], whole[COLUMNS * SIDE];
    struct cs_job job = open_job((enum cs_placement)_i);
    omp_set_num_threads(1);
    job.paged = true;
    cs_job_prepare(&job, plane, COLUMNS, SIDE, 1, 1, COLUMNS, 1);
    ck_assert_int_lt(held_pages(), KIB / 2);
    job.paged = false;
    cs_job_prepare(&job, whole, COLUMNS, SIDE, 1, 1, COLUMNS, 1);
    ck_assert_mem_eq(plane, whole, sizeof plane);
    close_job(&job);
}
END_TEST

START_TEST(core_pages_map)
{
    static float plane[COLUMNS * COLUMNS];
    struct cs_job_plane planes = {plane, 1, COLUMNS, COLUMNS, 1, COLUMNS * COLUMNS, 1, COLUMNS, 1};
    struct cs_job job = open_job(CS_PLACE_SCALE);
    for (int i = 0; i < COLUMNS * COLUMNS; i++)
        plane[i] = (float)(i % 97) / 97;
    omp_set_num_threads(1);
    job.paged = true;
    cs_job_finish(&job, &planes);
    ck_assert_int_lt(held_pages(), KIB / 2);
    uint8_t *map = job.out;
    job.out = (uint8_t *)(uintptr_t)job.pixels;
    job.paged = false;
    cs_job_finish(&job, &planes);
    ck_assert_mem_eq(map, job.out, BYTES);
    close_job(&job);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("job_area");
    TCase *core = tcase_create("core");
    tcase_add_test(core, core_image_area);
    tcase_add_loop_test(core, core_pages, CS_PLACE_COPY, CS_PLACE_PILLOW + 1);
    tcase_add_test(core, core_pages_map);
    suite_add_tcase(suite, core);
    return suite_run(suite);
}
