//! Cells as bytes, and as few of them as will do: over ssh each is paid for.
//!
//! Only what differs from the cell before is said: the place where it is not the next one, each colour by itself. A cell
//! of two pixels can be written as its upper half or as its lower one, and as a space or a whole block where both have
//! one colour: what needs the fewest new colours is written. And many cells are written row by row or colour by colour,
//! whichever is shorter: where no cell is like its neighbour, another place takes fewer bytes than another colour.

use std::{collections::HashMap, io::Write as _};

use ratatui::{
    buffer::Cell,
    style::{Color, Modifier},
};

use super::capability::ColourDepth;

const UPPER: &str = "▀";
const LOWER: &str = "▄";
const WHOLE: &str = "█";

/// What modifiers are to a terminal, in the order that they are told in.
const MODIFIERS: [(Modifier, &str); 9] = [
    (Modifier::BOLD, "1"),
    (Modifier::DIM, "2"),
    (Modifier::ITALIC, "3"),
    (Modifier::UNDERLINED, "4"),
    (Modifier::SLOW_BLINK, "5"),
    (Modifier::RAPID_BLINK, "6"),
    (Modifier::REVERSED, "7"),
    (Modifier::HIDDEN, "8"),
    (Modifier::CROSSED_OUT, "9"),
];

/// A cell with its column and row.
pub type Placed<'a> = (u16, u16, &'a Cell);

/// From so many bytes on it is worth a try whether they can be fewer.
const MANY: usize = 4096;

/// Writes cells to `bytes`; the terminal's pen is at rest before and afterwards.
pub fn cells(content: &[Placed<'_>], depth: ColourDepth, bytes: &mut Vec<u8>) {
    let begin = bytes.len();
    in_order(content, depth, bytes);
    if bytes.len() - begin > MANY {
        let mut other = Vec::new();
        in_order(&by_colour(content), depth, &mut other);
        if other.len() < bytes.len() - begin {
            bytes.truncate(begin);
            bytes.append(&mut other);
        }
    }
}

/// The same cells, those of the same two colours together, and next to those that have one of them.
fn by_colour<'a>(content: &[Placed<'a>]) -> Vec<Placed<'a>> {
    let mut numbers = HashMap::new();
    let mut number = |colour: Color| {
        let next = numbers.len();
        *numbers.entry(colour).or_insert(next)
    };
    let mut content = content.to_vec();
    content.sort_by_cached_key(|(.., cell)| {
        let (front, back) = (number(cell.fg), number(cell.bg));
        (cell.modifier.bits(), front.min(back), front.max(back))
    });
    content
}

/// Writes cells one after the other.
fn in_order(content: &[Placed<'_>], depth: ColourDepth, bytes: &mut Vec<u8>) {
    let mut pen = Pen::AT_REST;
    let mut cursor = None;
    let mut content = content.iter().peekable();
    while let Some(&(column, row, cell)) = content.next() {
        go(cursor, (column, row), bytes);
        // A wide character leaves the cursor elsewhere, and the last column leaves it who knows where.
        cursor = Some((column + 1, row));
        let way = pen.best(cell, content.peek().map(|(.., cell)| *cell));
        pen.become_like(pen.with(&way), depth, bytes);
        bytes.extend_from_slice(way.symbol.as_bytes());
    }
    pen.become_like(Pen::AT_REST, depth, bytes);
}

/// Moves the cursor, if it is not there.
fn go(from: Option<(u16, u16)>, to: (u16, u16), bytes: &mut Vec<u8>) {
    let (column, row) = to;
    let _ = match from {
        Some(from) if from == to => Ok(()),
        Some((_, same)) if same == row => write!(bytes, "\x1b[{}G", column + 1),
        Some((_, above)) if column == 0 && above + 1 == row => bytes.write_all(b"\r\n"),
        Some((_, above)) if above + 1 == row => write!(bytes, "\n\x1b[{}G", column + 1),
        _ if column == 0 => write!(bytes, "\x1b[{}H", row + 1),
        _ => write!(bytes, "\x1b[{};{}H", row + 1, column + 1),
    };
}

/// A way to have a cell look as it should.
#[derive(Clone, Copy, Debug)]
struct Way<'a> {
    symbol: &'a str,
    modifier: Modifier,
    /// `None` where it does not show.
    front: Option<Color>,
    back: Option<Color>,
}

/// Every way to write a cell.
fn ways(cell: &Cell) -> impl Iterator<Item = Way<'_>> {
    let way = |symbol, front, back| Way { symbol, modifier: cell.modifier, front, back };
    let (front, back) = (Some(cell.fg), Some(cell.bg));
    // The colours that a terminal has of its own are not the same in front and behind.
    let own = cell.fg == Color::Reset || cell.bg == Color::Reset;
    let plain = cell.modifier.is_empty();
    let (first, second) = match cell.symbol() {
        " " if plain => (way(" ", None, back), None),
        UPPER | LOWER | WHOLE if plain && !own && front == back => {
            (way(" ", None, back), Some(way(WHOLE, front, None)))
        }
        UPPER if plain && !own => (way(UPPER, front, back), Some(way(LOWER, back, front))),
        LOWER if plain && !own => (way(LOWER, front, back), Some(way(UPPER, back, front))),
        symbol => (way(symbol, front, back), None),
    };
    std::iter::once(first).chain(second)
}

/// About what a colour takes: ten bytes of 256, three more or fewer of others.
const COLOUR: usize = 10;

/// How the terminal writes at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pen {
    modifier: Modifier,
    front: Color,
    back: Color,
}

impl Pen {
    const AT_REST: Self = Self { modifier: Modifier::empty(), front: Color::Reset, back: Color::Reset };

    /// How it has to be for a cell to be written that way.
    fn with(self, way: &Way<'_>) -> Self {
        let Self { modifier: _, front, back } = self.without(way.modifier);
        Self { modifier: way.modifier, front: way.front.unwrap_or(front), back: way.back.unwrap_or(back) }
    }

    /// The same, or at rest where a modifier is to go: there is no common word for taking one back.
    fn without(self, kept: Modifier) -> Self {
        if kept.contains(self.modifier) { self } else { Self::AT_REST }
    }

    /// About how many bytes it takes to write a cell that way.
    fn cost(self, way: &Way<'_>) -> usize {
        let then = self.with(way);
        let colours = usize::from(then.front != self.front) + usize::from(then.back != self.back);
        colours * COLOUR + way.symbol.len()
    }

    /// The way to write a cell, and the one behind it, that takes the fewest bytes.
    fn best<'a>(self, cell: &'a Cell, next: Option<&Cell>) -> Way<'a> {
        let both = |way: &Way<'_>| {
            let then = self.with(way);
            let next = next.and_then(|cell| ways(cell).map(|way| then.cost(&way)).min());
            self.cost(way) + next.unwrap_or_default()
        };
        ways(cell).min_by_key(both).expect("a cell can be written")
    }

    /// Says what is different in another.
    fn become_like(&mut self, wanted: Self, depth: ColourDepth, bytes: &mut Vec<u8>) {
        let mut words = Words { bytes, depth, any: false };
        let kept = self.without(wanted.modifier);
        if kept != *self {
            words.say(format_args!("0"));
        }
        for (modifier, word) in MODIFIERS {
            if wanted.modifier.contains(modifier) && !kept.modifier.contains(modifier) {
                words.say(format_args!("{word}"));
            }
        }
        if wanted.front != kept.front {
            words.say_colour(wanted.front, 0);
        }
        if wanted.back != kept.back {
            words.say_colour(wanted.back, 10);
        }
        words.end();
        *self = wanted;
    }
}

/// The words of one sequence.
struct Words<'a> {
    bytes: &'a mut Vec<u8>,
    depth: ColourDepth,
    any: bool,
}

impl Words<'_> {
    fn say(&mut self, word: std::fmt::Arguments<'_>) {
        self.bytes.extend_from_slice(if self.any { b";" } else { b"\x1b[" });
        self.any = true;
        let _ = self.bytes.write_fmt(word);
    }

    fn end(self) {
        if self.any {
            self.bytes.push(b'm');
        }
    }

    /// A colour: `ground` is 0 for the front and 10 for the back.
    fn say_colour(&mut self, colour: Color, ground: u8) {
        let index = match colour {
            Color::Reset => return self.say(format_args!("{}", 39 + ground)),
            Color::Rgb(red, green, blue) => {
                return self.say(format_args!("{};2;{red};{green};{blue}", 38 + ground));
            }
            Color::Indexed(index) => index,
            Color::Black => 0,
            Color::Red => 1,
            Color::Green => 2,
            Color::Yellow => 3,
            Color::Blue => 4,
            Color::Magenta => 5,
            Color::Cyan => 6,
            Color::Gray => 7,
            Color::DarkGray => 8,
            Color::LightRed => 9,
            Color::LightGreen => 10,
            Color::LightYellow => 11,
            Color::LightBlue => 12,
            Color::LightMagenta => 13,
            Color::LightCyan => 14,
            Color::White => 15,
        };
        // Consoles of 8 and 16 colours know these alone.
        match (self.depth, index) {
            (ColourDepth::Sixteen, 0..8) => self.say(format_args!("{}", 30 + ground + index)),
            (ColourDepth::Sixteen, 8..16) => self.say(format_args!("{}", 90 + ground + index - 8)),
            _ => self.say(format_args!("{};5;{index}", 38 + ground)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use fastrand::Rng;
    use ratatui::{buffer::Buffer, layout::Rect, style::Style};

    use super::*;

    const AREA: Rect = Rect::new(0, 0, 60, 16);

    /// What is written to show `after` where `before` is shown.
    fn written(before: &Buffer, after: &Buffer, depth: ColourDepth) -> Vec<u8> {
        let mut bytes = Vec::new();
        cells(&before.diff_iter(after).collect::<Vec<_>>(), depth, &mut bytes);
        bytes
    }

    fn one(symbol: &str, style: Style) -> Buffer {
        let mut buffer = Buffer::empty(AREA);
        buffer[(0, 0)].set_symbol(symbol).set_style(style);
        buffer
    }

    fn colour(colour: vt100::Color) -> Color {
        match colour {
            vt100::Color::Default => Color::Reset,
            vt100::Color::Idx(index) => Color::Indexed(index),
            vt100::Color::Rgb(red, green, blue) => Color::Rgb(red, green, blue),
        }
    }

    /// The two halves of a cell as they look, or its text with its colours.
    fn look(symbol: &str, front: Color, back: Color) -> (String, Color, Color) {
        match symbol {
            "" | " " => (UPPER.to_owned(), back, back),
            WHOLE => (UPPER.to_owned(), front, front),
            LOWER => (UPPER.to_owned(), back, front),
            symbol => (symbol.to_owned(), front, back),
        }
    }

    fn random_cell(random: &mut Rng, cell: &mut Cell) {
        let colours =
            [Color::Reset, Color::Indexed(234), Color::Indexed(1), Color::Rgb(1, 2, 3), Color::Indexed(9)];
        let mut colour = || colours[random.usize(..colours.len())];
        cell.set_fg(colour()).set_bg(colour());
        cell.set_symbol([" ", "a", UPPER, LOWER, WHOLE, "·"][random.usize(..6)]);
        cell.modifier = match random.u8(..8) {
            0 => Modifier::BOLD,
            1 => Modifier::REVERSED,
            2 => Modifier::BOLD | Modifier::UNDERLINED,
            _ => Modifier::empty(),
        };
    }

    #[test]
    fn a_terminal_shows_the_cells_that_were_meant() {
        let mut random = Rng::with_seed(5);
        let size = |value: u16| NonZeroU16::new(value).unwrap();
        let mut terminal = vt100::Parser::new(size(AREA.height), size(AREA.width), 0);
        let mut shown = Buffer::empty(AREA);
        for frame in 0..200 {
            let mut wanted = shown.clone();
            for cell in &mut wanted.content {
                if frame == 0 || random.u8(..4) == 0 {
                    random_cell(&mut random, cell);
                }
            }
            terminal.process(&written(&shown, &wanted, ColourDepth::True));
            shown = wanted;
            for (x, y) in (0..AREA.width).flat_map(|x| (0..AREA.height).map(move |y| (x, y))) {
                let (meant, seen) = (&shown[(x, y)], terminal.screen().cell(y, x).unwrap());
                let told = [Modifier::BOLD, Modifier::UNDERLINED, Modifier::REVERSED];
                let marks = [seen.bold(), seen.underline(), seen.inverse()];
                assert_eq!(
                    marks,
                    told.map(|modifier| meant.modifier.contains(modifier)),
                    "frame {frame}, {x} {y}"
                );
                let seen = look(seen.contents(), colour(seen.fgcolor()), colour(seen.bgcolor()));
                let meant = look(meant.symbol(), meant.fg, meant.bg);
                assert_eq!(seen, meant, "frame {frame}, {x} {y}");
            }
        }
    }

    #[test]
    fn sixteen_colours_are_written_for_consoles() {
        let empty = Buffer::empty(AREA);
        let style = Style::new().fg(Color::Indexed(1)).bg(Color::Indexed(12));
        let bytes = written(&empty, &one("b", style), ColourDepth::Sixteen);
        assert_eq!(bytes, b"\x1b[1H\x1b[31;104mb\x1b[39;49m");
        let bytes = written(&empty, &one("b", style), ColourDepth::Indexed);
        assert_eq!(bytes, b"\x1b[1H\x1b[38;5;1;48;5;12mb\x1b[39;49m");
    }

    #[test]
    fn noise_takes_a_third_less_written_colour_by_colour() {
        let mut random = Rng::with_seed(7);
        let mut noise = Buffer::empty(AREA);
        for cell in &mut noise.content {
            let mut colour = || Color::Indexed(100 + random.u8(..8));
            cell.set_symbol(UPPER).set_fg(colour()).set_bg(colour());
        }
        let content: Vec<_> = Buffer::empty(AREA).diff_iter(&noise).collect();
        let mut rows = Vec::new();
        in_order(&content, ColourDepth::Indexed, &mut rows);
        let bytes = written(&Buffer::empty(AREA), &noise, ColourDepth::Indexed).len();
        assert!(bytes * 3 < rows.len() * 2, "{bytes} bytes, row by row {}", rows.len());
    }

    #[test]
    fn what_is_there_already_is_not_said_again() {
        let empty = Buffer::empty(AREA);
        let (one, two) = (Color::Indexed(234), Color::Indexed(235));
        let mut buffer = Buffer::empty(AREA);
        // The same two colours upside down, one of them alone, and the next row.
        for (column, front, back) in [(0, one, two), (1, two, one), (2, two, two), (3, one, one)] {
            buffer[(column, 0)].set_symbol(UPPER).set_fg(front).set_bg(back);
            buffer[(column, 1)].set_symbol(UPPER).set_fg(front).set_bg(back);
        }
        let bytes = String::from_utf8(written(&empty, &buffer, ColourDepth::Indexed)).unwrap();
        assert_eq!(bytes.matches("234").count() + bytes.matches("235").count(), 2, "{bytes:?}");
        assert!(bytes.contains("\r\n"), "{bytes:?}");
    }
}
