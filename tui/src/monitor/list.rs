//! Which rows of a list are shown, and in which order. Rows are known by their names: they move, and what is chosen
//! moves with them.

use std::{cmp::Ordering, time::Duration};

use super::{action::Action, colours::natural, data::step, matching::holds, widget::table::Sorted};

/// How long after the last step rows keep their places: what one is about to choose does not move from under the hand.
const HELD: Duration = Duration::from_secs(3);

/// What a row is sorted by.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Numbers, the largest first; those that are not known stand last.
    Number(Option<f64>),
    /// Words, with the numbers in them by their size.
    Text(String),
}

/// How many rows further on an action goes, where it is one that goes to another row; a page is half of the screen's
/// `height`.
#[must_use]
pub fn steps(action: Action, height: u16) -> Option<isize> {
    let page = isize::try_from(height / 2).unwrap_or(1);
    match action {
        Action::Up => Some(-1),
        Action::Down => Some(1),
        Action::PageUp => Some(-page),
        Action::PageDown => Some(page),
        Action::First => Some(isize::MIN),
        Action::Last => Some(isize::MAX),
        _ => None,
    }
}

/// A column that rows can be sorted by.
pub struct Order<Row> {
    /// The column's heading.
    pub title: &'static str,
    /// What of a row is compared.
    pub value: fn(&Row) -> Value,
}

/// A row that may be shown.
pub struct Listed<Row> {
    /// The name that it is known by.
    pub name: String,
    /// What the filter looks into.
    pub text: String,
    /// What orders look into.
    pub row: Row,
}

/// A filter, an order, and what they make of the rows.
#[derive(Clone, Debug, Default)]
pub struct List {
    filter: String,
    sorted: Option<&'static str>,
    reversed: bool,
    descending: bool,
    titles: Vec<&'static str>,
    shown: Vec<String>,
    all: usize,
    now: Duration,
    held_until: Option<Duration>,
}

impl List {
    /// The names of the rows that are shown, in their order.
    #[must_use]
    pub fn shown(&self) -> &[String] {
        &self.shown
    }

    /// Whether the row of that name is shown.
    #[must_use]
    pub fn shows(&self, name: &str) -> bool {
        self.shown.iter().any(|shown| shown == name)
    }

    /// The column that rows are sorted by, and which way; `None` where they stand in their own order.
    #[must_use]
    pub fn sorted(&self) -> Option<Sorted> {
        self.sorted.map(|title| Sorted { title, descending: self.descending })
    }

    /// The words that every row shown holds.
    #[must_use]
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// The columns that rows can be sorted by.
    #[must_use]
    pub fn titles(&self) -> &[&'static str] {
        &self.titles
    }

    /// Shows the rows alone that hold these words.
    pub fn set_filter(&mut self, words: &str) {
        words.trim().clone_into(&mut self.filter);
        self.held_until = None;
    }

    /// Sorts by the column of that heading, whatever the case of its letters; in the rows' own order where there is none.
    pub fn sort_by(&mut self, title: &str) {
        self.sorted = self.titles.iter().copied().find(|other| other.eq_ignore_ascii_case(title));
        self.reversed = false;
        self.held_until = None;
    }

    /// Sorts by the column after the one that is sorted by; after the last one, in the rows' own order.
    pub fn sort_by_next(&mut self) {
        let next = match self.sorted.and_then(|title| self.titles.iter().position(|other| *other == title)) {
            Some(at) => self.titles.get(at + 1),
            None => self.titles.first(),
        };
        let next = next.copied().unwrap_or_default();
        self.sort_by(next);
    }

    /// Turns the order round.
    pub fn reverse(&mut self) {
        self.reversed = !self.reversed;
        self.held_until = None;
    }

    /// The name of the row that stands `steps` further on from another. For a while rows keep their places.
    pub fn step(&mut self, from: Option<&str>, steps: isize) -> Option<String> {
        self.held_until = Some(self.now + HELD);
        let names: Vec<&str> = self.shown.iter().map(String::as_str).collect();
        step(&names, from, steps, false)
    }

    /// Looks at the rows as they are `now`.
    pub fn refresh<Row>(&mut self, rows: Vec<Listed<Row>>, orders: &[Order<Row>], now: Duration) {
        if now < self.now {
            // An earlier moment is looked at: its rows have not moved.
            self.held_until = None;
        }
        self.now = now;
        self.titles = orders.iter().map(|order| order.title).collect();
        self.all = rows.len();
        let mut rows = rows;
        rows.retain(|row| holds(&self.filter, &row.text));
        if let Some(order) = orders.iter().find(|order| Some(order.title) == self.sorted) {
            let mut valued: Vec<(Value, Listed<Row>)> =
                rows.into_iter().map(|row| ((order.value)(&row.row), row)).collect();
            // Numbers come with the largest first, words with the first letter.
            let numbers = matches!(valued.first(), Some((Value::Number(_), _)));
            self.descending = numbers != self.reversed;
            valued.sort_by(|(one, _), (other, _)| compare(one, other, self.reversed));
            rows = valued.into_iter().map(|(_, row)| row).collect();
        } else if self.reversed {
            rows.reverse();
        }
        let mut names: Vec<String> = rows.into_iter().map(|row| row.name).collect();
        if self.held_until.is_some_and(|until| now < until) {
            let place =
                |name: &String| self.shown.iter().position(|shown| shown == name).unwrap_or(usize::MAX);
            names.sort_by_key(place);
        }
        self.shown = names;
    }

    /// What is otherwise than in a list as it is at first, in words; empty where nothing is.
    #[must_use]
    pub fn note(&self) -> String {
        let mut words = Vec::new();
        if !self.filter.is_empty() {
            words.push(format!("{:?}: {} of {}", self.filter, self.shown.len(), self.all));
        }
        match (self.sorted, self.reversed) {
            (Some(title), false) => words.push(format!("by {title}")),
            (Some(title), true) => words.push(format!("by {title}, reversed")),
            (None, true) => words.push("reversed".to_owned()),
            (None, false) => {}
        }
        words.join(", ")
    }
}

fn compare(one: &Value, other: &Value, reversed: bool) -> Ordering {
    let turned = |ordering: Ordering| if reversed { ordering.reverse() } else { ordering };
    match (one, other) {
        (Value::Number(Some(one)), Value::Number(Some(other))) => turned(other.total_cmp(one)),
        // What is not known stands last, whichever way round the rest is.
        (Value::Number(one), Value::Number(other)) => other.is_some().cmp(&one.is_some()),
        (Value::Text(one), Value::Text(other)) => turned(natural(one).cmp(&natural(other))),
        (Value::Number(_), Value::Text(_)) => Ordering::Less,
        (Value::Text(_), Value::Number(_)) => Ordering::Greater,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (&'static str, Option<f64>);

    const ORDERS: [Order<Row>; 2] = [
        Order { title: "NAME", value: |row| Value::Text(row.0.to_owned()) },
        Order { title: "RATE", value: |row| Value::Number(row.1) },
    ];

    fn refresh(list: &mut List, rows: &[Row], now: u64) -> String {
        let listed = |row: &Row| Listed { name: row.0.to_owned(), text: row.0.to_owned(), row: *row };
        list.refresh(rows.iter().map(listed).collect(), &ORDERS, Duration::from_secs(now));
        list.shown().join(" ")
    }

    const ROWS: [Row; 4] = [("b10", Some(5.0)), ("b9", None), ("a1", Some(7.0)), ("b1", Some(6.0))];

    #[test]
    fn rows_are_sorted_by_what_they_are() {
        let mut list = List::default();
        assert_eq!(refresh(&mut list, &ROWS, 0), "b10 b9 a1 b1");
        for (wanted, note) in [
            ("a1 b1 b9 b10", "by NAME"),
            ("a1 b1 b10 b9", "by RATE"),
            ("b10 b9 a1 b1", ""),
            ("a1 b1 b9 b10", "by NAME"),
        ] {
            list.sort_by_next();
            assert_eq!(refresh(&mut list, &ROWS, 0), wanted);
            assert_eq!(list.note(), note);
            let sorted = list.sorted().map(|sorted| (sorted.title, sorted.descending));
            assert_eq!(sorted, note.strip_prefix("by ").map(|title| (title, title == "RATE")));
        }
        list.reverse();
        assert_eq!(refresh(&mut list, &ROWS, 0), "b10 b9 b1 a1");
        assert!(list.sorted().unwrap().descending);
        list.sort_by("rate");
        list.reverse();
        assert_eq!(refresh(&mut list, &ROWS, 0), "b10 b1 a1 b9", "what is not known stands last");
    }

    #[test]
    fn a_filter_leaves_what_holds_its_words() {
        let mut list = List::default();
        list.set_filter(" B1 ");
        assert_eq!(refresh(&mut list, &ROWS, 0), "b10 b1");
        assert_eq!(list.note(), "\"B1\": 2 of 4");
        assert!(list.shows("b10") && !list.shows("a1"));
        list.set_filter("nothing");
        assert_eq!(refresh(&mut list, &ROWS, 0), "");
        assert_eq!(list.step(Some("a1"), 1), None);
    }

    #[test]
    fn rows_keep_their_places_under_the_hand() {
        let mut list = List::default();
        refresh(&mut list, &ROWS, 0);
        list.sort_by("RATE");
        assert_eq!(refresh(&mut list, &ROWS, 1), "a1 b1 b10 b9");
        assert_eq!(list.step(Some("a1"), 1).as_deref(), Some("b1"));
        let moved = [("b10", Some(50.0)), ("a1", Some(7.0)), ("b1", Some(60.0)), ("new", Some(99.0))];
        assert_eq!(refresh(&mut list, &moved, 3), "a1 b1 b10 new", "a row that came stands last so long");
        assert_eq!(refresh(&mut list, &moved, 4), "new b1 b10 a1");
    }
}
