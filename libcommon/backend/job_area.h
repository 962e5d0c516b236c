// SPDX-License-Identifier: MIT
// Where a job lies: what of the image and of the network's planes it is made of, and the filters of
// both ways. Backends, tiles and whoever sends or gives back memory take it from here.
#ifndef CS_BACKEND_JOB_AREA_H
#define CS_BACKEND_JOB_AREA_H

#include "backend/job.h"

// Not empty, but for a job with an empty part.
struct cs_job_area {
    uint32_t x, y, width, height;
};

// The plane that the whole image is stretched to (width, height), and where a plane of the network,
// net_width x net_height, lies on it (x, y). Not for CS_PLACE_COPY.
struct cs_job_area cs_job_scaled(const struct cs_job *job, int net_width, int net_height);

// The pixels of the image that a network plane of this size is made of, mirrors included.
struct cs_job_area cs_job_image_area(const struct cs_job *job, int net_width, int net_height);
// The pixels of an output's plane of this size behind the job's part of the map: all that its
// samples are made of, and those between. The areas of parts that cover the map cover the plane.
struct cs_job_area cs_job_plane_area(const struct cs_job *job, int net_width, int net_height);

// CS_PLACE_SCALE on one axis: the image pixels first .. last-1 under pixel i of a plane of `size`,
// a triangle of half width `radius` round `centre`.
struct cs_job_filter {
    double centre, radius;
    int64_t first, last;
};
struct cs_job_filter cs_job_filter_at(int64_t i, int64_t size, int64_t image_size);

// The way back on one axis: sample i of a map of `size` is low + part * (high - low), of the pixels
// of a plane of `plane_size`.
struct cs_job_blend {
    int64_t low, high;
    float part;
};
struct cs_job_blend cs_job_blend_at(int64_t i, int64_t size, int64_t plane_size);

// Rows of a paged job's pixels or maps that have been worked on, from *from up to `end`: where they
// are many, their pages are let go and *from becomes `end`.
void cs_job_forget_rows(const void *data, size_t row_bytes, int64_t *from, int64_t end);

#endif
