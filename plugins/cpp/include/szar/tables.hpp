// The tables of the boundary over the classes of this library; authors need only `SZAR_PLUGIN` of szar/plugin.hpp.
#pragma once

#include <string>
#include <vector>

#include <torch/headeronly/version.h>

#include "szar/configs.hpp"

SZAR_NAMESPACE_BEGIN

namespace detail {

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
