# CellStream. `make` builds everything into build/; see CONTRIBUTING.md for the other targets.
include config.mk

TOOLS   := $(patsubst tools/%.c,%,$(wildcard tools/cs-*.c))
SCRIPTS := $(notdir $(wildcard scripts/cs-*))
# The CUDA backend is a plug-in, but what its plans take can be said anywhere (cuda.mk).
CUDA_SRC := $(filter-out %/memory.c,$(wildcard libcommon/backend/cuda/*.c))
LIB_SRC := $(filter-out $(CUDA_SRC),$(wildcard libcommon/*/*.c libcommon/*/*/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o) $(BUILD)/gen/onnx.pb-c.o
LIB     := $(BUILD)/libcellstream.a
# Kernels for one instruction set are named *_avx512.c, *_avx2.c, *_plain.c and chosen at run time.
# No code looks at errno or floating-point traps, which would keep loops from being vectorised.
# clang takes minutes for one of them with UndefinedBehaviorSanitizer; the suites have gcc's.
ISA_plain  = -O3 -fno-math-errno -fno-trapping-math $(if $(FUZZER),-fno-sanitize=undefined)
ISA_avx512 = $(ISA_plain) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma
ISA_avx2   = $(ISA_plain) -mavx2 -mfma

TEST_SUPPORT := $(BUILD)/tests/libsupport.a
UNIT    := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c tests/ops/test_*.c))
HELPERS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/*.c tests/helpers/*.c bench/*.c))
PRELOAD := $(patsubst %.c,$(BUILD)/%.so,$(wildcard tests/preload/*.c))
FUZZ    := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))

all: $(TOOLS:%=$(BUILD)/bin/%) $(SCRIPTS:%=$(BUILD)/bin/%)
.PHONY: all check check-san races fault-sweep demo bench install bundle check-cuda clean tests fuzz \
    lint format

$(BUILD)/bin/cs-%: $(BUILD)/tools/cs-%.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) $(LDLIBS)

$(BUILD)/bin/cs-model: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tools/verbs/*.c))

$(BUILD)/bin/cs-%: scripts/cs-%
	@mkdir -p $(@D)
	sed 's/@VERSION@/$(VERSION)/' $< > $@ && chmod 755 $@

$(LIB): $(LIB_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/gen/onnx.pb-c.c $(BUILD)/gen/onnx.pb-c.h &: libcommon/model/onnx.proto
	@mkdir -p $(@D)
	protoc-c --c_out=$(BUILD)/gen --proto_path=libcommon/model onnx.proto

$(BUILD)/gen/onnx.pb-c.o: $(BUILD)/gen/onnx.pb-c.c
	$(CC) $(CPPFLAGS) -std=c11 -O2 -g $(SANFLAGS) -c -o $@ $<

$(filter $(BUILD)/libcommon/model/%.o,$(LIB_OBJ)) $(BUILD)/tests/unit/test_onnx.o \
    $(BUILD)/tests/onnx-case.o: \
    | $(BUILD)/gen/onnx.pb-c.h

$(BUILD)/%_avx512.o: %_avx512.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(ISA_avx512) -MMD -MP -c -o $@ $<

$(BUILD)/%_avx2.o: %_avx2.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(ISA_avx2) -MMD -MP -c -o $@ $<

$(BUILD)/%_plain.o: %_plain.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(ISA_plain) -MMD -MP -c -o $@ $<

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

include cuda.mk

# Tests: one Check program a suite; helpers and benchmarks are plain programs.
$(UNIT): $(BUILD)/%: $(BUILD)/%.o $(TEST_SUPPORT) $(LIB)
	$(CC) $(LDFLAGS) -o $@ $< $(TEST_SUPPORT) $(LIB) -lcheck -lsubunit -lrt $(LDLIBS)

$(HELPERS): $(BUILD)/%: $(BUILD)/%.o $(TEST_SUPPORT) $(LIB)
	$(CC) $(LDFLAGS) -o $@ $< $(TEST_SUPPORT) $(LIB) $(LDLIBS)

# Operators of the CUDA backend with its kernels compiled for the host (tests/cuda/).
CUDA_HOST := $(BUILD)/tests/libcudahost.a
CUDA_HOST_FLAGS = -std=c++17 -g $(OPT) -fPIC -fno-exceptions -fno-rtti -fno-strict-aliasing \
    -ffp-contract=off -Wall -Wextra -Wshadow -Wno-unknown-pragmas $(if $(WERROR),-Werror) \
    $(SANFLAGS) $(RACES) -Ilibcommon -Itests/cuda/shim
CUDA_HOST_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/cuda/*.c) \
    libcommon/backend/cuda/call.c libcommon/backend/cuda/ops.c \
    $(filter-out %/op_conv.c,$(wildcard libcommon/backend/cuda/op_*.c))) \
    $(patsubst %,$(BUILD)/host/%.o,$(wildcard libcommon/backend/cuda/*.cu tests/cuda/shim/*.cpp))

$(CUDA_HOST): $(CUDA_HOST_OBJ)
	@mkdir -p $(@D)
	rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/host/%.o: %
	@mkdir -p $(@D)
	$(CXX) $(CUDA_HOST_FLAGS) -MMD -MP -x c++ -c -o $@ $<

# The same kernels under ThreadSanitizer, to which every thread of a block is a thread.
RACING := shim random ops
races:
	$(MAKE) BUILD=build-races RACES=-fsanitize=thread $(RACING:%=build-races/tests/ops/test_cuda_%)
	CK_TIMEOUT_MULTIPLIER=10 tests/run-suites -b build-races $(RACING:%=tests/ops/test_cuda_%.c)
$(BUILD)/host/tests/cuda/shim/shim.cpp.o: CUDA_HOST_FLAGS += \
    $(if $(RACES),-fno-sanitize=thread -DSHIM_TSAN)

$(filter $(BUILD)/tests/ops/test_cuda_%,$(UNIT)): $(CUDA_HOST)
$(filter $(BUILD)/tests/ops/test_cuda_%,$(UNIT)): TEST_SUPPORT := $(CUDA_HOST) $(TEST_SUPPORT)
$(BUILD)/tests/%.o: CPPFLAGS += -Itests/cuda

$(TEST_SUPPORT): $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/support/*.c))
	@mkdir -p $(@D)
	rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/tests/%.o $(BUILD)/bench/%.o: CPPFLAGS += -Itests/support

# Fuzz targets: with clang's libFuzzer (FUZZER=1), else with a main that replays files.
$(FUZZ): $(BUILD)/%: $(BUILD)/%.o $(if $(FUZZER),,$(BUILD)/tests/fuzz/standalone.o) $(LIB)
	$(CC) $(LDFLAGS) $(if $(FUZZER),-fsanitize=fuzzer) -o $@ $(filter %.o,$^) $(LIB) $(LDLIBS)

# What shell tests preload into a program; without sanitizers, which want to come first.
$(PRELOAD): $(BUILD)/%.so: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -std=c11 -g -O2 $(WARN) -fPIC -shared -o $@ $<

tests: all $(UNIT) $(HELPERS) $(PRELOAD) $(FUZZ)

check:
	@tests/check-all

# The suites and shell tests alone, with AddressSanitizer and UndefinedBehaviorSanitizer.
check-san:
	@tests/check-all san

lint: all
	@tests/check-all lint

format:
	clang-format -i $$(find libcommon tools tests bench -name '*.[ch]' -o -name '*.cu' \
	    -o -name '*.cuh' -o -name '*.cpp')

# Longer than in `make check`: a minute a target.
fuzz:
	@tests/run-fuzz -t 60

# Every call fails in turn, where `make check` takes a sample.
fault-sweep: tests
	@FAULT_SWEEP=all CLI_TIMEOUT=36000 tests/run-cli $(shell grep -l sweep.sh tests/fault/*.sh)

demo: all
	@scripts/demo --no-install

bench: tests
	@bench/run

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 \
	    $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man7
	install -m 755 $(BUILD)/bin/cs-* $(DESTDIR)$(PREFIX)/bin
	for page in man/*.[157]; do \
	    install -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.} || exit 1; done
	for plugin in $(PLUGINS); do \
	    install -D -m 755 $$plugin $(DESTDIR)$(PREFIX)/lib/cellstream/$${plugin##*/} || exit 1; done
	for package in models/*/rdf.yaml; do dir=$${package%/rdf.yaml}; \
	    install -d $(DESTDIR)$(PREFIX)/share/cellstream/$$dir && \
	    install -m 644 $$dir/rdf.yaml $$dir/*.onnx $$dir/*.npy \
	        $(DESTDIR)$(PREFIX)/share/cellstream/$$dir || exit 1; done

# What only a GPU can show; without one it says so.
CUDA_CHECKS := $(addprefix $(BUILD)/,tests/onnx-case tests/helpers/net-error \
    tests/helpers/image-make tests/ops/test_device bench/score bench/slots)
check-cuda: all $(CUDA_CHECKS)
	@BUILD=$(abspath $(BUILD)) tests/cuda/check -o $(BUILD)/check-cuda.txt

# One tar for machines without root, compilers or libraries (scripts/bundle).
BUNDLE      := $(BUILD)/cellstream-$(VERSION)-$(shell uname -m).tar.gz
BUNDLE_ROOT := $(BUILD)/bundle/cellstream-$(VERSION)
bundle: all $(CUDA_CHECKS)
	rm -rf $(BUNDLE_ROOT)
	$(MAKE) -s --no-print-directory install DESTDIR=$(BUNDLE_ROOT) PREFIX=
	scripts/bundle $(BUNDLE_ROOT) $(BUILD) $(BUNDLE) $(if $(CUDNN),$(CUDA_HOME))

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.SECONDARY:

clean:
	rm -rf build build-san build-races build-fuzz build-clang build-dnn3 build-cuda build-cuda12
