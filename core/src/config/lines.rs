//! Which line a byte of a text stands in.

/// Where the lines of a text begin.
pub(super) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let after_breaks = text.bytes().zip(1..).filter(|&(byte, _)| byte == b'\n').map(|(_, next)| next);
        Self { starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    /// The number of the line, from 1, that the byte at `offset` stands in.
    pub(super) fn at(&self, offset: usize) -> usize {
        self.starts.partition_point(|&start| start <= offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_begin_after_their_breaks() {
        let lines = Lines::of("ab\n\ncd");
        assert_eq!([0, 2, 3, 4, 5, 6].map(|offset| lines.at(offset)), [1, 1, 2, 3, 3, 3]);
        assert_eq!(Lines::of("").at(0), 1);
    }
}
