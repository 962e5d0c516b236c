// SPDX-License-Identifier: MIT
// --compat hub: images go to the network and come back as in Cell Segmentation Hub, whatever the
// package says: RGB of 8 bits, resized to the plane by Pillow, less ImageNet's mean over its
// standard deviation; a sigmoid only where the network gives logits; maps resized to the image.
#ifndef CS_INFER_HUB_H
#define CS_INFER_HUB_H

#include "backend/job.h"
#include "base/meta.h"
#include "infer/session.h"

enum { CS_HUB_SIDE = 1024 }; // of the plane, where network and package name none

// CS_EUSAGE for a network that does not take RGB.
int cs_hub_check(const struct cs_session_info *info, struct cs_err *err);

// Fill placement and normalisation of a job whose image is described. CS_EINPUT: neither one
// channel nor three.
int cs_hub_job(struct cs_job *job, struct cs_err *err);

// Its defaults of cs-postprocess, in place of the package's wishes, into HEAD.
void cs_hub_wishes(struct cs_meta *head);

#endif
