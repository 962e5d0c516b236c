// SPDX-License-Identifier: MIT
// The frame header, to and from its 64 bytes. Fields are written one by one: the format has no
// padding and is little-endian whatever the compiler does. Payloads are samples in native order,
// hence the assertion below.
#include "stream/frame.h"

#include <string.h>
#include <zlib.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "samples travel in native order");

static const char magic[4] = {'C', 'S', 'F', '1'};

static void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, (uint16_t)value);
    put16(at + 2, (uint16_t)(value >> 16));
}

static void put64(uint8_t *at, uint64_t value)
{
    put32(at, (uint32_t)value);
    put32(at + 4, (uint32_t)(value >> 32));
}

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static uint32_t get32(const uint8_t *at)
{
    return get16(at) | (uint32_t)get16(at + 2) << 16;
}

static uint64_t get64(const uint8_t *at)
{
    return get32(at) | (uint64_t)get32(at + 4) << 32;
}

static uint32_t header_crc(const uint8_t *bytes)
{
    return (uint32_t)crc32_z(0, bytes, 60);
}

void cs_frame_encode(const struct cs_frame_header *header, uint8_t bytes[CS_FRAME_BYTES])
{
    memcpy(bytes, magic, sizeof magic);
    put16(bytes + 4, header->kind);
    put16(bytes + 6, header->flags);
    put64(bytes + 8, header->item);
    put64(bytes + 16, header->payload_bytes);
    put32(bytes + 24, header->meta_bytes);
    put32(bytes + 28, header->width);
    put32(bytes + 32, header->height);
    put32(bytes + 36, header->first_row);
    put32(bytes + 40, header->rows);
    put16(bytes + 44, header->channels);
    bytes[46] = header->dtype;
    bytes[47] = header->plane;
    put64(bytes + 48, header->shm_offset);
    put32(bytes + 56, header->payload_crc);
    put32(bytes + 60, header_crc(bytes));
}

// What holds for every kind, known or not.
static int check_common(const struct cs_frame_header *h, struct cs_err *err)
{
    if (h->flags & ~(CS_FRAME_SHM | CS_FRAME_CRC))
        return cs_fail(err, CS_ESTREAM, "frame with unknown flags 0x%x", h->flags);
    if (h->payload_bytes > CS_FRAME_MAX_PAYLOAD)
        return cs_fail(err, CS_ESTREAM, "frame with %llu bytes of payload",
                       (unsigned long long)h->payload_bytes);
    if (h->meta_bytes > CS_FRAME_MAX_META)
        return cs_fail(err, CS_ESTREAM, "frame with %u bytes of metadata", h->meta_bytes);
    if (h->flags & CS_FRAME_SHM ? !h->shm_offset || h->shm_offset % 64 : h->shm_offset != 0)
        return cs_fail(err, CS_ESTREAM, "frame with offset %llu in shared memory",
                       (unsigned long long)h->shm_offset);
    if (!(h->flags & CS_FRAME_CRC) && h->payload_crc)
        return cs_fail(err, CS_ESTREAM, "frame with a checksum that its flags do not announce");
    return 0;
}

static int check_data(const struct cs_frame_header *h, struct cs_err *err)
{
    size_t sample = cs_dtype_bytes(h->dtype), bytes;
    if (!sample)
        return cs_fail(err, CS_ESTREAM, "band of unknown sample type %u", h->dtype);
    if (h->plane >= CS_PLANE_COUNT)
        return cs_fail(err, CS_ESTREAM, "band of unknown plane %u", h->plane);
    if (!h->width || !h->rows || !h->channels)
        return cs_fail(err, CS_ESTREAM, "band without samples");
    if (h->first_row > h->height || h->rows > h->height - h->first_row)
        return cs_fail(err, CS_ESTREAM, "band of rows %u+%u in a plane of %u", h->first_row,
                       h->rows, h->height);
    if (!cs_mul4_size(h->width, h->rows, h->channels, sample, &bytes) || bytes != h->payload_bytes)
        return cs_fail(err, CS_ESTREAM, "band of %ux%ux%u %s with %llu bytes", h->width, h->rows,
                       h->channels, cs_dtype_name(h->dtype), (unsigned long long)h->payload_bytes);
    return 0;
}

static int check_plain(const struct cs_frame_header *h, struct cs_err *err)
{
    if (h->flags || h->payload_bytes || h->width || h->height || h->first_row || h->rows ||
        h->channels || h->dtype || h->plane || (h->kind == CS_FRAME_HEAD && h->item))
        return cs_fail(err, CS_ESTREAM, "frame of kind %u with fields that only DATA has", h->kind);
    return 0;
}

int cs_frame_decode(const uint8_t bytes[CS_FRAME_BYTES], struct cs_frame_header *header,
                    struct cs_err *err)
{
    if (memcmp(bytes, magic, 3) != 0)
        return cs_fail(err, CS_ESTREAM, "no frame where one should begin");
    if (bytes[3] != magic[3])
        return cs_fail(err, CS_ESTREAM, "stream of another version of the format");
    if (get32(bytes + 60) != header_crc(bytes))
        return cs_fail(err, CS_ESTREAM, "frame header with a wrong checksum");
    *header = (struct cs_frame_header){
        .kind = get16(bytes + 4),
        .flags = get16(bytes + 6),
        .item = get64(bytes + 8),
        .payload_bytes = get64(bytes + 16),
        .meta_bytes = get32(bytes + 24),
        .width = get32(bytes + 28),
        .height = get32(bytes + 32),
        .first_row = get32(bytes + 36),
        .rows = get32(bytes + 40),
        .channels = get16(bytes + 44),
        .dtype = bytes[46],
        .plane = bytes[47],
        .shm_offset = get64(bytes + 48),
        .payload_crc = get32(bytes + 56),
    };
    if (check_common(header, err) != 0)
        return -1;
    if (header->kind == CS_FRAME_DATA)
        return check_data(header, err);
    if (header->kind >= CS_FRAME_HEAD && header->kind <= CS_FRAME_END)
        return check_plain(header, err);
    if (!(header->kind & CS_FRAME_SKIPPABLE))
        return cs_fail(err, CS_ESTREAM, "frame of unknown kind %u", header->kind);
    return 0;
}

const char *cs_plane_name(enum cs_plane plane)
{
    static const char *const names[CS_PLANE_COUNT] = {"image", "probability", "labels"};
    return (unsigned)plane < CS_PLANE_COUNT ? names[plane] : "?";
}
