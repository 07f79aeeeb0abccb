//! What is drawn while a sweep runs: one bar for all, one line for each process.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use szar_core::{Outcome, Sweep, Watch};
use szar_sweep::Overseer;

use crate::output::Output;

/// Draws on a terminal; elsewhere it says a line now and then.
pub struct Board<'a> {
    output: &'a Output,
    names: Vec<String>,
    all: MultiProgress,
    bar: ProgressBar,
    lines: Vec<ProgressBar>,
    failed: usize,
    told: usize,
}

impl<'a> Board<'a> {
    /// Draws nothing yet.
    pub fn new(output: &'a Output) -> Self {
        let drawn = std::io::stderr().is_terminal() && !output.quiet;
        let target = if drawn {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let all = MultiProgress::with_draw_target(target);
        let bar = all.add(ProgressBar::new(0));
        bar.set_style(style("{bar:30} {pos}/{len} tasks  {msg}  {elapsed}, {eta} left"));
        Self {
            output,
            names: Vec::new(),
            all,
            bar,
            lines: Vec::new(),
            failed: 0,
            told: 0,
        }
    }

    fn line(&mut self, worker: usize) -> &ProgressBar {
        while self.lines.len() <= worker {
            let line = self.all.add(ProgressBar::new_spinner());
            line.set_style(style("  {spinner} {msg}  {elapsed}"));
            line.enable_steady_tick(Duration::from_millis(250));
            self.lines.push(line);
        }
        &self.lines[worker]
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Overseer for Board<'_> {
    fn handed(&mut self, sweep: &Sweep) {
        self.names = sweep.tasks.iter().map(|task| task.name.clone()).collect();
        self.bar.reset();
        self.bar.set_length(self.names.len() as u64);
        self.bar.enable_steady_tick(Duration::from_millis(250));
        self.told = 0;
    }
}

impl Watch for Board<'_> {
    fn begun(&mut self, task: usize, worker: usize) {
        let name = self.names.get(task).cloned().unwrap_or_default();
        let line = self.line(worker);
        line.reset_elapsed();
        line.set_message(name);
    }

    fn ended(&mut self, outcome: &Outcome) {
        self.bar.inc(1);
        if let Some(error) = &outcome.error {
            self.failed += 1;
            let name = self.names.get(outcome.task).map_or("", String::as_str);
            let first = error.lines().next().unwrap_or_default();
            self.all
                .suspend(|| self.output.say(&format!("failed: {name}: {first}")));
            self.bar.set_message(format!("{} failed", self.failed));
        }
        // Where nothing is drawn, each tenth part is worth a line.
        let (done, total) = (self.bar.position() as usize, self.names.len());
        let tenth = done * 10 / total.max(1);
        if self.bar.is_hidden() && tenth > self.told {
            self.told = tenth;
            self.output.say(&format!("{done} of {total} tasks"));
        }
    }

    fn note(&mut self, text: &str) {
        self.all.suspend(|| self.output.say(text));
    }
}

impl Drop for Board<'_> {
    fn drop(&mut self) {
        let _ = self.all.clear();
    }
}
