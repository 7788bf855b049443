//! Keys, as the table of actions names them.

use std::fmt;

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

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.code {
            KeyCode::Char(' ') => "Space".to_owned(),
            KeyCode::Char(character) if self.control => format!("^{}", character.to_ascii_uppercase()),
            KeyCode::Char(character) => character.to_string(),
            KeyCode::BackTab => "Shift-Tab".to_owned(),
            KeyCode::Delete => "Del".to_owned(),
            KeyCode::PageUp => "PgUp".to_owned(),
            KeyCode::PageDown => "PgDn".to_owned(),
            KeyCode::Esc => "Esc".to_owned(),
            KeyCode::F(number) => format!("F{number}"),
            other => format!("{other:?}"),
        };
        formatter.pad(&name)
    }
}
