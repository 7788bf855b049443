//! One table of a configuration file, read key by key.

use std::{fmt::Display, str::FromStr};

use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use super::{ConfigError, Reason, lines::Lines};

/// What is wrong so far, and where the lines are.
pub(super) struct Report<'a> {
    file: &'a str,
    lines: Lines,
    errors: Vec<(usize, ConfigError)>,
}

/// Something is wrong and has been reported.
#[derive(Debug)]
pub(super) struct Reported;

/// A value of a configuration file, as a key's reader sees it.
pub(super) type Value<'a> = DeValue<'a>;

/// One table: its keys and values, and the path to it.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    path: &'static str,
    offset: usize,
    /// `None` where the file has no such section.
    table: Option<&'a DeTable<'a>>,
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a str, text: &str) -> Self {
        Self { file, lines: Lines::of(text), errors: Vec::new() }
    }

    pub(super) fn file(&self) -> String {
        self.file.to_owned()
    }

    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines.at(offset)
    }

    pub(super) fn error(&mut self, offset: usize, key: String, reason: Reason) {
        let error = ConfigError { file: self.file(), line: self.line(offset), key, reason };
        self.errors.push((offset, error));
    }

    /// What was found, in the order of the text.
    pub(super) fn into_errors(mut self) -> Vec<ConfigError> {
        self.errors.sort_by_key(|&(offset, _)| offset);
        self.errors.into_iter().map(|(_, error)| error).collect()
    }
}

impl<'a> Section<'a> {
    pub(super) fn new(path: &'static str, offset: usize, table: &'a DeTable<'a>) -> Self {
        Self { path, offset, table: Some(table) }
    }

    /// A section that the file does not have: every key is absent.
    pub(super) const fn absent(path: &'static str) -> Self {
        Self { path, offset: 0, table: None }
    }

    /// The section that `value` is, or a report that it is none.
    fn of_value(
        path: &'static str,
        value: &'a Spanned<DeValue<'a>>,
        report: &mut Report<'_>,
    ) -> Result<Self, Reported> {
        let offset = value.span().start;
        match value.get_ref() {
            DeValue::Table(table) => Ok(Self::new(path, offset, table)),
            other => {
                report.error(offset, path.to_owned(), kind("a table", other));
                Err(Reported)
            }
        }
    }

    /// Reports every key that is not among `known`.
    pub(super) fn refuse_unknown(&self, known: &'static [&'static str], report: &mut Report<'_>) {
        for key in self.table.into_iter().flat_map(DeTable::keys) {
            if !known.contains(&key.get_ref().as_ref()) {
                let path = self.key(&key.get_ref().escape_debug().to_string());
                report.error(key.span().start, path, Reason::UnknownKey { known });
            }
        }
    }

    /// Where the value of `key` stands, or the section where it is absent.
    pub(super) fn offset_of(&self, key: &str) -> usize {
        self.value(key).map_or(self.offset, |value| value.span().start)
    }

    /// The path to a key.
    pub(super) fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table?.get(key)
    }

    /// What `read` makes of the value of `key`, if that is there.
    pub(super) fn optional<T>(
        &self,
        key: &str,
        report: &mut Report<'_>,
        read: impl FnOnce(&Value<'_>) -> Result<T, Reason>,
    ) -> Result<Option<T>, Reported> {
        let Some(value) = self.value(key) else { return Ok(None) };
        read(value.get_ref()).map(Some).map_err(|reason| {
            report.error(value.span().start, self.key(key), reason);
            Reported
        })
    }

    /// What `read` makes of the value of `key`; `hint` says what to write where that is absent.
    pub(super) fn required<T>(
        &self,
        key: &str,
        hint: &'static str,
        report: &mut Report<'_>,
        read: impl FnOnce(&Value<'_>) -> Result<T, Reason>,
    ) -> Result<T, Reported> {
        self.optional(key, report, read)?.ok_or_else(|| {
            report.error(self.offset, self.key(key), Reason::Missing(hint));
            Reported
        })
    }

    /// The section under `key`; an absent one where the key is absent.
    pub(super) fn section(
        &self,
        key: &str,
        path: &'static str,
        report: &mut Report<'_>,
    ) -> Result<Self, Reported> {
        self.value(key).map_or(Ok(Self::absent(path)), |value| Self::of_value(path, value, report))
    }

    /// The section under `key`; `None` where the key is absent.
    pub(super) fn section_if_any(
        &self,
        key: &str,
        path: &'static str,
        report: &mut Report<'_>,
    ) -> Result<Option<Self>, Reported> {
        self.value(key).map(|value| Self::of_value(path, value, report)).transpose()
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// The sections of an array of tables; none where the key is absent.
    pub(super) fn sections(
        &self,
        key: &str,
        path: &'static str,
        report: &mut Report<'_>,
    ) -> Result<Vec<Result<Section<'a>, Reported>>, Reported> {
        let Some(value) = self.value(key) else { return Ok(Vec::new()) };
        let DeValue::Array(elements) = value.get_ref() else {
            report.error(value.span().start, self.key(key), kind("an array of tables", value.get_ref()));
            return Err(Reported);
        };
        Ok(elements.iter().map(|element| Section::of_value(path, element, report)).collect())
    }
}

/// That a value is of another kind than `expected`.
pub(super) fn kind(expected: &'static str, value: &Value<'_>) -> Reason {
    let found = match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    Reason::Kind { expected, found }
}

/// A text, as it is.
pub(super) fn text<'a>(expected: &'static str, value: &'a Value<'_>) -> Result<&'a str, Reason> {
    value.as_str().ok_or_else(|| kind(expected, value))
}

/// A text that says a `T`.
pub(super) fn parsed<T>(expected: &'static str) -> impl Fn(&Value<'_>) -> Result<T, Reason>
where
    T: FromStr,
    T::Err: Display,
{
    move |value| text(expected, value)?.parse().map_err(|error: T::Err| Reason::Value(error.to_string()))
}

/// A whole number that a `T` holds; `range` is what an error calls for.
pub(super) fn whole<T: TryFrom<i128>>(range: &'static str) -> impl Fn(&Value<'_>) -> Result<T, Reason> {
    move |value| {
        let DeValue::Integer(integer) = value else { return Err(kind("a whole number", value)) };
        number(integer)
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| Reason::Value(format!("{integer} is not a number from {range}")))
    }
}

fn number(integer: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}
