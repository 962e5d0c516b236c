# The plug-in of the CUDA backend, with CUDA=1: our kernels, the CUDA runtime linked in, cuDNN beside
# it. It has its own copy of what it needs of the library, compiled for a shared object.
PLUGIN_SRC := $(CUDA_SRC) libcommon/backend/cuda/memory.c libcommon/backend/order.c \
    libcommon/backend/job_area.c \
    libcommon/backend/cpu/nd.c libcommon/backend/plugin_build.c $(wildcard libcommon/graph/*.c \
    libcommon/base/*.c) libcommon/image/image.c
PLUGIN_OBJ := $(PLUGIN_SRC:%.c=$(BUILD)/plugin/%.o)
CUDA_OBJ   := $(patsubst %,$(BUILD)/plugin/%.o,$(wildcard libcommon/backend/cuda/*.cu))
PLUGINS    := $(if $(CUDA),$(BUILD)/lib/cellstream/cuda.so)
NVCC        = $(CUDA_HOME)/bin/nvcc
NVCC_FLAGS  = -std=c++17 -O3 -lineinfo -Ilibcommon \
    $(foreach arch,$(CUDA_ARCHS),-gencode arch=compute_$(arch),code=sm_$(arch)) \
    -gencode arch=compute_$(lastword $(CUDA_ARCHS)),code=compute_$(lastword $(CUDA_ARCHS)) \
    -Xcompiler -fPIC,-fvisibility=hidden,-fno-exceptions,-fno-rtti,-fno-threadsafe-statics \
    $(if $(WERROR),-Werror all-warnings)

all: $(PLUGINS)
.PHONY: cuda cuda-tests
cuda: $(BUILD)/lib/cellstream/cuda.so

# The same plug-in with kernels compiled for the host, over a stub of the CUDA runtime and of cuDNN.
CUDA_STUB   := $(BUILD)/tests/cuda/stub/cuda.so
CUDA_SUITES := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/cuda/stub/test_*.c))
CUDA_PLANS  := $(BUILD)/tests/cuda/plans/test_plans
cuda-tests: $(CUDA_STUB) $(CUDA_SUITES) $(CUDA_PLANS)

# The stub's runtime under the real cuDNN, which is asked for engines.
CUDA_HOSTED := $(PLUGIN_OBJ) $(BUILD)/plugin/tests/cuda/stub/runtime.o $(patsubst %,$(BUILD)/host/%.o, \
    $(wildcard libcommon/backend/cuda/*.cu tests/cuda/shim/*.cpp))
$(CUDA_PLANS): $(CUDA_PLANS).o $(CUDA_HOSTED) $(TEST_SUPPORT) $(LIB)
	$(CC) $(LDFLAGS) -Wl,--wrap=cs_cuda_engine_new -o $@ $< $(CUDA_HOSTED) $(TEST_SUPPORT) $(LIB) \
	    -L$(CUDA_HOME)/lib64 -lcudnn_graph -lstdc++ -lcheck -lsubunit -lrt $(LDLIBS)

$(CUDA_STUB): $(CUDA_HOSTED) $(BUILD)/plugin/tests/cuda/stub/dnn.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -shared -Wl,--no-undefined,--gc-sections -o $@ $^ -lxxhash -lnettle -lstdc++ -lm

$(CUDA_SUITES): $(BUILD)/%: $(BUILD)/%.o $(TEST_SUPPORT) $(LIB)
	$(CC) $(LDFLAGS) -o $@ $< $(TEST_SUPPORT) $(LIB) -lcheck -lsubunit -lrt $(LDLIBS)

$(BUILD)/lib/cellstream/cuda.so: $(PLUGIN_OBJ) $(CUDA_OBJ)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -shared -Wl,--no-undefined,--gc-sections,-rpath,'$$ORIGIN' -o $@ $^ \
	    -L$(CUDA_HOME)/lib64 -lcudart_static -lcudnn_graph -lxxhash -lnettle -ldl -lrt -lpthread -lm

$(BUILD)/plugin/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -isystem $(CUDA_HOME)/include $(CFLAGS) -fPIC -fvisibility=hidden \
	    -ffunction-sections -MMD -MP -c -o $@ $<

$(BUILD)/plugin/%.cu.o: %.cu
	@mkdir -p $(@D)
	$(NVCC) $(NVCC_FLAGS) -MMD -MF $(@:.o=.d) -c -o $@ $<

# Its arithmetic is Pillow's to the bit.
$(BUILD)/plugin/libcommon/backend/cuda/job.cu.o: NVCC_FLAGS += -fmad=false
