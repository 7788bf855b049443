//! What the palette offers where one is: every binding of the table by its name, and words that take another.

use super::{
    action::{Action, BINDINGS, Context},
    data::Data,
    matching::rank,
};
use crate::terminal::theme;

/// Something that can be asked for by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// What a key would do.
    Action(Action),
    /// Sort by the column of that heading.
    Sort(String),
    /// Take on the theme of that name.
    Theme(String),
    /// Choose that service.
    Service(String),
    /// Choose that backend; among the slots, go to its slot that is hit most.
    Backend(String),
    /// Go to what is meant among the slots: `slot 17`, `flow 1.2.3.4:5678`.
    Slot(String),
    /// Compare with the moment of the number that stands first.
    Compare(String),
}

/// What choosing an entry comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Does {
    /// It is done.
    Run(Command),
    /// It is not allowed; why.
    Refused(String),
    /// Something has to follow: this is typed so far.
    More(String),
}

/// A line of the palette.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is called.
    pub name: String,
    /// The keys that do the same, as they are shown; empty where there are none.
    pub keys: String,
    /// What it is.
    pub description: String,
    /// What choosing it comes to.
    pub does: Does,
}

/// A word that another has to follow.
#[derive(Clone, Debug)]
struct Word {
    first: &'static str,
    /// What has to follow.
    what: &'static str,
    description: &'static str,
    /// What may follow; empty where anything may be typed.
    offers: Vec<String>,
    command: fn(&str) -> Command,
}

/// Everything on offer. It is worked out when the palette opens, so that nothing moves under the hand.
#[derive(Clone, Debug)]
pub struct Offers {
    entries: Vec<Entry>,
    words: Vec<Word>,
}

impl Offers {
    /// What is on offer where those contexts hold, in a list that can be sorted by those columns.
    #[must_use]
    pub fn new(contexts: &[Context], columns: &[&str], data: &Data) -> Self {
        let mut entries = Vec::new();
        for context in contexts {
            let bindings = BINDINGS.iter().filter(|binding| binding.contexts.contains(context));
            for binding in bindings.filter(|binding| binding.action != Action::Palette) {
                let does = match &data.identity.read_only {
                    Some(reason) if binding.changes => Does::Refused(format!("read-only: {reason}")),
                    _ => Does::Run(Command::Action(binding.action)),
                };
                entries.push(Entry {
                    name: binding.name(),
                    keys: data.keymap.shown(binding),
                    description: binding.description.to_owned(),
                    does,
                });
            }
        }
        let services = data.services().iter().map(|service| service.name.clone()).collect();
        let backends = data
            .service()
            .map(|service| service.backends.iter().map(|backend| backend.name.clone()).collect());
        let marks = data.marked_moments().into_iter().map(|(number, title)| format!("{number} {title}"));
        let words = words(columns, services, backends.unwrap_or_default(), marks.collect());
        entries.extend(words.iter().map(|word| Entry {
            name: format!("{} {}", word.first, word.what),
            keys: String::new(),
            description: word.description.to_owned(),
            does: Does::More(format!("{} ", word.first)),
        }));
        Self { entries, words }
    }

    /// What answers to what is typed, the best answers first.
    #[must_use]
    pub fn answers(&self, typed: &str) -> Vec<Entry> {
        let typed = typed.trim_start();
        let word = typed.split_once(' ').and_then(|(first, rest)| {
            let word = self.words.iter().find(|word| word.first == first)?;
            Some((word, rest.trim()))
        });
        if let Some((word, rest)) = word {
            return word.answers(rest);
        }
        let ranked = self.entries.iter().filter_map(|entry| Some((rank(typed.trim(), &entry.name)?, entry)));
        let mut ranked: Vec<(u8, &Entry)> = ranked.collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, entry)| entry.clone()).collect()
    }
}

impl Word {
    fn answers(&self, rest: &str) -> Vec<Entry> {
        let entry = |argument: &str| Entry {
            name: format!("{} {argument}", self.first),
            keys: String::new(),
            description: self.description.to_owned(),
            does: Does::Run((self.command)(argument)),
        };
        if self.offers.is_empty() {
            let nothing = Entry {
                name: format!("{} {}", self.first, self.what),
                does: Does::More(format!("{} ", self.first)),
                ..entry("")
            };
            return vec![if rest.is_empty() { nothing } else { entry(rest) }];
        }
        let mut ranked: Vec<(u8, &String)> =
            self.offers.iter().filter_map(|offer| Some((rank(rest, offer)?, offer))).collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, offer)| entry(offer)).collect()
    }
}

/// The words that another has to follow, as the manual has them: `slot NUMBER`, and what it is.
#[must_use]
pub fn described() -> Vec<(String, &'static str)> {
    let words = words(&[""], Vec::new(), Vec::new(), vec![String::new()]);
    words.iter().map(|word| (format!("{} {}", word.first, word.what), word.description)).collect()
}

fn words(columns: &[&str], services: Vec<String>, backends: Vec<String>, marks: Vec<String>) -> Vec<Word> {
    let word = |first, what, description, offers, command| Word { first, what, description, offers, command };
    let mut words = vec![
        word("service", "NAME", "choose a service", services, |name| Command::Service(name.to_owned())),
        word("backend", "NAME", "choose a backend; among slots, go to its hottest", backends, |name| {
            Command::Backend(name.to_owned())
        }),
        word("slot", "NUMBER", "go to a slot", Vec::new(), |number| Command::Slot(format!("slot {number}"))),
        word("flow", "IP:PORT", "go to the slot of a client's flow", Vec::new(), |flow| {
            Command::Slot(format!("flow {flow}"))
        }),
        word(
            "theme",
            "NAME",
            "take on another theme",
            theme::BUILT_IN.map(|(name, _)| name.to_owned()).into(),
            |name| Command::Theme(name.to_owned()),
        ),
    ];
    if !marks.is_empty() {
        words.push(word("compare", "MARK", "compare with a mark", marks, |mark| {
            Command::Compare(mark.to_owned())
        }));
    }
    if !columns.is_empty() {
        let columns = columns.iter().map(|title| title.to_lowercase()).collect();
        words.push(word("sort", "COLUMN", "sort by a column", columns, |title| {
            Command::Sort(title.to_owned())
        }));
    }
    words
}
