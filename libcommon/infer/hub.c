// SPDX-License-Identifier: MIT
#include "infer/hub.h"

#include "stream/frame.h"

enum { RGB = 3 };

// Of ImageNet, as torchvision's models use them.
static const float means[RGB] = {0.485F, 0.456F, 0.406F};
static const float deviations[RGB] = {0.229F, 0.224F, 0.225F};

int cs_hub_check(const struct cs_session_info *info, struct cs_err *err)
{
    if (info->channels != RGB)
        return cs_fail(err, CS_EUSAGE, "--compat hub: the network takes %d channels, not RGB",
                       info->channels);
    return 0;
}

int cs_hub_job(struct cs_job *job, struct cs_err *err)
{
    if (job->channels != 1 && job->channels != RGB)
        return cs_fail(err, CS_EINPUT,
                       "%d channels: --compat hub takes gray or RGB; choose with cs-load --channel",
                       job->channels);
    job->placement = CS_PLACE_PILLOW;
    for (int c = 0; c < RGB; c++) {
        job->from[c] = (int16_t)(job->channels == RGB ? c : 0);
        job->shift[c] = means[c];
        job->scale[c] = deviations[c];
    }
    return 0;
}

void cs_hub_wishes(struct cs_meta *head)
{
    cs_meta_set(head, CS_KEY_POST "threshold", "0.5");
    cs_meta_set(head, CS_KEY_POST "min-area", "50");
}
