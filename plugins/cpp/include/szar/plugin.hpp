// Plugins of szar in C++17: include this one header.
//
// Derive a configuration from szar::AdapterConfig, szar::AlignerConfig or szar::EncoderConfig and the runtime part from
// szar::Adapter, szar::Aligner or szar::Encoder, and end the file with
//
//   SZAR_PLUGIN("my-plugin", "0.1.0",
//               szar::component<MyConfig>("my-adapter", "What it does, in one sentence.", "Where it is from."))
//
// Tensors are at::Tensor of the libtorch that szar runs with; they cross without a copy. Whatever is thrown becomes an
// error of the run that names the plugin, the component and the call. See plugins/examples/cpp-*.
#pragma once

#include "szar/tables.hpp"

/// Exports a plugin with these components. Once per library, at the end of one file.
#define SZAR_PLUGIN(NAME, VERSION, ...)                                                                  \
  extern "C" __attribute__((visibility("default"))) const SzarPlugin *szar_plugin_entry() {              \
    static const SzarPlugin plugin = szar::detail::plugin(                                               \
        NAME, VERSION, []() -> std::vector<szar::Component> { return {__VA_ARGS__}; });                  \
    szar::detail::SELF.store(&plugin);                                                                   \
    return &plugin;                                                                                      \
  }
