// SPDX-License-Identifier: MIT
#include "infer/tuned.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/num.h"
#include "infer/session.h"
#include "infer/tuning.h"

enum { MAX_CLASS = 1 << 24 };

int cs_untuned_slots(const struct cs_device_choice *device, int threads, int64_t inputs)
{
    enum { MOST = 8, IMAGES = 4, ON_GPU = 4 };
    int slots = threads < MOST ? threads : MOST;
    if (strcmp(device->backend, "cpu") != 0)
        return strcmp(device->backend, "cuda") == 0 ? ON_GPU : 1;
    if (inputs > 0 && inputs < (int64_t)IMAGES * slots)
        slots = (int)(inputs / IMAGES);
    slots = slots > 0 ? slots : 1;
    while (threads % slots)
        slots--;
    return slots;
}

uint32_t cs_tuned_class(uint32_t width, uint32_t height)
{
    double area = (double)width * height;
    uint32_t side = 1;
    while (side < MAX_CLASS && 2.0 * side * side < area)
        side *= 2;
    return side;
}

// The key's texts.
struct about {
    char weights[CS_SHA256_HEX], device[160];
};

// The device is opened for its name alone, and with all threads: a slot's share of them is part of
// what is chosen. Weights without a hash in the description are hashed.
static int describe(const struct cs_package *package, const struct cs_device_choice *device,
                    int threads, struct about *about, struct cs_err *err)
{
    const struct cs_backend *backend = cs_backend_get(device->backend, err);
    struct cs_device_options options = {.threads = threads, .detail = device->detail};
    struct cs_device *opened;
    if (!backend)
        return -1;
    if (package->weights_sha256)
        snprintf(about->weights, sizeof about->weights, "%s", package->weights_sha256);
    else if (cs_package_check_file(package->weights_path, NULL, about->weights, err) != 0)
        return -1;
    if (backend->device_open(&options, &opened, err) != 0)
        return -1;
    snprintf(about->device, sizeof about->device, "%s", backend->device_text(opened));
    backend->device_close(opened);
    return 0;
}

static int read_values(const char *folder, const struct about *about, struct cs_meta *values,
                       struct cs_err *err)
{
    const struct cs_tuning_key key = {"slots", about->weights, about->device};
    return cs_tuning_read(folder, &key, values, err);
}

// "1024.slots" and the like; fields in this order.
static const char *const fields[] = {"slots", "batch", "images_per_second"};

static void name_of(uint32_t side, int field, char name[48])
{
    snprintf(name, 48, "%u.%s", side, fields[field]);
}

static uint32_t largest_class(const struct cs_meta *values)
{
    uint32_t largest = 0;
    for (int i = 0; i < values->count; i++) {
        const char *key = values->pairs[i].key, *dot = strchr(key, '.');
        char number[16];
        int64_t side;
        if (!dot || strcmp(dot + 1, fields[0]) != 0 || dot - key >= (int)sizeof number)
            continue;
        snprintf(number, sizeof number, "%.*s", (int)(dot - key), key);
        if (cs_num_int(number, 1, MAX_CLASS, "class", &side, NULL) == 0 && side > largest)
            largest = (uint32_t)side;
    }
    return largest;
}

static int take(const struct cs_meta *values, uint32_t side, struct cs_tuned *tuned,
                struct cs_err *err)
{
    char name[48];
    int64_t slots, batch;
    name_of(side, 0, name);
    if (cs_meta_int(values, name, 1, CS_MAX_SLOTS, 0, &slots, err) != 0)
        return -1;
    name_of(side, 1, name);
    if (cs_meta_int(values, name, 1, CS_MAX_BATCH, 0, &batch, err) != 0)
        return -1;
    name_of(side, 2, name);
    if (cs_meta_real(values, name, 0, 1e12, 0, &tuned->images_per_second, err) != 0)
        return -1;
    tuned->slots = (int)slots;
    tuned->batch = (int)batch;
    return slots && batch;
}

int cs_tuned_read(const char *folder, const struct cs_package *package,
                  const struct cs_device_choice *device, int threads, uint32_t width,
                  uint32_t height, struct cs_tuned *tuned, struct cs_err *err)
{
    struct about about;
    struct cs_meta values = {0};
    if (describe(package, device, threads, &about, err) != 0)
        return -1;
    int result = read_values(folder, &about, &values, err);
    if (result > 0)
        result = take(&values, width ? cs_tuned_class(width, height) : largest_class(&values),
                      tuned, err);
    cs_meta_release(&values);
    return result;
}

int cs_tuned_write(const char *folder, const struct cs_package *package,
                   const struct cs_device_choice *device, int threads, uint32_t width,
                   uint32_t height, const struct cs_tuned *tuned, struct cs_err *err)
{
    struct about about;
    struct cs_meta values = {0};
    uint32_t side = cs_tuned_class(width, height);
    char name[48];
    if (describe(package, device, threads, &about, err) != 0)
        return -1;
    read_values(folder, &about, &values, NULL); // a broken file is replaced
    name_of(side, 0, name);
    cs_meta_setf(&values, name, "%d", tuned->slots);
    name_of(side, 1, name);
    cs_meta_setf(&values, name, "%d", tuned->batch);
    name_of(side, 2, name);
    cs_meta_setf(&values, name, "%.2f", tuned->images_per_second);
    const struct cs_tuning_key key = {"slots", about.weights, about.device};
    int result = cs_tuning_write(folder, &key, &values, err);
    cs_meta_release(&values);
    return result;
}
