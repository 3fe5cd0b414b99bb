use std::process::ExitCode;

fn main() -> ExitCode {
    kferry::cli::main()
}
