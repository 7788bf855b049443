//! What a terminal can show, as its environment tells it.

use std::str::FromStr;

/// How many colours there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColourDepth {
    /// None: state is told by words, bold and reverse.
    None,
    /// The sixteen of ANSI.
    Sixteen,
    /// The palette of 256.
    Indexed,
    /// Red, green and blue, 8 bits each.
    True,
}

/// What the operator wants of colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColourChoice {
    /// As the environment says.
    #[default]
    Auto,
    /// That many, whatever the environment says.
    Fixed(ColourDepth),
}

/// Why a text chooses no colours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no choice of colours; there are auto, truecolor, 256, 16 and never")]
pub struct NoSuchColourChoice(String);

impl FromStr for ColourChoice {
    type Err = NoSuchColourChoice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "auto" => Self::Auto,
            "truecolor" => Self::Fixed(ColourDepth::True),
            "256" => Self::Fixed(ColourDepth::Indexed),
            "16" => Self::Fixed(ColourDepth::Sixteen),
            "never" => Self::Fixed(ColourDepth::None),
            other => return Err(NoSuchColourChoice(other.to_owned())),
        })
    }
}

/// Which characters there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// Blocks, lines and arrows.
    Unicode,
    /// What a serial console shows.
    Ascii,
}

/// What a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its colours.
    pub depth: ColourDepth,
    /// Its characters.
    pub glyphs: Glyphs,
}

impl Capability {
    /// What the process's environment and the operator's choice make of it.
    #[must_use]
    pub fn detect(choice: ColourChoice, ascii: bool) -> Self {
        Self::of_environment(choice, ascii, |name| std::env::var(name).ok())
    }

    /// The same for any environment.
    pub fn of_environment(
        choice: ColourChoice,
        ascii: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let depth = match choice {
            ColourChoice::Fixed(depth) => depth,
            ColourChoice::Auto => depth_of_environment(&set),
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(&set).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        let unicode = !ascii && (locale.contains("utf-8") || locale.contains("utf8"));
        Self { depth, glyphs: if unicode { Glyphs::Unicode } else { Glyphs::Ascii } }
    }
}

fn depth_of_environment(set: &dyn Fn(&str) -> Option<String>) -> ColourDepth {
    if set("NO_COLOR").is_some() {
        return ColourDepth::None;
    }
    let forced = set("CLICOLOR_FORCE").is_some_and(|value| value != "0");
    let term = set("TERM").unwrap_or_default();
    let told = match set("COLORTERM").as_deref() {
        Some("truecolor" | "24bit") => ColourDepth::True,
        _ if term.contains("direct") => ColourDepth::True,
        _ if term.contains("256") => ColourDepth::Indexed,
        _ if ["kitty", "alacritty", "foot", "ghostty", "wezterm"].iter().any(|name| term.contains(name)) => {
            ColourDepth::Indexed
        }
        _ if term.is_empty() || term == "dumb" || term.starts_with("vt") => ColourDepth::None,
        _ => ColourDepth::Sixteen,
    };
    // A terminal that shows no colour gets them only by force.
    if forced { told.max(ColourDepth::Sixteen) } else { told }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(variables: &[(&str, &str)]) -> ColourDepth {
        Capability::of_environment(ColourChoice::Auto, false, |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
        .depth
    }

    #[test]
    fn colours_follow_the_environment() {
        assert_eq!(depth(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")]), ColourDepth::True);
        assert_eq!(depth(&[("TERM", "xterm-256color")]), ColourDepth::Indexed);
        assert_eq!(depth(&[("TERM", "linux")]), ColourDepth::Sixteen);
        assert_eq!(depth(&[("TERM", "vt220")]), ColourDepth::None);
        assert_eq!(depth(&[("TERM", "dumb")]), ColourDepth::None);
        assert_eq!(depth(&[]), ColourDepth::None);
        assert_eq!(depth(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")]), ColourDepth::None);
        assert_eq!(depth(&[("TERM", "xterm-256color"), ("NO_COLOR", "")]), ColourDepth::Indexed);
        assert_eq!(depth(&[("TERM", "vt220"), ("CLICOLOR_FORCE", "1")]), ColourDepth::Sixteen);
        assert_eq!(depth(&[("TERM", "dumb"), ("CLICOLOR_FORCE", "0")]), ColourDepth::None);
    }

    #[test]
    fn a_choice_beats_the_environment() {
        for (text, depth) in [
            ("truecolor", ColourDepth::True),
            ("256", ColourDepth::Indexed),
            ("16", ColourDepth::Sixteen),
            ("never", ColourDepth::None),
        ] {
            let choice = text.parse().unwrap();
            let capability = Capability::of_environment(choice, false, |name| {
                (name == "NO_COLOR").then(|| "1".to_owned())
            });
            assert_eq!(capability.depth, depth);
        }
        assert!("lots".parse::<ColourChoice>().is_err());
    }

    #[test]
    fn characters_follow_the_locale() {
        let glyphs = |name: &'static str, value: &'static str, ascii| {
            Capability::of_environment(ColourChoice::Auto, ascii, |asked| {
                (asked == name).then(|| value.to_owned())
            })
            .glyphs
        };
        assert_eq!(glyphs("LANG", "de_DE.UTF-8", false), Glyphs::Unicode);
        assert_eq!(glyphs("LC_ALL", "C.utf8", false), Glyphs::Unicode);
        assert_eq!(glyphs("LANG", "C", false), Glyphs::Ascii);
        assert_eq!(glyphs("HOME", "/", false), Glyphs::Ascii);
        assert_eq!(glyphs("LANG", "C.UTF-8", true), Glyphs::Ascii);
    }
}
