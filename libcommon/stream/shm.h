// SPDX-License-Identifier: MIT
// Payloads in shared memory, over one pipe: a memfd that the writer fills and the reader maps
// read-only, and a credit pipe for what the reader gave back. Neither has a name; the reader finds
// both through /proc by an offer in HEAD, so that nothing can be left behind. Only pixels lie in
// the shared area, nothing that is parsed. The pipe orders the memory: pixels are written before
// the header that tells of them.
#ifndef CS_STREAM_SHM_H
#define CS_STREAM_SHM_H

#include <stdbool.h>

#include "base/meta.h"

enum {
    CS_SHM_NONCE = 32,     // random bytes at offset 0 of the area, in hex in the offer
    CS_SHM_FIRST = 4096,   // first offset of payloads
    CS_SHM_INFLIGHT = 256, // frames not given back: their credits fit the smallest pipe (a page)
};
#define CS_SHM_MIN_BYTES ((uint64_t)64 << 10)
#define CS_SHM_MAX_BYTES ((uint64_t)1 << 40)

// ---- The writer's side: a ring, allocated contiguously in first-in first-out order -----------

// Zero-initialise; release with cs_ring_release.
struct cs_ring {
    unsigned char *map; // NULL: no ring
    uint64_t bytes;     // of the area
    uint64_t reserved;  // of them, from the start: have memory
    uint64_t limit;     // of them, from the start: may get memory; less once the machine was full
    bool opened;        // the descriptors below are ours to close
    int memfd, credit_read, credit_write;
    bool attached;           // a reader has said so
    uint64_t sent, released; // frames, counted
    uint64_t next;           // offset behind the newest payload
    // Offset of frame n at [n % CS_SHM_INFLIGHT], for released <= n < sent.
    uint64_t inflight[CS_SHM_INFLIGHT];
};

// Make the area and the credit pipe. Fails (CS_ENOMEM, CS_EIO) where the system refuses: then the
// ring stays zeroed and the stream goes inline.
int cs_ring_init(struct cs_ring *ring, uint64_t bytes, struct cs_err *err);
// Put the offer into HEAD; out_fd is the FIFO that it stands for.
int cs_ring_offer(const struct cs_ring *ring, int out_fd, struct cs_meta *head, struct cs_err *err);
// Largest payload that the ring takes; larger ones go inline. It becomes less when cs_ring_take
// finds the machine full.
uint64_t cs_ring_most(const struct cs_ring *ring);
// Take in the credits that have come, without waiting. CS_ESTREAM for impossible ones.
int cs_ring_credits(struct cs_ring *ring, struct cs_err *err);
// Room for `bytes`, at most cs_ring_most: its offset, or 0 while there is none. The frame counts as
// sent.
uint64_t cs_ring_take(struct cs_ring *ring, uint64_t bytes);
// Wait for a credit: 1 when one came (or a signal), 0 after timeout_ms (-1: never), -1 when the
// reader of out_fd is gone.
int cs_ring_wait(const struct cs_ring *ring, int out_fd, int timeout_ms);
void cs_ring_release(struct cs_ring *ring); // accepts a zeroed struct

// ---- The reader's side -----------------------------------------------------------------------

// Zero-initialise; release with cs_attach_release.
struct cs_attach {
    const unsigned char *map; // NULL: not attached
    uint64_t bytes;
    int credit;
    bool held;         // a frame is with the caller
    uint64_t released; // frames given back
};

// Follow the offer of HEAD, if it stands for the FIFO in_fd and all of it is sound, and tell the
// writer. Fails with CS_ESTREAM and the reason; the stream then comes inline.
int cs_attach_init(struct cs_attach *attach, int in_fd, const struct cs_meta *head,
                   struct cs_err *err);
// The payload at offset, which the caller holds until cs_attach_give_back. NULL with CS_ESTREAM
// where it is not inside the area.
const void *cs_attach_hold(struct cs_attach *attach, uint64_t offset, uint64_t bytes,
                           struct cs_err *err);
// Give the held frame back, if there is one.
void cs_attach_give_back(struct cs_attach *attach);
void cs_attach_release(struct cs_attach *attach); // accepts a zeroed struct

#endif
