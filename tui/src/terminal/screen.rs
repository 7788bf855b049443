//! A ratatui backend over a [`FrameWriter`]: silent when nothing changed, and never asking the terminal anything.

use std::{
    fs::File,
    io::{self, Write},
};

use ratatui::{
    backend::{Backend, ClearType, CrosstermBackend, TestBackend, WindowSize},
    buffer::Cell,
    layout::{Position, Size},
};
use rustix::termios;

use super::{backlog::Backlog, capability::ColourDepth, frame::FrameWriter};

/// A backend that shows a frame as a whole.
pub trait Present: Backend {
    /// Shows what was drawn since the last time. Returns the number of bytes that it took.
    ///
    /// # Errors
    ///
    /// When it cannot be shown.
    fn present(&mut self) -> Result<usize, Self::Error>;

    /// Whether part of what was drawn is still to be shown: it is, the next times that something is.
    fn is_behind(&self) -> bool {
        false
    }

    /// Forgets what is known of the terminal: it was somebody else's in between.
    fn forget(&mut self) {}
}

/// Where frames go.
pub trait Output: Write {
    /// How large its screen is.
    ///
    /// # Errors
    ///
    /// When it cannot tell.
    fn size(&self) -> io::Result<Size>;
}

impl Output for File {
    fn size(&self) -> io::Result<Size> {
        // The stock backend opens /dev/tty for this, and runs `tput` where that fails.
        let size = termios::tcgetwinsize(self)?;
        // A serial line does not know its size.
        let or = |value, fallback| if value == 0 { fallback } else { value };
        Ok(Size::new(or(size.ws_col, 80), or(size.ws_row, 24)))
    }
}

/// The terminal's screen.
#[derive(Debug)]
pub struct Screen<W: Write> {
    frame: FrameWriter<W>,
    depth: ColourDepth,
    backlog: Backlog,
    cursor_hidden: bool,
}

impl<W: Write> Screen<W> {
    /// A screen on `output`.
    #[must_use]
    pub fn new(output: W, synchronised: bool, depth: ColourDepth) -> Self {
        let frame = FrameWriter::new(output, synchronised);
        Self { frame, depth, backlog: Backlog::default(), cursor_hidden: false }
    }

    /// The frames' writer.
    #[must_use]
    pub const fn frame(&self) -> &FrameWriter<W> {
        &self.frame
    }

    fn crossterm(&mut self) -> CrosstermBackend<&mut FrameWriter<W>> {
        CrosstermBackend::new(&mut self.frame)
    }
}

impl<W: Output> Present for Screen<W> {
    fn present(&mut self) -> io::Result<usize> {
        self.frame.present()
    }

    fn is_behind(&self) -> bool {
        !self.backlog.is_empty()
    }

    fn forget(&mut self) {
        self.cursor_hidden = false;
    }
}

impl<W: Output> Backend for Screen<W> {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        // Before the cells, so that it has its part of the frame's room.
        self.hide_cursor()?;
        self.backlog.add(content);
        let mut bytes = Vec::new();
        if !self.backlog.is_empty() {
            self.backlog.write(self.depth, self.frame.room(), &mut bytes);
        }
        self.frame.write_all(&bytes)
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        if self.cursor_hidden {
            return Ok(());
        }
        self.cursor_hidden = true;
        self.crossterm().hide_cursor()
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.cursor_hidden = false;
        self.crossterm().show_cursor()
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        // Asking would wait for an answer that a slow link brings late or never.
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.crossterm().set_cursor_position(position)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.backlog.clear();
        self.crossterm().clear()
    }

    fn clear_region(&mut self, clear_type: ClearType) -> io::Result<()> {
        self.crossterm().clear_region(clear_type)
    }

    fn size(&self) -> io::Result<Size> {
        self.frame.output().size()
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size()?, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Present for TestBackend {
    fn present(&mut self) -> Result<usize, Self::Error> {
        Ok(0)
    }
}
