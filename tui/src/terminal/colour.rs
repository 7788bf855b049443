//! A colour that was asked for, and the nearest one that a terminal has.

use std::ops::RangeInclusive;

use ratatui::style::Color;

use super::capability::ColourDepth;

/// Red, green and blue.
pub type Rgb = (u8, u8, u8);

/// What xterm shows for the first sixteen.
const ANSI: [Rgb; 16] = [
    (0, 0, 0),
    (205, 0, 0),
    (0, 205, 0),
    (205, 205, 0),
    (0, 0, 238),
    (205, 0, 205),
    (0, 205, 205),
    (229, 229, 229),
    (127, 127, 127),
    (255, 0, 0),
    (0, 255, 0),
    (255, 255, 0),
    (92, 92, 255),
    (255, 0, 255),
    (0, 255, 255),
    (255, 255, 255),
];

/// The steps of the 6×6×6 cube.
const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// The colour that a terminal of that depth shows for `colour`.
#[must_use]
pub fn at_depth(colour: Color, depth: ColourDepth) -> Color {
    match (depth, colour) {
        (ColourDepth::None, _) | (_, Color::Reset) => Color::Reset,
        (ColourDepth::True, _)
        | (ColourDepth::Indexed, Color::Indexed(_))
        | (ColourDepth::Sixteen, Color::Indexed(0..16)) => colour,
        (ColourDepth::Indexed, _) => {
            rgb(colour).map_or(colour, |wanted| Color::Indexed(nearest_indexed(wanted)))
        }
        (ColourDepth::Sixteen, _) => {
            rgb(colour).map_or(colour, |wanted| Color::Indexed(nearest(wanted, 0..=15)))
        }
    }
}

/// Red, green and blue of a colour; `None` where the terminal decides.
#[must_use]
pub fn rgb(colour: Color) -> Option<Rgb> {
    Some(match colour {
        Color::Reset => return None,
        Color::Rgb(red, green, blue) => (red, green, blue),
        Color::Indexed(index) => indexed(index),
        Color::Black => ANSI[0],
        Color::Red => ANSI[1],
        Color::Green => ANSI[2],
        Color::Yellow => ANSI[3],
        Color::Blue => ANSI[4],
        Color::Magenta => ANSI[5],
        Color::Cyan => ANSI[6],
        Color::Gray => ANSI[7],
        Color::DarkGray => ANSI[8],
        Color::LightRed => ANSI[9],
        Color::LightGreen => ANSI[10],
        Color::LightYellow => ANSI[11],
        Color::LightBlue => ANSI[12],
        Color::LightMagenta => ANSI[13],
        Color::LightCyan => ANSI[14],
        Color::White => ANSI[15],
    })
}

fn indexed(index: u8) -> Rgb {
    match index {
        0..16 => ANSI[usize::from(index)],
        16..232 => {
            let cube = usize::from(index - 16);
            (STEPS[cube / 36], STEPS[cube / 6 % 6], STEPS[cube % 6])
        }
        232.. => {
            let grey = 8 + 10 * (index - 232);
            (grey, grey, grey)
        }
    }
}

fn nearest_indexed(wanted: Rgb) -> u8 {
    nearest(wanted, 16..=255)
}

fn nearest(wanted: Rgb, palette: RangeInclusive<u8>) -> u8 {
    // The eye tells greens apart best and blues worst.
    let distance = |index: &u8| {
        let colour = indexed(*index);
        let square = |a: u8, b: u8| u32::from(a.abs_diff(b)).pow(2);
        2 * square(colour.0, wanted.0) + 4 * square(colour.1, wanted.1) + 3 * square(colour.2, wanted.2)
    };
    palette.min_by_key(distance).unwrap_or_default()
}

/// Rewrites `38;5;n` and `48;5;n` for n below 16 to the codes that consoles of 8 and 16 colours know: 30 to 37, 90 to 97.
#[must_use]
pub fn as_ansi(bytes: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(start) = rest.windows(2).position(|pair| pair == b"\x1b[") {
        let (before, sequence) = rest.split_at(start + 2);
        result.extend_from_slice(before);
        let end = sequence.iter().position(|byte| (0x40..=0x7e).contains(byte)).unwrap_or(sequence.len());
        let (parameters, after) = sequence.split_at(end);
        if after.first() == Some(&b'm') {
            result.extend_from_slice(ansi_parameters(parameters).as_bytes());
        } else {
            result.extend_from_slice(parameters);
        }
        rest = after;
    }
    result.extend_from_slice(rest);
    result
}

fn ansi_parameters(parameters: &[u8]) -> String {
    let text = String::from_utf8_lossy(parameters);
    let mut numbers = text.split(';').peekable();
    let mut result: Vec<String> = Vec::new();
    while let Some(number) = numbers.next() {
        let indexed = matches!(number, "38" | "48") && numbers.next_if_eq(&"5").is_some();
        match numbers.peek().and_then(|index| index.parse::<u8>().ok()).filter(|index| indexed && *index < 16)
        {
            Some(index) => {
                numbers.next();
                let base = if index < 8 { 30 } else { 90 - 8 };
                let ground = if number == "48" { 10 } else { 0 };
                result.push((base + ground + index).to_string());
            }
            None if indexed => result.push(format!("{number};5")),
            None => result.push(number.to_owned()),
        }
    }
    result.join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_colours_are_written_for_consoles() {
        let rewritten = as_ansi(b"a\x1b[38;5;1;48;5;12mb\x1b[2;3H\x1b[0m\x1b[38;5;200m\x1b[");
        assert_eq!(rewritten, b"a\x1b[31;104mb\x1b[2;3H\x1b[0m\x1b[38;5;200m\x1b[");
    }

    #[test]
    fn colours_go_down_the_ladder() {
        let orange = Color::Rgb(0xe6, 0x9f, 0x00);
        assert_eq!(at_depth(orange, ColourDepth::True), orange);
        assert_eq!(at_depth(orange, ColourDepth::Indexed), Color::Indexed(178));
        assert_eq!(at_depth(orange, ColourDepth::Sixteen), Color::Indexed(3));
        assert_eq!(at_depth(orange, ColourDepth::None), Color::Reset);
        assert_eq!(at_depth(Color::Reset, ColourDepth::True), Color::Reset);
        assert_eq!(at_depth(Color::Indexed(234), ColourDepth::Sixteen), Color::Indexed(0));
    }

    #[test]
    fn every_index_is_its_own_nearest() {
        for index in 16..=255 {
            assert_eq!(indexed(nearest_indexed(indexed(index))), indexed(index));
        }
    }
}
