//! What a plugin logs with `tracing` goes to the log of the host.

use std::fmt::{Debug, Write};

use szar_plugin_abi::{Host, Str};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

struct Forward(&'static Host);

/// Makes the host's log that of this library; panics are told there too, before they become errors.
pub(crate) fn forward(host: &'static Host) {
    let _ = tracing::subscriber::set_global_default(Forward(host));
    std::panic::set_hook(Box::new(|info| tracing::debug!("{info}")));
}

fn number(level: Level) -> u32 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

impl Subscriber for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // SAFETY: the host's table lives for ever.
        metadata.is_event() && unsafe { (self.0.enabled)(self.0.context, number(*metadata.level())) }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let text = line.message + &line.fields;
        let metadata = event.metadata();
        let (level, target) = (number(*metadata.level()), Str::new(metadata.target()));
        // SAFETY: the host's table lives for ever, the texts during the call.
        unsafe { (self.0.log)(self.0.context, level, target, Str::new(&text)) }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
