//! Graphs of the past: one bar a sample, nothing where a sample is missing.

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use crate::terminal::look::Look;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

/// Draws values as bars, the latest at the right edge, so that rows of graphs have one time. The highest bar is the
/// largest value.
#[must_use]
pub fn sparkline(values: &[Option<f64>], width: u16, style: Style, look: &Look) -> Line<'static> {
    let glyphs = if look.unicode() { BLOCKS } else { ASCII };
    let shown = &values[values.len().saturating_sub(usize::from(width))..];
    let top = shown.iter().flatten().copied().fold(0.0_f64, f64::max);
    let bars = shown.iter().map(|value| match value {
        None => ' ',
        Some(value) => glyphs[level(*value, top, glyphs.len())],
    });
    Line::from(Span::styled(padding(shown, width).chain(bars).collect::<String>(), style))
}

/// The same over several rows, the topmost first: eight steps a row.
#[must_use]
pub fn chart(
    values: &[Option<f64>],
    width: u16,
    height: u16,
    style: Style,
    look: &Look,
) -> Vec<Line<'static>> {
    let glyphs = if look.unicode() { BLOCKS } else { ASCII };
    let shown = &values[values.len().saturating_sub(usize::from(width))..];
    let top = shown.iter().flatten().copied().fold(0.0_f64, f64::max);
    let steps = usize::from(height) * glyphs.len();
    let row = |row: u16| {
        let below = usize::from(height - 1 - row) * glyphs.len();
        let cells = shown.iter().map(|value| match value.map(|value| level(value, top, steps)) {
            Some(level) if level >= below => glyphs[(level - below).min(glyphs.len() - 1)],
            _ => ' ',
        });
        Line::from(Span::styled(padding(shown, width).chain(cells).collect::<String>(), style))
    };
    (0..height).map(row).collect()
}

/// What stands before the first value.
fn padding(shown: &[Option<f64>], width: u16) -> impl Iterator<Item = char> + use<> {
    std::iter::repeat_n(' ', usize::from(width).saturating_sub(shown.len()))
}

fn level(value: f64, top: f64, levels: usize) -> usize {
    if top <= 0.0 {
        return 0;
    }
    let last = u32::try_from(levels - 1).unwrap_or(u32::MAX);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to the last level, by what is above"
    )]
    let level = (value / top * f64::from(last)).round().clamp(0.0, f64::from(last)) as usize;
    level
}

/// A bar for a share of a whole, `width` columns for all of it.
#[must_use]
pub fn bar(share: f64, width: u16, look: &Look) -> String {
    let full = look.either("█", "#");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the width")]
    let filled = (share.clamp(0.0, 1.0) * f64::from(width)).round() as usize;
    full.repeat(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::{
        capability::{Capability, ColourDepth, Glyphs},
        theme::Theme,
    };

    #[test]
    fn bars_stand_for_values_and_gaps_for_none() {
        let capability = Capability { depth: ColourDepth::None, glyphs: Glyphs::Unicode };
        let look = Look::new(Theme::load("dark").unwrap(), capability);
        let line = |values: &[Option<f64>], width| sparkline(values, width, Style::new(), &look).to_string();
        assert_eq!(line(&[Some(0.0), Some(5.0), None, Some(10.0)], 6), "  ▁▅ █");
        assert_eq!(line(&[Some(100.0), Some(5.0), Some(10.0)], 2), "▅█", "what is not shown does not count");
        assert_eq!(line(&[Some(0.0), None], 2), "▁ ");
        let rows = chart(&[Some(0.0), Some(5.0), None, Some(10.0)], 5, 2, Style::new(), &look);
        assert_eq!(rows.iter().map(ToString::to_string).collect::<Vec<_>>(), ["  ▁ █", " ▁█ █"]);
        assert_eq!(line(&[], 0), "");
        assert_eq!(line(&[Some(1.0)], 0), "");
    }
}
