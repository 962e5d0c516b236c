// SPDX-License-Identifier: MIT
// Reading and writing a stream (cs-stream(5)): HEAD (BEGIN DATA* DONE)* END.
//
// Two levels. Frames: cs_reader_next and cs_writer_*: one band at a time, no copy where shared
// memory carries it. Items: cs_item_read and cs_item_write: whole planes, for stages that need a
// plane as one. Both check the order of frames; what breaks it is CS_ESTREAM.
//
// A reader and a writer are each used by one thread at a time; they may be in different threads.
// Their descriptors are inherited by fork: a child that outlives its parent must close the output,
// or the next stage waits for the end of the pipe.
#ifndef CS_STREAM_STREAM_H
#define CS_STREAM_STREAM_H

#include <signal.h>

#include "base/meta.h"
#include "stream/frame.h"

enum cs_transport { CS_TRANSPORT_AUTO, CS_TRANSPORT_PIPE, CS_TRANSPORT_SHM };

// ---- Reading -----------------------------------------------------------------------------

struct cs_reader;

struct cs_frame {
    struct cs_frame_header header;
    struct cs_meta meta; // borrowed until the next call on the reader
    const void *payload; // borrowed until the next call on the reader; DATA only
};

// Read HEAD from fd (borrowed) and attach to its shared memory where offered. `name` is for
// messages ("standard input"). An end of file before HEAD is CS_ESTREAM.
int cs_reader_open(struct cs_reader **reader, int fd, const char *name, enum cs_transport transport,
                   struct cs_err *err);
// Metadata of HEAD, transport keys left out; lives as long as the reader.
const struct cs_meta *cs_reader_head(const struct cs_reader *reader);
// The next frame after HEAD: 1 with BEGIN, DATA or DONE, 0 with END (once), -1 with CS_ESTREAM
// for a broken or truncated stream. Skippable unknown kinds are skipped.
int cs_reader_next(struct cs_reader *reader, struct cs_frame *frame, struct cs_err *err);
// After 0 was returned: the exit status that the stream asks for. END's own, else 1 when items
// failed, 3 when there were none, 0.
int cs_reader_status(const struct cs_reader *reader);
// "shm" or "pipe": how the payloads arrive.
const char *cs_reader_transport(const struct cs_reader *reader);
void cs_reader_close(struct cs_reader *reader); // accepts NULL

// ---- Writing -----------------------------------------------------------------------------

struct cs_writer;

// Open for fd (borrowed). A terminal is CS_EUSAGE. Nothing is written yet.
// ring_bytes: size of the shared area (0: CS_RING_BYTES). The process should ignore SIGPIPE; a
// closed output then is CS_EIO with errno EPIPE, see cs_writer_closed.
int cs_writer_open(struct cs_writer **writer, int fd, enum cs_transport transport,
                   uint64_t ring_bytes, struct cs_err *err);
// Write HEAD: the given metadata and the transport's offer.
int cs_writer_head(struct cs_writer *writer, const struct cs_meta *head, struct cs_err *err);
int cs_writer_begin(struct cs_writer *writer, const struct cs_meta *begin, struct cs_err *err);
// A band of `rows` rows of the plane that `shape` describes (its data is not read).
int cs_writer_data(struct cs_writer *writer, enum cs_plane plane, const struct cs_image *shape,
                   uint32_t first_row, uint32_t rows, const void *samples, struct cs_err *err);
// done must hold CS_KEY_STATUS.
int cs_writer_done(struct cs_writer *writer, const struct cs_meta *done, struct cs_err *err);
// END with the counts; status and reason of an early end (0 and NULL for none). An item still open
// is closed as failed first. Then waits for nothing: the writer may be closed.
int cs_writer_end(struct cs_writer *writer, int status, const char *reason, struct cs_err *err);
// True when the reader of the output is gone (EPIPE): the tool ends quietly with SIGPIPE's status.
bool cs_writer_closed(const struct cs_writer *writer);
// True when writing has failed, for that reason or another: every further call fails.
bool cs_writer_broken(const struct cs_writer *writer);
void cs_writer_close(struct cs_writer *writer); // accepts NULL

// Of a writer's shared area by default.
enum { CS_RING_BYTES = 64 << 20 };
// Bytes of payload that go into one band by default (rows are rounded down, at least one).
enum { CS_BAND_BYTES = 4 << 20 };

// ---- Whole items -------------------------------------------------------------------------

struct cs_item {
    uint64_t number;
    struct cs_meta begin, done;
    struct cs_image planes[CS_PLANE_COUNT]; // data NULL where the item has no such plane
    // Where cs_item_emit writes; NULL: nowhere. Borrowed.
    struct cs_writer *writer;
    unsigned keep;     // planes that it writes first, as far as they are complete
    bool begun;        // it has written BEGIN
    unsigned complete; // planes whose bands have all come
    unsigned written;  // planes that are out, or whose bands go out
};

// A band of a plane, as it comes. -1 fails the item, and its other bands are dropped.
typedef int cs_band_fn(struct cs_item *item, const struct cs_frame_header *header,
                       const void *samples, void *context, struct cs_err *err);

struct cs_item_limits {
    size_t spill_bytes; // planes above this live in the scratch folder; 0: never
    const char *scratch_dir;
    size_t max_bytes;  // a plane above this fails the item with CS_ENOMEM; 0: no limit
    const char *stage; // who fails such items; NULL: the name that the program was called by
    unsigned loose;    // planes (bit mask) that are not put together, but only shown to `band`: the
                       // item has their shape without data
    unsigned shown;    // planes that are shown to `band`
    cs_band_fn *band;
    void *context; // of `band`
};

// The next item with its planes in memory: 1, or 0 at END (see cs_reader_end), -1 CS_ESTREAM.
// An item that is already failed, or whose planes find no memory, comes with DONE's status
// "failed" (error keys set for the latter, stage = this tool). The item is released first.
int cs_item_read(struct cs_reader *reader, struct cs_item *item,
                 const struct cs_item_limits *limits, struct cs_err *err);
// END's metadata after 0 was returned: what came from upstream. Lives as long as the reader.
const struct cs_meta *cs_reader_end(const struct cs_reader *reader);
// Write a band of a plane before the item is complete. First BEGIN and those planes of item->keep
// go out that are complete; BEGIN's metadata must not be changed from then on. cs_item_write then
// writes the rest.
int cs_item_emit(struct cs_item *item, enum cs_plane plane, const struct cs_image *shape,
                 uint32_t first_row, uint32_t rows, const void *samples, struct cs_err *err);
// Write BEGIN, the planes selected by `keep` (bit mask 1 << cs_plane) in bands, DONE.
int cs_item_write(struct cs_writer *writer, struct cs_item *item, unsigned keep,
                  struct cs_err *err);
// One plane of an item that was begun, in bands.
int cs_plane_write(struct cs_writer *writer, enum cs_plane kind, const struct cs_image *plane,
                   struct cs_err *err);
bool cs_item_failed(const struct cs_item *item);
// Set DONE to failed with the item's code, stage and text.
void cs_item_fail(struct cs_item *item, const char *stage, const struct cs_err *why);
void cs_item_release(struct cs_item *item); // accepts a zeroed struct

// ---- The loop of a filter ----------------------------------------------------------------

// What a stage does to one item: change planes and metadata in place. -1 fails the item (not the
// stream). Not called for items that came in failed. It may write bands with cs_item_emit, and so
// may the band function of the limits; where that fails the output is broken, and the stream ends.
typedef int cs_item_fn(struct cs_item *item, void *context, struct cs_err *err);

struct cs_filter {
    const char *tool;       // "cs-postprocess"
    const char *parameters; // canonical parameters, for CS_KEY_PROV
    const char *input;      // path, or NULL for standard input
    enum cs_transport transport;
    uint64_t ring_bytes;
    unsigned keep; // planes written: bit mask
    struct cs_item_limits limits;
    // Called once after HEAD was read: may read and add to it. May be NULL.
    int (*head)(struct cs_meta *head, void *context, struct cs_err *err);
    cs_item_fn *item;
    // Called for every item when it is done here, failed ones too: for the last stage's record. May
    // fail the item with cs_item_fail; -1 ends the stream. May be NULL.
    cs_item_fn *finished;
    void *context;
    bool sink; // last stage: nothing is written to standard output
};

// Run the whole loop from input to standard output; messages for failed items go to the log as
// "source: reason". Returns the exit status of the tool: 0, 1 some items failed, 3 no items,
// upstream's status, that of a fatal error (logged), or 141, quietly, when the reader of the
// output went away. Installs the signals as cs_drain_install does; only a stage that reads a file
// drains by itself, the others go on until upstream's END.
int cs_filter_run(const struct cs_filter *filter);

// Add a stage to a HEAD: sets CS_KEY_TOOL, and the version and parameters (or NULL) under
// CS_KEY_PROV + tool.
void cs_prov_add(struct cs_meta *head, const char *tool, const char *parameters);

// Parse "image,probability,labels" into a bit mask. CS_EUSAGE.
int cs_planes_parse(const char *list, unsigned *mask, struct cs_err *err);

// ---- Signals -----------------------------------------------------------------------------

// For stages at the start of work (cs-load, cs-infer): the first SIGTERM, SIGINT or SIGUSR1 sets
// the flag, the second kills. SIGPIPE is ignored.
void cs_drain_install(void);
// 0, or the exit status of a drain: 143 SIGTERM, 130 SIGINT, 138 SIGUSR1.
int cs_drain_status(void);

#endif
