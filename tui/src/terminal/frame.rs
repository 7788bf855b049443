//! Frames leave in one piece: collected in memory, then written at once.

use std::io::{self, Write};

/// Tells a terminal to show nothing until the frame is whole (DEC private mode 2026); others ignore it.
const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";

/// The most bytes of a frame: a slow link is not to be held up by one for long.
pub const MOST: usize = 30_000;

/// Collects a frame and writes it with one call.
///
/// Over ssh a write can be a packet, and the stock backend makes hundreds of them a frame.
#[derive(Debug)]
pub struct FrameWriter<W> {
    output: W,
    buffer: Vec<u8>,
    synchronised: bool,
    written: u64,
}

impl<W: Write> FrameWriter<W> {
    /// Frames for `output`; `synchronised` brackets them, so that none is ever half on screen.
    pub const fn new(output: W, synchronised: bool) -> Self {
        Self { output, buffer: Vec::new(), synchronised, written: 0 }
    }

    /// Writes what was collected, with one call; nothing where there is nothing. Returns the number of bytes.
    ///
    /// # Errors
    ///
    /// When the output takes it no more.
    pub fn present(&mut self) -> io::Result<usize> {
        if self.buffer.is_empty() {
            return Ok(0);
        }
        if self.synchronised {
            self.buffer.splice(0..0, BEGIN.iter().copied());
            self.buffer.extend_from_slice(END);
        }
        let bytes = self.buffer.len();
        let result = self.output.write_all(&self.buffer).and_then(|()| self.output.flush());
        self.buffer.clear();
        result?;
        self.written += bytes as u64;
        Ok(bytes)
    }

    /// How many bytes more the frame may take.
    #[must_use]
    pub const fn room(&self) -> usize {
        MOST.saturating_sub(BEGIN.len() + self.buffer.len() + END.len())
    }

    /// How many bytes were written in all.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Where the frames go.
    #[must_use]
    pub const fn output(&self) -> &W {
        &self.output
    }
}

impl<W: Write> Write for FrameWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Does nothing: a frame is whole when it is presented.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Calls(Vec<Vec<u8>>);

    impl Write for Calls {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_frame_is_one_write() {
        let mut writer = FrameWriter::new(Calls::default(), true);
        for part in ["a", "b", "c"] {
            writer.write_all(part.as_bytes()).unwrap();
            writer.flush().unwrap();
        }
        assert_eq!(writer.present().unwrap(), 19);
        assert_eq!(writer.output.0, [b"\x1b[?2026habc\x1b[?2026l".to_vec()]);
        assert_eq!(writer.written(), 19);
    }

    #[test]
    fn an_empty_frame_is_no_write() {
        let mut writer = FrameWriter::new(Calls::default(), true);
        assert_eq!(writer.present().unwrap(), 0);
        assert!(writer.output.0.is_empty());
    }
}
