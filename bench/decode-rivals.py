# SPDX-License-Identifier: MIT
# Decoding beside tifffile with imagecodecs and Pillow, on the same files and one thread each:
# megabytes of samples a second of processor time, best of some rounds, interleaved; each reads a file
# a few times a round, so that nobody pays for fresh memory. Called by bench/decode-rivals.
#
#     decode-rivals.py DECODE FOLDER IMAGE.tif
#
# DECODE is the program bench/decode; IMAGE.tif a large gray image of 8 bits, which is written in
# every compression into FOLDER. Deflate is also compared with the system's libdeflate alone, on the
# same tiles in memory: libtiff calls it.
import ctypes
import ctypes.util
import subprocess
import sys
import time
from pathlib import Path

import numpy
import tifffile
from PIL import Image

Image.MAX_IMAGE_PIXELS = None
ROUNDS = 5
TIMES = 3  # a round


def write_files(folder, image):
    """Every kind of file, by the rivals themselves."""
    gray = tifffile.imread(image)
    noise = numpy.random.default_rng(1).integers(0, 16, gray.shape, dtype="u2")
    deep = gray.astype("u2") * 16 + noise  # as a camera of 12 bits gives them
    rgb = numpy.stack([gray, gray[::-1], gray[:, ::-1]], -1)
    tiles, strips = {"tile": (256, 256)}, {"rowsperstrip": 64}
    kinds = []

    def tiff(name, data, **how):
        tifffile.imwrite(folder / f"{name}.tif", data, metadata=None, **how)
        kinds.append(f"{name}.tif")

    for depth, data in (("u8", gray), ("u16", deep)):
        for layout, how in (("tiles", tiles), ("strips", strips)):
            tiff(f"{depth}-{layout}-none", data, **how)
            for compression in ("lzw", "deflate", "zstd", "packbits"):
                tiff(f"{depth}-{layout}-{compression}", data, compression=compression, **how)
            for compression in ("lzw", "deflate"):
                tiff(f"{depth}-{layout}-{compression}-predictor", data, compression=compression,
                     predictor=True, **how)
    tiff("rgb-tiles-jpeg", rgb, compression="jpeg", photometric="rgb", **tiles)
    tiff("u8-tiles-jpeg", gray, compression="jpeg", **tiles)
    for name, data in (("u8", gray), ("u16", deep), ("rgb", rgb)):
        Image.fromarray(data).save(folder / f"{name}.png")
        kinds.append(f"{name}.png")
    Image.fromarray(gray).save(folder / "u8.jpg", quality=90)
    Image.fromarray(rgb).save(folder / "rgb.jpg", quality=90)
    return kinds + ["u8.jpg", "rgb.jpg"]


def seconds(work):
    best = None
    for _ in range(TIMES):
        start = time.process_time()
        data = work()
        spent = time.process_time() - start
        best = spent if best is None else min(best, spent)
    return best, data.nbytes


def by_tifffile(path):
    if path.suffix != ".tif":
        return None
    return seconds(lambda: tifffile.imread(path, maxworkers=1))


def by_pillow(path):
    try:
        return seconds(lambda: numpy.asarray(Image.open(path)))
    except Exception:  # a kind that it does not read
        return None


def by_us(decode, path):
    line = subprocess.run([decode, "-c", "-r", str(TIMES), path], capture_output=True, text=True,
                          check=True).stdout.splitlines()[-1]
    fields = line.split()
    size, rate = float(fields[-8]), float(fields[-6])
    return size / rate, size * 1e6


def libdeflate_rate(path):
    """MB of samples a second of libdeflate by itself; None: the system has none."""
    name = ctypes.util.find_library("deflate")
    if not name:
        return None
    library = ctypes.CDLL(name)
    library.libdeflate_alloc_decompressor.restype = ctypes.c_void_p
    decompress = library.libdeflate_zlib_decompress
    decompress.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p,
                           ctypes.c_size_t, ctypes.c_void_p]
    page, whole = tifffile.TiffFile(path).pages[0], path.read_bytes()
    units = [whole[at:at + n] for at, n in zip(page.dataoffsets, page.databytecounts)]
    size = page.tilewidth * page.tilelength * page.dtype.itemsize
    out, state = ctypes.create_string_buffer(size), library.libdeflate_alloc_decompressor()
    best = 0
    for _ in range(ROUNDS * TIMES):
        start = time.process_time()
        for unit in units:
            if decompress(state, unit, len(unit), out, size, None):
                raise SystemExit(f"{path}: libdeflate fails")
        best = max(best, page.nbytes / (time.process_time() - start) / 1e6)
    library.libdeflate_free_decompressor(ctypes.c_void_p(state))
    return best


def main():
    decode, folder, image = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    print(f"MB/s of processor time, best of {ROUNDS} x {TIMES}")
    print(f"{'file':34s}{'CellStream':>11s}{'tifffile':>11s}{'Pillow':>11s}{'of the best':>13s}")
    slower, ours = 0, {}
    for name in write_files(folder, image):
        path = folder / name
        best = {}
        for _ in range(ROUNDS):
            for who, result in (("us", by_us(decode, path)),
                                ("tifffile", by_tifffile(path)),
                                ("pillow", by_pillow(path))):
                if result:
                    best[who] = max(best.get(who, 0), result[1] / result[0] / 1e6)
        rival = max(best.get("tifffile", 0), best.get("pillow", 0))
        slower += best["us"] < rival
        if "tiles-deflate" in name:
            ours[name] = best["us"]
        cells = "".join(f"{best[who]:11.0f}" if who in best else f"{'-':>11s}"
                        for who in ("us", "tifffile", "pillow"))
        print(f"{name:34s}{cells}{best['us'] / rival:13.2f}", flush=True)
    print(f"slower than the best of them: {slower}")
    for name, rate in ours.items():
        alone = libdeflate_rate(folder / name)
        if alone:
            print(f"{name}: {rate / alone:.2f} of libdeflate alone ({alone:.0f})")


if __name__ == "__main__":
    main()
