//! What a service asks to have checked of its backends.

use std::{fmt, str::FromStr, time::Duration};

use crate::words::words;

/// The longest path and the longest host of an HTTP check, in bytes.
pub const MAX_TEXT: usize = 127;

/// The most ranges of statuses that a check may call good.
pub const MAX_STATUS_RANGES: usize = 8;

/// What is checked of each backend of a service, and what follows from how many checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What a check does.
    pub kind: CheckKind,
    /// The time from one check of a backend to the next.
    pub interval: Duration,
    /// A check that has not succeeded by then has failed. Not longer than the interval.
    pub timeout: Duration,
    /// So many checks have to succeed in a row for a backend to be healthy.
    pub rise: u8,
    /// So many checks have to fail in a row for it to be unhealthy.
    pub fall: u8,
    /// The port that is checked; where it is `None`, the backend's own, and through the tunnel the service's.
    pub port: Option<u16>,
    /// The way that a check takes.
    pub via: Via,
}

/// The way from the balancer to the backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Via {
    /// To the backend's own address.
    #[default]
    Direct,
    /// As the packets of clients go: to the service's address, inside the outer header that leads to the backend.
    Tunnel,
}

words! {
    Via { Direct => "direct", Tunnel => "tunnel" }
}

/// What a check does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// It connects.
    Tcp,
    /// It connects, asks, and looks at the status of the answer.
    Http(HttpCheck),
}

/// What an HTTP check asks for, and what answers are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// The path asked for, from its `/` on.
    pub path: String,
    /// The `Host` header; the address that is connected to where it is `None`.
    pub host: Option<String>,
    /// The statuses that are good.
    pub status: Statuses,
}

/// Statuses of HTTP answers, as ranges with both ends in them: `200`, `200-399`, `200,204,301-302`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Vec<(u16, u16)>);

/// A text does not say which statuses are good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} does not say which statuses are good: write 200, \"200-399\" or \"200,204,301-302\", with {MAX_STATUS_RANGES} parts at most, each from 100 to 599"
)]
pub struct StatusError(pub String);

impl CheckKind {
    /// The word for it: `tcp` or `http`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http(_) => "http",
        }
    }
}

impl Statuses {
    /// The statuses of those ranges; `None` where there are none or too many of them, or one is no range of statuses.
    #[must_use]
    pub fn of_ranges(ranges: Vec<(u16, u16)>) -> Option<Self> {
        let is_range =
            |&(first, last): &(u16, u16)| (100..=599).contains(&first) && first <= last && last <= 599;
        ((1..=MAX_STATUS_RANGES).contains(&ranges.len()) && ranges.iter().all(is_range))
            .then_some(Self(ranges))
    }

    /// The ranges, both ends in them.
    #[must_use]
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }

    /// Whether `status` is good.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|&(first, last)| (first..=last).contains(&status))
    }
}

impl Default for Statuses {
    /// 200 alone.
    fn default() -> Self {
        Self(vec![(200, 200)])
    }
}

impl FromStr for Statuses {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        let number = |text: &str| text.trim().parse().ok();
        text.split(',')
            .map(|part| match part.split_once('-') {
                None => number(part).map(|status| (status, status)),
                Some((first, last)) => number(first).zip(number(last)),
            })
            .collect::<Option<Vec<_>>>()
            .and_then(Self::of_ranges)
            .ok_or_else(|| StatusError(text.to_owned()))
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (first, last)) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { "," };
            write!(formatter, "{separator}{first}")?;
            if first != last {
                write!(formatter, "-{last}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for HealthCheck {
    /// All of it in words: `http 200-399 /ready every 2s within 1s, rise 2, fall 3`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.kind.word())?;
        if let CheckKind::Http(HttpCheck { path, host, status }) = &self.kind {
            write!(formatter, " {status} {path}")?;
            if let Some(host) = host {
                write!(formatter, " of {host}")?;
            }
        }
        if let Some(port) = self.port {
            write!(formatter, " at port {port}")?;
        }
        if self.via == Via::Tunnel {
            formatter.write_str(" through the tunnel")?;
        }
        let time = |time| humantime::format_duration(time);
        let (interval, timeout) = (time(self.interval), time(self.timeout));
        write!(formatter, " every {interval} within {timeout}, rise {}, fall {}", self.rise, self.fall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_ranges() {
        let statuses: Statuses = "200, 204,301-302".parse().unwrap();
        let good: Vec<u16> = (100..600).filter(|&status| statuses.contains(status)).collect();
        assert_eq!(good, [200, 204, 301, 302]);
        assert_eq!(statuses.to_string(), "200,204,301-302");
        assert_eq!("200-399".parse::<Statuses>().unwrap().ranges(), [(200, 399)]);
        for bad in
            ["", "2xx", "399-200", "99", "600", "200-", "200;204", "200,200,200,200,200,200,200,200,200"]
        {
            assert!(bad.parse::<Statuses>().is_err(), "{bad:?} was taken");
        }
    }
}
