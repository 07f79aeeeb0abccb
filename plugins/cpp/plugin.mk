# For the Makefile of a plugin in C++: set SZAR (the folder of szar) and NAME (of the plugin) and include this file.
#
#   SZAR := ../szar
#   NAME := my-plugin
#   include $(SZAR)/plugins/cpp/plugin.mk
#
# It compiles every .cpp file of src/ into $(OUT)/lib$(NAME).so. LIBTORCH is the libtorch that szar runs with
# (`szar doctor` names it); plugin and szar must use the same.
LIBTORCH ?= $(SZAR)/.libtorch
OUT ?= build
CXXFLAGS ?= -O2

SO := $(OUT)/lib$(NAME).so
SOURCES := $(wildcard src/*.cpp)
HEADERS := $(wildcard src/*.hpp $(SZAR)/plugins/cpp/include/szar/*.hpp $(SZAR)/plugins/abi/include/*.h)
# Hidden, so that two plugins in one process never meet; libtorch's headers and the JSON library count as the system's.
SZAR_CXXFLAGS := -std=c++17 -fPIC -fvisibility=hidden -D_GLIBCXX_USE_CXX11_ABI=1 -Wall -Wextra \
  -I$(SZAR)/plugins/cpp/include -I$(SZAR)/plugins/abi/include -isystem $(SZAR)/plugins/cpp/third_party \
  -isystem $(LIBTORCH)/include -isystem $(LIBTORCH)/include/torch/csrc/api/include
SZAR_LDFLAGS := -shared -L$(LIBTORCH)/lib -Wl,-rpath,$(abspath $(LIBTORCH)/lib) -ltorch_cpu -lc10

.PHONY: all clean
all: $(SO)

$(SO): $(SOURCES) $(HEADERS)
	@test -f $(LIBTORCH)/include/ATen/ATen.h || \
	  { echo "error: no libtorch at $(LIBTORCH); set LIBTORCH to the one that \`szar doctor\` names" >&2; exit 1; }
	@mkdir -p $(OUT)
	$(CXX) $(SZAR_CXXFLAGS) $(CXXFLAGS) $(SOURCES) $(SZAR_LDFLAGS) $(LDFLAGS) -o $@

clean:
	rm -f $(SO)
