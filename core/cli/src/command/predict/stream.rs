//! Frames that come one by one.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::Result;
use szar_core::{Cancel, Error};
use szar_runner::predict::{FrameStream, Line, Predictor, Spacing, read_line};

use super::Args;
use super::show::Show;
use crate::output::Output;

/// Lines that are read ahead.
const AHEAD: usize = 64;
/// How often a stream that is silent is asked whether to stop.
const POLL: Duration = Duration::from_millis(100);

/// A file of frames.
pub fn file(
    path: &Path,
    predictor: &mut Predictor,
    spacing: Spacing,
    args: &Args,
    output: &Output,
    cancel: &Cancel,
) -> Result<()> {
    let mut from = BufReader::new(File::open(path).map_err(|e| Error::read(path, e))?);
    let place = path.display().to_string();
    let mut playing = Playing::new(predictor, &place, spacing, args, output);
    let mut number = 0;
    while let Some(line) = read_line(&mut from, number + 1).map_err(|e| Error::read(path, e))? {
        cancel.check()?;
        number = line.number;
        playing.feed(&line)?;
    }
    playing.finish()
}

/// Frames on standard input. A signal ends the stream as its end does.
pub fn standard_input(
    predictor: &mut Predictor,
    spacing: Spacing,
    args: &Args,
    output: &Output,
    cancel: &Cancel,
) -> Result<()> {
    let place = "standard input";
    let (sender, lines) = sync_channel::<std::io::Result<Line>>(AHEAD);
    // It waits in a read that nothing interrupts, and ends with the process.
    std::thread::spawn(move || {
        let mut from = BufReader::new(std::io::stdin());
        for number in 1.. {
            let Some(line) = read_line(&mut from, number).transpose() else {
                break;
            };
            let failed = line.is_err();
            if sender.send(line).is_err() || failed {
                break;
            }
        }
    });
    let mut playing = Playing::new(predictor, place, spacing, args, output);
    loop {
        match lines.recv_timeout(POLL) {
            Ok(line) => playing.feed(&line.map_err(|e| Error::read(place, e))?)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if cancel.requested() {
            break;
        }
    }
    playing.finish()
}

/// A stream with what prints its answers.
struct Playing<'a> {
    stream: FrameStream<'a>,
    show: Show<'a>,
    lenient: bool,
}

impl<'a> Playing<'a> {
    fn new(
        predictor: &'a mut Predictor,
        place: &str,
        spacing: Spacing,
        args: &Args,
        output: &'a Output,
    ) -> Self {
        // As wide as the names of windows in the first minutes.
        let show = Show::new(
            output,
            predictor.classes(),
            usize::from(args.top),
            std::iter::once("frames 10000-10000"),
        );
        Self {
            stream: FrameStream::new(predictor, place, spacing),
            show,
            lenient: args.lenient,
        }
    }

    fn feed(&mut self, line: &Line) -> Result<()> {
        match self.stream.feed(line) {
            Ok(Some(answer)) => self.show.window(&answer)?,
            Ok(None) => {}
            Err(error) if self.lenient && error.is_input() => tracing::warn!(%error, "left out"),
            Err(error) => {
                self.show.finish("windows");
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        if let Some(answer) = self.stream.finish()? {
            self.show.window(&answer)?;
        }
        self.show.finish("windows");
        Ok(())
    }
}
