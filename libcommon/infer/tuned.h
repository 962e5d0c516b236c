// SPDX-License-Identifier: MIT
// What "auto" slots and batches are for a network on a device: the choice that cs-model tune
// measured and kept (tuning.h, subject "slots"), one for each class of plane sizes. Results do not
// depend on it.
#ifndef CS_INFER_TUNED_H
#define CS_INFER_TUNED_H

#include "infer/device.h"
#include "model/package.h"

struct cs_tuned {
    int slots, batch;
    double images_per_second; // as measured
};

// The class of a plane: the side of a square, a power of two, of the nearest area.
uint32_t cs_tuned_class(uint32_t width, uint32_t height);

// The choice for these weights on the device, opened with so many threads in all. width 0: the size
// of the planes is not known, and the largest class that was measured counts. 1, or 0 where nothing
// is kept; -1 with the reason for a file that is broken or foreign.
int cs_tuned_read(const char *folder, const struct cs_package *package,
                  const struct cs_device_choice *device, int threads, uint32_t width,
                  uint32_t height, struct cs_tuned *tuned, struct cs_err *err);

// Slots where nothing is kept. On the CPU threads wait for each other at every layer of a network:
// a slot for each, at most 8, gives more images a second, once every slot has four of the `inputs`
// (0: not known how many, taken for many). All have as many threads. A GPU: 4. Others: 1.
int cs_untuned_slots(const struct cs_device_choice *device, int threads, int64_t inputs);

// Keep a choice beside those of other classes.
int cs_tuned_write(const char *folder, const struct cs_package *package,
                   const struct cs_device_choice *device, int threads, uint32_t width,
                   uint32_t height, const struct cs_tuned *tuned, struct cs_err *err);

#endif
