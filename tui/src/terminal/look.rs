//! A theme on a terminal: the styles that views draw with.

use ratatui::style::{Color, Modifier, Style};

use super::{
    capability::{Capability, ColourDepth, Glyphs},
    colour::at_depth,
    theme::{LEVELS, Theme, ThemeColour, Tone},
};

/// A ramp of colours, from least to most.
pub type Ramp = [Color; LEVELS];

/// How everything looks on this terminal.
#[derive(Clone, Debug)]
pub struct Look {
    /// What the terminal can show.
    pub capability: Capability,
    /// From no hits to the most.
    pub heat: Ramp,
    /// The same for settling slots.
    pub heat_settling: Ramp,
    /// From never changed to changed just now.
    pub age: Ramp,
    /// The slot under the cursor.
    pub cursor: Color,
    /// A slot without owner.
    pub nobody: Color,
    /// Whether the link to the terminal is a thin one.
    sparing: bool,
    theme: Theme,
    backends: Vec<(Color, Color)>,
}

impl Look {
    /// The theme as that terminal shows it.
    #[must_use]
    pub fn new(theme: Theme, capability: Capability) -> Self {
        let depth = capability.depth;
        // A heatmap's traffic is set by its colour depth: its ramps never go beyond 256 colours.
        let frugal = depth.min(ColourDepth::Indexed);
        let ramp = |ramp: &[ThemeColour; LEVELS]| ramp.map(|colour| at_depth(colour.0, frugal));
        let (settled, settling) = if depth == ColourDepth::Sixteen {
            (&theme.backends_ansi, &theme.backends_settling_ansi)
        } else {
            (&theme.backends, &theme.backends_settling)
        };
        let backends = settled
            .iter()
            .zip(settling)
            .map(|(settled, settling)| (at_depth(settled.0, frugal), at_depth(settling.0, frugal)))
            .collect();
        Self {
            capability,
            heat: ramp(&theme.heat),
            heat_settling: ramp(&theme.heat_settling),
            age: ramp(&theme.age),
            cursor: at_depth(theme.cursor.0, frugal),
            nobody: at_depth(theme.nobody.0, frugal),
            sparing: false,
            theme,
            backends,
        }
    }

    /// The same for a thin link: no more than 16 colours, and pixels that are a cell each, in five shades; noise then
    /// moves few of them.
    #[must_use]
    pub fn sparing(self) -> Self {
        let depth = self.capability.depth.min(ColourDepth::Sixteen);
        Self { sparing: true, ..Self::new(self.theme, Capability { depth, ..self.capability }) }
    }

    /// Another theme on the same terminal.
    #[must_use]
    pub fn with_theme(&self, theme: Theme) -> Self {
        Self { sparing: self.sparing, ..Self::new(theme, self.capability) }
    }

    /// Whether the terminal shows blocks and lines.
    #[must_use]
    pub fn unicode(&self) -> bool {
        self.capability.glyphs == Glyphs::Unicode
    }

    /// What the colours of settling slots are, in a word.
    #[must_use]
    pub const fn settling_word(&self) -> &'static str {
        match self.theme.tone {
            Tone::Dark => "darker",
            Tone::Light => "paler",
        }
    }

    /// One of two texts, by the characters that the terminal has.
    #[must_use]
    pub fn either<'a>(&self, unicode: &'a str, ascii: &'a str) -> &'a str {
        if self.unicode() { unicode } else { ascii }
    }

    /// Whether it shows any colour.
    #[must_use]
    pub fn coloured(&self) -> bool {
        self.capability.depth != ColourDepth::None
    }

    /// Whether two pixels fit into a cell: that takes blocks and colours.
    #[must_use]
    pub fn half_blocks(&self) -> bool {
        self.unicode() && self.coloured() && !self.sparing
    }

    /// The colour of the `index`th backend.
    #[must_use]
    pub fn backend(&self, index: usize) -> Color {
        self.backends[index % self.backends.len()].0
    }

    /// The colour of its slots while they settle.
    #[must_use]
    pub fn backend_settling(&self, index: usize) -> Color {
        self.backends[index % self.backends.len()].1
    }

    fn colour(&self, colour: ThemeColour) -> Color {
        at_depth(colour.0, self.capability.depth)
    }

    fn foreground(&self, colour: ThemeColour) -> Style {
        Style::new().fg(self.colour(colour))
    }

    /// Text of which nothing is said, on the background of everything.
    #[must_use]
    pub fn text(&self) -> Style {
        self.foreground(self.theme.text).bg(self.colour(self.theme.background))
    }

    /// Text that matters less.
    #[must_use]
    pub fn faint(&self) -> Style {
        self.foreground(self.theme.faint)
    }

    /// Lines around dialogs.
    #[must_use]
    pub fn border(&self) -> Style {
        self.foreground(self.theme.border)
    }

    /// Names of columns.
    #[must_use]
    pub fn heading(&self) -> Style {
        self.foreground(self.theme.heading).add_modifier(Modifier::BOLD)
    }

    /// The view that is open, keys.
    #[must_use]
    pub fn accent(&self) -> Style {
        self.foreground(self.theme.accent).add_modifier(Modifier::BOLD)
    }

    /// The selected row, or the focus. Where colours are few it is reversed, so that it is seen on every terminal.
    #[must_use]
    pub fn selected(&self) -> Style {
        if self.capability.depth <= ColourDepth::Sixteen {
            return Style::new().add_modifier(Modifier::REVERSED);
        }
        self.foreground(self.theme.selected_text).bg(self.colour(self.theme.selected_background))
    }

    /// The state of a backend that gets new connections.
    #[must_use]
    pub fn active(&self) -> Style {
        self.foreground(self.theme.active)
    }

    /// The state of one that does not.
    #[must_use]
    pub fn draining(&self) -> Style {
        self.foreground(self.theme.draining).add_modifier(Modifier::BOLD)
    }

    /// What settles, where letters stand for colours.
    #[must_use]
    pub fn settling_mark(&self) -> Style {
        self.foreground(self.theme.draining).add_modifier(Modifier::UNDERLINED)
    }

    /// What went well.
    #[must_use]
    pub fn good(&self) -> Style {
        self.foreground(self.theme.good)
    }

    /// What needs a look.
    #[must_use]
    pub fn warning(&self) -> Style {
        self.foreground(self.theme.warning).add_modifier(Modifier::BOLD)
    }

    /// What went wrong.
    #[must_use]
    pub fn error(&self) -> Style {
        self.foreground(self.theme.error).add_modifier(Modifier::BOLD)
    }

    /// The word that says that nothing is real.
    #[must_use]
    pub fn simulated(&self) -> Style {
        self.foreground(self.theme.simulated).add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }

    /// The word that says that nothing moves.
    #[must_use]
    pub fn frozen(&self) -> Style {
        self.foreground(self.theme.frozen).add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }
}
