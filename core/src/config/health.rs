//! The section of a service that says what is checked of its backends.

use std::time::Duration;

use toml::de::DeValue;

use super::{
    Reason,
    read::{duration, owned_text},
    section::{Report, Reported, Section, Value, kind, parsed, text, whole},
};
use crate::health::{CheckKind, HealthCheck, HttpCheck, MAX_TEXT, Statuses, Via};

const HEALTH_KEYS: &[&str] =
    &["check", "interval", "timeout", "rise", "fall", "port", "via", "path", "status", "host"];

/// The keys that only an HTTP check has.
const HTTP_KEYS: [&str; 3] = ["path", "status", "host"];

const DEFAULT_INTERVAL: Duration = Duration::from_secs(2);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_RISE: u8 = 2;
const DEFAULT_FALL: u8 = 3;

/// Reads a `[services.health]` section.
pub(super) fn read_health(section: Section<'_>, report: &mut Report<'_>) -> Result<HealthCheck, Reported> {
    section.refuse_unknown(HEALTH_KEYS, report);
    let is_http = section.required("check", "\"tcp\" or \"http\"", report, check);
    let interval =
        section.optional("interval", report, within(Duration::from_millis(100), Duration::from_secs(3600)));
    let timeout =
        section.optional("timeout", report, within(Duration::from_millis(10), Duration::from_secs(3600)));
    let rise = section.optional("rise", report, count);
    let fall = section.optional("fall", report, count);
    let port = section.optional("port", report, port);
    let via = section.optional("via", report, parsed::<Via>("\"direct\" or \"tunnel\""));
    let path = section.optional("path", report, path);
    let status = section.optional("status", report, status);
    let host = section.optional("host", report, host);

    let (interval, timeout) = (interval?.unwrap_or(DEFAULT_INTERVAL), timeout?.unwrap_or(DEFAULT_TIMEOUT));
    if timeout > interval {
        let key = if section.has("timeout") { "timeout" } else { "interval" };
        let (timeout, interval) = (humantime::format_duration(timeout), humantime::format_duration(interval));
        let why = format!(
            "a timeout of {timeout} is longer than the interval of {interval}: a check would not be over when the next is due"
        );
        report.error(section.offset_of(key), section.key(key), Reason::Value(why));
        return Err(Reported);
    }
    let kind = if is_http? {
        CheckKind::Http(HttpCheck {
            path: path?.unwrap_or_else(|| "/".to_owned()),
            host: host?,
            status: status?.unwrap_or_default(),
        })
    } else {
        let astray: Vec<&str> = HTTP_KEYS.into_iter().filter(|key| section.has(key)).collect();
        for key in &astray {
            let why = "only a check = \"http\" has it".to_owned();
            report.error(section.offset_of(key), section.key(key), Reason::Value(why));
        }
        if !astray.is_empty() {
            return Err(Reported);
        }
        CheckKind::Tcp
    };
    Ok(HealthCheck {
        kind,
        interval,
        timeout,
        rise: rise?.unwrap_or(DEFAULT_RISE),
        fall: fall?.unwrap_or(DEFAULT_FALL),
        port: port?,
        via: via?.unwrap_or_default(),
    })
}

/// Whether it is an HTTP check.
fn check(value: &Value<'_>) -> Result<bool, Reason> {
    match text("\"tcp\" or \"http\"", value)? {
        "tcp" => Ok(false),
        "http" => Ok(true),
        other => Err(Reason::Value(format!("{other:?} is not one of tcp, http"))),
    }
}

/// A time of whole milliseconds from `least` to `most`.
fn within(least: Duration, most: Duration) -> impl Fn(&Value<'_>) -> Result<Duration, Reason> {
    move |value| {
        let time = duration(value)?;
        if (least..=most).contains(&time) && time.subsec_nanos().is_multiple_of(1_000_000) {
            return Ok(time);
        }
        let shown = humantime::format_duration;
        let (time, least, most) = (shown(time), shown(least), shown(most));
        Err(Reason::Value(format!("{time} is not from {least} to {most}, in whole milliseconds")))
    }
}

fn count(value: &Value<'_>) -> Result<u8, Reason> {
    match whole::<u8>("1 to 255")(value)? {
        0 => Err(Reason::Value("0 is not a number from 1 to 255".to_owned())),
        count => Ok(count),
    }
}

fn port(value: &Value<'_>) -> Result<u16, Reason> {
    match whole::<u16>("1 to 65535")(value)? {
        0 => Err(Reason::Value("port 0 is no port to connect to".to_owned())),
        port => Ok(port),
    }
}

fn path(value: &Value<'_>) -> Result<String, Reason> {
    let path = owned_text(value)?;
    if path.starts_with('/') {
        in_a_request(path)
    } else {
        Err(Reason::Value(format!("{path:?} does not begin with /")))
    }
}

fn host(value: &Value<'_>) -> Result<String, Reason> {
    match owned_text(value)? {
        empty if empty.is_empty() => Err(Reason::Value("a host may not be empty".to_owned())),
        host => in_a_request(host),
    }
}

/// What can stand in the head of an HTTP request without ending anything in it.
fn in_a_request(text: String) -> Result<String, Reason> {
    if text.len() > MAX_TEXT {
        return Err(Reason::Value(format!(
            "{} bytes are over the most there is room for, {MAX_TEXT}",
            text.len()
        )));
    }
    match text.chars().find(|character| !character.is_ascii_graphic()) {
        Some(character) => {
            Err(Reason::Value(format!("{character:?} may not stand in a request: write it with %")))
        }
        None => Ok(text),
    }
}

/// One status, or a text with ranges of them.
fn status(value: &Value<'_>) -> Result<Statuses, Reason> {
    let text = match value {
        DeValue::Integer(_) => whole::<u16>("100 to 599")(value)?.to_string(),
        DeValue::String(text) => text.to_string(),
        _ => return Err(kind("a status such as 200, or a text such as \"200-399\"", value)),
    };
    text.parse().map_err(|error: crate::health::StatusError| Reason::Value(error.to_string()))
}
