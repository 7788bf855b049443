//! Text into cells, never past the edge.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Widget as _,
};

/// Draws a line at the top of `area`, as far as there is room; returns what is left below it.
pub fn line<'a>(line: impl Into<Line<'a>>, area: Rect, buffer: &mut Buffer) -> Rect {
    let area = area.intersection(buffer.area);
    if area.is_empty() {
        return area;
    }
    line.into().render(Rect { height: 1, ..area }, buffer);
    Rect { y: area.y + 1, height: area.height - 1, ..area }
}

/// Text in that style.
pub fn span<'a>(text: impl Into<std::borrow::Cow<'a, str>>, style: Style) -> Span<'a> {
    Span::styled(text, style)
}

/// The last `height` rows of an area, and what is above them.
#[must_use]
pub fn split_bottom(area: Rect, height: u16) -> (Rect, Rect) {
    let height = height.min(area.height);
    let above = Rect { height: area.height - height, ..area };
    (above, Rect { y: area.y + above.height, height, ..area })
}

/// Breaks words into lines of at most `width` columns.
#[must_use]
pub fn wrap(text: &str, width: u16) -> Vec<String> {
    let width = usize::from(width.max(1));
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
