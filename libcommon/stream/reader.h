// SPDX-License-Identifier: MIT
// Reading frames into places of the caller's choice: inside the stream library only.
#ifndef CS_STREAM_READER_H
#define CS_STREAM_READER_H

#include "stream/stream.h"

// Where the payload of a DATA frame goes: payload_bytes of memory, NULL to drop it, or
// CS_PLACE_STAY to have it where it comes, as cs_reader_next gives it.
#define CS_PLACE_STAY ((void *)1)
typedef void *cs_place_fn(void *context, const struct cs_frame_header *header);

// cs_reader_next, but payloads go where `place` says (NULL: as cs_reader_next). frame->payload
// then is that place.
int cs_reader_next_into(struct cs_reader *reader, struct cs_frame *frame, cs_place_fn *place,
                        void *context, struct cs_err *err);

#endif
