//! The box around a dialog.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    symbols::border,
    text::{Line, Span},
    widgets::{Block, BorderType, Clear, Widget as _},
};

use crate::{
    monitor::widget::text::{line, span, split_bottom},
    terminal::look::Look,
};

const ASCII: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// A button: its words, whether it has the focus, and whether it can be pressed.
pub struct Button {
    /// Its words.
    pub words: String,
    /// Whether it has the focus.
    pub focused: bool,
    /// Whether it can be pressed.
    pub enabled: bool,
}

/// Draws a box in the middle with lines and, as its last line, buttons. Lines that have no room are left out, buttons
/// are not.
pub fn draw(
    title: &str,
    lines: Vec<Line<'_>>,
    buttons: &[Button],
    look: &Look,
    area: Rect,
    buffer: &mut Buffer,
) {
    let area = area.intersection(buffer.area);
    let widest = lines.iter().map(Line::width).max().unwrap_or(0);
    let buttons_width: usize = buttons.iter().map(|button| button.words.chars().count() + 6).sum();
    let width = widest.max(buttons_width + 2).max(title.chars().count() + 4) + 4;
    let width = u16::try_from(width).unwrap_or(u16::MAX).min(area.width);
    let height = u16::try_from(lines.len() + 3 + usize::from(!buttons.is_empty())).unwrap_or(u16::MAX);
    let height = height.min(area.height);
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    Clear.render(place, buffer);
    buffer.set_style(place, look.text());
    // On a terminal of few rows the frame is the first to go.
    let inner = if place.height >= 6 {
        let block =
            Block::bordered().border_style(look.border()).title(span(format!(" {title} "), look.heading()));
        let block =
            if look.unicode() { block.border_type(BorderType::Rounded) } else { block.border_set(ASCII) };
        let inner = block.inner(place);
        block.render(place, buffer);
        Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
    } else {
        place
    };
    let (above, bottom) = split_bottom(inner, u16::from(!buttons.is_empty()));
    let mut rest = above;
    for text in lines {
        rest = line(text, rest, buffer);
    }
    let mut spans: Vec<Span<'_>> = Vec::new();
    for button in buttons {
        let style = match (button.focused, button.enabled) {
            (true, _) => look.selected(),
            (false, true) => look.text(),
            (false, false) => look.faint(),
        };
        // The brackets tell the focus where neither colour nor reverse is seen.
        let words = &button.words;
        let text = if button.focused { format!("[>{words}<]") } else { format!("[ {words} ]") };
        spans.extend([span(text, style), Span::raw("  ")]);
    }
    // Where they are too wide, the first one stays whole.
    let row = Line::from(spans);
    let row = if row.width() <= usize::from(bottom.width) { row.centered() } else { row };
    line(row, bottom, buffer);
}
