//! Themes: one TOML file each, embedded, and overridable by a file.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use ratatui::style::Color;
use serde::{Deserialize, Deserializer, de::Error as _};

/// How many levels a ramp of colours has.
pub const LEVELS: usize = 12;

/// The theme where none is asked for.
pub const DEFAULT: &str = "dark";

/// The themes that are part of the program: name and text.
pub const BUILT_IN: [(&str, &str); 7] = [
    ("dark", include_str!("../../../themes/dark.toml")),
    ("light", include_str!("../../../themes/light.toml")),
    ("high-contrast", include_str!("../../../themes/high-contrast.toml")),
    ("colour-blind-safe", include_str!("../../../themes/colour-blind-safe.toml")),
    ("mono", include_str!("../../../themes/mono.toml")),
    ("gruvbox", include_str!("../../../themes/gruvbox.toml")),
    ("solarized-light", include_str!("../../../themes/solarized-light.toml")),
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
    #[error("there is no theme {0:?}: give {names}, or a file with a slash or .toml in its name", names = names())]
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

/// The names of the themes that are part of the program, for a sentence.
#[must_use]
pub fn names() -> String {
    BUILT_IN.map(|(name, _)| name).join(", ")
}

/// The text of the theme of that name, or of that file where the name holds a slash or ends in `.toml`.
///
/// # Errors
///
/// When there is none.
pub fn text(name: &str) -> Result<Cow<'static, str>, ThemeError> {
    if let Some((_, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
        return Ok(Cow::Borrowed(text));
    }
    let is_file = name.contains('/') || Path::new(name).extension().is_some_and(|end| end == "toml");
    if !is_file {
        return Err(ThemeError::Unknown(name.to_owned()));
    }
    let text = std::fs::read_to_string(name);
    text.map(Cow::Owned).map_err(|source| ThemeError::Unreadable { path: name.into(), source })
}

impl Theme {
    /// The theme of that name, or of that file where the name holds a slash or ends in `.toml`.
    ///
    /// # Errors
    ///
    /// When there is none, or when it is wrong.
    pub fn load(name: &str) -> Result<Self, ThemeError> {
        Self::parse(name, &text(name)?)
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
    use crate::terminal::{
        capability::ColourDepth,
        colour::{at_depth, rgb},
    };

    /// Red, green and blue as light, 0 to 1 each.
    fn light(colour: ThemeColour) -> [f64; 3] {
        let (red, green, blue) = rgb(colour.0).expect("the terminal does not decide on this one");
        [red, green, blue].map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        })
    }

    /// Relative luminance, by WCAG 2.
    fn luminance(colour: ThemeColour) -> f64 {
        let [red, green, blue] = light(colour);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    /// The contrast of two colours, by WCAG 2.
    fn contrast(one: ThemeColour, other: ThemeColour) -> f64 {
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        one.max(other) / one.min(other)
    }

    /// What a terminal shows that is made for the theme, where the theme leaves it to the terminal.
    fn or(colour: ThemeColour, tone: Tone, dark: Color, light: Color) -> ThemeColour {
        match (colour.0, tone) {
            (Color::Reset, Tone::Dark) => ThemeColour(dark),
            (Color::Reset, Tone::Light) => ThemeColour(light),
            _ => colour,
        }
    }

    fn built_in() -> impl Iterator<Item = (&'static str, Theme)> {
        BUILT_IN.into_iter().map(|(name, _)| (name, Theme::load(name).unwrap()))
    }

    #[test]
    fn the_plain_themes_leave_text_and_background_to_the_terminal() {
        for (name, theme) in built_in().take(2) {
            assert_eq!(theme.text, ThemeColour(Color::Reset), "{name}");
            assert_eq!(theme.background, ThemeColour(Color::Reset), "{name}");
        }
    }

    #[test]
    fn ramps_grow_in_lightness_or_darkness() {
        for (name, theme) in built_in() {
            let sign = if theme.tone == Tone::Dark { 1.0 } else { -1.0 };
            for ramp in [theme.heat, theme.age] {
                for pair in ramp.windows(2) {
                    let step = sign * (luminance(pair[1]) - luminance(pair[0]));
                    assert!(step > 0.0, "{name}: {pair:?} of {ramp:?} is no step");
                }
            }
        }
    }

    #[test]
    fn words_can_be_read() {
        for (name, theme) in built_in() {
            let tone = theme.tone;
            let background = or(theme.background, tone, Color::Rgb(30, 30, 30), Color::Rgb(255, 255, 255));
            let text = or(theme.text, tone, Color::Rgb(220, 220, 220), Color::Rgb(0, 0, 0));
            let most = if name == "high-contrast" { 7.0 } else { 4.5 };
            for (what, colour, least) in [
                ("text", text, most),
                ("heading", theme.heading, most),
                ("accent", theme.accent, 4.5),
                ("active", theme.active, most),
                ("draining", theme.draining, most),
                ("good", theme.good, most),
                ("warning", theme.warning, 4.3),
                ("error", theme.error, most),
                ("simulated", theme.simulated, 4.5),
                ("frozen", theme.frozen, 4.3),
                ("faint", theme.faint, 4.0),
            ] {
                let found = contrast(colour, background);
                assert!(found >= least, "{name}: the contrast of {what} is {found:.1}, less than {least}");
            }
            // In the selected row words keep the colours that they have.
            for (what, colour, least) in [
                ("the selected row", theme.selected_text, most),
                ("text", text, most),
                ("active", theme.active, 3.5),
                ("draining", theme.draining, 3.5),
                ("faint", theme.faint, 3.0),
            ] {
                let found = contrast(colour, theme.selected_background);
                assert!(found >= least, "{name}: the contrast of {what} where selected is {found:.1}");
            }
        }
    }

    #[test]
    fn backends_are_told_apart_and_so_are_their_settling_slots() {
        for (name, theme) in built_in() {
            let indexed = |colours: &[ThemeColour]| -> Vec<ThemeColour> {
                colours.iter().map(|colour| ThemeColour(at_depth(colour.0, ColourDepth::Indexed))).collect()
            };
            let (settled, settling) = (indexed(&theme.backends), indexed(&theme.backends_settling));
            let all: Vec<ThemeColour> = settled.iter().chain(&settling).copied().collect();
            for (place, colour) in all.iter().enumerate() {
                assert!(!all[..place].contains(colour), "{name}: {colour:?} stands for two");
            }
            for (settled, settling) in settled.iter().zip(&settling) {
                let step = luminance(*settled) - luminance(*settling);
                let fades = if theme.tone == Tone::Dark { step > 0.0 } else { step < 0.0 };
                assert!(fades, "{name}: {settling:?} does not fade from {settled:?}");
            }
        }
    }

    /// As who has no red or no green cones sees it (Viénot, Brettel and Mollon 1999), in light.
    fn without(cones: &str, [red, green, blue]: [f64; 3]) -> [f64; 3] {
        let yellow = match cones {
            "red" => 0.112_38 * red + 0.887_62 * green,
            _ => 0.292_75 * red + 0.707_25 * green,
        };
        let turn = if cones == "red" { 0.004_01 } else { -0.022_34 };
        [yellow, yellow, turn * red - turn * green + blue]
    }

    #[test]
    fn the_colour_blind_tell_neighbours_and_states_apart() {
        let theme = Theme::load("colour-blind-safe").unwrap();
        let around = theme.backends.iter().zip(theme.backends.iter().cycle().skip(1));
        let states = [(&theme.good, &theme.error), (&theme.active, &theme.draining)];
        for (one, other) in around.chain(states) {
            for cones in ["red", "green"] {
                let (a, b) = (without(cones, light(*one)), without(cones, light(*other)));
                // In steps that the eye sees alike: the cube root of light.
                let apart: f64 = a.iter().zip(&b).map(|(a, b)| (a.cbrt() - b.cbrt()).powi(2)).sum();
                assert!(apart.sqrt() > 0.2, "{one:?} and {other:?} are {:.2} apart", apart.sqrt());
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
