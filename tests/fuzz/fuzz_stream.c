// SPDX-License-Identifier: MIT
// Any bytes as a stream: items or an error, nothing else; and what the reader accepts the writer
// writes. The first byte chooses: 0 the bytes as they are, 1 header checksums set right, so that
// what lies behind them is reached, 2 payload checksums too.
#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/io.h"
#include "stream/shm.h"
#include "stream/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t number(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    while (bytes--)
        value = value << 8 | at[bytes];
    return value;
}

static void put_crc(uint8_t *at, const uint8_t *bytes, size_t len)
{
    uint32_t crc = (uint32_t)crc32_z(0, bytes, len);
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(crc >> 8 * i);
}

static void repair(uint8_t *bytes, size_t size, int mode)
{
    while (size >= CS_FRAME_BYTES) {
        uint64_t meta = number(bytes + 24, 4), payload = number(bytes + 16, 8);
        if (bytes[6] & CS_FRAME_SHM)
            payload = 0;
        size_t left = size - CS_FRAME_BYTES;
        bool whole = meta <= left && payload <= left - meta;
        memcpy(bytes, "CSF1", 4);
        if (mode == 2 && whole && bytes[6] & CS_FRAME_CRC)
            put_crc(bytes + 56, bytes + CS_FRAME_BYTES + meta, (size_t)payload);
        put_crc(bytes + 60, bytes, 60);
        if (!whole)
            return;
        bytes += CS_FRAME_BYTES + meta + payload;
        size -= CS_FRAME_BYTES + (size_t)(meta + payload);
    }
}

// The offer of HEAD, as if it came through a pipe of the right number.
static void try_offer(const uint8_t *bytes, size_t size)
{
    struct cs_meta head = {0};
    struct cs_attach attach;
    struct stat st;
    int fds[2];
    uint64_t meta = size >= CS_FRAME_BYTES ? number(bytes + 24, 4) : 0;
    if (meta && meta <= size - CS_FRAME_BYTES &&
        cs_meta_parse(&head, (const char *)bytes + CS_FRAME_BYTES, (size_t)meta, NULL) == 0 &&
        cs_meta_get(&head, CS_KEY_SHM) && pipe(fds) == 0) {
        fstat(fds[0], &st);
        cs_meta_setf(&head, CS_KEY_PIPE, "%llu,%llu", (unsigned long long)st.st_dev,
                     (unsigned long long)st.st_ino);
        if (cs_attach_init(&attach, fds[0], &head, NULL) == 0)
            cs_attach_release(&attach);
        close(fds[0]);
        close(fds[1]);
    }
    cs_meta_release(&head);
}

static void read_frames(int fd)
{
    struct cs_reader *reader;
    struct cs_frame frame;
    volatile uint8_t last = 0;
    if (cs_reader_open(&reader, fd, "fuzz", CS_TRANSPORT_AUTO, NULL) != 0)
        return;
    while (cs_reader_next(reader, &frame, NULL) == 1)
        if (frame.header.kind == CS_FRAME_DATA)
            for (uint64_t i = 0; i < frame.header.payload_bytes; i++)
                last = ((const uint8_t *)frame.payload)[i]; // all of it may be read
    (void)last;
    cs_reader_close(reader);
}

static void read_items(int fd, int out)
{
    const struct cs_item_limits limits = {.max_bytes = 1 << 22};
    struct cs_reader *reader;
    struct cs_writer *writer;
    struct cs_item item = {0};
    if (cs_reader_open(&reader, fd, "fuzz", CS_TRANSPORT_AUTO, NULL) != 0)
        return;
    int opened = cs_writer_open(&writer, out, CS_TRANSPORT_PIPE, 0, NULL);
    assert(opened == 0);
    int wrote = cs_writer_head(writer, cs_reader_head(reader), NULL);
    int result;
    while ((result = cs_item_read(reader, &item, &limits, NULL)) == 1 && wrote == 0)
        wrote = cs_item_write(writer, &item, 7, NULL);
    if (wrote == 0)
        wrote = cs_writer_end(writer, result == 0 ? cs_reader_status(reader) : 6, NULL, NULL);
    assert(wrote == 0);
    cs_item_release(&item);
    cs_writer_close(writer);
    cs_reader_close(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1, out = -1;
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        out = open("/dev/null", O_WRONLY | O_CLOEXEC);
    }
    if (!size || ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0 ||
        cs_write_full(fd, data + 1, size - 1, NULL) != 0)
        return 0;
    if (size > 1 && data[0] % 3) {
        uint8_t *map = mmap(NULL, size - 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert(map != MAP_FAILED);
        repair(map, size - 1, data[0] % 3);
        munmap(map, size - 1);
    }
    lseek(fd, 0, SEEK_SET);
    read_frames(fd);
    lseek(fd, 0, SEEK_SET);
    read_items(fd, out);
    try_offer(data + 1, size - 1);
    return 0;
}
