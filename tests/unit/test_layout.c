// SPDX-License-Identifier: MIT
// Axes from descriptions: OME-XML, ImageJ's lines, units of length.
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "image/imagej.h"
#include "image/ome.h"
#include "image/unit.h"
#include "suite.h"

static struct cs_layout layout;
static struct cs_err err;

static int ome(const char *pixels_and_more, uint32_t pages)
{
    char text[4096];
    cs_layout_release(&layout);
    snprintf(text, sizeof text, "<?xml version=\"1.0\"?><OME><Image>%s</Image></OME>",
             pixels_and_more);
    ck_assert(cs_ome_sniff(text));
    return cs_ome_parse(&layout, text, strlen(text), "a.ome.tif", NULL, pages, &err);
}

static uint32_t page_of(uint32_t t, uint32_t z, uint32_t c)
{
    return *cs_series_page(&layout.series[0], t, z, c);
}

START_TEST(test_units)
{
    ck_assert_double_eq(cs_unit_um("\xc2\xb5m"), 1);
    ck_assert_double_eq(cs_unit_um("\\u00B5m"), 1);
    ck_assert_double_eq(cs_unit_um("\\u03bcm"), 1);
    ck_assert_double_eq(cs_unit_um(" Microns "), 1);
    ck_assert_double_eq(cs_unit_um("micrometers"), 1);
    ck_assert_double_eq(cs_unit_um("nm"), 1e-3);
    ck_assert_double_eq(cs_unit_um("mm"), 1e3);
    ck_assert_double_eq(cs_unit_um("Mm"), 0);
    ck_assert_double_eq(cs_unit_um("ms"), 0);
    ck_assert_double_eq(cs_unit_um("s"), 0);
    ck_assert_double_eq(cs_unit_um(" "), 0);
    ck_assert_double_eq(cs_unit_um("inch"), 25400);
    ck_assert_double_eq(cs_unit_um("pixel"), 0);
    ck_assert_double_eq(cs_unit_um(""), 0);
}
END_TEST

START_TEST(test_ome_core)
{
    // Every order of the axes: the first of the three runs fastest.
    static const char *const orders[] = {"ZCT", "ZTC", "CZT", "CTZ", "TZC", "TCZ"};
    for (size_t i = 0; i < 6; i++) {
        char text[300];
        uint32_t step[128] = {0}, n = 1;
        const uint32_t size[128] = {['Z'] = 2, ['C'] = 3, ['T'] = 4};
        for (const char *axis = orders[i]; *axis; axis++) {
            step[(int)*axis] = n;
            n *= size[(int)*axis];
        }
        snprintf(text, sizeof text,
                 "<Pixels DimensionOrder=\"XY%s\" SizeZ=\"2\" SizeC=\"3\" SizeT=\"4\"><TiffData/>"
                 "</Pixels>",
                 orders[i]);
        ck_assert_int_eq(ome(text, 24), 0);
        ck_assert_uint_eq(layout.count, 1);
        for (uint32_t t = 0; t < 4; t++)
            for (uint32_t z = 0; z < 2; z++)
                for (uint32_t c = 0; c < 3; c++)
                    ck_assert_uint_eq(page_of(t, z, c),
                                      t * step['T'] + z * step['Z'] + c * step['C']);
    }
    ck_assert_int_eq(
        ome("<Pixels SizeX=\"5\" SizeY=\"6\" SizeC=\"2\" PhysicalSizeX=\"0.5\" "
            "PhysicalSizeY=\"250\" PhysicalSizeYUnit=\"nm\"><Channel Name=\"A&amp;B\"/>"
            "<Channel/><TiffData IFD=\"1\"/></Pixels>",
            2),
        0);
    ck_assert_str_eq(layout.series->names[0], "A&B");
    ck_assert_ptr_null(layout.series->names[1]);
    ck_assert_double_eq_tol(layout.series->pixel_um[0], 0.5, 1e-12);
    ck_assert_double_eq_tol(layout.series->pixel_um[1], 0.25, 1e-12);
    ck_assert_uint_eq(page_of(0, 0, 0), 1); // one plane, as IFD is given
    ck_assert_uint_eq(page_of(0, 0, 1), CS_NO_PAGE);
    // RGB: three samples are one plane.
    ck_assert_int_eq(ome("<Pixels SizeC=\"3\" SizeT=\"2\"><Channel SamplesPerPixel=\"3\"/>"
                         "<TiffData/></Pixels>",
                         2),
                     0);
    ck_assert_uint_eq(layout.series->c, 1);
    ck_assert_uint_eq(page_of(1, 0, 0), 1);
    // Names with a prefix, and planes of other files.
    ck_assert_int_eq(ome("<o:Pixels SizeZ=\"2\"><o:TiffData FirstZ=\"0\"><UUID FileName=\"b.tif\"/>"
                         "</o:TiffData><TiffData FirstZ=\"1\" IFD=\"0\"><UUID "
                         "FileName=\"x/a.ome.tif\"/></TiffData></o:Pixels>",
                         1),
                     0);
    ck_assert_uint_eq(page_of(0, 0, 0), CS_NO_PAGE);
    ck_assert_uint_eq(page_of(0, 1, 0), 0);
    cs_layout_release(&layout);
}
END_TEST

START_TEST(test_ome_limits)
{
    static const char *const broken[] = {
        "",
        "<Pixels",
        "<Pixels/></Wrong>",
        "<Pixels SizeZ=\"0\"/>",
        "<Pixels SizeZ=\"-1\"/>",
        "<Pixels SizeZ=\"4294967295\"/>",
        "<Pixels SizeZ=\"9999999\" SizeT=\"9999999\"/>",
        "<Pixels SizeC=\"5000\"/>",
        "<Pixels DimensionOrder=\"XYZZT\"/>",
        "<Pixels DimensionOrder=\"ZCTXY\"/>",
        "<Pixels SizeC=\"3\"><Channel SamplesPerPixel=\"2\"/></Pixels>",
        "<Pixels SizeC=\"3\"><Channel SamplesPerPixel=\"2\"/>\n<Channel SamplesPerPixel=\"1\"/>",
        "<Pixels><TiffData FirstZ=\"1\"/></Pixels>",
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        ck_assert_msg(ome(broken[i], 3) == -1, "taken: %s", broken[i]);
        ck_assert_int_eq(err.code, CS_EINPUT);
    }
    // Pages beyond the file's are not there; too many planes for a TiffData end with the axes.
    ck_assert_int_eq(ome("<Pixels SizeT=\"3\"><TiffData IFD=\"1\" PlaneCount=\"99\"/></Pixels>", 2),
                     0);
    ck_assert_uint_eq(page_of(0, 0, 0), 1);
    ck_assert_uint_eq(page_of(1, 0, 0), CS_NO_PAGE);
    const char *bomb =
        "<!DOCTYPE OME [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]><OME>&b;</OME>";
    cs_layout_release(&layout);
    ck_assert_int_eq(cs_ome_parse(&layout, bomb, strlen(bomb), "a", NULL, 1, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "document type"));
    // A byte order mark, and blanks before the declaration.
    const char *marked = "\xef\xbb\xbf\n <?xml version=\"1.0\"?><OME><Image><Pixels SizeZ=\"2\"/>"
                         "</Image></OME>";
    cs_layout_release(&layout);
    ck_assert(cs_ome_sniff(marked));
    ck_assert_int_eq(cs_ome_parse(&layout, marked, strlen(marked), "a", NULL, 1, &err), 0);
    ck_assert_uint_eq(layout.series[0].z, 2);
    ck_assert(!cs_ome_sniff("ImageJ=1"));
    cs_layout_release(&layout);
}
END_TEST

static int imagej(const char *text, uint32_t pages)
{
    cs_layout_release(&layout);
    return cs_imagej_parse(&layout, text, pages, &err);
}

START_TEST(test_imagej)
{
    ck_assert(cs_imagej_sniff("ImageJ=\nimages=1\n"));
    ck_assert(!cs_imagej_sniff("images=1\n"));
    ck_assert_int_eq(imagej("ImageJ=1\nimages=12\nchannels=2\nslices=3\nframes=2\nunit=nm\n", 12),
                     0);
    ck_assert_uint_eq(layout.series->t, 2);
    ck_assert_uint_eq(layout.series->z, 3);
    ck_assert_uint_eq(layout.series->c, 2);
    ck_assert_uint_eq(page_of(1, 2, 0), 10);
    ck_assert_uint_eq(layout.planes, 0);
    ck_assert_double_eq_tol(layout.unit_um, 1e-3, 1e-15);
    // One directory for all planes; carriage returns; a unit that is none.
    ck_assert_int_eq(imagej("ImageJ=1\r\nimages=3\r\nslices=3\r\nunit=pixel\r\n", 1), 0);
    ck_assert_uint_eq(layout.planes, 3);
    ck_assert_double_eq(layout.unit_um, -1);
    // A stack that does not say which axis it is.
    ck_assert_int_eq(imagej("ImageJ=1\nimages=3\n", 3), 0);
    ck_assert_uint_eq(layout.count, 0);
    // A single plane.
    ck_assert_int_eq(imagej("ImageJ=1\nunit=\\u00B5m\n", 1), 0);
    ck_assert_uint_eq(layout.count, 1);
    // Fewer pages than planes, more than one: those that are there.
    ck_assert_int_eq(imagej("ImageJ=1\nimages=3\nframes=3\n", 2), 0);
    ck_assert_uint_eq(page_of(1, 0, 0), 1);
    ck_assert_uint_eq(page_of(2, 0, 0), CS_NO_PAGE);
    ck_assert_int_eq(imagej("ImageJ=1\nimages=4\nslices=3\n", 4), -1);
    ck_assert_int_eq(imagej("ImageJ=1\nimages=x\n", 4), -1);
    ck_assert_int_eq(imagej("ImageJ=1\nimages=99999999999\n", 4), -1);
    ck_assert_int_eq(imagej("ImageJ=1\nchannels=1000000\nslices=1000000\nframes=1000000\n", 1), -1);
    cs_layout_release(&layout);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("layout");
    TCase *core = tcase_create("core");
    tcase_add_test(core, test_units);
    tcase_add_test(core, test_ome_core);
    tcase_add_test(core, test_imagej);
    suite_add_tcase(suite, core);
    TCase *limits = tcase_create("limits");
    tcase_add_test(limits, test_ome_limits);
    suite_add_tcase(suite, limits);
    return suite_run(suite);
}
