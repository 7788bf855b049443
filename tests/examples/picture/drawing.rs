//! A screen as SVG: backgrounds and half-blocks as rectangles, everything else as text.

use std::{collections::BTreeMap, fmt::Write as _};

use vt100::{Cell, Color, Screen};

const CELL_WIDTH: f32 = 8.4;
const CELL_HEIGHT: f32 = 17.0;

/// The sixteen colours that terminals have names for.
const NAMED: [&str; 16] = [
    "#1c1f26", "#d9534f", "#4caf6d", "#d7a83f", "#4f8fd9", "#b068c9", "#3fb1b8", "#c5cad3", "#5c6370",
    "#ff7b72", "#6fd58b", "#f2cc60", "#79b8ff", "#d2a8ff", "#66d9e0", "#ffffff",
];

/// What the terminal has by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paper {
    front: &'static str,
    back: &'static str,
}

impl Paper {
    /// A dark terminal.
    pub(super) const DARK: Self = Self { front: "#d8dee9", back: "#14171c" };
    /// A light one.
    pub(super) const LIGHT: Self = Self { front: "#20242b", back: "#fafafa" };
}

/// The screen as an SVG document.
pub(super) fn svg(screen: &Screen, paper: Paper) -> String {
    let (rows, columns) = screen.size();
    let mut drawing = Drawing::default();
    for row in 0..rows.get() {
        let cells = (0..columns.get()).map(|column| Drawn::of(screen.cell(row, column), paper));
        let cells: Vec<Drawn> = cells.collect();
        rectangles(row, &cells, &mut drawing.behind, |cell| cell.behind.as_ref());
        rectangles(row, &cells, &mut drawing.blocks, |cell| cell.block.as_ref());
        drawing.texts(row, &cells);
    }
    let (width, height) = (f32::from(columns.get()) * CELL_WIDTH, f32::from(rows.get()) * CELL_HEIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.1} {height:.1}\" \
         font-family=\"ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{}\"/>\n\
         <g transform=\"scale({CELL_WIDTH} {})\" shape-rendering=\"crispEdges\">\n",
        paper.back,
        CELL_HEIGHT / 8.0
    );
    for (colour, path) in drawing.behind.iter().chain(&drawing.blocks) {
        let _ = writeln!(svg, "<path fill=\"{colour}\" d=\"{path}\"/>");
    }
    svg.push_str("</g>\n<g xml:space=\"preserve\">\n");
    svg.push_str(&drawing.texts);
    svg.push_str("</g>\n</svg>\n");
    svg
}

/// A rectangle as wide as a cell, in eighths of its height from the top.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    top: u16,
    height: u16,
    colour: String,
}

/// What a cell comes to.
#[derive(Default)]
struct Drawn {
    behind: Option<Block>,
    block: Option<Block>,
    text: String,
    colour: String,
    bold: bool,
}

impl Drawn {
    fn of(cell: Option<&Cell>, paper: Paper) -> Self {
        let Some(cell) = cell else { return Self::default() };
        let (mut front, mut back) = (colour_of(cell.fgcolor()), colour_of(cell.bgcolor()));
        if cell.inverse() {
            let own = |colour: Option<String>, otherwise: &str| {
                Some(colour.unwrap_or_else(|| otherwise.to_owned()))
            };
            (front, back) = (own(back, paper.back), own(front, paper.front));
        }
        let colour = front.unwrap_or_else(|| paper.front.to_owned());
        let behind = back.map(|colour| Block { top: 0, height: 8, colour });
        let text = cell.contents().trim_end();
        match eighths(text) {
            Some((top, height)) => {
                let block = Some(Block { top, height, colour });
                Self { behind, block, ..Self::default() }
            }
            None => Self { behind, block: None, text: text.to_owned(), colour, bold: cell.bold() },
        }
    }
}

/// Where a block element begins, and how high it is; `None` where it is none.
fn eighths(text: &str) -> Option<(u16, u16)> {
    if text == "▀" {
        return Some((0, 4));
    }
    let height = (1..=8).zip("▁▂▃▄▅▆▇█".chars()).find(|(_, block)| text.chars().eq([*block]))?.0;
    Some((8 - height, height))
}

/// What is drawn: rectangles by their colour, in cells across and eighths of cells down, and lines of text.
#[derive(Default)]
struct Drawing {
    behind: Paths,
    blocks: Paths,
    texts: String,
}

type Paths = BTreeMap<String, String>;

/// Draws neighbours that are alike as one rectangle.
fn rectangles(row: u16, cells: &[Drawn], paths: &mut Paths, part: impl Fn(&Drawn) -> Option<&Block>) {
    let mut column = 0;
    for run in cells.chunk_by(|a, b| part(a) == part(b)) {
        if let Some(Block { top, height, colour }) = part(&run[0]) {
            let path = paths.entry(colour.clone()).or_default();
            let _ = write!(path, "M{column} {}h{1}v{height}h-{1}z", row * 8 + top, run.len());
        }
        column += run.len();
    }
}

impl Drawing {
    /// Neighbours of one style are one text, as wide as its cells whatever the font.
    fn texts(&mut self, row: u16, cells: &[Drawn]) {
        let baseline = f32::from(row) * CELL_HEIGHT + 13.0;
        let alike = |a: &Drawn, b: &Drawn| (&a.colour, a.bold) == (&b.colour, b.bold);
        let mut column = 0;
        for run in cells.chunk_by(|a, b| !a.text.is_empty() && !b.text.is_empty() && alike(a, b)) {
            if !run[0].text.is_empty() {
                let text: String = run.iter().map(|cell| cell.text.as_str()).collect();
                let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                let weight = if run[0].bold { " font-weight=\"bold\"" } else { "" };
                let _ = writeln!(
                    self.texts,
                    "<text x=\"{:.1}\" y=\"{baseline}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{}\"{weight}>{text}</text>",
                    place(column),
                    place(run.len()),
                    run[0].colour
                );
            }
            column += run.len();
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a screen has some hundreds of columns")]
const fn place(columns: usize) -> f32 {
    columns as f32 * CELL_WIDTH
}

fn colour_of(colour: Color) -> Option<String> {
    match colour {
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
