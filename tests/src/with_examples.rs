//! The `szar` program with the components of the example plugins built in, to hold the plugins against.

#[path = "../../plugins/examples/rust-adapter/src/component.rs"]
mod adapter;
#[path = "../../plugins/examples/rust-aligner/src/component.rs"]
mod aligner;
#[path = "../../plugins/examples/rust-encoder/src/component.rs"]
mod encoder;

fn main() -> std::process::ExitCode {
    szar_cli::main()
}
