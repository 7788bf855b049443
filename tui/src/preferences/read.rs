//! From the text of a file to what it says.

use std::collections::HashMap;

use clap::ValueEnum as _;
use maglev_core::config::{ConfigError, ConfigErrors, Reason};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Preferences;
use crate::{
    cli,
    failure::in_words,
    monitor::{
        action::{Action, BINDINGS, Binding, Context},
        key::Key,
    },
    terminal::theme::Theme,
};

const KNOWN: &[&str] = &["theme", "color", "ascii", "interval", "mouse", "low-bandwidth", "keys"];

type Value<'a> = Spanned<DeValue<'a>>;

/// Collects what is wrong.
struct Report<'a> {
    file: &'a str,
    text: &'a str,
    errors: Vec<(usize, ConfigError)>,
}

impl Report<'_> {
    fn error(&mut self, offset: usize, key: impl Into<String>, reason: Reason) {
        let line = 1 + self.text.get(..offset).unwrap_or_default().matches('\n').count();
        self.errors.push((offset, ConfigError { file: self.file.to_owned(), line, key: key.into(), reason }));
    }

    /// What `read` makes of a value; nothing, and a report, where it makes nothing of it.
    fn take<T>(
        &mut self,
        key: &str,
        value: &Value<'_>,
        read: fn(&DeValue<'_>) -> Result<T, Reason>,
    ) -> Option<T> {
        read(value.get_ref()).map_err(|reason| self.error(value.span().start, key, reason)).ok()
    }
}

/// Reads a file's text.
pub(super) fn read(file: &str, text: &str) -> Result<Preferences, ConfigErrors> {
    let mut report = Report { file, text, errors: Vec::new() };
    let mut preferences = Preferences::default();
    match DeTable::parse(text) {
        Ok(document) => {
            for (key, value) in document.get_ref() {
                let name = key.get_ref().as_ref();
                match name {
                    "theme" => preferences.theme = report.take(name, value, theme),
                    "color" => preferences.color = report.take(name, value, color),
                    "ascii" => preferences.ascii = report.take(name, value, truth),
                    "interval" => preferences.interval = report.take(name, value, interval),
                    "mouse" => preferences.mouse = report.take(name, value, truth),
                    "low-bandwidth" => preferences.low_bandwidth = report.take(name, value, truth),
                    "keys" => keys(value, &mut preferences, &mut report),
                    unknown => {
                        let offset = key.span().start;
                        let key = unknown.escape_debug().to_string();
                        report.error(offset, key, Reason::UnknownKey { known: KNOWN });
                    }
                }
            }
        }
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            report.error(offset, "", Reason::Syntax(error.message().to_owned()));
        }
    }
    if report.errors.is_empty() {
        return Ok(preferences);
    }
    report.errors.sort_by_key(|(offset, _)| *offset);
    Err(ConfigErrors(report.errors.into_iter().map(|(_, error)| error).collect()))
}

/// The keys of the section `keys`: each action's name, and a list of keys.
fn keys(value: &Value<'_>, preferences: &mut Preferences, report: &mut Report<'_>) {
    let DeValue::Table(table) = value.get_ref() else {
        report.error(value.span().start, "keys", kind("a table", value.get_ref()));
        return;
    };
    let mut said: HashMap<(Action, Context), (usize, String)> = HashMap::new();
    for (name, value) in table {
        let path = format!("keys.{}", name.get_ref().escape_debug());
        let offset = name.span().start;
        let Some(binding) = BINDINGS.iter().find(|binding| binding.name() == *name.get_ref()) else {
            let words = "there is no such action; `maglev-top --print-config` lists them";
            report.error(offset, path, Reason::Value(words.to_owned()));
            continue;
        };
        match keys_of(value.get_ref(), binding) {
            Ok(keys) => {
                preferences.keymap.bind(binding, keys);
                said.insert(binding.identity(), (offset, path));
            }
            Err(reason) => report.error(offset, path, reason),
        }
    }
    for conflict in preferences.keymap.conflicts() {
        let named = |identity| {
            let binding = BINDINGS.iter().find(|binding| binding.identity() == identity);
            binding.map(Binding::name).unwrap_or_default()
        };
        // Whoever says it last in the file has to look for another key.
        let one = said.get(&conflict.one).map(|place| (place, conflict.other));
        let other = said.get(&conflict.other).map(|place| (place, conflict.one));
        if let Some(((offset, path), taken)) = one.into_iter().chain(other).max_by_key(|(place, _)| place.0) {
            let (key, taken) = (conflict.key.written(), named(taken));
            let words = format!("{key} is a key for {taken} in the same place; give one of them another");
            report.error(*offset, path.clone(), Reason::Value(words));
        }
    }
}

fn keys_of(value: &DeValue<'_>, binding: &Binding) -> Result<Vec<Key>, Reason> {
    let texts = match value {
        DeValue::String(text) => vec![text.as_ref()],
        DeValue::Array(values) => {
            let text = |value: &'_ Value<'_>| match value.get_ref() {
                DeValue::String(_) => Ok(()),
                other => Err(kind("a key in quotes", other)),
            };
            values.iter().try_for_each(text)?;
            values.iter().filter_map(|value| value.get_ref().as_str()).collect()
        }
        other => return Err(kind("a list of keys", other)),
    };
    let mut keys: Vec<Key> = Vec::new();
    for text in texts {
        let key: Key =
            text.parse().map_err(|error: crate::monitor::key::NoSuchKey| Reason::Value(error.to_string()))?;
        if key.types() && !binding.takes_characters() {
            let words = format!(
                "{text:?} is typed where this has to be told from what is typed; take one with Ctrl-"
            );
            return Err(Reason::Value(words));
        }
        if keys.contains(&key) {
            return Err(Reason::Value(format!("{text:?} stands there twice")));
        }
        keys.push(key);
    }
    if keys.is_empty() && !binding.is_in_palette() {
        return Err(Reason::Value("it would be out of reach: there is no palette there".to_owned()));
    }
    Ok(keys)
}

fn theme(value: &DeValue<'_>) -> Result<String, Reason> {
    let name = text(value)?;
    Theme::load(name).map_err(|error| Reason::Value(in_words(&error)))?;
    Ok(name.to_owned())
}

fn color(value: &DeValue<'_>) -> Result<cli::Color, Reason> {
    let name = text(value)?;
    cli::Color::from_str(name, false).map_err(|_| {
        Reason::Value(format!("{name:?} is none of \"auto\", \"truecolor\", \"256\", \"16\", \"never\""))
    })
}

fn interval(value: &DeValue<'_>) -> Result<std::time::Duration, Reason> {
    cli::interval(text(value)?).map_err(Reason::Value)
}

fn truth(value: &DeValue<'_>) -> Result<bool, Reason> {
    match value {
        DeValue::Boolean(truth) => Ok(*truth),
        other => Err(kind("true or false", other)),
    }
}

fn text<'a>(value: &'a DeValue<'_>) -> Result<&'a str, Reason> {
    value.as_str().ok_or_else(|| kind("a text in quotes", value))
}

fn kind(expected: &'static str, value: &DeValue<'_>) -> Reason {
    Reason::Kind { expected, found: value.type_str() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::*;
    use crate::monitor::view::ViewName;

    #[track_caller]
    fn refused(text: &str) -> String {
        read("my.toml", text).expect_err("this was taken").to_string()
    }

    #[test]
    fn a_file_says_how_the_monitor_is_to_be() {
        let text = "theme = \"light\"\ncolor = \"256\"\nascii = true\ninterval = \"2s\"\nmouse = true\n\
            low-bandwidth = true\n[keys]\ndrain = [\"z\", \"Ctrl-t\"]\nfreeze = []\nundo = \"F5\"\n";
        let preferences = read("my.toml", text).unwrap();
        assert_eq!(preferences.theme.as_deref(), Some("light"));
        assert_eq!(preferences.color, Some(cli::Color::Indexed));
        assert_eq!(preferences.interval, Some(Duration::from_secs(2)));
        let booleans = (preferences.ascii, preferences.mouse, preferences.low_bandwidth);
        assert_eq!(booleans, (Some(true), Some(true), Some(true)));
        let pressed = |code, modifiers| {
            let found =
                preferences.keymap.find(KeyEvent::new(code, modifiers), ViewName::Backends.contexts());
            found.map(|binding| binding.action)
        };
        assert_eq!(pressed(KeyCode::Char('z'), KeyModifiers::NONE), Some(Action::Drain));
        assert_eq!(pressed(KeyCode::Char('t'), KeyModifiers::CONTROL), Some(Action::Drain));
        assert_eq!(pressed(KeyCode::Char('d'), KeyModifiers::NONE), None);
        assert_eq!(pressed(KeyCode::Char('f'), KeyModifiers::CONTROL), None);
        assert_eq!(pressed(KeyCode::F(5), KeyModifiers::NONE), Some(Action::Undo));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_key() {
        for (text, told) in [
            ("theme = \"light\"\ncolour = 3\n", "my.toml:2: colour: unknown key; there may be theme, color"),
            ("\n\ntheme = \"nosuch\"\n", "my.toml:3: theme: there is no theme \"nosuch\""),
            ("color = \"lots\"", "my.toml:1: color: \"lots\" is none of"),
            ("ascii = \"yes\"", "my.toml:1: ascii: expected true or false, and this is string"),
            ("interval = \"0s\"", "my.toml:1: interval: it must be more than nothing"),
            ("interval = \"1ns\"", "my.toml:1: interval: it must be between 100ms and 1m"),
            ("keys = 3", "my.toml:1: keys: expected a table"),
            ("[keys]\ndrian = [\"z\"]\n", "my.toml:2: keys.drian: there is no such action"),
            ("[keys]\n\ndrain = [\"zz\"]\n", "my.toml:3: keys.drain: \"zz\" is no key"),
            ("[keys]\ndrain = [1]\n", "my.toml:2: keys.drain: expected a key in quotes"),
            ("[keys]\ndrain = [\"x\"]\n", "my.toml:2: keys.drain: x is a key for remove in the same place"),
            ("[keys]\ndrain = [\"z\", \"z\"]\n", "my.toml:2: keys.drain: \"z\" stands there twice"),
            ("[keys]\nquit-anywhere = [\"z\"]\n", "my.toml:2: keys.quit-anywhere: \"z\" is typed"),
            (
                "[keys]\naccept-in-preview = []\n",
                "my.toml:2: keys.accept-in-preview: it would be out of reach",
            ),
            ("theme = ", "my.toml:1: "),
            ("[keys]\ndrain = [\"z\"]\ndrain = [\"y\"]\n", "my.toml:3: "),
        ] {
            let error = refused(text);
            assert!(error.starts_with(told), "{text:?}: {error}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let error = refused("mouse = 1\n[keys]\ndrain = [\"f\"]\nremove = [\"f\"]\nnosuch = []\n");
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines.len(), 3, "{error}");
        assert!(lines[1].starts_with("my.toml:4: keys.remove: f is a key for drain"), "{error}");
    }
}
