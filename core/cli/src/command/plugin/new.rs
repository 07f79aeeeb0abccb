//! `szar plugin new`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use szar_core::Error;

use crate::output::Output;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the project, of the plugin and of its component: small letters and digits, `-` between words.
    name: String,
    /// Kind of component.
    #[arg(long, value_enum)]
    kind: Kind,
    /// Language.
    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    lang: Lang,
    /// Folder of szar's sources [default: where this program was built from].
    #[arg(long, value_name = "DIR")]
    szar: Option<PathBuf>,
    /// Folder to write into, new or empty [default: NAME].
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Adapter,
    Encoder,
    Aligner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Lang {
    Rust,
    Cpp,
}

/// Files of a project: path and text with placeholders.
type Files = Vec<(&'static str, String)>;

/// Writes the project.
pub fn run(args: &Args, output: &Output) -> Result<ExitCode> {
    let names = Names::new(&args.name)?;
    let szar = sources(args.szar.as_deref())?;
    let folder = args.into.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    if folder
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some())
        || folder.is_file()
    {
        let why = format!(
            "{} is there already; name another folder with `--into`",
            folder.display()
        );
        return Err(Error::Input(why).into());
    }
    let files = match args.lang {
        Lang::Rust => rust(args.kind),
        Lang::Cpp => cpp(args.kind),
    };
    let fill = Fill::new(&names, args.kind, args.lang, &szar)?;
    for (path, text) in files {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        std::fs::write(&path, fill.apply(&text))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let build = match args.lang {
        Lang::Rust => {
            // The versions that szar was tested with, to start from.
            let lock = std::fs::read(szar.join("Cargo.lock")).unwrap_or_default();
            std::fs::write(folder.join("Cargo.lock"), lock).context("cannot write Cargo.lock")?;
            "cargo build --release"
        }
        Lang::Cpp => "make",
    };
    output.say(&format!(
        "{0} is ready:\n  cd {0} && {build} && szar plugin check {1} && szar run pipeline.yaml",
        folder.display(),
        fill.library
    ));
    Ok(ExitCode::SUCCESS)
}

/// A name in the spellings that code needs.
struct Names {
    kebab: String,
    snake: String,
    pascal: String,
}

impl Names {
    fn new(name: &str) -> Result<Self, Error> {
        let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts || !name.split('-').all(word) {
            return Err(Error::Input(format!(
                "`{name}` is no name for a plugin: small letters and digits, `-` between words, a letter first"
            )));
        }
        if let Some(taken) = szar_core::registry::named(name).first() {
            return Err(Error::Input(format!(
                "szar itself has {} `{name}`; choose another name",
                taken.kind
            )));
        }
        let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
        Ok(Self {
            kebab: name.to_owned(),
            snake: name.replace('-', "_"),
            pascal: name.split('-').map(capital).collect(),
        })
    }
}

/// The sources that a plugin is built against.
fn sources(given: Option<&Path>) -> Result<PathBuf> {
    let built_from = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = given.map_or_else(built_from, Path::to_owned);
    if !folder.join("plugins/sdk/Cargo.toml").exists() {
        let why = format!(
            "{} holds no sources of szar; name them with `--szar DIR`",
            folder.display()
        );
        return Err(Error::Input(why).into());
    }
    folder
        .canonicalize()
        .with_context(|| format!("cannot read {}", folder.display()))
}

/// What stands for the placeholders.
struct Fill {
    library: String,
    pairs: Vec<(String, String)>,
}

impl Fill {
    fn new(names: &Names, kind: Kind, lang: Lang, szar: &Path) -> Result<Self> {
        let library = match lang {
            Lang::Rust => format!("target/release/lib{}.so", names.snake),
            Lang::Cpp => format!("lib{}.so", names.snake),
        };
        let a_kind = match kind {
            Kind::Adapter => "an adapter",
            Kind::Encoder => "an encoder",
            Kind::Aligner => "an aligner",
        };
        let mut pairs = vec![
            ("{{name}}".to_owned(), names.kebab.clone()),
            ("{{ident}}".to_owned(), names.snake.clone()),
            ("{{Type}}".to_owned(), names.pascal.clone()),
            ("{{a_kind}}".to_owned(), a_kind.to_owned()),
            ("{{library}}".to_owned(), library.clone()),
            ("{{szar}}".to_owned(), szar.display().to_string()),
            (
                "{{libtorch}}".to_owned(),
                szar.join(".libtorch").display().to_string(),
            ),
        ];
        let manifest =
            std::fs::read_to_string(szar.join("Cargo.toml")).context("cannot read szar's Cargo.toml")?;
        for package in ["inventory", "schemars", "serde", "tch", "typetag"] {
            let version = pinned(&manifest, package);
            let version =
                version.with_context(|| format!("szar's Cargo.toml pins no version of {package}"))?;
            pairs.push((format!("{{{{version:{package}}}}}"), version));
        }
        Ok(Self { library, pairs })
    }

    fn apply(&self, text: &str) -> String {
        let fill = |text: String, (from, to): &(String, String)| text.replace(from, to);
        self.pairs.iter().fold(text.to_owned(), fill)
    }
}

/// The version after `=` in the workspace's line of a package.
fn pinned(manifest: &str, package: &str) -> Option<String> {
    let start = format!("{package} = ");
    let line = manifest.lines().find(|line| line.starts_with(&start))?;
    let version = line.split("\"=").nth(1)?;
    Some(version.split('"').next()?.to_owned())
}

/// A component of the examples, as the start of an own one.
fn component(text: &str, name: &str, pascal: &str, tests: &str) -> String {
    let renamed = text.replace(name, "{{name}}").replace(pascal, "{{Type}}");
    format!(
        "{}\nszar_plugin::export!();\n{tests}",
        renamed.trim_end().to_owned() + "\n"
    )
}

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../../templates/", $path)).to_owned()
    };
}

macro_rules! example {
    ($path:literal) => {
        include_str!(concat!(
            "../../../../../plugins/examples/",
            $path,
            "/src/component.rs"
        ))
    };
}

fn rust(kind: Kind) -> Files {
    let (source, pipeline) = match kind {
        Kind::Adapter => (
            component(
                example!("rust-adapter"),
                "running-mean",
                "RunningMean",
                include_str!("../../templates/rust/adapter_tests.rs.in"),
            ),
            template!("rust/adapter.yaml.in"),
        ),
        Kind::Encoder => (
            component(
                example!("rust-encoder"),
                "joint-statistics",
                "JointStatistics",
                include_str!("../../templates/rust/encoder_tests.rs.in"),
            ),
            template!("rust/encoder.yaml.in"),
        ),
        Kind::Aligner => (
            component(
                example!("rust-aligner"),
                "ridge-cosine",
                "RidgeCosine",
                include_str!("../../templates/rust/aligner_tests.rs.in"),
            ),
            template!("rust/aligner.yaml.in"),
        ),
    };
    vec![
        ("Cargo.toml", template!("rust/Cargo.toml.in")),
        ("build.rs", template!("rust/build.rs.in")),
        (".cargo/config.toml", template!("rust/config.toml.in")),
        (".gitignore", template!("rust/gitignore.in")),
        ("README.md", template!("rust/README.md.in")),
        ("src/lib.rs", source),
        ("pipeline.yaml", pipeline),
    ]
}

macro_rules! example_cpp {
    ($path:literal) => {
        include_str!(concat!(
            "../../../../../plugins/examples/cpp-",
            $path,
            "/src/component.cpp"
        ))
    };
}

fn cpp(kind: Kind) -> Files {
    let (text, library, name, pascal, pipeline) = match kind {
        Kind::Adapter => (
            example_cpp!("adapter"),
            "szar-example-cpp-adapter",
            "centred-temperature",
            "CentredTemperature",
            template!("rust/adapter.yaml.in"),
        ),
        Kind::Encoder => (
            example_cpp!("encoder"),
            "szar-example-cpp-encoder",
            "joint-moments",
            "JointMoments",
            template!("rust/encoder.yaml.in"),
        ),
        Kind::Aligner => (
            example_cpp!("aligner"),
            "szar-example-cpp-aligner",
            "principal-ridge",
            "PrincipalRidge",
            template!("rust/aligner.yaml.in"),
        ),
    };
    let source = text
        .replace(library, "{{name}}")
        .replace(name, "{{name}}")
        .replace(pascal, "{{Type}}");
    vec![
        ("Makefile", template!("cpp/Makefile.in")),
        (".gitignore", template!("cpp/gitignore.in")),
        ("README.md", template!("cpp/README.md.in")),
        ("src/component.cpp", source),
        ("pipeline.yaml", pipeline),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelt_as_code_needs_them_and_bad_ones_are_refused() {
        let names = Names::new("my-new-thing2").unwrap();
        assert_eq!(
            (names.snake.as_str(), names.pascal.as_str()),
            ("my_new_thing2", "MyNewThing2")
        );
        for bad in ["", "My", "a--b", "-a", "2d", "a_b", "ä"] {
            assert!(Names::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_are_those_of_the_workspace() {
        let manifest = "serde = { version = \"=1.2.3\", features = [] }\ntch = \"=0.24.0\"\n";
        assert_eq!(pinned(manifest, "serde").as_deref(), Some("1.2.3"));
        assert_eq!(pinned(manifest, "tch").as_deref(), Some("0.24.0"));
        assert_eq!(pinned(manifest, "nothing"), None);
    }

    #[test]
    fn no_placeholder_is_left_over() {
        let szar = sources(None).unwrap();
        for kind in [Kind::Adapter, Kind::Encoder, Kind::Aligner] {
            for lang in [Lang::Rust, Lang::Cpp] {
                let fill = Fill::new(&Names::new("abc-d").unwrap(), kind, lang, &szar).unwrap();
                let files = if lang == Lang::Rust { rust(kind) } else { cpp(kind) };
                let own = fill.apply(&files.iter().map(|(_, text)| text.as_str()).collect::<String>());
                for rest in [
                    "{{name",
                    "{{ident",
                    "{{Type",
                    "{{szar",
                    "{{lib",
                    "{{version",
                    "{{a_kind",
                ] {
                    assert!(!own.contains(rest), "{lang:?} {kind:?}: {rest}");
                }
                assert!(own.contains("AbcD") && own.contains("abc-d"), "{lang:?} {kind:?}");
            }
        }
    }
}
