//! One library: opened, checked, its components registered.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use sha2::{Digest, Sha256};
use szar_core::{ComponentInfo, ComponentKind, Error, Result, registry};
use szar_plugin_abi::{self as abi, Components, Entry, Object, Plugin};
use szar_plugin_bridge::import::{Listed, Who};
use szar_plugin_bridge::{Collector, Failure, LIBTORCH, aoti_torch_abi_version};

use crate::elf;
use crate::end;
use crate::host::HOST;
use crate::tables::{self, Head, Tables};

/// A plugin that was loaded; it stays for ever.
#[derive(Debug)]
pub struct Loaded {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The file, canonical.
    pub path: PathBuf,
    /// SHA-256 of the file, hex.
    pub sha256: String,
    /// What it brings.
    pub components: Vec<&'static ComponentInfo>,
    pub(crate) table: &'static Components,
    pub(crate) config: &'static Object,
    pub(crate) tables: Tables,
}

static LOADED: Mutex<Vec<&'static Loaded>> = Mutex::new(Vec::new());

/// The plugins so far, in the order they were loaded.
pub fn loaded() -> Vec<&'static Loaded> {
    LOADED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Loaded {
    /// Whose, for messages.
    pub(crate) fn who(&self, kind: ComponentKind, name: &str) -> Arc<Who> {
        Arc::new(Who {
            plugin: self.name.clone(),
            component: format!("{kind} `{name}`"),
        })
    }
}

/// Loads a plugin and registers its components; one that is loaded already is given as it is.
///
/// # Errors
/// [`Error::Format`] with every reason why it cannot be used here, and what to do; [`Error::Io`] when it cannot be read.
pub fn load(path: &Path) -> Result<&'static Loaded> {
    let mut all = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let path = path.canonicalize().map_err(|e| Error::read(path, e))?;
    if let Some(known) = all.iter().find(|known| known.path == path) {
        return Ok(known);
    }
    let bytes = read(&path)?;
    let plugin = open(&path, &bytes)?;
    let (name, version) = judge(&path, plugin)?;
    if let Some(other) = all.iter().find(|other| other.name == name) {
        let why = format!(
            "this is a plugin `{name}`, and so is {}; load one of them, or build one under another name",
            other.path.display()
        );
        return Err(Error::format(&path, None, why));
    }
    begin(&path, &name, plugin)?;
    let tables = Tables::of(plugin);
    let lacks = || {
        refused(
            &path,
            &name,
            &[format!("it lacks the functions of `{}`", abi::COMPONENTS)],
        )
    };
    let (table, config) = tables.components.ok_or_else(lacks)?;
    let components = list(&path, &name, &tables, table)?;
    let sha256: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let registered = register(&path, &name, &version, &sha256, components)?;
    tracing::info!(
        "plugin `{name}` {version}: {} component(s), {}",
        registered.len(),
        path.display()
    );
    let new: &'static Loaded = Box::leak(Box::new(Loaded {
        name,
        version,
        path,
        sha256,
        components: registered,
        table,
        config,
        tables,
    }));
    all.push(new);
    Ok(new)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let metadata = std::fs::metadata(path).map_err(|e| Error::read(path, e))?;
    if metadata.is_dir() {
        let why = format!(
            "is a folder, expected a library; name the file in it, or put the folder into {}",
            crate::SEARCH_PATH
        );
        return Err(Error::format(path, None, why));
    }
    if !metadata.is_file() {
        return Err(Error::format(
            path,
            None,
            "is no file, expected a dynamic library",
        ));
    }
    let open_to_others = |metadata: &std::fs::Metadata| {
        std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o002 != 0
    };
    let folder = path.parent().and_then(|folder| std::fs::metadata(folder).ok());
    let sticky = |metadata: &std::fs::Metadata| {
        std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o1000 != 0
    };
    if open_to_others(&metadata) || folder.is_some_and(|f| open_to_others(&f) && !sticky(&f)) {
        tracing::warn!(
            "{} can be replaced by any user of this machine, and szar runs what is in it; `chmod o-w` it and its folder",
            path.display()
        );
    }
    std::fs::read(path).map_err(|e| Error::read(path, e))
}

fn open(path: &Path, bytes: &[u8]) -> Result<&'static Plugin> {
    let bad = |why: String| Error::format(path, None, why);
    if let Some(why) = elf::complaint(bytes) {
        return Err(bad(why));
    }
    // SAFETY: runs the library's initialisers, which is what naming it as a plugin asks for.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|error| {
        let text = error.to_string();
        let advice =
            match text.contains("libtorch") || text.contains("libc10") || text.contains("undefined symbol") {
                true => format!("; build it against libtorch {LIBTORCH}, the one szar uses"),
                false => String::new(),
            };
        bad(format!("cannot be loaded: {text}{advice}"))
    })?;
    // SAFETY: the symbol, if it is there, is the function that the boundary defines.
    let entry = unsafe { library.get::<Entry>(abi::ENTRY.as_bytes()) };
    let entry = *entry.map_err(|_| {
        bad(format!(
            "exports no `{}`: it is no plugin of szar; a Rust plugin ends in `szar_plugin::export!()`",
            abi::ENTRY
        ))
    })?;
    end::needed();
    // Never unloaded: what it gave may be anywhere.
    std::mem::forget(library);
    // SAFETY: as the boundary says: without arguments, gives a static table or null.
    let table = unsafe { entry() };
    if table.is_null() || !table.is_aligned() {
        return Err(bad(format!("`{}` gave null instead of a table", abi::ENTRY)));
    }
    // SAFETY: a table of the boundary.
    let why = match unsafe { tables::head(table) } {
        Head::Fits(plugin) => return Ok(plugin),
        Head::Major(major) => format!(
            "it was built for version {major} of the plugin boundary, this szar has {}; build it against szar {}",
            abi::MAJOR,
            env!("CARGO_PKG_VERSION")
        ),
        Head::Small(size) => format!(
            "its table has {size} bytes, expected {} at least; build it anew",
            tables::least()
        ),
        Head::Hollow => "its table lacks `start` or `extension`".to_owned(),
    };
    Err(refused(path, "", &[why]))
}

/// Name and version of a plugin that fits this host.
fn judge(path: &Path, plugin: &'static Plugin) -> Result<(String, String)> {
    let mut reasons = Vec::new();
    // SAFETY: static texts.
    let texts = unsafe { (plugin.name.get(), plugin.version.get(), plugin.libtorch.get()) };
    let (Some(name), Some(version), Some(libtorch)) = texts else {
        return Err(refused(
            path,
            "",
            &["its name or version is not UTF-8".to_owned()],
        ));
    };
    if name.is_empty() {
        reasons.push("it has no name".into());
    }
    if !libtorch.is_empty() && libtorch != LIBTORCH {
        reasons.push(format!(
            "it was built for libtorch {libtorch}, this szar uses {LIBTORCH}; build it with LIBTORCH pointing at the same"
        ));
    }
    if let Some(address) = plugin.libtorch_abi {
        // SAFETY: a function without arguments.
        let theirs = unsafe { address() };
        if theirs != aoti_torch_abi_version as *const () as u64 {
            reasons.push(
                "it brings a libtorch of its own into the process, and tensors cannot be shared between two; link it \
                 dynamically with the one szar uses (`szar doctor` says which)"
                    .into(),
            );
        }
    }
    match reasons.is_empty() {
        true => Ok((name.to_owned(), version.to_owned())),
        false => Err(refused(path, name, &reasons)),
    }
}

fn refused(path: &Path, name: &str, reasons: &[String]) -> Error {
    let who = if name.is_empty() {
        String::new()
    } else {
        format!(" `{name}`")
    };
    Error::format(
        path,
        None,
        format!("this plugin{who} cannot be used: {}", reasons.join("; ")),
    )
}

fn begin(path: &Path, name: &str, plugin: &'static Plugin) -> Result<()> {
    // SAFETY: a valid plugin of this major version.
    let failed = Collector::default().run(|out| unsafe { (plugin.start)(&raw const HOST, out) });
    let why = |failure: Failure| refused(path, name, &[format!("it could not start: {}", failure.words())]);
    failed.map(|_| ()).map_err(why)
}

/// Ids of the tables that a kind needs.
pub(crate) fn needs(kind: ComponentKind) -> Option<&'static str> {
    match kind {
        ComponentKind::Dataset => Some(abi::DATASET),
        ComponentKind::Encoder => Some(abi::ENCODER),
        ComponentKind::Semantics | ComponentKind::TextEncoder | ComponentKind::Gate => Some(abi::OBJECT),
        ComponentKind::Aligner => Some(abi::ALIGNER),
        ComponentKind::Adapter => Some(abi::ADAPTER),
        ComponentKind::Preprocessor | ComponentKind::Augmentation | ComponentKind::Launcher => None,
    }
}

/// Is the table of a kind there, and whole?
fn is_whole(tables: &Tables, kind: ComponentKind) -> bool {
    match kind {
        ComponentKind::Dataset => tables.dataset.is_some(),
        ComponentKind::Encoder => tables.encoder.is_some(),
        ComponentKind::Aligner => tables.aligner.is_some(),
        ComponentKind::Adapter => tables.adapter.is_some(),
        ComponentKind::Semantics | ComponentKind::TextEncoder | ComponentKind::Gate => {
            tables.object.is_some()
        }
        ComponentKind::Preprocessor | ComponentKind::Augmentation | ComponentKind::Launcher => false,
    }
}

fn list(path: &Path, name: &str, tables: &Tables, table: &'static Components) -> Result<Vec<Listed>> {
    let refuse = |why: String| refused(path, name, &[why]);
    // SAFETY: a table of this type.
    let answer = Collector::default().run(|out| unsafe { (table.list)(out) });
    let answer =
        answer.map_err(|failure| refuse(format!("it could not list its components: {}", failure.words())))?;
    let mut listed: Vec<Listed> = answer
        .json()
        .map_err(|why| refuse(format!("its list of components: {why}")))?;
    // A plugin that builds on components of szar links them too; they are here already.
    listed.retain(|one| !registry::is_linked(one.kind, &one.name, &one.summary, &one.paper));
    if listed.is_empty() {
        return Err(refuse(
            "it registers no component; one registers by `inventory::submit!` in the library itself".into(),
        ));
    }
    for one in &listed {
        let what = format!("{} `{}`", one.kind, one.name);
        let kebab = one.name.split('-').all(|w| {
            !w.is_empty()
                && w.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        });
        if !kebab {
            return Err(refuse(format!(
                "{what} bears no name for YAML: small letters and digits, `-` between words"
            )));
        }
        if !is_whole(tables, one.kind) {
            let id = needs(one.kind).unwrap_or("(components of this kind cannot be plugins)");
            return Err(refuse(format!("{what} lacks the functions of `{id}`")));
        }
        if let Err(error) = jsonschema::validator_for(&one.schema) {
            return Err(refuse(format!("the JSON schema of {what} is broken: {error}")));
        }
        if !one.defaults.is_object() {
            return Err(refuse(format!("the defaults of {what} are no JSON object")));
        }
    }
    Ok(listed)
}

fn register(
    path: &Path,
    name: &str,
    version: &str,
    sha256: &str,
    listed: Vec<Listed>,
) -> Result<Vec<&'static ComponentInfo>> {
    let info = |one: Listed| {
        let origin = format!("plugin {name} {version} {sha256}");
        ComponentInfo::found(
            one.kind,
            &one.name,
            &one.summary,
            &one.paper,
            &origin,
            one.schema,
            one.defaults,
        )
    };
    let infos: Vec<_> = listed.into_iter().map(info).collect();
    registry::register_all(infos).map_err(|error| {
        refused(
            path,
            name,
            &[format!("{error}; rename the component or load one of the two")],
        )
    })
}
