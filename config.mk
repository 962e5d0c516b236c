# Settings of the build; override on the command line: make CC=clang PREFIX=/usr SANITIZE=1
VERSION = 0.1.0
PREFIX  = /usr/local
CC      = gcc
CXX     = $(if $(findstring clang,$(CC)),clang++,g++)
# SANITIZE=1: AddressSanitizer and UndefinedBehaviorSanitizer, in a build folder of its own.
SANITIZE =
# WERROR=1: warnings are errors (the checks and CI set it).
WERROR =
# FUZZER=1 with CC=clang: fuzz targets are linked with libFuzzer, AddressSanitizer and
# UndefinedBehaviorSanitizer.
FUZZER =
# DNNL=DIR: the oneDNN in DIR/include and DIR/lib instead of the installed one.
DNNL    =
# CUDA=1: also the plug-in for GPUs, with nvcc (CUDA 12 or 13) and cuDNN 9 in CUDA_HOME. Code for
# every architecture of CUDA_ARCHS, and PTX of the last one for those to come.
CUDA       =
CUDA_HOME  = /usr/local/cuda
CUDA_ARCHS = 75 80 86 89 90
# CUDNN=1 with CUDA=1: `make bundle` packs cuDNN too, under its own licence (some 350 MB).
CUDNN      =
BUILD   = build$(if $(SANITIZE),-san)

WARN    = -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes \
          $(if $(WERROR),-Werror) $(if $(FUZZER),-Wno-pass-failed)
CPPFLAGS = -D_GNU_SOURCE -Ilibcommon -I$(BUILD)/gen $(if $(DNNL),-I$(DNNL)/include) \
          -DCS_VERSION='"$(VERSION)"' -DCS_MODEL_DIR='"$(PREFIX)/share/cellstream/models"'
SANFLAGS = $(if $(SANITIZE),-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined \
          -fno-omit-frame-pointer) \
          $(if $(FUZZER),-fsanitize=fuzzer-no-link$(comma)address$(comma)undefined \
          -fno-sanitize-recover=undefined)
OPT     = $(if $(SANITIZE),-O1,-O2)
CFLAGS  = -std=c11 -g $(OPT) -fopenmp $(WARN) $(SANFLAGS)
# Libraries that lie beside the programs (make bundle) come before all others, those that these need
# too: hence RPATH, not RUNPATH.
LDFLAGS = -fopenmp $(SANFLAGS) $(RACES) -Wl,--disable-new-dtags,-rpath,'$$ORIGIN/../lib' \
          $(if $(DNNL),-L$(DNNL)/lib -Wl$(comma)-rpath$(comma)$(DNNL)/lib)
LDLIBS  = -ldnnl -ltiff -lpng -ljpeg -lprotobuf-c -lyaml -lexpat -lxxhash -lnettle -lz -ldl \
          -lpthread -lm
comma   := ,
