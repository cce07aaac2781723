//! JSON lines on standard output: fixed text, data as fields, a level that changes while running.

use tracing::Metadata;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

/// Words that say how much is logged, of everything or of one target.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Whether logging can start with these directives; the error says what is wrong with them. A word that is no
/// level would be taken for a target, and all others would fall silent.
pub fn check_directives(directives: &str) -> Result<(), String> {
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let bare = directives.split(',').map(str::trim).filter(|word| !word.is_empty() && !word.contains(['=', '[', ':']));
    if let Some(word) = bare.filter(|word| word.parse::<u8>().is_err()).find(|word| !is_level(word)) {
        let levels = LEVELS.join(", ");
        return Err(format!("{word:?} is no level ({levels}); for one target write {word}=LEVEL"));
    }
    EnvFilter::try_new(directives).map(drop).map_err(|error| format!("cannot be read: {error}"))
}

/// Changes what is logged while the process runs.
#[derive(Clone)]
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl LogLevel {
    /// Takes a level or directives ("info", "sms_router=debug"). The error says what was wrong.
    pub fn set(&self, directives: &str) -> Result<(), String> {
        let filter = EnvFilter::try_new(directives).map_err(|error| error.to_string())?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }
}

/// Starts logging for the whole process.
/// Errors when the directives cannot be read or logging has been started before.
pub fn start_logging(directives: &str) -> Result<LogLevel, String> {
    let filter = EnvFilter::try_new(directives).map_err(|error| error.to_string())?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
    // No line shows a span, and a library that opens one for each text would have it formatted all the same. An exporter
    // of traces would be one more layer, with a filter of its own that lets spans of `sms_router` through: the archive's
    // carry the `traceparent` of their text.
    let events = filter_fn(|metadata: &Metadata<'_>| metadata.is_event());
    tracing_subscriber::registry()
        .with(filter)
        .with(events)
        .with(lines)
        .try_init()
        .map_err(|error| error.to_string())?;
    Ok(LogLevel(handle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_that_would_silence_the_log_or_cannot_be_read_are_refused() {
        for good in [
            "info",
            "INFO",
            "off",
            "info,librdkafka=error,scylla=warn",
            "sms_router=debug",
            "3",
            "info,hyper::proto=warn",
        ] {
            assert_eq!(check_directives(good), Ok(()), "{good}");
        }
        for bad in ["loud", "warning", "info,verbose", "sms_router=loud", "info,=debug=", "sms_router"] {
            assert!(check_directives(bad).is_err(), "{bad}");
        }
    }
}
