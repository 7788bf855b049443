//! What services, backends and interfaces may be called.

use super::Rule;
use crate::service::MAX_NAME;

/// Says whether a service or a backend may have that name.
///
/// # Errors
///
/// The rule that it breaks.
pub fn check_name(name: &str) -> Result<(), Rule> {
    if name.is_empty() {
        return Err(Rule::NameEmpty);
    }
    if name.len() > MAX_NAME {
        return Err(Rule::NameTooLong(name.len()));
    }
    // What else there is would have to be escaped somewhere: on the command line (`NAME=ADDRESS@WEIGHT`), on screen.
    match name.chars().find(|&c| !(c.is_ascii_alphanumeric() || "-_.:/".contains(c))) {
        Some(character) => Err(Rule::NameCharacter(character)),
        None => Ok(()),
    }
}

/// Says whether the kernel could have an interface of that name (`dev_valid_name`).
pub(super) fn check_interface(name: &str) -> Result<(), Rule> {
    let fits = (1..=15).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.chars().any(|c| matches!(c, '/' | ':') || c.is_whitespace() || c.is_control());
    if fits { Ok(()) } else { Err(Rule::InterfaceName(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for name in ["web", "default/web:80", "web-1_a.b", &"a".repeat(63)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        assert_eq!(check_name(""), Err(Rule::NameEmpty));
        assert_eq!(check_name(&"a".repeat(64)), Err(Rule::NameTooLong(64)));
        for (name, character) in [("a b", ' '), ("a=b", '='), ("a\u{1b}[0m", '\u{1b}'), ("né", 'é')] {
            assert_eq!(check_name(name), Err(Rule::NameCharacter(character)), "{name}");
        }
    }

    #[test]
    fn interfaces_are_what_the_kernel_takes() {
        for name in ["eth0", "enp1s0f0np0", "br-lan.12", "abcdefghijklmno"] {
            assert_eq!(check_interface(name), Ok(()), "{name}");
        }
        for name in ["", "abcdefghijklmnop", "a/b", "a b", "..", "eth0:1"] {
            assert_eq!(check_interface(name), Err(Rule::InterfaceName(name.to_owned())), "{name}");
        }
    }
}
