// SPDX-License-Identifier: MIT
// Tags of microscopes' own TIFF dialects that change what the pages are. The layouts follow the
// makers' published descriptions of their formats.
//
// LSM (Zeiss, tag CZ_LSMINFO): z and time in the order of the pages, a thumbnail after each page or
// none; channels are the samples of a page, whatever the photometric tag makes of them; the pixel
// size in metres. Files above 4 GiB keep offsets cut to 32 bits and are refused.
// STK (MetaMorph, tags UIC2 and UIC3): as many planes as the tag has entries follow one another,
// though the file lists one page. Whether they are z or time is not said.
#include <string.h>

#include "image/tiff_file.h"

enum {
    TAG_LSM = 34412,
    TAG_UIC2 = 33629,
    TAG_UIC3 = 33630,
    LSM_BYTES = 56, // of the tag, up to the pixel size
    MAX_LSM_DIM = 1 << 20,
};

static uint32_t u32(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

// Little-endian, as these files are.
static double f64(const uint8_t *bytes)
{
    uint64_t bits = u32(bytes) | (uint64_t)u32(bytes + 4) << 32;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

int tiff_scope_open(struct tiff_file *file, struct cs_err *err)
{
    uint32_t count = 0;
    const void *data = NULL;
    if (TIFFGetField(file->tif, TAG_LSM, &count, &data) && data && count >= LSM_BYTES &&
        (u32(data) == 0x00300494C || u32(data) == 0x00400494C)) {
        const uint8_t *tag = data;
        if (file->file_bytes > UINT32_MAX)
            return cs_fail(err, CS_EINPUT,
                           "an LSM file above 4 GiB, whose offsets are cut to 32 bits: convert it "
                           "to OME-TIFF");
        file->lsm = true;
        file->lsm_z = u32(tag + 16);
        file->lsm_channels = u32(tag + 20);
        file->lsm_time = u32(tag + 24);
        for (int i = 0; i < 2; i++) {
            double um = f64(tag + 40 + 8 * i) * 1e6;
            file->lsm_um[i] = um >= 1e-6 && um <= 1e6 ? um : 0;
        }
        return 0;
    }
    count = 0;
    if (!TIFFGetField(file->tif, TAG_UIC2, &count, &data) || count < 2)
        TIFFGetField(file->tif, TAG_UIC3, &count, &data);
    if (count < 2 || file->directory_count != 1)
        return 0;
    return tiff_extend(file, count, err) == 0 ? 0 : cs_err_context(err, "MetaMorph stack");
}

int tiff_scope_layout(void *state, struct cs_layout *layout, struct cs_err *err)
{
    const struct tiff_file *file = state;
    struct cs_series series;
    if (!file->lsm)
        return 0;
    uint64_t planes = (uint64_t)file->lsm_z * file->lsm_time;
    uint32_t step = planes && file->directory_count == 2 * planes ? 2 : 1;
    if (file->lsm_z > MAX_LSM_DIM || file->lsm_time > MAX_LSM_DIM ||
        file->directory_count != step * planes)
        return cs_fail(err, CS_EINPUT, "LSM: %u pages for %u z planes and %u times",
                       file->directory_count, file->lsm_z, file->lsm_time);
    if (cs_series_init(&series, layout->room, file->lsm_time, file->lsm_z, 1, err) != 0)
        return -1;
    for (uint32_t i = 0; i < planes; i++)
        series.pages[i] = i * step;
    memcpy(series.pixel_um, file->lsm_um, sizeof series.pixel_um);
    return cs_layout_add(layout, &series, err);
}
