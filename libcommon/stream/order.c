// SPDX-License-Identifier: MIT
#include "stream/order.h"

#include <string.h>

static int check_item(const struct cs_order *order, uint64_t item, struct cs_err *err)
{
    uint64_t expected = order->open ? order->items - 1 : order->items;
    if (item != expected)
        return cs_fail(err, CS_ESTREAM, "item %llu where item %llu should be",
                       (unsigned long long)item, (unsigned long long)expected);
    return 0;
}

static int next_begin(struct cs_order *order, const struct cs_frame_header *h, struct cs_err *err)
{
    if (order->open)
        return cs_fail(err, CS_ESTREAM, "BEGIN before DONE of item %llu",
                       (unsigned long long)order->items - 1);
    if (check_item(order, h->item, err) != 0)
        return -1;
    order->open = true;
    order->items++;
    memset(order->planes, 0, sizeof order->planes);
    return 0;
}

static int next_data(struct cs_order *order, const struct cs_frame_header *h, struct cs_err *err)
{
    struct cs_order_plane *p = &order->planes[h->plane];
    const char *name = cs_plane_name(h->plane);
    unsigned long long item = h->item;
    if (!p->height)
        *p = (struct cs_order_plane){h->width, h->height, 0, h->channels, h->dtype};
    if (p->width != h->width || p->height != h->height || p->channels != h->channels ||
        p->dtype != h->dtype)
        return cs_fail(err, CS_ESTREAM, "item %llu: bands of the %s plane differ in shape", item,
                       name);
    if (p->next_row != h->first_row)
        return cs_fail(err, CS_ESTREAM, "item %llu: row %u of the %s plane where row %u should be",
                       item, h->first_row, name, p->next_row);
    p->next_row += h->rows;
    return 0;
}

static int next_done(struct cs_order *order, const struct cs_meta *meta, struct cs_err *err)
{
    unsigned long long item = order->items - 1;
    const char *status = cs_meta_get(meta, CS_KEY_STATUS);
    bool failed = status && strcmp(status, "failed") == 0;
    if (!failed && (!status || (strcmp(status, "ok") != 0 && strcmp(status, "empty") != 0)))
        return cs_fail(err, CS_ESTREAM, "item %llu: DONE without a known status", item);
    for (int i = 0; i < CS_PLANE_COUNT && !failed; i++)
        if (order->planes[i].next_row != order->planes[i].height)
            return cs_fail(err, CS_ESTREAM, "item %llu: the %s plane ends at row %u of %u", item,
                           cs_plane_name(i), order->planes[i].next_row, order->planes[i].height);
    order->failed += failed;
    order->open = false;
    return 0;
}

static int next_end(struct cs_order *order, const struct cs_frame_header *h,
                    const struct cs_meta *meta, struct cs_err *err)
{
    int64_t failed, status;
    if (order->open)
        return cs_fail(err, CS_ESTREAM, "END before DONE of item %llu",
                       (unsigned long long)order->items - 1);
    if (h->item != order->items)
        return cs_fail(err, CS_ESTREAM, "END counts %llu items, %llu came",
                       (unsigned long long)h->item, (unsigned long long)order->items);
    if (cs_meta_int(meta, CS_KEY_FAILED, 0, INT64_MAX, (int64_t)order->failed, &failed, err) != 0 ||
        cs_meta_int(meta, CS_KEY_EXIT, 0, 255, 0, &status, err) != 0)
        return cs_err_context(err, "END");
    if ((uint64_t)failed != order->failed)
        return cs_fail(err, CS_ESTREAM, "END counts %lld failed items, %llu came",
                       (long long)failed, (unsigned long long)order->failed);
    order->ended = true;
    return 0;
}

int cs_order_next(struct cs_order *order, const struct cs_frame_header *header,
                  const struct cs_meta *meta, struct cs_err *err)
{
    if (order->ended)
        return cs_fail(err, CS_ESTREAM, "frame after END");
    if (order->headed == (header->kind == CS_FRAME_HEAD))
        return cs_fail(err, CS_ESTREAM, order->headed ? "second HEAD" : "stream without HEAD");
    switch (header->kind) {
    case CS_FRAME_HEAD:
        order->headed = true;
        return 0;
    case CS_FRAME_BEGIN:
        return next_begin(order, header, err);
    case CS_FRAME_END:
        return next_end(order, header, meta, err);
    default:
        break;
    }
    if (!order->open)
        return cs_fail(err, CS_ESTREAM, "%s outside an item",
                       header->kind == CS_FRAME_DATA ? "DATA" : "DONE");
    if (check_item(order, header->item, err) != 0)
        return -1;
    return header->kind == CS_FRAME_DATA ? next_data(order, header, err)
                                         : next_done(order, meta, err);
}
