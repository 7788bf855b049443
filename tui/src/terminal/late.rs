//! Late answers of the terminal, kept apart from keys.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// More characters than this no answer has: `11;rgba:ffff/ffff/ffff/ffff`.
const LONGEST: usize = 32;

/// Takes the answer to a question out of the keys, where it comes after it was waited for.
///
/// An answer is `ESC ] 11 ; …`, ended by BEL or `ESC \`. As keys that is Alt-], characters, and Ctrl-g or Alt-\; where the
/// ESC comes alone, it is Esc and ]. Who the terminal is it tells in a sequence that stands for no key.
#[derive(Debug)]
pub struct LateAnswer {
    state: State,
}

#[derive(Debug)]
enum State {
    /// None is to come.
    Over,
    /// One may come.
    Awaited,
    /// This may have been its beginning.
    Begun(KeyEvent),
    /// It is coming; so many characters of it have.
    Coming(usize),
    /// This may have been the first half of its end.
    Ending,
}

impl LateAnswer {
    /// Whether one may come.
    #[must_use]
    pub const fn new(awaited: bool) -> Self {
        Self { state: if awaited { State::Awaited } else { State::Over } }
    }

    /// The keys that are keys, once that one was read.
    pub fn key(&mut self, key: KeyEvent) -> Vec<KeyEvent> {
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let state = std::mem::replace(&mut self.state, State::Awaited);
        let (state, keys) = match (state, key.code) {
            (State::Awaited, KeyCode::Char(']')) if alt => (State::Coming(0), Vec::new()),
            (State::Awaited, KeyCode::Esc) => (State::Begun(key), Vec::new()),
            (State::Awaited, _) => (State::Awaited, vec![key]),
            (State::Begun(_), KeyCode::Char(']')) if !control => (State::Coming(0), Vec::new()),
            (State::Begun(escape), _) => (State::Awaited, vec![escape, key]),
            (State::Coming(_), KeyCode::Char('\\')) if alt => (State::Over, Vec::new()),
            (State::Coming(_), KeyCode::Char('g')) if control => (State::Over, Vec::new()),
            (State::Coming(_), KeyCode::Esc) => (State::Ending, Vec::new()),
            (State::Coming(count), KeyCode::Char(character))
                if count < LONGEST && !control && is_of_answer(character) =>
            {
                (State::Coming(count + 1), Vec::new())
            }
            (State::Ending, KeyCode::Char('\\')) => (State::Over, Vec::new()),
            // None is to come, or it broke off: what comes now is somebody's.
            (State::Over | State::Coming(_) | State::Ending, _) => (State::Over, vec![key]),
        };
        self.state = state;
        keys
    }

    /// Nothing more was read for a while: what could have been a beginning was a key.
    pub fn quiet(&mut self) -> Option<KeyEvent> {
        if let State::Begun(escape) = self.state {
            self.state = State::Awaited;
            return Some(escape);
        }
        None
    }
}

fn is_of_answer(character: char) -> bool {
    character.is_ascii_hexdigit() || "rgba:;/".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alt(character: char) -> KeyEvent {
        KeyEvent::new(KeyCode::Char(character), KeyModifiers::ALT)
    }

    fn plain(text: &str) -> impl Iterator<Item = KeyEvent> + '_ {
        text.chars().map(|character| KeyEvent::new(KeyCode::Char(character), KeyModifiers::NONE))
    }

    const ESCAPE: KeyEvent = KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE);
    const BELL: KeyEvent = KeyEvent::new(KeyCode::Char('g'), KeyModifiers::CONTROL);

    fn through(late: &mut LateAnswer, keys: impl IntoIterator<Item = KeyEvent>) -> Vec<KeyEvent> {
        keys.into_iter().flat_map(|key| late.key(key)).collect()
    }

    #[test]
    fn a_late_answer_is_no_key() {
        let answer = || plain("11;rgb:1e1e/1e1e/2e2e");
        let whole = [
            [alt(']')].into_iter().chain(answer()).chain([alt('\\')]).collect::<Vec<_>>(),
            [alt(']')].into_iter().chain(answer()).chain([BELL]).collect(),
            [ESCAPE]
                .into_iter()
                .chain(plain("]"))
                .chain(answer())
                .chain([ESCAPE])
                .chain(plain("\\"))
                .collect(),
        ];
        for keys in whole {
            let mut late = LateAnswer::new(true);
            assert_eq!(through(&mut late, plain("j")).len(), 1, "before it, keys are keys");
            assert_eq!(through(&mut late, keys), []);
            assert_eq!(through(&mut late, plain("1]r")).len(), 3, "after it, keys are keys");
        }
    }

    #[test]
    fn keys_stay_keys() {
        let mut late = LateAnswer::new(true);
        assert_eq!(through(&mut late, [ESCAPE]), []);
        assert_eq!(late.quiet(), Some(ESCAPE));
        assert_eq!(late.quiet(), None);
        assert_eq!(through(&mut late, [ESCAPE].into_iter().chain(plain("j"))).len(), 2);
        // Nothing was asked: nothing is held back.
        assert_eq!(through(&mut LateAnswer::new(false), [ESCAPE, alt(']'), BELL]).len(), 3);
    }

    #[test]
    fn an_answer_that_breaks_off_does_not_take_the_keyboard_along() {
        let mut late = LateAnswer::new(true);
        let down = KeyEvent::new(KeyCode::Down, KeyModifiers::NONE);
        assert_eq!(through(&mut late, [alt(']')].into_iter().chain(plain("11;rg")).chain([down])), [down]);
        let mut late = LateAnswer::new(true);
        let keys = through(&mut late, [alt(']')].into_iter().chain(plain(&"1".repeat(40))));
        assert_eq!(keys.len(), 40 - LONGEST);
    }
}
