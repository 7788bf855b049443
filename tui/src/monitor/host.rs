//! The threads around the loop: keys, signals, the source, and the watchdog.

use std::{
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::Duration,
};

use super::{
    cycle::{Event, Host},
    message::{Message, Order},
    sampler::{Report, Sampler},
};
use crate::{
    source::Source,
    terminal::{
        input::{Input, InputThread},
        late::LateAnswer,
        session::Session,
        signals::{Signal, SignalThread, stop_here},
        tty::Tty,
        watchdog::{OnAbandon, Watchdog},
    },
};

/// What reaches the loop's end of the channel.
enum Wake {
    Event(Event),
    /// A sample lies ready; the latest one is taken, and of several there is only one.
    Sample,
}

/// The source, looked at while its terminal is still asked what it is: the first frame waits for both.
#[expect(missing_debug_implementations, reason = "threads and channels have nothing to show")]
pub struct EarlyLook {
    sender: Sender<Wake>,
    wakes: Receiver<Wake>,
    sampler: Sampler,
}

impl EarlyLook {
    /// Looks at `source` each `interval` from now on.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub fn start(source: Box<dyn Source>, interval: Duration) -> io::Result<Self> {
        let (sender, wakes) = mpsc::channel();
        let told = sender.clone();
        let sampler = Sampler::start(source, interval, move |report| tell(&told, report))?;
        Ok(Self { sender, wakes, sampler })
    }
}

/// The threads of a monitor on a terminal. Dropped, they end.
#[expect(missing_debug_implementations, reason = "threads and channels have nothing to show")]
pub struct TerminalHost {
    wakes: Receiver<Wake>,
    // In this order they end: the source first, which may hold something that others wait for.
    sampler: Sampler,
    _input: InputThread,
    _signals: SignalThread,
    _watchdog: Watchdog,
}

impl TerminalHost {
    /// Starts those that are missing; keys that `late` takes for the terminal's answer are none.
    ///
    /// # Errors
    ///
    /// When there are no threads or descriptors to be had.
    pub fn start(
        tty: &Tty,
        look: EarlyLook,
        late: LateAnswer,
        on_abandon: Option<OnAbandon>,
    ) -> io::Result<Self> {
        let EarlyLook { sender, wakes, sampler } = look;
        let gone = sender.clone();
        let watchdog = Watchdog::start(
            tty.try_clone()?,
            move || {
                let _ = gone.send(Wake::Event(Event::TerminalGone));
            },
            on_abandon,
        )?;
        let asked = watchdog.asked();
        let signals = sender.clone();
        let signals = SignalThread::start(move |signal| {
            let event = match signal {
                Signal::End(number) => {
                    asked.to_end(number);
                    Event::End(number)
                }
                Signal::Stop => Event::Stop,
                Signal::Continue => Event::Continued,
                Signal::Resize => Event::Resized,
            };
            signals.send(Wake::Event(event)).is_ok()
        })?;
        let input = InputThread::start(tty.try_clone()?, late, move |input| {
            let message = match input {
                Input::Key(key) => Message::Key(key),
                Input::Mouse(mouse) => Message::Mouse(mouse),
            };
            sender.send(Wake::Event(Event::Message(message))).is_ok()
        })?;
        Ok(Self { wakes, sampler, _input: input, _signals: signals, _watchdog: watchdog })
    }

    /// The host for as long as the session lasts.
    pub const fn during<'a>(&'a mut self, session: &'a Session) -> impl Host + 'a {
        During { host: self, session }
    }
}

fn tell(sender: &Sender<Wake>, report: Report) {
    let wake = match report {
        Report::Sampled => Wake::Sample,
        Report::Answer(message) => Wake::Event(Event::Message(message)),
        Report::Gone => Wake::Event(Event::SourceGone),
    };
    // Nobody listens any more: the loop has ended.
    let _ = sender.send(wake);
}

struct During<'a> {
    host: &'a TerminalHost,
    session: &'a Session,
}

impl Host for During<'_> {
    fn next(&mut self, limit: Option<Duration>) -> Option<Event> {
        loop {
            let wake = match limit {
                None => self.host.wakes.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(limit) => self.host.wakes.recv_timeout(limit),
            };
            match wake {
                Ok(Wake::Event(event)) => return Some(event),
                Ok(Wake::Sample) => {
                    if let Some(sampled) = self.host.sampler.take() {
                        return Some(Event::Message(Message::Sampled(sampled)));
                    }
                }
                Err(RecvTimeoutError::Timeout) => return None,
                // All threads are gone: so is the terminal, for all that can be known.
                Err(RecvTimeoutError::Disconnected) => return Some(Event::TerminalGone),
            }
        }
    }

    fn order(&mut self, order: Order) {
        self.host.sampler.order(order);
    }

    fn mouse(&mut self, listen: bool) -> io::Result<()> {
        self.session.listen_to_mouse(listen)
    }

    fn copy(&mut self, text: &str) -> io::Result<()> {
        self.session.copy(text)
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.session.suspend();
        stop_here()?;
        self.session.resume()
    }
}
