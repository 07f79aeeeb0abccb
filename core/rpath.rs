//! Build script of every crate here that links libtorch into a program (tests, benches, the `szar` binary): lets
//! the program find libtorch without environment variables.

#![expect(clippy::print_stdout, reason = "a build script speaks to cargo on stdout")]

fn main() {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    let Some(libtorch) = std::env::var_os("LIBTORCH") else {
        return;
    };
    let lib = std::path::PathBuf::from(libtorch).join("lib");
    match lib.canonicalize() {
        Ok(lib) => println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display()),
        Err(error) => println!(
            "cargo::warning=no libtorch at {} ({error}); run `./x setup`",
            lib.display()
        ),
    }
}
