// SPDX-License-Identifier: MIT
// Items made ahead by several threads and written in order. What a thread makes of one input is
// recorded in memory, up to a limit; what exceeds it is left to the caller, who makes it when its
// turn has come.
#ifndef CS_STREAM_AHEAD_H
#define CS_STREAM_AHEAD_H

#include "stream/stream.h"

// ---- Frames of whole items in memory -------------------------------------------------------

struct cs_record;

// As cs_writer_begin, _data and _done. CS_ENOMEM: more than the record may hold.
int cs_record_begin(struct cs_record *record, const struct cs_meta *begin, struct cs_err *err);
int cs_record_data(struct cs_record *record, enum cs_plane plane, const struct cs_image *shape,
                   uint32_t first_row, uint32_t rows, const void *samples, struct cs_err *err);
// Space for the samples of the next band, which cs_record_data then need not copy. NULL with
// CS_ENOMEM: more than the record may hold.
void *cs_record_reserve(struct cs_record *record, size_t bytes, struct cs_err *err);
int cs_record_done(struct cs_record *record, const struct cs_meta *done, struct cs_err *err);
// Write all of it; `done` is shown every DONE. -1: the output failed.
int cs_record_write(const struct cs_record *record, struct cs_writer *writer,
                    void (*done)(const struct cs_meta *done, void *context), void *context,
                    struct cs_err *err);

// ---- Ahead ---------------------------------------------------------------------------------

struct cs_ahead;

struct cs_ahead_how {
    size_t count;      // of inputs
    int threads;       // each has one input more than is written on its way
    size_t most_bytes; // of samples of one input
    // Make all items of input i, called by thread 0..threads-1. -1: the caller is to do it.
    int (*make)(size_t i, int thread, struct cs_record *record, void *context);
    void *context;
};

// CS_ENOMEM: no threads.
int cs_ahead_open(struct cs_ahead **ahead, const struct cs_ahead_how *how, struct cs_err *err);
// The record of the next input, in order; NULL: the caller is to make its items. Borrowed until the
// next call.
const struct cs_record *cs_ahead_next(struct cs_ahead *ahead);
// Waits for what the threads have begun. Accepts NULL.
void cs_ahead_close(struct cs_ahead *ahead);

#endif
