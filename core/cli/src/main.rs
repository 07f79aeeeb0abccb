//! The `szar` program.

fn main() -> std::process::ExitCode {
    szar_cli::main()
}
