//! The loop: wait, take in everything there is, draw once.

use std::{io, time::Duration};

use ratatui::{Terminal, layout::Size};

use super::{
    Ended, MonitorError,
    data::NoticeTone,
    message::{Effect, Message, Order},
    model::Model,
};
use crate::{
    failure::in_words,
    terminal::{look::Look, screen::Present, theme::Theme},
};

/// Something that ends a wait.
#[derive(Debug)]
pub enum Event {
    /// Something for the model.
    Message(Message),
    /// The terminal may have another size.
    Resized,
    /// The process goes on after a stop that was not ours.
    Continued,
    /// The terminal's stop key, from elsewhere.
    Stop,
    /// A signal that ends the program.
    End(i32),
    /// Nobody is at the terminal any more.
    TerminalGone,
    /// The source's thread panicked.
    SourceGone,
}

/// What is around the loop: the threads on a terminal, a list of keys in a test.
pub trait Host {
    /// Waits for the next event, that long at most; for ever without a limit. `None` where there was none.
    fn next(&mut self, limit: Option<Duration>) -> Option<Event>;

    /// Asks something of the source.
    fn order(&mut self, order: Order);

    /// Listens to the mouse, or no more.
    ///
    /// # Errors
    ///
    /// When the terminal takes nothing.
    fn mouse(&mut self, listen: bool) -> io::Result<()>;

    /// Puts a text into the terminal's clipboard.
    ///
    /// # Errors
    ///
    /// When the terminal takes nothing.
    fn copy(&mut self, text: &str) -> io::Result<()>;

    /// Gives the terminal back, stops the process, and takes the terminal over again when it goes on.
    ///
    /// # Errors
    ///
    /// When the terminal does not let itself be taken over.
    fn suspend(&mut self) -> io::Result<()>;
}

/// Runs until something ends it. Returns how, and whether the last screen is to be left as text.
///
/// # Errors
///
/// When the terminal fails otherwise than by being gone, or the source's thread panicked.
pub fn run<B>(
    terminal: &mut Terminal<B>,
    look: &mut Look,
    model: &mut Model,
    host: &mut impl Host,
) -> Result<(Ended, bool), MonitorError>
where
    B: Present,
    MonitorError: From<B::Error>,
{
    let ended = cycle(terminal, look, model, host);
    match ended {
        Err(MonitorError::Terminal(error)) if is_gone(&error) => Ok((Ended::TerminalGone, false)),
        other => other,
    }
}

/// Whether an error says that nobody is at the other end.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
        || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
        || error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error())
}

fn cycle<B>(
    terminal: &mut Terminal<B>,
    look: &mut Look,
    model: &mut Model,
    host: &mut impl Host,
) -> Result<(Ended, bool), MonitorError>
where
    B: Present,
    MonitorError: From<B::Error>,
{
    model.update(Message::Resize(size(terminal)?));
    loop {
        terminal.draw(|frame| model.draw(look, frame.area(), frame.buffer_mut()))?;
        let bytes = terminal.backend_mut().present()?;
        model.data.traffic.pending += bytes as u64;

        // Everything that is there is taken in before the next frame: a key that repeats is not drawn each time.
        // Where a picture takes more than a frame, the next one has more of it.
        let mut limit = terminal.backend().is_behind().then_some(Duration::ZERO);
        while let Some(event) = host.next(limit) {
            limit = Some(Duration::ZERO);
            let effects = match event {
                Event::Message(message) => model.update(message),
                Event::Resized => model.update(Message::Resize(size(terminal)?)),
                Event::Continued => vec![Effect::Repaint],
                Event::Stop => vec![Effect::Suspend],
                Event::End(number) => return Ok((Ended::Signal(number), false)),
                Event::TerminalGone => return Ok((Ended::TerminalGone, false)),
                Event::SourceGone => return Err(MonitorError::SourceGone),
            };
            for effect in effects {
                match effect {
                    Effect::Quit { keep_screen } => return Ok((Ended::Quit, keep_screen)),
                    Effect::Order(order) => host.order(order),
                    Effect::Repaint => repaint(terminal, model)?,
                    Effect::Mouse(listen) => host.mouse(listen)?,
                    Effect::Copy(text) => host.copy(&text)?,
                    Effect::Theme(name) => match Theme::load(&name) {
                        Ok(theme) => *look = look.with_theme(theme),
                        Err(error) => model.data.say(NoticeTone::Error, in_words(&error)),
                    },
                    Effect::Suspend => {
                        host.suspend()?;
                        repaint(terminal, model)?;
                    }
                }
            }
        }
    }
}

fn size<B>(terminal: &Terminal<B>) -> Result<Size, MonitorError>
where
    B: Present,
    MonitorError: From<B::Error>,
{
    Ok(terminal.size()?)
}

/// Draws everything anew. `Terminal::clear` would do so too, but asks the terminal where its cursor is, and waits.
fn repaint<B>(terminal: &mut Terminal<B>, model: &mut Model) -> Result<(), MonitorError>
where
    B: Present,
    MonitorError: From<B::Error>,
{
    let size = size(terminal)?;
    model.update(Message::Resize(size));
    terminal.backend_mut().forget();
    Ok(terminal.resize(size.into())?)
}
