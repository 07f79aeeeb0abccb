//! The `szar` program once more, so that tests of this package have a process to start.

fn main() -> std::process::ExitCode {
    szar_cli::main()
}
