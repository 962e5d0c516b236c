// SPDX-License-Identifier: MIT
// Makes the images of testdata/: `make-testdata DIR`. Drawn, not photographed: nuclei are bent
// ellipses with a soft edge and a chromatin texture, on a background with a gradient, with noise
// that grows with the signal. The same numbers every time: testdata/ holds the output, and beside
// the images, in truth/, the label image that each was drawn from.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

#include "base/io.h"
#include "base/mem.h"
#include "image/write.h"

static uint32_t random_state;

// Uniform in [0, 1): a linear congruential generator, upper bits.
static double uniform(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (double)(random_state >> 8) / (1 << 24);
}

static double between(double low, double high)
{
    return low + (high - low) * uniform();
}

// Nearly normal with deviation 1: twelve uniform numbers.
static double normal(void)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += uniform();
    return sum;
}

static double lattice(int x, int y, uint32_t seed)
{
    uint32_t h = (uint32_t)x * 374761393u + (uint32_t)y * 668265263u + seed * 2246822519u;
    h = (h ^ h >> 13) * 1274126177u;
    return (double)((h ^ h >> 16) & 0xffff) / 32767.5 - 1;
}

// Smooth noise in [-1, 1] with features of `scale` pixels.
static double texture(double x, double y, double scale, uint32_t seed)
{
    double fx = floor(x / scale), fy = floor(y / scale);
    double u = x / scale - fx, v = y / scale - fy;
    int ix = (int)fx, iy = (int)fy;
    u = u * u * (3 - 2 * u);
    v = v * v * (3 - 2 * v);
    double top = lattice(ix, iy, seed) * (1 - u) + lattice(ix + 1, iy, seed) * u;
    double low = lattice(ix, iy + 1, seed) * (1 - u) + lattice(ix + 1, iy + 1, seed) * u;
    return top * (1 - v) + low * v;
}

struct cell {
    double x, y, a, b, angle, bend[4], level;
    uint32_t seed;
};

// Distance of a point from the edge of a cell in pixels, about: positive inside.
static double depth(const struct cell *c, double x, double y)
{
    double dx = x - c->x, dy = y - c->y;
    double u = (dx * cos(c->angle) + dy * sin(c->angle)) / c->a;
    double v = (dy * cos(c->angle) - dx * sin(c->angle)) / c->b;
    double phi = atan2(v, u);
    double edge =
        1 + c->bend[0] * sin(2 * phi + c->bend[1]) + c->bend[2] * sin(3 * phi + c->bend[3]);
    return (edge - hypot(u, v)) * fmin(c->a, c->b);
}

// From 0 outside to 1 inside, over an edge of about 2 * blur pixels.
static double cover(double inside_px, double blur)
{
    return 1 / (1 + exp(-inside_px / blur * 2));
}

struct scene {
    int width, height;
    struct cell cells[256];
    int count;
    uint16_t *truth;
};

static bool place(struct scene *s, struct cell *c, double gap)
{
    int reach = (int)(fmax(c->a, c->b) * 1.2 + gap + 2);
    for (int pass = 0; pass < 2; pass++)
        for (int y = (int)c->y - reach; y <= (int)c->y + reach; y++)
            for (int x = (int)c->x - reach; x <= (int)c->x + reach; x++) {
                if (x < 0 || y < 0 || x >= s->width || y >= s->height)
                    continue;
                double d = depth(c, x, y);
                uint16_t *label = &s->truth[y * s->width + x];
                if (pass == 0 && *label && d > -gap)
                    return false;
                if (pass == 1 && d > 0)
                    *label = (uint16_t)(s->count + 1);
            }
    s->cells[s->count++] = *c;
    return true;
}

// Up to `wanted` cells with a mean radius between r0 and r1; a third of them may touch.
static void populate(struct scene *s, int width, int height, int wanted, double r0, double r1,
                     uint32_t seed)
{
    *s = (struct scene){.width = width, .height = height};
    s->truth = cs_xcalloc((size_t)width * (size_t)height, sizeof *s->truth);
    random_state = seed;
    for (int tries = 0; tries < 4000 && s->count < wanted; tries++) {
        double radius = between(r0, r1), stretch = between(1.0, 1.5);
        struct cell c = {.x = between(0, width),
                         .y = between(0, height),
                         .a = radius * sqrt(stretch),
                         .b = radius / sqrt(stretch),
                         .angle = between(0, M_PI),
                         .bend = {between(0, 0.08), between(0, 6), between(0, 0.05), between(0, 6)},
                         .level = between(0.45, 1),
                         .seed = (uint32_t)tries + seed};
        // No slivers at the border.
        if (c.x < c.a * 0.4 || c.y < c.a * 0.4 || c.x > width - c.a * 0.4 ||
            c.y > height - c.a * 0.4)
            continue;
        place(s, &c, uniform() < 0.35 ? 0.5 : 4);
    }
}

// Light of the cells at a point, 0 to 1, out of focus by `blur`.
static double glow(const struct scene *s, int x, int y, double blur)
{
    double light = 0;
    for (int i = 0; i < s->count; i++) {
        const struct cell *c = &s->cells[i];
        if (fabs(x - c->x) > 3 * c->a || fabs(y - c->y) > 3 * c->a)
            continue;
        double d = depth(c, x, y);
        double grain =
            1 + 0.16 * texture(x, y, 5, c->seed) + 0.08 * texture(x, y, 2.5, c->seed + 9);
        light = fmax(light, c->level * cover(d, blur) * grain);
    }
    return light;
}

static double noisy(double value, double gain, double read)
{
    return value + normal() * sqrt(fmax(value, 0) * gain + read * read);
}

static void store(struct cs_image *image, size_t index, double value)
{
    double most = image->dtype == CS_U8 ? 255 : 65535;
    double clipped = floor(fmin(fmax(value, 0), most) + 0.5);
    if (image->dtype == CS_U8)
        ((uint8_t *)image->data)[index] = (uint8_t)clipped;
    else
        ((uint16_t *)image->data)[index] = (uint16_t)clipped;
}

static struct cs_image new_image(const struct scene *s, uint16_t channels, enum cs_dtype dtype)
{
    struct cs_image image;
    struct cs_err err;
    if (cs_image_init(&image, (uint32_t)s->width, (uint32_t)s->height, channels, dtype, 0, NULL,
                      &err) != 0) {
        fprintf(stderr, "make-testdata: %s\n", err.text);
        exit(1);
    }
    return image;
}

static const char *folder;

// Write an image and the labels that it was drawn from; name: "nuclei/a.png".
static void save(struct scene *s, struct cs_image *image, const char *name, double pixel_um)
{
    struct cs_write_options how = {.pixel_um = pixel_um};
    struct cs_err err = {0};
    struct cs_image labels = {.width = (uint32_t)s->width,
                              .height = (uint32_t)s->height,
                              .channels = 1,
                              .dtype = CS_U16,
                              .data = s->truth};
    const char *dot = strrchr(name, '.');
    char *path = cs_xasprintf("%s/%s", folder, name);
    char *truth = cs_xasprintf("%s/truth/%.*s.tif", folder, (int)(dot - name), name);
    int status = strcmp(dot, ".png") == 0 ? cs_png_write(path, image, &how, &err)
                                          : cs_tiff_write(path, image, &how, &err);
    if (status != 0 || cs_tiff_write(truth, &labels, &how, &err) != 0) {
        fprintf(stderr, "make-testdata: %s\n", err.text);
        exit(1);
    }
    printf("%s: %d objects\n", name, s->count);
    free(path);
    free(truth);
    free(s->truth);
    cs_image_release(image);
}

static void fluorescence(const char *name, int width, int height, int cells, enum cs_dtype dtype,
                         double pixel_um, uint32_t seed)
{
    struct scene s;
    populate(&s, width, height, cells, 9, 15, seed);
    struct cs_image image = new_image(&s, 1, dtype);
    double base = dtype == CS_U8 ? 8 : 400, full = dtype == CS_U8 ? 200 : 5200;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            double haze = 1 + 0.4 * texture(x, y, 120, seed + 1) + 3 * glow(&s, x, y, 14) * 0.25;
            double value = base * haze + full * glow(&s, x, y, 1.3);
            store(&image, (size_t)(y * width + x), noisy(value, full / 3000, base / 12));
        }
    save(&s, &image, name, pixel_um);
}

// Haematoxylin and eosin: colours multiply like the absorption of two stains.
static void histology(const char *name, uint32_t seed)
{
    static const double blue[3] = {0.85, 1.05, 0.42}, pink[3] = {0.12, 0.62, 0.25};
    struct scene s;
    populate(&s, 320, 256, 42, 8, 13, seed);
    struct cs_image image = new_image(&s, 3, CS_U8);
    for (int y = 0; y < s.height; y++)
        for (int x = 0; x < s.width; x++) {
            double fibres = texture(x * 0.5 + y, y * 0.4 - x * 0.3, 16, seed + 3);
            double eosin = 0.45 + 0.2 * texture(x, y, 45, seed + 2) + 0.15 * fibres;
            double haem = 0.03 + 0.95 * glow(&s, x, y, 1.2);
            for (int c = 0; c < 3; c++) {
                double light = 242 * exp(-haem * blue[c] - fmax(eosin, 0) * pink[c]);
                store(&image, (size_t)(y * s.width + x) * 3 + (size_t)c, light + 2 * normal());
            }
        }
    save(&s, &image, name, 0.5);
}

// Stained nuclei in brightfield, grey: dark on bright.
static void brightfield(const char *name, uint32_t seed)
{
    struct scene s;
    populate(&s, 320, 256, 26, 10, 15, seed);
    struct cs_image image = new_image(&s, 1, CS_U8);
    for (int y = 0; y < s.height; y++)
        for (int x = 0; x < s.width; x++) {
            double lamp = 205 - 12 * hypot(x - 160, y - 128) / 200;
            double body = 0.1 * (1 + texture(x, y, 30, seed + 5));
            double value = lamp * exp(-body - 0.9 * glow(&s, x, y, 1.4));
            store(&image, (size_t)(y * s.width + x), value + 2 * normal());
        }
    save(&s, &image, name, 0);
}

// One dark ball of cells on a bright, uneven ground, and some debris.
static void spheroid(const char *name, uint32_t seed)
{
    struct scene s = {.width = 480, .height = 360};
    s.truth = cs_xcalloc(480 * 360, sizeof *s.truth);
    random_state = seed;
    struct cell ball = {.x = 250,
                        .y = 175,
                        .a = 112,
                        .b = 100,
                        .angle = 0.4,
                        .bend = {0.03, 1, 0.02, 2},
                        .level = 1,
                        .seed = seed};
    place(&s, &ball, 0);
    struct cs_image image = new_image(&s, 1, CS_U8);
    for (int y = 0; y < s.height; y++)
        for (int x = 0; x < s.width; x++) {
            double lamp = 178 - 22 * hypot(x - 240, y - 180) / 300;
            double d = depth(&ball, x, y) + 3 * texture(x, y, 9, seed + 1);
            double inside = cover(d, 3);
            double lumps = 1 + 0.2 * texture(x, y, 8, seed + 2) + 0.1 * texture(x, y, 3, seed + 4);
            double thick = sqrt(fmax(0, fmin(1, d / 100 + 0.15)));
            double debris = texture(x, y, 7, seed + 3) > 0.86 ? 18 : 0;
            double value = lamp * (1 - inside * (0.35 + 0.35 * thick) * lumps) - debris;
            store(&image, (size_t)(y * s.width + x), value + 2.5 * normal());
        }
    save(&s, &image, name, 1.3);
}

// Pages of an OME-TIFF: z fastest, then channel.
static void write_pages(const char *path, struct cs_image *pages, int count, const char *xml)
{
    TIFF *tif = TIFFOpen(path, "wl");
    bool good = tif != NULL;
    for (int page = 0; good && page < count; page++) {
        TIFFSetField(tif, TIFFTAG_IMAGEWIDTH, pages[page].width);
        TIFFSetField(tif, TIFFTAG_IMAGELENGTH, pages[page].height);
        TIFFSetField(tif, TIFFTAG_BITSPERSAMPLE, 16);
        TIFFSetField(tif, TIFFTAG_SAMPLESPERPIXEL, 1);
        TIFFSetField(tif, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
        TIFFSetField(tif, TIFFTAG_COMPRESSION, COMPRESSION_ADOBE_DEFLATE);
        TIFFSetField(tif, TIFFTAG_PREDICTOR, PREDICTOR_HORIZONTAL);
        TIFFSetField(tif, TIFFTAG_ROWSPERSTRIP, pages[page].height);
        if (page == 0)
            TIFFSetField(tif, TIFFTAG_IMAGEDESCRIPTION, xml);
        good = TIFFWriteEncodedStrip(tif, 0, pages[page].data,
                                     (tmsize_t)cs_image_bytes(&pages[page])) >= 0 &&
               TIFFWriteDirectory(tif);
        cs_image_release(&pages[page]);
    }
    if (tif)
        TIFFClose(tif);
    if (!good)
        exit(1);
}

// Two channels, three planes of depth: nuclei in focus in the middle one, and a cell body channel.
static void stack(const char *name, uint32_t seed)
{
    enum { SIDE = 128, DEPTHS = 3 };
    static const char xml[] =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
        "<OME xmlns=\"http://www.openmicroscopy.org/Schemas/OME/2016-06\"><Image ID=\"Image:0\" "
        "Name=\"stack\"><Pixels ID=\"Pixels:0\" DimensionOrder=\"XYZCT\" Type=\"uint16\" "
        "SizeX=\"128\" SizeY=\"128\" SizeZ=\"3\" SizeC=\"2\" SizeT=\"1\" PhysicalSizeX=\"0.325\" "
        "PhysicalSizeY=\"0.325\" PhysicalSizeZ=\"1\"><Channel ID=\"Channel:0:0\" Name=\"DAPI\" "
        "SamplesPerPixel=\"1\"/><Channel ID=\"Channel:0:1\" Name=\"Actin\" "
        "SamplesPerPixel=\"1\"/><TiffData/></Pixels></Image></OME>";
    struct cs_image pages[2 * DEPTHS];
    struct cs_err err;
    struct scene s;
    populate(&s, SIDE, SIDE, 9, 10, 14, seed);
    for (int page = 0; page < 2 * DEPTHS; page++) {
        int z = page % DEPTHS;
        bool dapi = page < DEPTHS;
        pages[page] = new_image(&s, 1, CS_U16);
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                double light = dapi ? glow(&s, x, y, z == 1 ? 1.3 : 4) * (z == 1 ? 1 : 0.6)
                                    : glow(&s, x + 3, y, 9) * (1 + texture(x, y, 4, seed));
                store(&pages[page], (size_t)(y * SIDE + x), noisy(300 + 3000 * light, 1, 20));
            }
    }
    char *path = cs_xasprintf("%s/%s", folder, name);
    if (cs_make_parents(path, &err) != 0)
        exit(1);
    write_pages(path, pages, 2 * DEPTHS, xml);
    free(path);
    free(s.truth);
    printf("%s: %d objects\n", name, s.count);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make-testdata DIR\n");
        return 2;
    }
    folder = argv[1];
    fluorescence("nuclei/fluorescence.png", 320, 256, 34, CS_U8, 0, 7);
    fluorescence("nuclei/fluorescence-16bit.tif", 256, 256, 26, CS_U16, 0.325, 21);
    histology("nuclei/histology.png", 5);
    brightfield("nuclei/brightfield.png", 11);
    spheroid("spheroid/spheroid.png", 3);
    stack("stack.ome.tif", 17);
    return 0;
}
