//! Printing: tables for people, JSON for programs.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use comfy_table::{CellAlignment, Table};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use crate::failure::Failure;

/// The version of everything that is printed as JSON.
const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document<'a, T> {
    schema_version: u32,
    #[serde(flatten)]
    body: &'a T,
}

/// Prints `body` as a JSON document with the schema's version.
pub(crate) fn json<T: Serialize>(body: &T) -> Result<(), Failure> {
    let document = Document { schema_version: SCHEMA_VERSION, body };
    let text = serde_json::to_string(&document).map_err(|error| Failure::of(&error))?;
    line(&text)
}

/// Prints a line. That nobody reads any more is no failure of ours.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::of(&error)),
        _ => Ok(()),
    }
}

/// Whether somebody may still read what is printed, all of `time` long; returns early once nobody does.
///
/// What goes on until it is ended asks this: a line that meets a pipe without a reader is no failure.
pub(crate) fn is_read_for(time: Duration) -> bool {
    let stdout = io::stdout();
    let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
    let limit = Timespec::try_from(time).ok();
    // What cannot be asked is taken for read.
    poll(&mut asked, limit.as_ref()).is_err()
        || !asked[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Prints warnings where they do not get between what programs read.
pub(crate) fn warnings<T: std::fmt::Display>(warnings: &[T]) {
    for warning in warnings {
        // That they cannot be written is no reason to end.
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
}

/// Prints columns under their titles; those in `numbers` are aligned to the right.
pub(crate) fn columns(titles: &[&str], numbers: &[usize], rows: &[Vec<String>]) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(titles.iter().copied());
    table.add_rows(rows.iter().cloned());
    for (place, column) in table.column_iter_mut().enumerate() {
        let right = if place + 1 == titles.len() { 0 } else { 2 };
        column.set_padding((0, right));
        if numbers.contains(&place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for row in table.lines() {
        line(row.trim_end())?;
    }
    Ok(())
}

/// A number with its thousands set apart.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place != 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [0, 999, 1000, 123_456, 1_234_567].map(number),
            ["0", "999", "1,000", "123,456", "1,234,567"]
        );
    }
}
