//! Keys, as the table of actions names them.

use std::{fmt, str::FromStr};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A key, with or without control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    code: KeyCode,
    control: bool,
}

/// The key that types that character.
#[must_use]
pub const fn letter(character: char) -> Key {
    Key { code: KeyCode::Char(character), control: false }
}

/// That letter with control.
#[must_use]
pub const fn control(character: char) -> Key {
    Key { code: KeyCode::Char(character), control: true }
}

/// A key that types nothing.
#[must_use]
pub const fn code(code: KeyCode) -> Key {
    Key { code, control: false }
}

impl Key {
    /// Whether it is the one that was pressed. Shift is part of the character already.
    #[must_use]
    pub fn is(self, event: KeyEvent) -> bool {
        event.code == self.code
            && event.modifiers.contains(KeyModifiers::CONTROL) == self.control
            && !event.modifiers.contains(KeyModifiers::ALT)
    }

    /// Whether it types a character where something can be typed.
    #[must_use]
    pub const fn types(self) -> bool {
        matches!(self.code, KeyCode::Char(_)) && !self.control
    }

    /// What is read when it is pressed.
    #[must_use]
    pub const fn event(self) -> KeyEvent {
        let modifiers = if self.control { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
        KeyEvent::new(self.code, modifiers)
    }
}

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no key: write a character, Ctrl- and a letter, or a name such as Enter, Space, Shift-Tab, Up or F5{1}"
)]
pub struct NoSuchKey(String, &'static str);

/// The keys that have names.
const NAMED: [(&str, KeyCode); 16] = [
    ("Space", KeyCode::Char(' ')),
    ("Enter", KeyCode::Enter),
    ("Esc", KeyCode::Esc),
    ("Tab", KeyCode::Tab),
    ("Shift-Tab", KeyCode::BackTab),
    ("Up", KeyCode::Up),
    ("Down", KeyCode::Down),
    ("Left", KeyCode::Left),
    ("Right", KeyCode::Right),
    ("Home", KeyCode::Home),
    ("End", KeyCode::End),
    ("PgUp", KeyCode::PageUp),
    ("PgDn", KeyCode::PageDown),
    ("Del", KeyCode::Delete),
    ("Ins", KeyCode::Insert),
    ("Backspace", KeyCode::Backspace),
];

impl FromStr for Key {
    type Err = NoSuchKey;

    fn from_str(text: &str) -> Result<Self, NoSuchKey> {
        let wrong = |why| NoSuchKey(text.to_owned(), why);
        let mut characters = text.chars();
        if let (Some(character), None) = (characters.next(), characters.next())
            && !character.is_control()
            && character != ' '
        {
            return Ok(letter(character));
        }
        if let Some((_, named)) = NAMED.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Ok(code(*named));
        }
        let function = text.strip_prefix(['F', 'f']).and_then(|number| number.parse().ok());
        if let Some(number @ 1..=12) = function {
            return Ok(code(KeyCode::F(number)));
        }
        let with_control = text.get(..5).filter(|prefix| prefix.eq_ignore_ascii_case("ctrl-"));
        let mut rest = with_control.map(|_| text[5..].chars()).into_iter().flatten();
        match (rest.next().map(|letter| letter.to_ascii_lowercase()), rest.next()) {
            (Some('i' | 'm'), None) => Err(wrong("; a terminal sends Tab for Ctrl-i and Enter for Ctrl-m")),
            (Some(letter @ 'a'..='z'), None) => Ok(control(letter)),
            _ => Err(wrong("")),
        }
    }
}

impl Key {
    /// How it is written in a file: `x`, `Ctrl-x`, `Shift-Tab`.
    #[must_use]
    pub fn written(self) -> String {
        match self.code {
            KeyCode::Char(character) if self.control => format!("Ctrl-{character}"),
            KeyCode::Char(character) if character != ' ' => character.to_string(),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = NAMED.iter().find(|(_, code)| *code == self.code && !self.control);
        let name = match (named, self.code) {
            (Some((name, _)), _) => (*name).to_owned(),
            (None, KeyCode::Char(character)) if self.control => {
                format!("^{}", character.to_ascii_uppercase())
            }
            (None, KeyCode::Char(character)) => character.to_string(),
            (None, KeyCode::F(number)) => format!("F{number}"),
            (None, other) => format!("{other:?}"),
        };
        formatter.pad(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::action::BINDINGS;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for key in BINDINGS.iter().flat_map(|binding| binding.keys) {
            assert_eq!(key.written().parse(), Ok(*key), "{key}");
        }
        for (text, key) in [
            ("é", letter('é')),
            ("^", letter('^')),
            ("f12", code(KeyCode::F(12))),
            ("CTRL-X", control('x')),
            ("space", letter(' ')),
            ("shift-tab", code(KeyCode::BackTab)),
        ] {
            assert_eq!(text.parse(), Ok(key), "{text}");
        }
        for text in ["", " ", "xy", "F13", "F0", "Ctrl-", "Ctrl-1", "Ctrl-i", "Ctrl-xy", "Alt-x", "\u{7}"] {
            assert!(text.parse::<Key>().is_err(), "{text:?}");
        }
    }
}
