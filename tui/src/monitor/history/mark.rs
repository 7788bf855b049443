//! Marks: moments worth coming back to, and why.

use maglev_core::sample::Event;

/// Why a moment is marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Something was changed.
    Change(Event),
    /// The operator set it, as the mark of that number.
    Hand(u32),
    /// Counts began anew, in words.
    Anew(String),
    /// Before it there were looks that failed, for that reason.
    Failed(String),
}

impl Mark {
    /// What happened, and who did it.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Change(event) => format!("{} by {}", self.what(), event.actor),
            Self::Failed(reason) => format!("{}: {reason}", self.what()),
            Self::Hand(_) | Self::Anew(_) => self.what(),
        }
    }

    /// What happened.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::Change(event) => {
                let backend =
                    if event.backend.is_empty() { String::new() } else { format!(" {}", event.backend) };
                format!("{}{backend} ({})", event.action, event.service)
            }
            Self::Hand(number) => format!("mark {number}"),
            Self::Anew(words) => words.clone(),
            Self::Failed(_) => "no sample before".to_owned(),
        }
    }

    /// The bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Change(event) => {
                    [&event.actor, &event.action, &event.service, &event.backend, &event.detail]
                        .into_iter()
                        .map(String::capacity)
                        .sum()
                }
                Self::Hand(_) => 0,
                Self::Anew(words) | Self::Failed(words) => words.capacity(),
            }
    }
}

/// What several marks say together: the first one, and how many there are beside it.
#[must_use]
pub fn words_of(marks: &[Mark]) -> Option<String> {
    let first = marks.first()?.words();
    Some(match marks.len() - 1 {
        0 => first,
        more => format!("{first}, and {more} more"),
    })
}
