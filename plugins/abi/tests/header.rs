//! The C header says what `src/lib.rs` says: it is written from it, and C and C++ compilers agree with Rust on every table.
//! `SZAR_BLESS=1 cargo test -p szar-plugin-abi` writes it anew.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;

use szar_plugin_abi as abi;

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(file(path)).expect("a file of this package")
}

/// The rules at the top of the library, as a comment.
fn rules(source: &str) -> String {
    let mut text = String::from(
        "// Written by `SZAR_BLESS=1 cargo test -p szar-plugin-abi` from plugins/abi/src/lib.rs; do not edit.\n//\n",
    );
    for line in source.lines().map_while(|line| line.strip_prefix("//!")) {
        let _ = writeln!(text, "//{}", in_c(line));
    }
    text
}

/// Names in documentation as C knows them: [`Out::error`] is `SzarOut.error`, [`FAILED`] is `SZAR_FAILED`.
fn in_c(line: &str) -> String {
    let mut parts = line.split("[`");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("`]").unwrap_or((part, ""));
        let known = match name {
            "ENTRY" => "szar_plugin_entry".to_owned(),
            "Entry" => "SzarPlugin *(void)".to_owned(),
            "has" => "SZAR_HAS".to_owned(),
            _ if name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') => format!("SZAR_{name}"),
            _ => format!("Szar{}", name.replace("::", ".")),
        };
        let _ = write!(text, "`{known}`{rest}");
    }
    text
}

/// Texts, which cbindgen leaves out.
fn names() -> String {
    let texts = [
        ("Name of the exported function.", "ENTRY", abi::ENTRY),
        ("The components of a plugin.", "COMPONENTS", abi::COMPONENTS),
        ("Adapters.", "ADAPTER", abi::ADAPTER),
        ("State of adapters.", "ADAPTER_SNAPSHOT", abi::ADAPTER_SNAPSHOT),
        ("Aligners.", "ALIGNER", abi::ALIGNER),
        ("Encoders.", "ENCODER", abi::ENCODER),
        ("Datasets.", "DATASET", abi::DATASET),
        ("Objects that only answer calls by name.", "OBJECT", abi::OBJECT),
    ];
    let mut text = String::from("\n");
    for (doc, name, value) in texts {
        let _ = writeln!(text, "// {doc}\n#define SZAR_{name} \"{value}\"\n");
    }
    text + "// Does a table have this field? The side that made it may be older.\n\
        #define SZAR_HAS(table, field) \\\n  \
        ((table)->size >= (size_t)((const char *)(&(table)->field + 1) - (const char *)(table)))\n\n\
        // What a tensor handle points at, as in libtorch's torch/csrc/inductor/aoti_torch/c/shim.h.\n\
        struct AtenTensorOpaque;\n\
        // A tensor, as libtorch's stable C shim names it.\n\
        typedef struct AtenTensorOpaque *AtenTensorHandle;\n\n\
        #ifdef __cplusplus\nextern \"C\" {\n#endif\n\
        // The one function that a plugin exports.\n\
        const struct SzarPlugin *szar_plugin_entry(void);\n\
        #ifdef __cplusplus\n}\n#endif\n"
}

fn config(source: &str) -> cbindgen::Config {
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        include_guard: Some("SZAR_PLUGIN_H".into()),
        header: Some(rules(source)),
        after_includes: Some(names()),
        cpp_compat: true,
        no_includes: true,
        sys_includes: vec!["stdbool.h".into(), "stddef.h".into(), "stdint.h".into()],
        documentation_style: cbindgen::DocumentationStyle::C99,
        line_length: 110,
        tab_width: 2,
        usize_is_size_t: true,
        style: cbindgen::Style::Both,
        ..Default::default()
    };
    config.export.prefix = Some("Szar".into());
    config.export.renaming_overrides_prefixing = true;
    for (rust, c) in [
        ("AtenTensorOpaque", "AtenTensorOpaque"),
        ("Tensor", "AtenTensorHandle"),
        ("MAJOR", "SZAR_MAJOR"),
        ("MINOR", "SZAR_MINOR"),
        ("OK", "SZAR_OK"),
        ("FAILED", "SZAR_FAILED"),
        ("CANCELLED", "SZAR_CANCELLED"),
        ("UNSUPPORTED", "SZAR_UNSUPPORTED"),
    ] {
        config.export.rename.insert(rust.into(), c.into());
    }
    config.export.exclude = vec!["AtenTensorOpaque".into(), "Tensor".into(), "Entry".into()];
    let roots = [
        "OK",
        "FAILED",
        "CANCELLED",
        "UNSUPPORTED",
        "MAJOR",
        "MINOR",
        "Plugin",
        "Components",
        "Adapter",
        "AdapterSnapshot",
        "AlignerRef",
        "EncoderRef",
        "Dataset",
        "Host",
        "Args",
    ];
    config.export.include = roots.map(String::from).to_vec();
    config
}

fn generate() -> String {
    let source = read("src/lib.rs");
    let bindings = cbindgen::Builder::new()
        .with_config(config(&source))
        .with_src(file("src/lib.rs"))
        .generate()
        .expect("bindings");
    let mut bytes = Vec::new();
    bindings.write(&mut bytes);
    let text = String::from_utf8(bytes).expect("UTF-8");
    let lines = text.lines().map(|line| in_c(line.trim_end()) + "\n");
    lines.collect()
}

#[test]
fn the_header_is_the_one_that_the_source_gives() {
    let (path, new) = ("include/szar_plugin.h", generate());
    if std::env::var_os("SZAR_BLESS").is_some_and(|set| set != "0") {
        std::fs::write(file(path), &new).expect("a file");
    }
    assert!(
        read(path) == new,
        "plugins/abi/{path} is not what src/lib.rs says; SZAR_BLESS=1 writes it anew"
    );
}

/// A table as Rust lays it out.
struct Table {
    name: &'static str,
    size: usize,
    align: usize,
    /// Name, place and size of each field.
    fields: Vec<(&'static str, usize, usize)>,
}

/// Lists every field; one that is missing or wrong does not compile.
macro_rules! tables {
    ($($table:ident { $($field:ident),* $(,)? })*) => {
        vec![$(Table {
            name: stringify!($table),
            size: size_of::<abi::$table>(),
            align: align_of::<abi::$table>(),
            fields: {
                fn size<T, F>(_: impl Fn(&T) -> &F) -> usize {
                    size_of::<F>()
                }
                #[allow(dead_code)]
                fn all(table: abi::$table) {
                    let abi::$table { $($field: _),* } = table;
                }
                vec![$((
                    stringify!($field),
                    std::mem::offset_of!(abi::$table, $field),
                    size(|table: &abi::$table| &table.$field),
                )),*]
            },
        }),*]
    };
}

fn tables() -> Vec<Table> {
    tables! {
        Str { data, len }
        Named { name, tensor }
        Out { size, context, text, tensor, error }
        Args { size, json, tensors, count, anchors, work }
        Anchors { size, values, token, described }
        Sample { stream, position }
        Skeletons { size, joints, frames, present, present_len, token, layout }
        Observation { size, features, scores, samples, count, skeletons, encoder }
        Host { size, major, minor, context, log, enabled }
        Work { size, context, begin, advance, end, cancelled, train, validation }
        Sequences { size, context, labels, classes, batch }
        Object { size, drop, call }
        Adapter { size, object, step, rescore }
        AdapterSnapshot { size, snapshot, restore }
        Aligner { size, object, score }
        AlignerRef { object, table }
        Encoder { size, object, encode }
        EncoderRef { object, table }
        Dataset { size, object, load }
        Components { size, list, configure, config, build }
        Plugin { size, major, minor, name, version, libtorch, libtorch_abi, start, extension }
    }
}

/// A source file that compiles where sizes, places and values are those of Rust.
fn asserts() -> String {
    let mut text = String::from(
        "#include \"szar_plugin.h\"\n\
         #ifdef __cplusplus\n#define CHECK(what) static_assert(what, #what)\n\
         #define ALIGN alignof\n\
         #else\n#define CHECK(what) _Static_assert(what, #what)\n#define ALIGN _Alignof\n#endif\n",
    );
    for table in tables() {
        let name = table.name;
        let _ = writeln!(text, "CHECK(sizeof(SzarX) == {});", table.size);
        let _ = writeln!(text, "CHECK(ALIGN(SzarX) == {});", table.align);
        for (field, place, size) in table.fields {
            let _ = writeln!(text, "CHECK(offsetof(SzarX, {field}) == {place});");
            let _ = writeln!(text, "CHECK(sizeof(((SzarX *)0)->{field}) == {size});");
        }
        text = text.replace("SzarX", &format!("Szar{name}"));
    }
    for (name, value) in [
        ("OK", abi::OK),
        ("FAILED", abi::FAILED),
        ("CANCELLED", abi::CANCELLED),
        ("UNSUPPORTED", abi::UNSUPPORTED),
    ] {
        let _ = writeln!(text, "CHECK(SZAR_{name} == {value});");
    }
    let _ = writeln!(
        text,
        "CHECK(SZAR_MAJOR == {});\nCHECK(SZAR_MINOR == {});",
        abi::MAJOR,
        abi::MINOR
    );
    text + "CHECK(sizeof(AtenTensorHandle) == sizeof(void *));\n\
        CHECK(sizeof(SzarStatus) == 4 && (SzarStatus)-1 < 0);\n\
        int knows(const SzarPlugin *plugin);\n\
        int knows(const SzarPlugin *plugin) { return SZAR_HAS(plugin, extension) && szar_plugin_entry() == plugin; }\n"
}

/// Compiles a source; `None` (and a line on stderr) where there is no compiler.
fn compiles(compiler: &str, source: &str, language: &[&str]) -> Option<Result<(), String>> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("check.src");
    std::fs::write(&path, source).expect("a file");
    let output = Command::new(compiler)
        .args(language)
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-I"])
        .arg(file("include"))
        .arg(&path)
        .output();
    match output {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: no `{compiler}` here");
            None
        }
        Err(error) => Some(Err(error.to_string())),
        Ok(output) if output.status.success() => Some(Ok(())),
        Ok(output) => Some(Err(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}

const LANGUAGES: [(&str, &[&str]); 2] = [
    ("cc", &["-x", "c", "-std=c11"]),
    ("c++", &["-x", "c++", "-std=c++17"]),
];

#[test]
fn c_and_cxx_lay_the_tables_out_as_rust_does() {
    for (compiler, language) in LANGUAGES {
        if let Some(result) = compiles(compiler, &asserts(), language) {
            assert_eq!(result, Ok(()), "{language:?}");
        }
    }
}

#[test]
fn a_field_in_another_place_does_not_compile() {
    let wrong = asserts().replace(
        "offsetof(SzarPlugin, extension) == 80",
        "offsetof(SzarPlugin, extension) == 72",
    );
    assert_ne!(wrong, asserts());
    for (compiler, language) in LANGUAGES {
        if let Some(result) = compiles(compiler, &wrong, language) {
            assert!(
                result.expect_err("it is wrong").contains("extension"),
                "{language:?}"
            );
        }
    }
}

#[test]
fn every_table_of_the_header_is_checked() {
    let header = read("include/szar_plugin.h");
    let declared = header
        .lines()
        .filter_map(|line| line.strip_prefix("typedef struct Szar"));
    let declared: Vec<_> = declared.map(|line| line.trim_end_matches(" {")).collect();
    let mut checked: Vec<_> = tables().iter().map(|table| table.name).collect();
    checked.sort_unstable();
    let mut sorted = declared.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, checked);
}
