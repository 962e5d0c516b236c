// SPDX-License-Identifier: MIT
// The loop of cs-load: all files, in order, small ones decoded ahead by several threads.
#ifndef CS_STREAM_LOAD_H
#define CS_STREAM_LOAD_H

#include "stream/loader.h"

// Share out the memory of the process: a quarter for files that are decoded ahead, by at most
// `threads` threads, as many as fit; the rest, but for the program and the ring, for the file whose
// turn it is. CS_ENOMEM: nothing is left.
int cs_load_share(struct cs_load *load, uint64_t memory, uint64_t ring_bytes, int threads,
                  struct cs_err *err);
// Write the items of all inputs, until a signal asks for an end. *failed: how many failed, each of
// which was logged. -1: the output failed.
int cs_load_run(const struct cs_load *load, struct cs_writer *writer, uint64_t *failed,
                struct cs_err *err);

#endif
