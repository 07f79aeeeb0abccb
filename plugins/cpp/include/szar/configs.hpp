// Components and their configurations as tables.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "szar/components.hpp"

SZAR_NAMESPACE_BEGIN

/// A component of the plugin.
struct Component {
  const char *kind;
  std::string name;
  std::string summary;
  std::string paper;
  std::function<std::unique_ptr<Config>()> make;
};

/// The component of a configuration class. The name is the `type` in YAML: small letters and digits, `-` between words.
template <class C>
Component component(std::string name, std::string summary, std::string paper = {}) {
  constexpr bool adapter = std::is_base_of<AdapterConfig, C>::value;
  constexpr bool aligner = std::is_base_of<AlignerConfig, C>::value;
  static_assert(adapter || aligner || std::is_base_of<EncoderConfig, C>::value,
                "a configuration derives from szar::AdapterConfig, szar::AlignerConfig or szar::EncoderConfig");
  return {adapter ? "adapter" : aligner ? "aligner" : "encoder", std::move(name), std::move(summary), std::move(paper),
          [] { return std::unique_ptr<Config>(std::make_unique<C>()); }};
}

namespace detail {

using MakeComponents = std::vector<Component> (*)();

inline MakeComponents MAKE = nullptr;
inline std::vector<Component> COMPONENTS_OF_PLUGIN;

/// The object of a call.
template <class T>
T &object(void *pointer) {
  if (pointer == nullptr) throw std::invalid_argument("the object of the call is missing");
  return *static_cast<T *>(pointer);
}

template <class T>
void drop(void *pointer) noexcept {
  try {
    delete static_cast<T *>(pointer);
  } catch (...) {
  }
}

inline const SzarArgs &given(const SzarArgs *args) {
  static const SzarArgs NOTHING{sizeof(SzarArgs), {nullptr, 0}, nullptr, 0, nullptr, nullptr};
  return args == nullptr ? NOTHING : *args;
}

/// Makes a call by name: `run` returns whether it knows the method.
template <class T>
SzarStatus dispatch(void *pointer, SzarStr method, const SzarArgs *args, const SzarOut *out,
                    bool (*run)(T &, std::string_view, const SzarArgs &, const Sink &)) noexcept {
  return guard(out, [&](const Sink &sink) {
    return run(object<T>(pointer), view(method), given(args), sink) ? SZAR_OK : SZAR_UNSUPPORTED;
  });
}

// ---- configurations

inline Json json(const Capabilities &own) {
  return {{"features", own.map ? "map" : "pooled"},
          {"granularities", own.granularities},
          {"differentiable_in_anchors", own.differentiable_in_anchors},
          {"differentiable_in_features", own.differentiable_in_features},
          {"visual_embeddings", own.visual_embeddings}};
}

inline Json facts(const Config &config) {
  Json own = Json::object();
  own["marks"] = Json::array();
  for (const auto &mark : config.marks()) {
    own["marks"].push_back({{"uses_test_labels", mark.uses_test_labels}, {"text", mark.text}});
  }
  if (const auto *adapter = dynamic_cast<const AdapterConfig *>(&config)) {
    const Requirements needs = adapter->requirements();
    Json said{{"parts", needs.parts},
              {"differentiable_in_anchors", needs.differentiable_in_anchors},
              {"differentiable_in_features", needs.differentiable_in_features},
              {"visual_embeddings", needs.visual_embeddings},
              {"node_embeddings", needs.node_embeddings},
              {"tokens", needs.tokens},
              {"batch", needs.batch}};
    if (!needs.feature_map.empty()) said["feature_map"] = needs.feature_map;
    if (!needs.skeletons.empty()) said["skeletons"] = needs.skeletons;
    own["requirements"] = said;
    own["per_sample"] = adapter->per_sample();
    own["holds_streams"] = adapter->holds_streams();
  }
  if (const auto *encoder = dynamic_cast<const EncoderConfig *>(&config)) {
    own["comes_trained"] = !encoder->trains();
    const auto weights = encoder->weights();
    if (!weights.empty()) own["weights"] = weights.string();
  }
  if (const auto *aligner = dynamic_cast<const AlignerConfig *>(&config)) {
    const auto weights = aligner->weights();
    own["capabilities"] = json(aligner->capabilities());
    if (const auto width = aligner->width()) own["width"] = *width;
    if (!weights.empty()) own["weights"] = weights.string();
  }
  return own;
}

/// Lists the fields of a configuration; only reading options changes it.
inline void visit(const Config &config, Fields &fields) { const_cast<Config &>(config).fields(fields); }

inline bool config_call(Config &config, std::string_view method, const SzarArgs &args, const Sink &sink) {
  if (method == "options") {
    Fields fields;
    visit(config, fields);
    sink.json(fields.values());
  } else if (method == "validate") {
    Problems problems;
    Fields fields(nullptr, &problems);
    visit(config, fields);
    config.validate(problems);
    sink.json(problems.list());
  } else if (method == "facts") {
    sink.json(facts(config));
  } else if (const auto *encoder = dynamic_cast<const EncoderConfig *>(&config); encoder && method == "spec") {
    sink.json(json(encoder->spec(input(parse("the form of the input", view(args.json))))));
  } else {
    return false;
  }
  return true;
}

inline SzarStatus list(const SzarOut *out) noexcept {
  return guard(out, [](const Sink &sink) {
    Json all = Json::array();
    for (const auto &one : COMPONENTS_OF_PLUGIN) {
      const auto config = one.make();
      Fields fields;
      visit(*config, fields);
      const Json schema{{"title", one.name},
                        {"description", one.summary},
                        {"type", "object"},
                        {"properties", fields.schemas()},
                        {"additionalProperties", false}};
      all.push_back({{"kind", one.kind},
                     {"name", one.name},
                     {"summary", one.summary},
                     {"paper", one.paper},
                     {"schema", schema},
                     {"defaults", fields.values()}});
    }
    sink.json(all);
    return SZAR_OK;
  });
}

inline SzarStatus configure(SzarStr kind, SzarStr name, SzarStr options, void **config, const SzarOut *out) noexcept {
  return guard(out, [&](const Sink &) {
    if (config == nullptr) throw std::invalid_argument("there is no room for the configuration");
    for (const auto &one : COMPONENTS_OF_PLUGIN) {
      if (one.kind != view(kind) || one.name != view(name)) continue;
      const Json given = parse("the options", view(options));
      if (!given.is_object()) throw std::invalid_argument("the options are no JSON object");
      auto own = one.make();
      Fields fields(&given);
      own->fields(fields);
      for (const auto &[key, value] : given.items()) {
        if (!fields.values().contains(key)) throw std::invalid_argument("unknown option `" + key + "`");
      }
      *config = own.release();
      return SZAR_OK;
    }
    throw std::invalid_argument("this plugin has no " + std::string(view(kind)) + " `" + std::string(view(name)) + "`");
  });
}

inline SzarStatus build(void *pointer, const SzarArgs *args, void **built, const SzarOut *out) noexcept {
  return guard(out, [&](const Sink &) {
    if (built == nullptr) throw std::invalid_argument("there is no room for the object");
    const auto &config = object<Config>(pointer);
    const Json from = parse("the surroundings", view(given(args).json));
    const BuildContext context{device(from.at("device")), from.at("seed"), from.at("cache").get<std::string>()};
    if (const auto *adapter = dynamic_cast<const AdapterConfig *>(&config)) {
      *built = adapter->build(context).release();
    } else if (const auto *encoder = dynamic_cast<const EncoderConfig *>(&config)) {
      *built = encoder->build(input(from.at("input")), context).release();
    } else if (const auto *aligner = dynamic_cast<const AlignerConfig *>(&config)) {
      const auto names = from.at("granularities").get<std::vector<std::string>>();
      *built = aligner->build(spec(from.at("features")), names, from.at("width"), context).release();
    } else {
      return SZAR_UNSUPPORTED;
    }
    return SZAR_OK;
  });
}

inline SzarStatus call_config(void *object, SzarStr method, const SzarArgs *args, const SzarOut *out) noexcept {
  return dispatch<Config>(object, method, args, out, config_call);
}

}  // namespace detail

SZAR_NAMESPACE_END
