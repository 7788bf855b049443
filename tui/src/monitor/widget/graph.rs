//! Graphs of the past: one bar a sample, nothing where a sample is missing.

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use crate::terminal::look::Look;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

/// Draws values as bars from the left, `width` at most, the latest last. The highest bar is the largest value.
#[must_use]
pub fn sparkline(values: &[Option<f64>], width: u16, style: Style, look: &Look) -> Line<'static> {
    let glyphs = if look.unicode() { BLOCKS } else { ASCII };
    let shown = &values[values.len().saturating_sub(usize::from(width))..];
    let top = shown.iter().flatten().copied().fold(0.0_f64, f64::max);
    let bars: String = shown
        .iter()
        .map(|value| match value {
            None => ' ',
            Some(value) => glyphs[level(*value, top, glyphs.len())],
        })
        .collect();
    Line::from(Span::styled(bars, style))
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
        assert_eq!(line(&[Some(0.0), Some(5.0), None, Some(10.0)], 9), "▁▅ █");
        assert_eq!(line(&[Some(100.0), Some(5.0), Some(10.0)], 2), "▅█", "what is not shown does not count");
        assert_eq!(line(&[Some(0.0), None], 9), "▁ ");
        assert_eq!(line(&[], 9), "");
        assert_eq!(line(&[Some(1.0)], 0), "");
    }
}
