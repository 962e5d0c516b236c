// SPDX-License-Identifier: MIT
// Takes the image of each item as its probabilities or labels too, for tests of later stages
// without a model: stream-plane probability|labels [KEY=VALUE of HEAD]...
#include <string.h>

#include "base/log.h"
#include "base/opt.h"
#include "stream/stream.h"

static enum cs_plane target;
static char **keys;

static int copy_plane(struct cs_item *item, void *context, struct cs_err *err)
{
    const struct cs_image *image = &item->planes[CS_PLANE_IMAGE];
    struct cs_image *copy = &item->planes[target];
    (void)context;
    if (!image->data)
        return cs_fail(err, CS_EINPUT, "no image");
    if (cs_image_init(copy, image->width, image->height, image->channels, image->dtype, 0, NULL,
                      err) != 0)
        return -1;
    memcpy(copy->data, image->data, cs_image_bytes(image));
    return 0;
}

static int add_keys(struct cs_meta *head, void *context, struct cs_err *err)
{
    (void)context;
    for (char **key = keys; *key; key++) {
        char *equals = strchr(*key, '=');
        if (!equals)
            return cs_fail(err, CS_EUSAGE, "'%s' is no KEY=VALUE", *key);
        *equals = '\0';
        cs_meta_set(head, *key, equals + 1);
    }
    return 0;
}

int main(int argc, char **argv)
{
    cs_log_init("stream-plane");
    if (argc < 2)
        return 2;
    target = strcmp(argv[1], "labels") == 0 ? CS_PLANE_LABELS : CS_PLANE_PROBABILITY;
    keys = argv + 2;
    struct cs_filter filter = {.tool = "stream-plane",
                               .keep = 1u << CS_PLANE_IMAGE | 1u << target,
                               .head = add_keys,
                               .item = copy_plane};
    return cs_filter_run(&filter);
}
