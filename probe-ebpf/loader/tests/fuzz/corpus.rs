//! The frames that are kept: each was once worth a look, and is run again by every test run.

use crate::describe::bytes;

/// Lines of a name and one frame or several, which are run one after another.
const LINES: &str = include_str!("corpus.txt");

/// A sequence of frames.
pub(crate) struct Kept {
    pub(crate) name: &'static str,
    pub(crate) frames: Vec<Vec<u8>>,
}

pub(crate) fn corpus() -> Vec<Kept> {
    LINES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(kept).collect()
}

fn kept(line: &'static str) -> Kept {
    let mut words = line.split_whitespace();
    let name = words.next().expect("a line is not empty");
    let frames: Vec<Vec<u8>> = words
        .map(|word| bytes(word).unwrap_or_else(|| panic!("corpus.txt: {name}: {word} is not a frame in hex")))
        .collect();
    assert!(!frames.is_empty(), "corpus.txt: {name} has no frame");
    Kept { name, frames }
}
