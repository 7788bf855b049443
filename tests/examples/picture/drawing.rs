//! A screen as SVG: backgrounds and half-blocks as rectangles, everything else as text.

use std::fmt::Write as _;

use vt100::{Cell, Color, Screen};

const CELL_WIDTH: f32 = 8.4;
const CELL_HEIGHT: f32 = 17.0;
const FOREGROUND: &str = "#d8dee9";
const BACKGROUND: &str = "#14171c";

/// The sixteen colours that terminals have names for.
const NAMED: [&str; 16] = [
    "#1c1f26", "#d9534f", "#4caf6d", "#d7a83f", "#4f8fd9", "#b068c9", "#3fb1b8", "#c5cad3", "#5c6370",
    "#ff7b72", "#6fd58b", "#f2cc60", "#79b8ff", "#d2a8ff", "#66d9e0", "#ffffff",
];

/// The screen as an SVG document.
pub(super) fn svg(screen: &Screen) -> String {
    let (rows, columns) = screen.size();
    let (rows, columns) = (rows.get(), columns.get());
    let (width, height) = (f32::from(columns) * CELL_WIDTH, f32::from(rows) * CELL_HEIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.1} {height:.1}\" \
         font-family=\"ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{BACKGROUND}\"/>\n"
    );
    for row in 0..rows {
        let cells: Vec<Drawn> = (0..columns)
            .map(|column| screen.cell(row, column).map_or_else(Drawn::empty, Drawn::of))
            .collect();
        draw_rectangles(&mut svg, row, &cells, 0.0, CELL_HEIGHT, |cell| &cell.background);
        draw_rectangles(&mut svg, row, &cells, 0.0, CELL_HEIGHT / 2.0, |cell| &cell.upper);
        draw_rectangles(&mut svg, row, &cells, CELL_HEIGHT / 2.0, CELL_HEIGHT / 2.0, |cell| &cell.lower);
        draw_text(&mut svg, row, &cells);
    }
    svg.push_str("</svg>\n");
    svg
}

/// What a cell comes to.
struct Drawn {
    background: Option<String>,
    upper: Option<String>,
    lower: Option<String>,
    text: String,
    color: String,
    bold: bool,
}

impl Drawn {
    fn empty() -> Self {
        let (text, color) = (String::new(), String::new());
        Self { background: None, upper: None, lower: None, text, color, bold: false }
    }

    fn of(cell: &Cell) -> Self {
        let (mut front, mut back) = (color(cell.fgcolor()), color(cell.bgcolor()));
        if cell.inverse() {
            (front, back) = (
                Some(back.unwrap_or_else(|| BACKGROUND.to_owned())),
                Some(front.unwrap_or_else(|| FOREGROUND.to_owned())),
            );
        }
        let ink = front.unwrap_or_else(|| FOREGROUND.to_owned());
        let mut drawn = Self { background: back, bold: cell.bold(), ..Self::empty() };
        match cell.contents() {
            "▀" => drawn.upper = Some(ink),
            "▄" => drawn.lower = Some(ink),
            "█" => drawn.background = Some(ink),
            text => {
                text.trim_end().clone_into(&mut drawn.text);
                drawn.color = ink;
            }
        }
        drawn
    }
}

/// Draws neighbours of one colour as one rectangle.
fn draw_rectangles(
    svg: &mut String,
    row: u16,
    cells: &[Drawn],
    below: f32,
    height: f32,
    part: impl Fn(&Drawn) -> &Option<String>,
) {
    let top = f32::from(row) * CELL_HEIGHT + below;
    let mut column = 0;
    for run in cells.chunk_by(|a, b| part(a) == part(b)) {
        if let Some(color) = part(&run[0]) {
            let (left, width) = (place(column), place(run.len()));
            let _ = writeln!(
                svg,
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{color}\" shape-rendering=\"crispEdges\"/>"
            );
        }
        column += run.len();
    }
}

/// Draws neighbours of one style as one text.
fn draw_text(svg: &mut String, row: u16, cells: &[Drawn]) {
    let baseline = f32::from(row) * CELL_HEIGHT + 13.0;
    let mut column = 0;
    for run in cells
        .chunk_by(|a, b| !a.text.is_empty() && !b.text.is_empty() && a.color == b.color && a.bold == b.bold)
    {
        if !run[0].text.is_empty() {
            let text: String = run.iter().map(|cell| cell.text.as_str()).collect();
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let weight = if run[0].bold { " font-weight=\"bold\"" } else { "" };
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{baseline:.1}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{}\"{weight}>{text}</text>",
                place(column),
                place(run.len()),
                run[0].color
            );
        }
        column += run.len();
    }
}

#[expect(clippy::cast_precision_loss, reason = "a screen has some hundreds of columns")]
const fn place(columns: usize) -> f32 {
    columns as f32 * CELL_WIDTH
}

fn color(color: Color) -> Option<String> {
    match color {
        Color::Default => None,
        Color::Rgb(red, green, blue) => Some(format!("#{red:02x}{green:02x}{blue:02x}")),
        Color::Idx(index @ 0..=15) => Some(NAMED[usize::from(index)].to_owned()),
        Color::Idx(index @ 16..=231) => {
            let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
            let index = index - 16;
            let (red, green, blue) = (level(index / 36), level(index / 6 % 6), level(index % 6));
            Some(format!("#{red:02x}{green:02x}{blue:02x}"))
        }
        Color::Idx(index) => {
            let level = 8 + 10 * (index - 232);
            Some(format!("#{level:02x}{level:02x}{level:02x}"))
        }
    }
}
