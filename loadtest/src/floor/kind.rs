//! Which floors there are, as they are written: `bare`, `LINGER:IN_FLIGHT`, `LINGER:IN_FLIGHT:works`.
//!
//! Comes in: words of the command line. Goes out: a `Kind`, which writes itself as it was read, for the command line
//! of the floor's process. Always true: a bare floor publishes nothing, so no record is expected of it. Not here:
//! what a floor does with a request.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use anyhow::ensure;

/// What a floor does before it answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// It reads the body; there is no Kafka.
    Bare,
    /// It awaits a bare producer.
    Producer(Tuning),
}

/// What decides how a bare producer fares.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// `linger.ms`
    pub linger_ms: f64,
    /// `max.in.flight.requests.per.connection`
    pub in_flight: u32,
    /// Whether what the contract asks of every text is done too.
    pub works: bool,
}

impl Kind {
    /// What it is called in a table.
    pub fn name(&self) -> String {
        let Self::Producer(Tuning { linger_ms, in_flight, works }) = self else {
            return "bare hyper, no Kafka".to_owned();
        };
        let kind = if *works { "working floor" } else { "floor" };
        format!("{kind}, linger {linger_ms}, in flight {in_flight}")
    }

    fn works(&self) -> bool {
        matches!(self, Self::Producer(Tuning { works: true, .. }))
    }
}

/// How many of them write records.
pub fn publishing(kinds: &[Kind]) -> usize {
    kinds.iter().filter(|kind| **kind != Kind::Bare).count()
}

/// A floor that works reads the requests of one account, and joins nothing.
pub fn check_for_mix(kinds: &[Kind], is_mix: bool) -> anyhow::Result<()> {
    let works = kinds.iter().any(Kind::works);
    ensure!(
        !works || !is_mix,
        "--floors: one that works knows whole texts of one carrier, and --mix may have others: leave :works out"
    );
    Ok(())
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        if written == "bare" {
            return Ok(Self::Bare);
        }
        let (linger, rest) = written.split_once(':').ok_or("bare, or LINGER:IN_FLIGHT, as in 0.1:1")?;
        let (in_flight, works) = match rest.split_once(':') {
            None => (rest, false),
            Some((in_flight, "works")) => (in_flight, true),
            Some(_) => return Err("after LINGER:IN_FLIGHT only :works"),
        };
        let linger_ms: f64 = linger.parse().map_err(|_| "LINGER is a number of milliseconds")?;
        if !linger_ms.is_finite() || linger_ms < 0.0 {
            return Err("LINGER is 0 ms or more");
        }
        let in_flight = in_flight.parse().map_err(|_| "IN_FLIGHT is a number of requests")?;
        Ok(Self::Producer(Tuning { linger_ms, in_flight, works }))
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self::Producer(Tuning { linger_ms, in_flight, works }) = self else { return f.write_str("bare") };
        write!(f, "{linger_ms}:{in_flight}{}", if *works { ":works" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(written: &str) -> Kind {
        written.parse().expect("a kind of floor")
    }

    #[test]
    fn each_kind_is_read_named_and_written_as_it_was() {
        for (written, name, works) in [
            ("bare", "bare hyper, no Kafka", false),
            ("0.1:5", "floor, linger 0.1, in flight 5", false),
            ("1:1:works", "working floor, linger 1, in flight 1", true),
        ] {
            let kind = kind(written);
            assert_eq!((kind.name().as_str(), kind.works()), (name, works));
            assert_eq!(kind.to_string(), written);
        }
    }

    #[test]
    fn what_is_no_kind_is_refused_with_what_there_is() {
        for (written, said) in [
            ("", "LINGER:IN_FLIGHT"),
            ("0.1", "bare, or"),
            ("bare:works", "LINGER is a number"),
            ("-1:1", "0 ms or more"),
            ("NaN:1", "0 ms or more"),
            ("0.1:many", "IN_FLIGHT is a number"),
            ("0.1:1:plays", "only :works"),
        ] {
            let refused = written.parse::<Kind>();
            assert!(refused.as_ref().is_err_and(|error| error.contains(said)), "{written}: {refused:?}");
        }
    }

    #[test]
    fn no_record_is_expected_of_a_bare_floor() {
        let kinds = ["0:1", "bare", "1:1:works", "bare"].map(kind);
        assert_eq!((0..=4).map(|count| publishing(&kinds[..count])).collect::<Vec<_>>(), [0, 1, 1, 2, 2]);
    }

    #[test]
    fn a_floor_that_works_and_a_mix_are_refused_together_alone() {
        let (plain, working) = (["bare", "0:1"].map(kind), ["0:1", "0:1:works"].map(kind));
        for (kinds, is_mix, is_taken) in
            [(&plain, false, true), (&plain, true, true), (&working, false, true), (&working, true, false)]
        {
            assert_eq!(check_for_mix(kinds, is_mix).is_ok(), is_taken, "{kinds:?}, {is_mix}");
        }
        let error = check_for_mix(&working, true).expect_err("refused").to_string();
        assert!(error.contains("knows whole texts of one carrier") && error.contains("leave :works out"), "{error}");
    }
}
