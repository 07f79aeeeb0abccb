//! Messages, progress and logs.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use szar_core::{Error, Progress};
use tracing_subscriber::EnvFilter;

/// Where and how much is said.
pub struct Output {
    /// Results as JSON.
    pub json: bool,
    /// Say only what is wrong.
    pub quiet: bool,
    colour: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Output {
    /// Sets up logging and progress. Colours and bars appear on a terminal only.
    pub fn new(verbose: u8, quiet: bool, json: bool) -> Self {
        let level = match (quiet, verbose) {
            (true, _) => "error",
            (false, 0) => "warn",
            (false, 1) => "info",
            (false, _) => "debug",
        };
        let filter = EnvFilter::try_from_env("SZAR_LOG").unwrap_or_else(|_| EnvFilter::new(level));
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        let _ = subscriber.with_ansi(colour).with_target(false).try_init();
        Self {
            json,
            quiet,
            colour,
            bar: Mutex::new(None),
        }
    }

    /// A line for the user, on stderr.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            note(text);
        }
    }

    /// A result, on stdout.
    pub fn result(&self, text: &str) -> szar_core::Result<()> {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| {
            if text.ends_with('\n') {
                Ok(())
            } else {
                out.write_all(b"\n")
            }
        });
        match written.and_then(|()| out.flush()) {
            // The reader of a pipe may stop early; that is no failure of ours.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|e| Error::write("stdout", e)),
        }
    }

    /// A result as JSON, on stdout.
    pub fn json(&self, value: &impl serde::Serialize) -> szar_core::Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(|e| Error::Input(e.to_string()))?;
        self.result(&text)
    }

    /// What went wrong, on stderr: each problem as a paragraph of its own.
    pub fn error(&self, error: &anyhow::Error) {
        let (red, reset) = if self.colour {
            ("\x1b[1;31m", "\x1b[0m")
        } else {
            ("", "")
        };
        let mut err = std::io::stderr().lock();
        match error.downcast_ref::<Error>() {
            Some(Error::Config(problems)) => {
                for (i, problem) in problems.iter().enumerate() {
                    let gap = if i > 0 { "\n" } else { "" };
                    let _ = writeln!(err, "{gap}{red}error{reset}: {problem}");
                }
                if problems.len() > 1 {
                    let _ = writeln!(err, "\n{} problems", problems.len());
                }
            }
            _ => {
                let _ = writeln!(err, "{red}error{reset}: {error}");
            }
        }
    }
}

/// A line on stderr, whatever the verbosity.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl Progress for Output {
    fn begin(&self, stage: &str, total: u64) {
        if self.quiet {
            return;
        }
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = "{prefix:24} {bar:30} {pos}/{len}  {msg}  {eta} left";
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_prefix(stage.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        if let Ok(mut slot) = self.bar.lock() {
            *slot = Some(bar);
        }
    }

    fn advance(&self, done: u64, note: &str) {
        if let Ok(slot) = self.bar.lock()
            && let Some(bar) = slot.as_ref()
        {
            bar.set_position(done);
            if !note.is_empty() {
                bar.set_message(note.to_owned());
            }
        }
    }

    fn end(&self) {
        if let Ok(mut slot) = self.bar.lock()
            && let Some(bar) = slot.take()
        {
            bar.finish_and_clear();
        }
    }
}
