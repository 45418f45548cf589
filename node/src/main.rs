//! The `ollamaflow` program: carries out what the command line asks for.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use ollamaflow::app;
use ollamaflow::cli::{
    self, Command, Screen, Verdict, apply, client, cluster, completions, config, healthcheck, openapi,
};
use ollamaflow::settings::{self, FirstRun, Sources};

/// A small request costs 6 % less CPU time than with glibc's allocator, and an open stream 1 KiB less memory. Only the
/// program has it: whoever embeds the library chooses for himself.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let (mut out, mut err) = (io::stdout(), io::stderr());
    match cli::parse(std::env::args_os()) {
        Ok(Command::Serve(sources)) => serve(sources),
        Ok(Command::ConfigShow { sources, format }) => {
            exit_code(config::show(sources, format, &mut out, &mut err))
        }
        Ok(Command::ConfigCheck { file, format }) => {
            exit_code(config::check(file, format, &mut out, &mut err))
        }
        Ok(Command::Client { access, task, format }) => {
            exit_code(client::run(access, task, format, Screen::of_process(), &mut out, &mut err))
        }
        Ok(Command::Cluster { access, action, format }) => {
            exit_code(cluster::run(access, action, format, Screen::of_process(), &mut out, &mut err))
        }
        Ok(Command::Apply { access, apply, format }) => {
            exit_code(apply::run(access, &apply, format, &mut out, &mut err))
        }
        Ok(Command::Healthcheck { sources, format }) => {
            exit_code(healthcheck::run(sources, format, &mut out, &mut err))
        }
        Ok(Command::OpenApi) => exit_code(openapi::run(&mut out)),
        Ok(Command::Completions(shell)) => exit_code(completions::run(shell, &mut out)),
        Err(e) => cli::report_usage(&e),
    }
}

fn serve(sources: Sources) -> ExitCode {
    let loaded = match settings::load(sources) {
        Ok(loaded) => loaded,
        Err(e) => return fail(&e),
    };
    if let Some(FirstRun { path, admin_token }) = &loaded.first_run {
        // The only time that the token is shown; the file has it too. A closed terminal is no reason not to serve.
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "wrote {} with a new admin token: {}", path.display(), admin_token.expose());
    }
    match app::serve(loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&e),
    }
}

fn exit_code(printed: io::Result<Verdict>) -> ExitCode {
    match printed {
        Ok(verdict) => verdict.into(),
        // Whoever read it, such as `head`, has had enough: there is nobody to tell, and nothing to tell.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(e) => fail(&e),
    }
}

fn fail(error: &dyn Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "error: {error}");
    ExitCode::FAILURE
}
