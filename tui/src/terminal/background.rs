//! Whether the terminal is dark or light: it is asked, for that long and no longer.

use std::{
    env,
    io::{self, Read as _, Write as _},
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ratatui::crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use rustix::event::PollFlags;
use signal_hook::{
    consts::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM},
    flag, low_level,
};

use super::{
    capability::ColourDepth,
    theme::{self, Tone},
    tty::{Readiness, Tty, wait},
};

/// How long a terminal may take to answer: the first frame is to be there a tenth of a second after the start, whether
/// the terminal answers or not.
pub const PATIENCE: Duration = Duration::from_millis(50);

/// How long a signal may go unseen.
const SLICE: Duration = Duration::from_millis(50);

/// What is the background (OSC 11), and then what every terminal answers, who it is (DA1): after the second answer the
/// first is not to come any more.
const QUESTION: &[u8] = b"\x1b]11;?\x1b\\\x1b[c";

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the background is like, if the terminal told.
    pub tone: Option<Tone>,
    /// Whether an answer may still come: it is not to be taken for keys.
    pub outstanding: bool,
}

/// Asks the terminal. What was typed before it answered is lost.
///
/// There are libraries that ask. They open a terminal of their own, and leave a late answer to whoever reads next.
///
/// # Errors
///
/// When the terminal does not let itself be asked.
pub fn ask(tty: &Tty, patience: Duration) -> io::Result<Answer> {
    // A signal that ends the program waits until the terminal is as it was.
    let signal = Arc::new(AtomicUsize::new(0));
    let mut registered = Vec::new();
    for (number, value) in [(SIGHUP, 1), (SIGINT, 2), (SIGQUIT, 3), (SIGTERM, 15)] {
        registered.push(flag::register_usize(number, Arc::clone(&signal), value)?);
    }
    enable_raw_mode()?;
    let answer = ask_raw(tty, patience, &signal);
    disable_raw_mode()?;
    for id in registered {
        low_level::unregister(id);
    }
    if let Ok(number @ 1..) = i32::try_from(signal.load(Ordering::SeqCst)) {
        low_level::emulate_default_handler(number)?;
    }
    answer
}

/// The name of the theme for the terminal's background, and whether an answer to the question may still come.
///
/// Terminals without colours, and consoles that would print the question, are not asked. Where none answers,
/// `COLORFGBG` may know; else it is dark.
///
/// # Errors
///
/// When the terminal does not let itself be asked.
pub fn theme(tty: &Tty, depth: ColourDepth, patience: Duration) -> io::Result<(&'static str, bool)> {
    let term = env::var("TERM").unwrap_or_default();
    let deaf =
        depth == ColourDepth::None || ["linux", "vt", "dumb"].iter().any(|name| term.starts_with(name));
    let answer = if deaf { Answer { tone: None, outstanding: false } } else { ask(tty, patience)? };
    let told = || tone_of_environment(&env::var("COLORFGBG").ok()?);
    let name = match answer.tone.or_else(told) {
        Some(Tone::Light) => "light",
        Some(Tone::Dark) | None => theme::DEFAULT,
    };
    Ok((name, answer.outstanding))
}

fn ask_raw(tty: &Tty, patience: Duration, signal: &AtomicUsize) -> io::Result<Answer> {
    tty.output().write_all(QUESTION)?;
    let since = Instant::now();
    let mut answer = Vec::new();
    while !is_whole(&answer) {
        let left = patience.saturating_sub(since.elapsed());
        if left.is_zero() || signal.load(Ordering::SeqCst) != 0 {
            return Ok(Answer { tone: tone_of_answer(&answer), outstanding: true });
        }
        // A signal may reach another thread: then it does not end the wait.
        match wait(tty.input().as_fd(), PollFlags::IN, None, Some(left.min(SLICE)))? {
            Readiness::NotYet => {}
            Readiness::Gone => break,
            Readiness::Ready => {
                let mut bytes = [0; 256];
                let count = tty.input().read(&mut bytes)?;
                if count == 0 {
                    break;
                }
                answer.extend_from_slice(&bytes[..count]);
            }
        }
    }
    Ok(Answer { tone: tone_of_answer(&answer), outstanding: false })
}

/// Whether the terminal has said who it is: `ESC [ ? … c`.
fn is_whole(answer: &[u8]) -> bool {
    let Some(start) = answer.windows(3).position(|bytes| bytes == b"\x1b[?") else { return false };
    let end = answer[start + 3..].iter().find(|byte| !byte.is_ascii_digit() && **byte != b';');
    end == Some(&b'c')
}

/// What `ESC ] 11 ; rgb:RRRR/GGGG/BBBB` says, with one to four digits each; `rgba:` has a fourth part.
fn tone_of_answer(answer: &[u8]) -> Option<Tone> {
    let text = String::from_utf8_lossy(answer);
    let colour = text.split_once("\x1b]11;")?.1.split(['\x1b', '\x07']).next()?;
    let parts = colour.strip_prefix("rgb:").or_else(|| colour.strip_prefix("rgba:"))?;
    let part = |digits: &str| {
        let most = 16_u32.checked_pow(u32::try_from(digits.len()).ok()?)?.checked_sub(1)?;
        let value = u32::from_str_radix(digits, 16).ok()?;
        (1..=4).contains(&digits.len()).then(|| f64::from(value) / f64::from(most))
    };
    let mut parts = parts.split('/').map(part);
    let (red, green, blue) = (parts.next()??, parts.next()??, parts.next()??);
    // How light a colour looks, by Rec. 709, without undoing the screen's curve: half is half.
    let light = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    Some(if light > 0.5 { Tone::Light } else { Tone::Dark })
}

/// What `COLORFGBG` says, as rxvt and others set it: `foreground;background`, by their numbers among the sixteen.
#[must_use]
pub fn tone_of_environment(value: &str) -> Option<Tone> {
    let (_, background) = value.rsplit_once(';')?;
    match background.parse::<u8>().ok()? {
        7 | 9..=15 => Some(Tone::Light),
        0..=6 | 8 => Some(Tone::Dark),
        16.. => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_says_what_the_background_is_like() {
        for (answer, tone) in [
            ("\x1b]11;rgb:ffff/ffff/ffff\x1b\\\x1b[?62;22c", Some(Tone::Light)),
            ("\x1b]11;rgb:1e1e/1e1e/2e2e\x07\x1b[?1c", Some(Tone::Dark)),
            ("\x1b]11;rgba:fdfd/f6f6/e3e3/ffff\x1b\\", Some(Tone::Light)),
            ("x\x1b]11;rgb:0/0/0\x1b\\", Some(Tone::Dark)),
            ("\x1b[?62;22c", None),
            ("\x1b]11;rgb:ffff/ffff", None),
            ("\x1b]11;rgb:fffff/0/0\x07", None),
            ("\x1b]11;rgb:zz/0/0\x07", None),
        ] {
            assert_eq!(tone_of_answer(answer.as_bytes()), tone, "{answer:?}");
        }
    }

    #[test]
    fn who_it_is_ends_the_answer() {
        assert!(is_whole(b"\x1b]11;rgb:0/0/0\x07\x1b[?62;22c"));
        assert!(is_whole(b"\x1b[?1;2c"));
        for part in ["", "\x1b[?62;2", "\x1b]11;rgb:0/0/c\x07", "\x1b[?62;22n"] {
            assert!(!is_whole(part.as_bytes()), "{part:?}");
        }
    }

    #[test]
    fn the_environment_may_know() {
        assert_eq!(tone_of_environment("15;0"), Some(Tone::Dark));
        assert_eq!(tone_of_environment("0;default;15"), Some(Tone::Light));
        assert_eq!(tone_of_environment("0;7"), Some(Tone::Light));
        for value in ["", "15", "0;default", "0;99"] {
            assert_eq!(tone_of_environment(value), None, "{value:?}");
        }
    }
}
