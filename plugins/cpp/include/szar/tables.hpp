// The tables of the boundary over the classes of this library; authors need only `SZAR_PLUGIN` of szar/plugin.hpp.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <torch/headeronly/version.h>

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

// ---- adapters

inline bool adapter_call(Adapter &adapter, std::string_view method, const SzarArgs &args, const Sink &sink) {
  if (method == "begin") {
    adapter.begin(task(args));
  } else if (method == "diagnostics") {
    sink.json(Json(adapter.diagnostics()));
  } else if (method == "held") {
    Json all = Json::array();
    for (const auto &one : adapter.held()) {
      all.push_back({{"stream", one.sample.stream}, {"position", one.sample.position}, {"class", one.column}});
    }
    sink.json(all);
  } else if (method == "moved_anchors") {
    if (const auto anchors = adapter.moved_anchors()) sink.tensor("anchors", *anchors);
  } else if (method == "state_bytes") {
    sink.json(adapter.state_bytes());
  } else if (method == "wants_second_pass") {
    sink.json(adapter.wants_second_pass());
  } else {
    return false;
  }
  return true;
}

inline SzarStatus call_adapter(void *object, SzarStr method, const SzarArgs *args, const SzarOut *out) noexcept {
  return dispatch<Adapter>(object, method, args, out, adapter_call);
}

inline SzarStatus observe(void *pointer, const SzarObservation *seen, SzarAlignerRef model, const SzarOut *out,
                          at::Tensor (Adapter::*answer)(const Observation &, const LentAligner &)) noexcept {
  return guard(out, [&](const Sink &sink) {
    if (seen == nullptr) throw std::invalid_argument("the observation is missing");
    Observation own{borrow(seen->features), borrow(seen->scores), {}, std::nullopt, std::nullopt};
    if (seen->count > 0) own.samples.assign(seen->samples, seen->samples + seen->count);
    if (seen->skeletons != nullptr && seen->encoder.table != nullptr) {
      own.skeletons = Skeletons::read(seen->skeletons);
      own.encoder = LentEncoder(seen->encoder);
    }
    sink.tensor("logits", (object<Adapter>(pointer).*answer)(own, LentAligner(model)));
    return SZAR_OK;
  });
}

inline SzarStatus step(void *object, const SzarObservation *seen, SzarAlignerRef model, const SzarOut *out) noexcept {
  return observe(object, seen, model, out, &Adapter::step);
}

inline SzarStatus rescore(void *object, const SzarObservation *seen, SzarAlignerRef model, const SzarOut *out) noexcept {
  return observe(object, seen, model, out, &Adapter::rescore);
}

inline SzarStatus snapshot(void *pointer, const SzarOut *out) noexcept {
  return guard(out, [&](const Sink &sink) {
    sink.tensors(object<Adapter>(pointer).snapshot());
    return SZAR_OK;
  });
}

inline SzarStatus restore(void *pointer, const SzarNamed *tensors, size_t count, const SzarOut *out) noexcept {
  return guard(out, [&](const Sink &) {
    object<Adapter>(pointer).restore(named(tensors, count));
    return SZAR_OK;
  });
}

// ---- encoders

inline Json json(const FitSummary &said) {
  return {{"epochs", said.epochs},
          {"best_epoch", said.best_epoch},
          {"train_loss", said.train_loss},
          {"validation", said.validation},
          {"validation_measure", said.validation_measure},
          {"chosen", said.chosen}};
}

inline bool encoder_call(Encoder &encoder, std::string_view method, const SzarArgs &args, const Sink &sink) {
  if (method == "spec") {
    sink.json(json(encoder.spec()));
  } else if (method == "fit") {
    const FitContext context(args);
    const FitSummary said = encoder.fit(Sequences(args.work->train), Sequences(args.work->validation), context);
    sink.json(json(said));
  } else if (method == "state") {
    sink.tensors(encoder.state());
  } else if (method == "load_state") {
    encoder.load_state(named(args.tensors, args.count));
  } else {
    return false;
  }
  return true;
}

inline SzarStatus call_encoder(void *object, SzarStr method, const SzarArgs *args, const SzarOut *out) noexcept {
  return dispatch<Encoder>(object, method, args, out, encoder_call);
}

inline SzarStatus encode(void *pointer, const SzarSkeletons *batch, const SzarOut *out) noexcept {
  return guard(out, [&](const Sink &sink) {
    const Encoding own = object<Encoder>(pointer).encode(Skeletons::read(batch));
    sink.tensor("features", own.features);
    if (own.logits) sink.tensor("logits", *own.logits);
    return SZAR_OK;
  });
}

// ---- aligners

inline FitSummary fit(Aligner &aligner, const SzarArgs &args) {
  const NamedTensors given = named(args.tensors, args.count);
  const auto set = [&](const std::string &name) {
    const auto features = entry(given, name + "/features", {-1, -1, -1, -1});
    return SeenSet{features, entry(given, name + "/labels", {features.size(0)})};
  };
  return aligner.fit(set("train"), set("validation"), Anchors::read(args.anchors), FitContext(args));
}

inline bool aligner_call(Aligner &aligner, std::string_view method, const SzarArgs &args, const Sink &sink) {
  if (method == "capabilities") {
    sink.json(json(aligner.capabilities()));
  } else if (method == "fit") {
    sink.json(json(fit(aligner, args)));
  } else if (method == "embed" && aligner.capabilities().visual_embeddings) {
    const auto features = entry(named(args.tensors, args.count), "features", {-1, -1, -1, -1});
    const auto [visual, classes] = aligner.embed(features, Anchors::read(args.anchors));
    sink.tensor("visual", visual);
    sink.tensor("classes", classes);
  } else if (method == "state") {
    sink.tensors(aligner.state());
  } else if (method == "load_state") {
    aligner.load_state(named(args.tensors, args.count));
  } else {
    return false;
  }
  return true;
}

inline SzarStatus call_aligner(void *object, SzarStr method, const SzarArgs *args, const SzarOut *out) noexcept {
  return dispatch<Aligner>(object, method, args, out, aligner_call);
}

inline SzarStatus score(void *pointer, AtenTensorHandle features, const SzarAnchors *anchors, const SzarOut *out) noexcept {
  return guard(out, [&](const Sink &sink) {
    const auto own = borrow(features);
    expect("features", own, {-1, -1, -1, -1});
    sink.tensor("logits", object<Aligner>(pointer).score(own, Anchors::read(anchors)));
    return SZAR_OK;
  });
}

// ---- the plugin

inline const SzarObject CONFIG{sizeof(SzarObject), drop<Config>, call_config};
inline const SzarObject ADAPTER_OBJECT{sizeof(SzarObject), drop<Adapter>, call_adapter};
inline const SzarObject ENCODER_OBJECT{sizeof(SzarObject), drop<Encoder>, call_encoder};
inline const SzarObject ALIGNER_OBJECT{sizeof(SzarObject), drop<Aligner>, call_aligner};
inline const SzarComponents COMPONENTS{sizeof(SzarComponents), list, configure, &CONFIG, build};
inline const SzarAdapter ADAPTER{sizeof(SzarAdapter), &ADAPTER_OBJECT, step, rescore};
inline const SzarAdapterSnapshot ADAPTER_SNAPSHOT{sizeof(SzarAdapterSnapshot), snapshot, restore};
inline const SzarAligner ALIGNER{sizeof(SzarAligner), &ALIGNER_OBJECT, score};
inline const SzarEncoder ENCODER{sizeof(SzarEncoder), &ENCODER_OBJECT, encode};

inline const void *extension(SzarStr id) noexcept {
  const std::string_view name = id.data == nullptr ? std::string_view() : view(id);
  if (name == SZAR_COMPONENTS) return &COMPONENTS;
  if (name == SZAR_ADAPTER) return &ADAPTER;
  if (name == SZAR_ADAPTER_SNAPSHOT) return &ADAPTER_SNAPSHOT;
  if (name == SZAR_ALIGNER) return &ALIGNER;
  if (name == SZAR_ENCODER) return &ENCODER;
  return nullptr;
}

inline uint64_t libtorch_abi() noexcept { return reinterpret_cast<uint64_t>(&aoti_torch_abi_version); }

inline SzarStatus start(const SzarHost *host, const SzarOut *out) noexcept {
  return guard(out, [&](const Sink &) {
    HOST.store(host);
    COMPONENTS_OF_PLUGIN = MAKE();
    return SZAR_OK;
  });
}

/// The table of the plugin; texts and what it is made of are static.
inline SzarPlugin plugin(const char *name, const char *version, MakeComponents make) {
  MAKE = make;
  return {sizeof(SzarPlugin), SZAR_MAJOR, SZAR_MINOR, str(name), str(version), str(TORCH_VERSION), libtorch_abi, start, extension};
}

}  // namespace detail

SZAR_NAMESPACE_END
