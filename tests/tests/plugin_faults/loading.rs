//! Files that cannot be loaded, and libraries that cannot be used.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{ends, faulty, from_c, nowhere, szar};

/// `szar list` with a plugin that cannot be used: what it says.
fn refused(plugin: &Path) -> String {
    let (said, _) = ends(szar().args(["list", "adapter", "--plugin"]).arg(plugin), 2);
    assert!(said.contains(&plugin.display().to_string()), "{said}");
    said
}

fn holds(said: &str, part: &str) {
    assert!(said.contains(part), "`{part}` in\n{said}");
}

#[test]
fn a_file_that_is_no_library_is_refused_before_it_is_loaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("plugin.so");
    for (content, part) in [
        ("", "is an empty file"),
        ("I am a plugin", "is no dynamic library of this system"),
        ("\x7fELF", "is cut off"),
    ] {
        std::fs::write(&file, content).expect("written");
        holds(&refused(&file), part);
    }
    holds(&refused(folder.path()), "is a folder, expected a library");
    holds(&refused(Path::new("/dev/null")), "is no file");
    holds(&refused(&folder.path().join("none.so")), "cannot read");
}

#[test]
#[cfg(target_os = "linux")]
fn a_library_that_was_cut_off_is_refused_and_kills_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("plugin.so");
    let whole = std::fs::read(faulty()).expect("a library");
    let cuts = [
        63,
        1000,
        4096,
        whole.len() / 16,
        whole.len() / 4,
        whole.len() / 2,
        whole.len() - 1,
    ];
    for cut in cuts {
        std::fs::write(&file, &whole[..cut]).expect("written");
        holds(&refused(&file), "is cut off");
    }
}

#[test]
fn a_library_that_is_no_plugin_is_refused() {
    let Some(file) = from_c("no_entry") else { return };
    holds(&refused(&file), "exports no `szar_plugin_entry`");
}

#[test]
fn a_plugin_for_an_older_minor_version_loads_and_its_mistakes_are_named() {
    let Some(file) = from_c("old") else { return };
    let list = |fault: &str, code: i32| {
        let mut command = szar();
        command.env("SZAR_C_FAULT", fault);
        ends(command.args(["list", "adapter", "--plugin"]).arg(&file), code)
    };
    for sound in ["", "true-schema"] {
        let (said, listed) = list(sound, 0);
        assert!(listed.contains("old") && said.is_empty(), "{said}");
    }
    for (fault, part) in [
        ("entry-null", "`szar_plugin_entry` gave null"),
        (
            "major",
            "built for version 99 of the plugin boundary, this szar has 1",
        ),
        ("small-plugin", "its table has 48 bytes, expected 88 at least"),
        ("tiny-plugin", "its table has 4 bytes"),
        ("hollow-plugin", "lacks `start` or `extension`"),
        ("no-name", "it has no name"),
        ("name-not-utf8", "is not UTF-8"),
        (
            "other-libtorch",
            "`old` cannot be used: it was built for libtorch 1.13.1",
        ),
        ("own-libtorch", "brings a libtorch of its own into the process"),
        ("start-fails", "it could not start: the moon is wrong"),
        (
            "start-status",
            "it could not start: returned the unknown status 77",
        ),
        ("no-components", "lacks the functions of `szar.components/1`"),
        ("small-components", "lacks the functions of `szar.components/1`"),
        ("hollow-config", "lacks the functions of `szar.components/1`"),
        (
            "list-fails",
            "could not list its components: the list is a secret",
        ),
        ("list-no-json", "JSON that cannot be read"),
        ("list-not-utf8", "gave a text that is not UTF-8"),
        ("list-empty", "registers no component"),
        ("broken-schema", "the JSON schema of adapter `old` is broken"),
        ("defaults", "the defaults of adapter `old` are no JSON object"),
        ("bad-name", "adapter `Old Adapter` bears no name for YAML"),
        (
            "taken-name",
            "there is a component of that name already: adapter `tent`, of szar itself",
        ),
        (
            "unknown-kind",
            "unknown variant `teleporter`, expected one of `dataset`",
        ),
        (
            "other-table",
            "encoder `old` lacks the functions of `szar.encoder/1`",
        ),
        (
            "no-table",
            "adapter `old` lacks the functions of `szar.adapter/1`",
        ),
        (
            "small-table",
            "adapter `old` lacks the functions of `szar.adapter/1`",
        ),
        (
            "hollow-table",
            "adapter `old` lacks the functions of `szar.adapter/1`",
        ),
    ] {
        let (said, _) = list(fault, 2);
        holds(&said, part);
        holds(&said, &file.display().to_string());
    }
}

#[test]
fn a_plugin_may_be_named_twice_but_two_may_not_bear_one_name() {
    let Some(file) = from_c("old") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (copy, link) = (folder.path().join("copy.so"), folder.path().join("link.so"));
    std::fs::copy(&file, &copy).expect("copied");
    std::os::unix::fs::symlink(&file, &link).expect("linked");
    let with = |other: &Path, code| {
        let mut command = szar();
        command.args(["list", "adapter", "--plugin"]).arg(&file);
        ends(command.arg("--plugin").arg(other), code)
    };
    assert_eq!(with(&file, 0).0, "");
    assert_eq!(with(&link, 0).0, "");
    holds(&with(&copy, 2).0, "this is a plugin `old`, and so is ");
}

#[test]
fn a_file_that_others_can_write_is_loaded_with_a_warning() {
    let Some(file) = from_c("old") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let open = folder.path().join("open.so");
    std::fs::copy(&file, &open).expect("copied");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o666)).expect("changed");
    let (said, listed) = ends(szar().args(["list", "adapter", "--plugin"]).arg(&open), 0);
    holds(&said, "can be replaced by any user of this machine");
    holds(&listed, "old");
}

#[test]
fn what_nobody_named_is_left_out_with_a_warning() {
    let Some(file) = from_c("old") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy(&file, folder.path().join("liba.so")).expect("copied");
    std::fs::write(folder.path().join("libbroken.so"), "no library").expect("written");
    std::fs::write(folder.path().join("notes.txt"), "not looked at").expect("written");
    std::fs::create_dir(folder.path().join("folder.so")).expect("made");
    let places = [folder.path().to_owned(), faulty(), nowhere()];
    let places = std::env::join_paths(places).expect("a list");
    let (said, listed) = ends(szar().arg("list").env("SZAR_PLUGIN_PATH", &places), 0);
    for name in ["old", "faulty-encoder", "tent"] {
        holds(&listed, name);
    }
    let left = [
        "libbroken.so: is no dynamic library",
        "folder.so: is a folder",
        "which is not there",
    ];
    left.iter().for_each(|part| holds(&said, part));
    assert!(!said.contains("notes.txt"), "{said}");
}
