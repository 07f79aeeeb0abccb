// Written by `SZAR_BLESS=1 cargo test -p szar-plugin-abi` from plugins/abi/src/lib.rs; do not edit.
//
// The boundary between szar and a plugin: plain C tables, no tensor library.
//
// A plugin is a dynamic library that exports one function, `szar_plugin_entry`, which returns a static `SzarPlugin`. Everything else is
// asked for by name and revision through `SzarPlugin.extension` (`szar.adapter/1`); null is "I do not have that".
//
// # Rules of evolution
// - Every table begins with its own `size` in bytes, as the side that made it knows it. A reader uses a field only if it
//   lies inside that size (`SZAR_HAS`); fields are appended, never moved, removed or given another meaning.
// - A change that an old reader could misread is a new revision of an extension (`szar.adapter/2`) beside the old one.
// - `SZAR_MINOR` grows when something is appended, `SZAR_MAJOR` when an old plugin could no longer be understood; the host
//   takes plugins of its own major version and any minor.
// - Unknown method names in `call` are answered with `SZAR_UNSUPPORTED`, and the caller does without.
//
// # Threads, ownership, lifetime
// - One object is used by one thread at a time, but not always by the same one; configurations and datasets are also read
//   by several threads at once.
// - Arguments are borrowed for the duration of the call: strings, tables, and tensor handles. Who wants to keep a tensor
//   makes a handle of its own (`aoti_torch_new_tensor_handle`). Lent tensors are read only: others read the same memory, and
//   the host refuses what comes back from a call that wrote into them.
// - Results go to an `SzarOut`: texts are copied during the call; a tensor handle given to it belongs to the receiver, which
//   frees it (`aoti_torch_delete_tensor_object`).
// - Each side frees what it made: objects by the `drop` of their table, once; a plugin is never unloaded.
// - Nothing unwinds across the boundary: panics and exceptions are caught on the side where they happen, reported to the
//   `SzarOut`, and returned as `SZAR_FAILED`.
//
// Tensors are handles of the one libtorch that both sides are linked with (`AtenTensorHandle` of its stable C shim).


#ifndef SZAR_PLUGIN_H
#define SZAR_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Name of the exported function.
#define SZAR_ENTRY "szar_plugin_entry"

// The components of a plugin.
#define SZAR_COMPONENTS "szar.components/1"

// Adapters.
#define SZAR_ADAPTER "szar.adapter/1"

// State of adapters.
#define SZAR_ADAPTER_SNAPSHOT "szar.adapter.snapshot/1"

// Aligners.
#define SZAR_ALIGNER "szar.aligner/1"

// Encoders.
#define SZAR_ENCODER "szar.encoder/1"

// Datasets.
#define SZAR_DATASET "szar.dataset/1"

// Objects that only answer calls by name.
#define SZAR_OBJECT "szar.object/1"

// Does a table have this field? The side that made it may be older.
#define SZAR_HAS(table, field) \
  ((table)->size >= (size_t)((const char *)(&(table)->field + 1) - (const char *)(table)))

// What a tensor handle points at, as in libtorch's torch/csrc/inductor/aoti_torch/c/shim.h.
struct AtenTensorOpaque;
// A tensor, as libtorch's stable C shim names it.
typedef struct AtenTensorOpaque *AtenTensorHandle;

#ifdef __cplusplus
extern "C" {
#endif
// The one function that a plugin exports.
const struct SzarPlugin *szar_plugin_entry(void);
#ifdef __cplusplus
}
#endif


// Grows when older plugins can no longer be understood.
#define SZAR_MAJOR 1

// Grows when something is appended.
#define SZAR_MINOR 1

// What a call returns.
typedef int32_t SzarStatus;

// UTF-8 text, borrowed, not terminated.
typedef struct SzarStr {
  // First byte; may be null when `len` is 0.
  const uint8_t *data;
  // Bytes.
  size_t len;
} SzarStr;

// Functions of the host that a plugin may use at any time after `SzarPlugin.start`, from any thread.
typedef struct SzarHost {
  // Bytes of this table.
  size_t size;
  // Of the host.
  uint32_t major;
  // Of the host.
  uint32_t minor;
  // First argument of the functions.
  void *context;
  // One line for the log; levels 1 (error) to 5 (trace).
  void (*log)(void *context, uint32_t level, struct SzarStr target, struct SzarStr message);
  // Is anyone interested in this level?
  bool (*enabled)(void *context, uint32_t level);
} SzarHost;

// Where a call puts its results; lives as long as the call.
typedef struct SzarOut {
  // Bytes of this table.
  size_t size;
  // First argument of the functions.
  void *context;
  // A text result, copied; a second one replaces the first.
  void (*text)(void *context, struct SzarStr text);
  // A tensor result under a name; the handle becomes the receiver's.
  void (*tensor)(void *context, struct SzarStr name, AtenTensorHandle tensor);
  // Why the call fails, copied; to be followed by returning `SZAR_FAILED`.
  void (*error)(void *context, struct SzarStr message);
} SzarOut;

// What a plugin is; static in it.
typedef struct SzarPlugin {
  // Bytes of this table.
  size_t size;
  // `SZAR_MAJOR` it was built for.
  uint32_t major;
  // `SZAR_MINOR` it was built for.
  uint32_t minor;
  // Its name.
  struct SzarStr name;
  // Its version.
  struct SzarStr version;
  // The libtorch it was built for, `2.11.0`; empty for one that keeps to the stable C shim.
  struct SzarStr libtorch;
  // Gives the address of `aoti_torch_abi_version` as the plugin is linked with it: the host compares it with its own,
  // since two libtorch in one process cannot share tensors. Null in a plugin that uses no tensor.
  uint64_t (*libtorch_abi)(void);
  // Called once, before anything else but `extension`; the host's table lives for ever.
  SzarStatus (*start)(const struct SzarHost *host, const struct SzarOut *out);
  // The table of this name and revision, static, or null.
  const void *(*extension)(struct SzarStr id);
} SzarPlugin;

// A tensor with a name.
typedef struct SzarNamed {
  // Its name.
  struct SzarStr name;
  // Borrowed, never null.
  AtenTensorHandle tensor;
} SzarNamed;

// Semantic anchors.
typedef struct SzarAnchors {
  // Bytes of this table.
  size_t size;
  // `[C, G, d]`.
  AtenTensorHandle values;
  // Equal numbers mean an equal `described`: who has read it once need not read it again.
  uint64_t token;
  // JSON: `{"classes": {"ids": [...], "names": [...]}, "granularities": ["global", ...]}`.
  struct SzarStr described;
} SzarAnchors;

// Skeletons of a batch.
typedef struct SzarSkeletons {
  // Bytes of this table.
  size_t size;
  // `[B, C, T, V, M]` f32, metres.
  AtenTensorHandle joints;
  // `[B]` i64, frames of each sequence.
  AtenTensorHandle frames;
  // `[B, M]`, 1 where there is a person.
  const uint8_t *present;
  // B times M.
  size_t present_len;
  // Equal numbers mean an equal `layout`.
  uint64_t token;
  // The skeleton's layout as JSON.
  struct SzarStr layout;
} SzarSkeletons;

// Labelled sequences of seen classes, loaded on demand.
typedef struct SzarSequences {
  // Bytes of this table.
  size_t size;
  // First argument of the functions.
  void *context;
  // `[n]` i64, columns of the classes.
  AtenTensorHandle labels;
  // The classes as JSON.
  struct SzarStr classes;
  // The sequences at these places: calls `take` once with a batch that lives until it returns.
  SzarStatus (*batch)(void *context,
                      const uint64_t *places,
                      size_t count,
                      void *into,
                      void (*take)(void *into, const struct SzarSkeletons *batch),
                      const struct SzarOut *out);
} SzarSequences;

// The surroundings of a long computation, for the duration of the call.
typedef struct SzarWork {
  // Bytes of this table.
  size_t size;
  // First argument of the functions.
  void *context;
  // A stage of `total` steps begins.
  void (*begin)(void *context, struct SzarStr stage, uint64_t total);
  // `done` of them are finished.
  void (*advance)(void *context, uint64_t done, struct SzarStr note);
  // The stage is over.
  void (*end)(void *context);
  // Has anyone asked to stop? Then return `SZAR_CANCELLED` soon.
  bool (*cancelled)(void *context);
  // Sequences to train on and to validate with; null where a method has no use for them.
  const struct SzarSequences *train;
  // See `train`.
  const struct SzarSequences *validation;
} SzarWork;

// Arguments of a call by name; what a method does not take is empty or null.
typedef struct SzarArgs {
  // Bytes of this table.
  size_t size;
  // Plain values as a JSON object.
  struct SzarStr json;
  // Tensors by name.
  const struct SzarNamed *tensors;
  // How many.
  size_t count;
  // Anchors, or null.
  const struct SzarAnchors *anchors;
  // Surroundings of a long computation, or null.
  const struct SzarWork *work;
} SzarArgs;

// What every kind of object can do.
typedef struct SzarObject {
  // Bytes of this table.
  size_t size;
  // Frees the object.
  void (*drop)(void *object);
  // Runs the method of this name.
  SzarStatus (*call)(void *object,
                     struct SzarStr method,
                     const struct SzarArgs *args,
                     const struct SzarOut *out);
} SzarObject;

// The components of a plugin and their configurations.
typedef struct SzarComponents {
  // Bytes of this table.
  size_t size;
  // The text is a JSON list of `{kind, name, summary, paper, schema, defaults}`.
  SzarStatus (*list)(const struct SzarOut *out);
  // Reads the options of a component, given as a JSON object without `type`; `*config` becomes the caller's.
  SzarStatus (*configure)(struct SzarStr kind,
                          struct SzarStr name,
                          struct SzarStr options,
                          void **config,
                          const struct SzarOut *out);
  // What configurations can do; methods by name: `options` (all of them, as JSON), `validate` (a JSON list of
  // `{field, message, hint}`), `facts`, and `spec` of encoders.
  const struct SzarObject *config;
  // Builds what a configuration describes; `*object` becomes the caller's, to be used with the table of its kind.
  SzarStatus (*build)(void *config, const struct SzarArgs *args, void **object, const struct SzarOut *out);
} SzarComponents;

// A sample's place among the streams.
typedef struct SzarSample {
  // Number of the stream, from 0.
  uint64_t stream;
  // Position among all samples of the run.
  uint64_t position;
} SzarSample;

// Encoders. Methods by name: `spec`, `fit` (json, work with sequences), `state`, `load_state`.
typedef struct SzarEncoder {
  // Bytes of this table.
  size_t size;
  // See `SzarObject`; static.
  const struct SzarObject *object;
  // The results are the tensor `features` `[B, N, T', V']` and, of encoders that classify, `logits` `[B, S]`.
  SzarStatus (*encode)(void *object, const struct SzarSkeletons *batch, const struct SzarOut *out);
} SzarEncoder;

// An encoder of either side, borrowed.
typedef struct SzarEncoderRef {
  // First argument of the functions.
  void *object;
  // Null for "none".
  const struct SzarEncoder *table;
} SzarEncoderRef;

// What an adapter sees of a batch; no labels.
typedef struct SzarObservation {
  // Bytes of this table.
  size_t size;
  // `[B, N, T', V']`.
  AtenTensorHandle features;
  // `[B, C]`, logits so far.
  AtenTensorHandle scores;
  // `[B]`.
  const struct SzarSample *samples;
  // B.
  size_t count;
  // The sequences, or null.
  const struct SzarSkeletons *skeletons;
  // The encoder of the sequences; its table is null where `skeletons` is.
  struct SzarEncoderRef encoder;
} SzarObservation;

// Aligners. Methods by name: `capabilities`, `fit`, `state`, `load_state`, and, where the capabilities say so, `condense`,
// `score_condensed`, `linear`, `score_asked`, `embed`, `embed_nodes`, `tokens`, `normalisation`, `score_normalised`,
// `score_with_labels`.
typedef struct SzarAligner {
  // Bytes of this table.
  size_t size;
  // See `SzarObject`; static.
  const struct SzarObject *object;
  // Features `[B, N, T', V']` against anchors; the result is the tensor `logits`, `[B, C]` f32. Gradients flow where the
  // capabilities say so.
  SzarStatus (*score)(void *object,
                      AtenTensorHandle features,
                      const struct SzarAnchors *anchors,
                      const struct SzarOut *out);
} SzarAligner;

// An aligner of either side, borrowed.
typedef struct SzarAlignerRef {
  // First argument of the functions.
  void *object;
  // Null for "none".
  const struct SzarAligner *table;
} SzarAlignerRef;

// Adapters. Methods by name: `begin` (json: the task, anchors), `diagnostics`, `held`, `moved_anchors`, `state_bytes`,
// `wants_second_pass`.
typedef struct SzarAdapter {
  // Bytes of this table.
  size_t size;
  // See `SzarObject`; static.
  const struct SzarObject *object;
  // One step of the stream; the result is the tensor `logits`, `[B, C]` f32.
  SzarStatus (*step)(void *object,
                     const struct SzarObservation *seen,
                     struct SzarAlignerRef model,
                     const struct SzarOut *out);
  // The same without learning; null where there is no second pass.
  SzarStatus (*rescore)(void *object,
                        const struct SzarObservation *seen,
                        struct SzarAlignerRef model,
                        const struct SzarOut *out);
} SzarAdapter;

// State of adapters, so that a stream can be taken up again bit for bit.
typedef struct SzarAdapterSnapshot {
  // Bytes of this table.
  size_t size;
  // The whole state as named tensors.
  SzarStatus (*snapshot)(void *object, const struct SzarOut *out);
  // Takes a state over; the adapter has begun.
  SzarStatus (*restore)(void *object, const struct SzarNamed *tensors, size_t count, const struct SzarOut *out);
} SzarAdapterSnapshot;

// Datasets. Methods by name: `info`, `samples`, `split`. Called from several threads at once.
typedef struct SzarDataset {
  // Bytes of this table.
  size_t size;
  // See `SzarObject`; static.
  const struct SzarObject *object;
  // One sequence: the text is JSON with `frames`, `persons` and `fps`, the tensor `joints` f32 on the CPU, as many values
  // as persons times frames times joints times 3, in that order.
  SzarStatus (*load)(void *object, uint64_t sample, const struct SzarOut *out);
} SzarDataset;

// The call did what it says.
#define SZAR_OK 0

// It failed; the reason went to `SzarOut.error`.
#define SZAR_FAILED 1

// It stopped because it was asked to.
#define SZAR_CANCELLED 2

// There is no such method here; nothing was done.
#define SZAR_UNSUPPORTED 3

#endif  /* SZAR_PLUGIN_H */
