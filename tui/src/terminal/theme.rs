//! Themes: one TOML file each, embedded, and overridable by a file.

use std::path::{Path, PathBuf};

use ratatui::style::Color;
use serde::{Deserialize, Deserializer, de::Error as _};

/// How many levels a ramp of colours has.
pub const LEVELS: usize = 12;

/// The themes that are part of the program: name and text.
pub const BUILT_IN: [(&str, &str); 2] = [
    ("dark", include_str!("../../../themes/dark.toml")),
    ("light", include_str!("../../../themes/light.toml")),
];

/// What a terminal's own background is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tone {
    /// Light text on dark.
    Dark,
    /// Dark text on light.
    Light,
}

/// The colours of everything on screen, as a theme's file has them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Theme {
    /// What background it is made for.
    pub tone: Tone,
    /// Text of which nothing is said.
    pub text: ThemeColour,
    /// What is behind it.
    pub background: ThemeColour,
    /// Text that matters less.
    pub faint: ThemeColour,
    /// Lines around dialogs.
    pub border: ThemeColour,
    /// Names of columns.
    pub heading: ThemeColour,
    /// The view that is open, keys, the focus.
    pub accent: ThemeColour,
    /// Text of the selected row.
    pub selected_text: ThemeColour,
    /// What is behind it.
    pub selected_background: ThemeColour,
    /// The state of a backend that gets new connections.
    pub active: ThemeColour,
    /// The state of one that does not.
    pub draining: ThemeColour,
    /// What went well.
    pub good: ThemeColour,
    /// What needs a look.
    pub warning: ThemeColour,
    /// What went wrong.
    pub error: ThemeColour,
    /// The word that says that nothing is real.
    pub simulated: ThemeColour,
    /// The word that says that nothing moves.
    pub frozen: ThemeColour,
    /// The slot under the cursor.
    pub cursor: ThemeColour,
    /// A slot without owner.
    pub nobody: ThemeColour,
    /// The backends, in turn.
    pub backends: Vec<ThemeColour>,
    /// The same for their slots while those settle.
    pub backends_settling: Vec<ThemeColour>,
    /// The backends where there are sixteen colours.
    pub backends_ansi: Vec<ThemeColour>,
    /// The same for their slots while those settle.
    pub backends_settling_ansi: Vec<ThemeColour>,
    /// From no hits to the most.
    pub heat: [ThemeColour; LEVELS],
    /// The same for slots that are settling.
    pub heat_settling: [ThemeColour; LEVELS],
    /// From never changed to changed just now.
    pub age: [ThemeColour; LEVELS],
}

/// A colour in a theme: `"#rrggbb"`, an index of the 256-colour palette, or `"reset"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThemeColour(pub Color);

impl<'de> Deserialize<'de> for ThemeColour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Index(i64),
            Text(String),
        }
        let refuse = |what: &dyn std::fmt::Display| {
            D::Error::custom(format!("{what} is no colour: write \"#rrggbb\", 0 to 255, or \"reset\""))
        };
        match Written::deserialize(deserializer)? {
            Written::Index(index) => {
                u8::try_from(index).map(|index| Self(Color::Indexed(index))).map_err(|_| refuse(&index))
            }
            Written::Text(text) => parse_colour(&text).map(Self).ok_or_else(|| refuse(&text)),
        }
    }
}

fn parse_colour(text: &str) -> Option<Color> {
    if text == "reset" {
        return Some(Color::Reset);
    }
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
    let part = |range| u8::from_str_radix(digits.get(range)?, 16).ok();
    Some(Color::Rgb(part(0..2)?, part(2..4)?, part(4..6)?))
}

/// Why there is no theme.
#[derive(Debug, thiserror::Error)]
pub enum ThemeError {
    /// Neither a theme of that name nor a file.
    #[error("there is no theme {0:?}: give dark, light, or a file with a slash or .toml in its name")]
    Unknown(String),
    /// The file cannot be read.
    #[error("the theme {path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What is in it is no theme.
    #[error("the theme {name} is wrong: {source}")]
    Wrong {
        /// Its name or file.
        name: String,
        /// Line, key and reason.
        source: Box<toml::de::Error>,
    },
    /// It gives no colours to backends, or not as many for slots that settle.
    #[error(
        "the theme {0} needs as many colours in `{1}` as in its list for slots that settle, and one at least"
    )]
    UnevenBackendColours(String, &'static str),
}

impl Theme {
    /// The theme of that name, or of that file where the name holds a slash or ends in `.toml`.
    ///
    /// # Errors
    ///
    /// When there is none, or when it is wrong.
    pub fn load(name: &str) -> Result<Self, ThemeError> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
            return Self::parse(name, text);
        }
        let is_file = name.contains('/') || Path::new(name).extension().is_some_and(|end| end == "toml");
        if !is_file {
            return Err(ThemeError::Unknown(name.to_owned()));
        }
        let text = std::fs::read_to_string(name)
            .map_err(|source| ThemeError::Unreadable { path: name.into(), source })?;
        Self::parse(name, &text)
    }

    /// The theme that a file's text describes; `name` is for the error.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn parse(name: &str, text: &str) -> Result<Self, ThemeError> {
        let theme: Self = toml::from_str(text)
            .map_err(|source| ThemeError::Wrong { name: name.to_owned(), source: Box::new(source) })?;
        for (key, settled, settling) in [
            ("backends", &theme.backends, &theme.backends_settling),
            ("backends-ansi", &theme.backends_ansi, &theme.backends_settling_ansi),
        ] {
            if settled.is_empty() || settled.len() != settling.len() {
                return Err(ThemeError::UnevenBackendColours(name.to_owned(), key));
            }
        }
        Ok(theme)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::colour::rgb;

    fn luminance(colour: ThemeColour) -> f64 {
        let (red, green, blue) = rgb(colour.0).expect("a ramp does not leave colours to the terminal");
        0.2126 * f64::from(red) + 0.7152 * f64::from(green) + 0.0722 * f64::from(blue)
    }

    #[test]
    fn built_in_themes_are_right() {
        for (name, _) in BUILT_IN {
            let theme = Theme::load(name).unwrap();
            assert_eq!(theme.text, ThemeColour(Color::Reset), "{name} leaves text to the terminal");
            assert_eq!(theme.background, ThemeColour(Color::Reset), "{name} leaves the background to it");
            for ramp in [theme.heat, theme.age] {
                let sign = if theme.tone == Tone::Dark { 1.0 } else { -1.0 };
                assert!(
                    ramp.windows(2).all(|pair| sign * (luminance(pair[1]) - luminance(pair[0])) > 0.0),
                    "{name}: {ramp:?} is not a ramp"
                );
            }
        }
    }

    #[test]
    fn unknown_keys_and_colours_are_refused() {
        let dark = BUILT_IN[0].1;
        let error = Theme::parse("mine", &format!("sparkle = 3\n{dark}")).unwrap_err().to_string();
        assert!(error.contains("sparkle") && error.contains("mine"), "{error}");
        let error =
            Theme::parse("mine", &dark.replace("#56b4e9\"\nsel", "#56b4eg\"\nsel")).unwrap_err().to_string();
        assert!(error.contains("#56b4eg"), "{error}");
        let error =
            Theme::parse("mine", &dark.replace("faint = 246", "faint = 256")).unwrap_err().to_string();
        assert!(error.contains("256 is no colour"), "{error}");
        let uneven = dark.replace("backends-settling-ansi = [6, ", "backends-settling-ansi = [");
        assert!(matches!(
            Theme::parse("mine", &uneven),
            Err(ThemeError::UnevenBackendColours(_, "backends-ansi"))
        ));
        assert!(matches!(Theme::load("sunset"), Err(ThemeError::Unknown(_))));
        assert!(matches!(Theme::load("/nowhere/x.toml"), Err(ThemeError::Unreadable { .. })));
    }
}
