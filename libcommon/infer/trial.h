// SPDX-License-Identifier: MIT
// A network at work on drawn images, for measurements: what cs-infer's worker does with batches on
// its slots, without the streams around it. The jobs are those that cs-infer would make.
#ifndef CS_INFER_TRIAL_H
#define CS_INFER_TRIAL_H

#include "infer/session.h"

struct cs_trial;

struct cs_trial_options {
    const char *backend, *detail;
    int threads;            // of all slots together; 0: all that may be used
    int slots;              // 1 to CS_MAX_SLOTS
    bool direct;            // convolutions by direct sums only
    uint32_t width, height; // of the images; 0: the plane that the model asks for, else 1024
};

// Load the network. CS_ENOMEM for images that cs-infer would run in tiles. The package is borrowed.
int cs_trial_open(struct cs_trial **trial, const struct cs_package *package,
                  const struct cs_trial_options *options, struct cs_err *err);
void cs_trial_close(struct cs_trial *trial); // accepts NULL

// What it met; valid as long as the trial.
struct cs_trial_facts {
    struct cs_session *session;
    const struct cs_session_info *info;
    uint32_t width, height;             // of the images
    uint32_t plane_width, plane_height; // of the network
    int threads;                        // of one slot
    double draft_seconds;               // an image's statistics and copy, in the reader's thread
};
struct cs_trial_facts cs_trial_facts(const struct cs_trial *trial);

// Make all slots ready for batches of this size (at most info->max_batch), in a precision that the
// device offers, and run one on each.
int cs_trial_prepare(struct cs_trial *trial, int batch, enum cs_precision precision,
                     struct cs_err *err);
// One batch on slot 0.
int cs_trial_run(struct cs_trial *trial, struct cs_err *err);
// Batches on the first `slots` slots at once, each slot's own thread, for at least this time.
int cs_trial_rate(struct cs_trial *trial, int slots, double seconds, double *images_per_second,
                  struct cs_err *err);

#endif
