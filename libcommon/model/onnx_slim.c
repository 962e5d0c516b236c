// SPDX-License-Identifier: MIT
// protobuf-c copies every field of a message, weights included. Here a walk over the file's fields
// (protobuf's encoding: a varint of number and wire type, then the value) copies all but
// ModelProto.graph.initializer.raw_data, so that protobuf-c unpacks kilobytes and the samples are
// read where they lie. Of a field that comes twice the last one counts, and messages that come
// twice are merged, as in protobuf.
#include "model/onnx_slim.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

enum { MODEL_GRAPH = 7, GRAPH_INITIALIZER = 5, TENSOR_RAW_DATA = 9 };
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

struct field {
    uint64_t number;
    int type;
    const uint8_t *begin;         // of the tag
    const uint8_t *value, *after; // of the value; BYTES: without the length
};

static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

// The field at *at, which moves behind it.
static bool read_field(const uint8_t **at, const uint8_t *end, struct field *field)
{
    uint64_t tag, length = 0;
    field->begin = *at;
    if (!read_varint(at, end, &tag))
        return false;
    field->number = tag >> 3;
    field->type = (int)(tag & 7);
    field->value = *at;
    switch (field->type) {
    case VARINT:
        if (!read_varint(at, end, &length))
            return false;
        field->after = *at;
        return true;
    case FIXED64:
    case FIXED32:
        length = field->type == FIXED64 ? 8 : 4;
        break;
    case BYTES:
        if (!read_varint(at, end, &length))
            return false;
        field->value = *at;
        break;
    default: // groups, which ONNX does not have
        return false;
    }
    if (length > (uint64_t)(end - field->value))
        return false;
    *at = field->after = field->value + length;
    return true;
}

static void add_varint(struct cs_buf *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        cs_buf_add(out, &(uint8_t){(uint8_t)(value | 0x80)}, 1);
    cs_buf_add(out, &(uint8_t){(uint8_t)value}, 1);
}

static void add_message(struct cs_buf *out, uint64_t number, const struct cs_buf *message)
{
    add_varint(out, number << 3 | BYTES);
    add_varint(out, message->len);
    cs_buf_add(out, message->data, message->len);
}

static struct cs_onnx_raw *next_raw(struct cs_onnx_slim *slim)
{
    if (slim->raw_count == slim->raw_capacity) {
        slim->raw_capacity = slim->raw_capacity ? 2 * slim->raw_capacity : 64;
        slim->raws = cs_xrealloc(slim->raws, slim->raw_capacity, sizeof *slim->raws);
    }
    slim->raws[slim->raw_count] = (struct cs_onnx_raw){.data = NULL};
    return &slim->raws[slim->raw_count++];
}

static bool slim_tensor(struct cs_onnx_slim *slim, const uint8_t *at, const uint8_t *end,
                        struct cs_buf *out)
{
    struct cs_onnx_raw *raw = next_raw(slim);
    struct field field;
    while (at < end) {
        if (!read_field(&at, end, &field))
            return false;
        if (field.number == TENSOR_RAW_DATA && field.type == BYTES)
            *raw = (struct cs_onnx_raw){field.value, (size_t)(field.after - field.value)};
        else
            cs_buf_add(out, field.begin, (size_t)(field.after - field.begin));
    }
    return true;
}

static bool slim_graph(struct cs_onnx_slim *slim, const uint8_t *at, const uint8_t *end,
                       struct cs_buf *out)
{
    struct field field;
    struct cs_buf tensor = {0};
    bool good = true;
    while (good && at < end) {
        good = read_field(&at, end, &field);
        if (good && field.number == GRAPH_INITIALIZER && field.type == BYTES) {
            tensor.len = 0;
            good = slim_tensor(slim, field.value, field.after, &tensor);
            add_message(out, GRAPH_INITIALIZER, &tensor);
        } else if (good) {
            cs_buf_add(out, field.begin, (size_t)(field.after - field.begin));
        }
    }
    cs_buf_release(&tensor);
    return good;
}

static bool slim_model(struct cs_onnx_slim *slim, const uint8_t *at, const uint8_t *end)
{
    struct field field;
    while (at < end) {
        if (!read_field(&at, end, &field))
            return false;
        if (field.number != MODEL_GRAPH || field.type != BYTES) {
            cs_buf_add(&slim->message, field.begin, (size_t)(field.after - field.begin));
            continue;
        }
        struct cs_buf graph = {0};
        bool good = slim_graph(slim, field.value, field.after, &graph);
        add_message(&slim->message, MODEL_GRAPH, &graph);
        cs_buf_release(&graph);
        if (!good)
            return false;
    }
    return true;
}

int cs_onnx_slim_make(struct cs_onnx_slim *slim, const void *bytes, size_t size, struct cs_err *err)
{
    *slim = (struct cs_onnx_slim){.raw_count = 0};
    if (slim_model(slim, bytes, (const uint8_t *)bytes + size))
        return 0;
    cs_onnx_slim_release(slim);
    return cs_fail(err, CS_EMODEL, "not an ONNX file, or truncated");
}

void cs_onnx_slim_release(struct cs_onnx_slim *slim)
{
    cs_buf_release(&slim->message);
    free(slim->raws);
    *slim = (struct cs_onnx_slim){.raw_count = 0};
}
