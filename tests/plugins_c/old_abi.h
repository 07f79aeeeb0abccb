/* The plugin boundary as it was in version 1.0, as far as an adapter needs it. It stays as it is: what was compiled
   against it must load for ever, beside whatever the boundary has gained since. */
#ifndef SZAR_OLD_ABI_H
#define SZAR_OLD_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SZAR_MAJOR 1
#define SZAR_MINOR 0

#define SZAR_OK 0
#define SZAR_FAILED 1
#define SZAR_CANCELLED 2
#define SZAR_UNSUPPORTED 3

/* libtorch's stable C shim */
typedef struct AtenTensorOpaque *AtenTensorHandle;
extern uint64_t aoti_torch_abi_version(void);
extern int32_t aoti_torch_new_tensor_handle(AtenTensorHandle from, AtenTensorHandle *to);
extern int32_t aoti_torch_get_dim(AtenTensorHandle tensor, int64_t *dim);
extern int32_t aoti_torch_get_sizes(AtenTensorHandle tensor, int64_t **sizes);
extern int32_t aoti_torch_get_strides(AtenTensorHandle tensor, int64_t **strides);
extern int32_t aoti_torch_device_type_cpu(void);
extern int32_t aoti_torch_device_type_meta(void);
extern int32_t aoti_torch_dtype_float32(void);
extern int32_t aoti_torch_dtype_uint16(void);
extern int32_t aoti_torch_empty_strided(int64_t dim, const int64_t *sizes, const int64_t *strides, int32_t dtype,
                                        int32_t device_type, int32_t device_index, AtenTensorHandle *to);

typedef struct {
    const uint8_t *data;
    size_t len;
} SzarStr;

typedef struct {
    size_t size;
    void *context;
    void (*text)(void *context, SzarStr text);
    void (*tensor)(void *context, SzarStr name, AtenTensorHandle tensor);
    void (*error)(void *context, SzarStr message);
} SzarOut;

typedef struct SzarArgs SzarArgs;
typedef struct SzarHost SzarHost;
typedef struct SzarSample SzarSample;
typedef struct SzarSkeletons SzarSkeletons;
typedef struct SzarAligner SzarAligner;

typedef struct {
    void *object;
    const SzarAligner *table;
} SzarAlignerRef;

typedef struct {
    size_t size;
    AtenTensorHandle features;
    AtenTensorHandle scores;
    const SzarSample *samples;
    size_t count;
    const SzarSkeletons *skeletons;
} SzarObservation;

typedef struct {
    size_t size;
    void (*drop)(void *object);
    int32_t (*call)(void *object, SzarStr method, const SzarArgs *args, const SzarOut *out);
} SzarObject;

/* Without `rescore`, which came later. */
typedef struct {
    size_t size;
    const SzarObject *object;
    int32_t (*step)(void *object, const SzarObservation *seen, SzarAlignerRef model, const SzarOut *out);
} SzarAdapter;

typedef struct {
    size_t size;
    int32_t (*list)(const SzarOut *out);
    int32_t (*configure)(SzarStr kind, SzarStr name, SzarStr options, void **config, const SzarOut *out);
    const SzarObject *config;
    int32_t (*build)(void *config, const SzarArgs *args, void **object, const SzarOut *out);
} SzarComponents;

typedef struct {
    size_t size;
    uint32_t major;
    uint32_t minor;
    SzarStr name;
    SzarStr version;
    SzarStr libtorch;
    uint64_t (*libtorch_abi)(void);
    int32_t (*start)(const SzarHost *host, const SzarOut *out);
    const void *(*extension)(SzarStr id);
} SzarPlugin;

#endif
