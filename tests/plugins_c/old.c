/* A plugin for version 1.0 of the boundary: an adapter `old` that gives the scores on as they are. The environment
   variable SZAR_C_FAULT, or the option `fault`, names what it does wrong instead. */
#include "old_abi.h"

#include <stdlib.h>
#include <string.h>

static bool fault(const char *name) {
    const char *now = getenv("SZAR_C_FAULT");
    return now != NULL && strcmp(now, name) == 0;
}

/* Objects hold the options that they were made with, as text. */
static bool fault_of(const char *object, const char *name) {
    char quoted[64] = "\"";
    return fault(name) || strstr(object, strcat(strcat(quoted, name), "\"")) != NULL;
}

static SzarStr str(const char *text) {
    SzarStr own = {(const uint8_t *)text, strlen(text)};
    return own;
}

static bool is(SzarStr text, const char *name) {
    return text.len == strlen(name) && memcmp(text.data, name, text.len) == 0;
}

static int32_t failed(const SzarOut *out, const char *why) {
    out->error(out->context, str(why));
    return SZAR_FAILED;
}

static void release(void *object) { free(object); }

/* configurations */

static int32_t config_call(void *config, SzarStr method, const SzarArgs *args, const SzarOut *out) {
    (void)args;
    if (is(method, "options") && !fault_of(config, "no-options")) {
        out->text(out->context, str(config));
    } else if (is(method, "validate")) {
        if (fault_of(config, "validate-status")) return -5;
        out->text(out->context, str(fault_of(config, "validate-json") ? "[{\"field\": 1}]" : "[]"));
    } else if (is(method, "facts")) {
        out->text(out->context, str(fault_of(config, "facts") ? "[1]" : "{}"));
    } else {
        return SZAR_UNSUPPORTED;
    }
    return SZAR_OK;
}

static const SzarObject CONFIG = {sizeof(SzarObject), release, config_call};
static const SzarObject HOLLOW = {sizeof(SzarObject), NULL, config_call};

static int32_t list(const SzarOut *out) {
    const char *kind = fault("unknown-kind") ? "teleporter" : fault("other-table") ? "encoder" : "adapter";
    const char *name = fault("bad-name") ? "Old Adapter" : fault("taken-name") ? "tent" : "old";
    const char *schema = fault("broken-schema") ? "{\"type\": 5}" : fault("true-schema") ? "true" : "{\"type\": \"object\"}";
    const char *defaults = fault("defaults") ? "[]" : "{}";
    char text[512] = "[{\"kind\": \"";
    if (fault("list-fails")) return failed(out, "the list is a secret");
    if (fault("list-no-json")) strcpy(text, "[{]");
    else if (fault("list-empty")) strcpy(text, "[]");
    else if (fault("list-not-utf8")) strcpy(text, "[\"\xff\"]");
    else {
        strcat(strcat(text, kind), "\", \"name\": \"");
        strcat(strcat(text, name), "\", \"summary\": \"Gives the scores on.\", \"schema\": ");
        strcat(strcat(strcat(strcat(text, schema), ", \"defaults\": "), defaults), "}]");
    }
    out->text(out->context, str(text));
    return SZAR_OK;
}

static int32_t configure(SzarStr kind, SzarStr name, SzarStr options, void **config, const SzarOut *out) {
    char *own = calloc(1, options.len + 1);
    (void)kind, (void)name;
    memcpy(own, options.data, options.len);
    if (!fault_of(own, "configure-fails") && !fault_of(own, "configure-null")) {
        *config = own;
        return SZAR_OK;
    }
    bool fails = fault_of(own, "configure-fails");
    free(own);
    *config = NULL;
    return fails ? failed(out, "these options are not to my taste") : SZAR_OK;
}

static int32_t build(void *config, const SzarArgs *args, void **object, const SzarOut *out) {
    (void)args, (void)out;
    if (fault_of(config, "build-silent")) return SZAR_FAILED;
    *object = fault_of(config, "build-null") ? NULL : strcpy(malloc(strlen(config) + 1), config);
    return SZAR_OK;
}

static const SzarComponents COMPONENTS = {sizeof(SzarComponents), list, configure, &CONFIG, build};
static const SzarComponents SMALL_COMPONENTS = {16, list, configure, &CONFIG, build};
static const SzarComponents HOLLOW_COMPONENTS = {sizeof(SzarComponents), list, configure, &HOLLOW, build};

/* the adapter */

static int32_t adapter_call(void *object, SzarStr method, const SzarArgs *args, const SzarOut *out) {
    (void)object, (void)args, (void)out;
    return is(method, "begin") ? SZAR_OK : SZAR_UNSUPPORTED;
}

/* A tensor of the size of the scores, of another kind or on another device. */
static AtenTensorHandle other(AtenTensorHandle scores, int32_t dtype, int32_t device) {
    int64_t *sizes, *strides;
    AtenTensorHandle made = NULL;
    aoti_torch_get_sizes(scores, &sizes);
    aoti_torch_get_strides(scores, &strides);
    aoti_torch_empty_strided(2, sizes, strides, dtype, device, 0, &made);
    return made;
}

static int32_t step(void *object, const SzarObservation *seen, SzarAlignerRef model, const SzarOut *out) {
    static const uint8_t BROKEN[] = {'l', 0xff, 'x'};
    SzarStr name = str("logits"), broken = {BROKEN, 3};
    AtenTensorHandle own = NULL;
    (void)model;
    if (fault_of(object, "step-nothing")) return SZAR_OK;
    if (fault_of(object, "step-status")) return 4711;
    if (fault_of(object, "step-stops")) return SZAR_CANCELLED;
    if (fault_of(object, "step-unsupported")) return SZAR_UNSUPPORTED;
    if (fault_of(object, "step-silent")) return SZAR_FAILED;
    if (fault_of(object, "step-reason")) {
        out->error(out->context, broken);
        return SZAR_FAILED;
    }
    if (fault_of(object, "step-lent")) {
        out->tensor(out->context, name, seen->scores);
        return SZAR_OK;
    }
    if (fault_of(object, "step-meta")) own = other(seen->scores, aoti_torch_dtype_float32(), aoti_torch_device_type_meta());
    else if (fault_of(object, "step-kind")) own = other(seen->scores, aoti_torch_dtype_uint16(), aoti_torch_device_type_cpu());
    else if (!fault_of(object, "step-null")) aoti_torch_new_tensor_handle(seen->scores, &own);
    out->tensor(out->context, fault_of(object, "step-name") ? broken : name, own);
    if (fault_of(object, "step-twice")) out->tensor(out->context, name, own);
    return SZAR_OK;
}

static const SzarObject ADAPTER_OBJECT = {sizeof(SzarObject), release, adapter_call};

/* What follows an old table in memory is no function. */
static const struct {
    SzarAdapter table;
    uintptr_t behind;
} ADAPTER = {{sizeof(SzarAdapter), &ADAPTER_OBJECT, step}, 0xdeadbeef};
static const SzarAdapter SMALL_ADAPTER = {16, &ADAPTER_OBJECT, step};
static const SzarAdapter HOLLOW_ADAPTER = {sizeof(SzarAdapter), &ADAPTER_OBJECT, NULL};

/* the plugin */

static uint64_t own_libtorch(void) { return (uint64_t)(uintptr_t)&own_libtorch; }

static uint64_t libtorch(void) { return (uint64_t)(uintptr_t)&aoti_torch_abi_version; }

static int32_t start(const SzarHost *host, const SzarOut *out) {
    (void)host;
    if (fault("start-status")) return 77;
    return fault("start-fails") ? failed(out, "the moon is wrong") : SZAR_OK;
}

static const void *extension(SzarStr id) {
    if (is(id, "szar.components/1") && !fault("no-components")) {
        return fault("small-components") ? &SMALL_COMPONENTS : fault("hollow-config") ? &HOLLOW_COMPONENTS : &COMPONENTS;
    }
    if (is(id, "szar.adapter/1") && !fault("no-table")) {
        return fault("small-table")    ? (const void *)&SMALL_ADAPTER
               : fault("hollow-table") ? (const void *)&HOLLOW_ADAPTER
                                       : (const void *)&ADAPTER;
    }
    return NULL;
}

const SzarPlugin *szar_plugin_entry(void) {
    static SzarPlugin plugin = {.size = sizeof(SzarPlugin), .major = SZAR_MAJOR, .minor = SZAR_MINOR,
                                .libtorch_abi = libtorch, .start = start, .extension = extension};
    plugin.name = str(fault("no-name") ? "" : "old");
    plugin.version = str("0.9");
    plugin.libtorch = str(fault("other-libtorch") ? "1.13.1" : "");
    if (fault("entry-null")) return NULL;
    if (fault("major")) plugin.major = 99;
    if (fault("small-plugin")) plugin.size = 48;
    if (fault("tiny-plugin")) plugin.size = 4;
    if (fault("hollow-plugin")) plugin.start = NULL;
    if (fault("own-libtorch")) plugin.libtorch_abi = own_libtorch;
    if (fault("name-not-utf8")) plugin.name = str("\xff\xfe");
    return &plugin;
}
