// SPDX-License-Identifier: MIT
// Horizontal differencing, undone: running sums along a row, modulo the sample's range. Single
// channels of 8 and 16 bits are summed within a 64-bit word by shifts, in the logarithm of its
// lanes (W. Hillis, G. Steele, "Data parallel algorithms", 1986), without carries from lane to
// lane.
#include <string.h>

#include "image/tiff_file.h"

// a + b lane by lane; `tops` has the top bit of each lane.
static uint64_t add_lanes(uint64_t a, uint64_t b, uint64_t tops)
{
    return ((a & ~tops) + (b & ~tops)) ^ ((a ^ b) & tops);
}

// Sums of whole words of lanes of `bits` bits; returns the samples done. The first
// sample lies in the lowest lane: little-endian machines only.
static size_t sum_words(uint8_t *row, size_t samples, unsigned bits)
{
    const uint64_t ones = bits == 8 ? 0x0101010101010101u : 0x0001000100010001u;
    const uint64_t tops = ones << (bits - 1);
    size_t words = samples * (bits / 8) / 8;
    uint64_t carry = 0;
    for (size_t i = 0; i < words; i++) {
        uint64_t x;
        memcpy(&x, row + 8 * i, sizeof x);
        for (unsigned shift = bits; shift < 64; shift *= 2)
            x = add_lanes(x, x << shift, tops);
        x = add_lanes(x, carry * ones, tops);
        memcpy(row + 8 * i, &x, sizeof x);
        carry = x >> (64 - bits);
    }
    return words * 8 / (bits / 8);
}

#define SUM(type)                                                                                  \
    do {                                                                                           \
        type *p = (type *)(void *)row;                                                             \
        for (size_t i = first; i < samples; i++)                                                   \
            p[i] = (type)(p[i] + (i >= channels ? p[i - channels] : 0));                           \
    } while (0)

void tiff_undo_differences(uint8_t *row, size_t samples, size_t channels, size_t sample_bytes)
{
    const uint16_t one = 1;
    size_t first = 0;
    if (channels == 1 && sample_bytes <= 2 && *(const uint8_t *)&one == 1)
        first = sum_words(row, samples, 8 * (unsigned)sample_bytes);
    if (sample_bytes == 1)
        SUM(uint8_t);
    else if (sample_bytes == 2)
        SUM(uint16_t);
    else
        SUM(uint32_t);
}
