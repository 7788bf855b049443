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

#[cfg(test)]
mod tests {
    use super::*;

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
