// SPDX-License-Identifier: MIT
// Whether the device can be trusted: a circuit breaker. It only counts and decides; the caller
// runs the checks and tells the time.
//
// A failed run alone does not say who is at fault, the image or the device. So when three runs in a
// row have failed, or one image is to be given up, the device is asked: it runs the network over
// a small plane of nothing. If it can, the breaker stays closed: the images were at fault. If it
// cannot, the breaker opens: nothing is run, no image is blamed, and after a pause the device is
// asked again. At the third opening the device is lost. Openings are forgotten after a hundred
// good runs.
#ifndef CS_INFER_BREAKER_H
#define CS_INFER_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum { CS_BREAKER_ERRORS = 3, CS_BREAKER_OPENINGS = 3, CS_BREAKER_FORGETS = 100 };

enum cs_breaker_state {
    CS_BREAKER_CLOSED,
    CS_BREAKER_ASKING, // the device is to be asked before anything else
    CS_BREAKER_OPEN,   // the same, but not before `until`
    CS_BREAKER_LOST,
};

struct cs_breaker {
    enum cs_breaker_state state;
    double pause;    // seconds
    double until;    // while open: when to ask
    int errors;      // in a row
    int openings;    // that are not forgotten
    int good;        // runs since the last opening
    uint64_t proofs; // how often the device was seen to work
};

void cs_breaker_init(struct cs_breaker *breaker, double pause);
// A run was done: the device works.
void cs_breaker_good(struct cs_breaker *breaker);
// A run failed in a way that may be the device's fault.
void cs_breaker_error(struct cs_breaker *breaker);
// Ask the device next, whatever the count.
void cs_breaker_ask(struct cs_breaker *breaker);
// Whether the device is to be asked now.
bool cs_breaker_asks(const struct cs_breaker *breaker, double now);
// What came of it. Where a worker cannot even be started, that is an answer too.
void cs_breaker_answer(struct cs_breaker *breaker, bool works, double now);
// The run is to end: no more pauses, the next opening is the last.
void cs_breaker_hasten(struct cs_breaker *breaker);

#endif
