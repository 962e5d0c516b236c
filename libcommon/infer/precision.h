// SPDX-License-Identifier: MIT
// Which precision a network runs in. What a device offers is the backend's to say; a reduced one is
// taken unasked only where the package's own test agrees on this device and time is gained.
#ifndef CS_INFER_PRECISION_H
#define CS_INFER_PRECISION_H

#include "infer/check.h"

enum { CS_PRECISION_AUTO = -1 };

// What the rule asks of a reduced precision: masks that overlap by this much (intersection over
// union), and a run that takes at most this part of fp32's time.
#define CS_PRECISION_MIN_IOU  0.995
#define CS_PRECISION_MAX_TIME 0.95

// "fp32, fp16"
void cs_precision_list(unsigned offered, char *text, size_t size);

// CS_EDEVICE with what is offered, when `precision` is not.
int cs_precision_check(const struct cs_session_info *info, enum cs_precision precision,
                       struct cs_err *err);

// Run the package's test in fp32 and in each reduced precision that the device offers, and name
// the fastest that the rule allows: fp32 where there is no test, nothing else is offered, or none
// passes. A precision that fails to run is passed over with a warning in the log. What was found is
// kept in the cache folder (tuning.h) where there is one. Slot 0 must be idle.
int cs_precision_measure(struct cs_session *session, const struct cs_package *package,
                         const struct cs_session_info *info, const char *cache,
                         enum cs_precision *best, struct cs_err *err);

// What the user's word means here: `asked` itself, if offered; for CS_PRECISION_AUTO what the
// cache says of this network and device, else what is measured now, and fp32 where that fails.
int cs_precision_choose(struct cs_session *session, const struct cs_package *package,
                        const struct cs_session_info *info, int asked, const char *cache,
                        enum cs_precision *chosen, struct cs_err *err);

#endif
