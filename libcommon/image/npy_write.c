// SPDX-License-Identifier: MIT
// NumPy's NPY format, version 1.0: magic, header of Python literal syntax padded to 64 bytes,
// samples in C order.
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "image/write.h"

void cs_npy_header_of(const char *type, const uint64_t *dims, int rank, struct cs_buf *out)
{
    enum { PREFIX = 10, ALIGN = 64 };
    struct cs_buf text = {0};
    cs_buf_addf(&text, "{'descr': '%s', 'fortran_order': False, 'shape': (", type);
    for (int i = 0; i < rank; i++)
        cs_buf_addf(&text, "%s%llu", i ? ", " : "", (unsigned long long)dims[i]);
    cs_buf_adds(&text, "), }");
    while ((PREFIX + text.len + 1) % ALIGN != 0)
        cs_buf_addc(&text, ' ');
    cs_buf_addc(&text, '\n');
    cs_buf_add(out, "\x93NUMPY\x01\x00", 8);
    cs_buf_addc(out, (char)(text.len & 255));
    cs_buf_addc(out, (char)(text.len >> 8));
    cs_buf_add(out, text.data, text.len);
    cs_buf_release(&text);
}

void cs_npy_header(const struct cs_image *image, struct cs_buf *out)
{
    const uint64_t dims[] = {image->height, image->width, image->channels};
    char type[8], kind = image->dtype >= CS_F16 ? 'f' : image->dtype >= CS_I8 ? 'i' : 'u';
    size_t bytes = cs_dtype_bytes(image->dtype);
    snprintf(type, sizeof type, "%c%c%zu", bytes == 1 ? '|' : '<', kind, bytes);
    cs_npy_header_of(type, dims, image->channels == 1 ? 2 : 3, out);
}

int cs_npy_write(const char *path, const struct cs_image *image, struct cs_err *err)
{
    struct cs_outfile out;
    struct cs_buf header = {0};
    if (cs_outfile_open(&out, path, err) != 0)
        return -1;
    cs_npy_header(image, &header);
    size_t bytes = cs_image_bytes(image);
    bool written = fwrite(header.data, 1, header.len, out.file) == header.len &&
                   fwrite(image->data, 1, bytes, out.file) == bytes;
    cs_buf_release(&header);
    if (written)
        return cs_outfile_commit(&out, 0, err);
    cs_fail_errno(err, CS_EIO, "%s", path);
    cs_outfile_abort(&out);
    return -1;
}
