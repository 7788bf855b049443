//! Views: each draws itself, does what its keys say, and says in which contexts keys are looked up.

pub mod applicable;
pub mod backends;
pub mod balance;
pub mod chrome;
pub mod compared;
pub mod events;
pub mod help;
pub mod hot;
pub mod processors;
pub mod services;
pub mod timeline;

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
};

use super::{
    action::{Action, Context},
    data::Data,
    dialog::Dialog,
    list::List,
    message::Effect,
    slots::search::Found,
};
use crate::terminal::look::Look;

/// The views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ViewName {
    /// The services.
    Services,
    /// The backends of one.
    #[default]
    Backends,
    /// Its slots.
    Slots,
    /// Every change.
    Events,
    /// What each processor does.
    Processors,
    /// What backends get, beside what they should.
    Balance,
    /// The slots that are hit most.
    Hot,
    /// The keys.
    Help,
}

impl ViewName {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Services,
        Self::Backends,
        Self::Slots,
        Self::Events,
        Self::Processors,
        Self::Balance,
        Self::Hot,
        Self::Help,
    ];
    /// Those that Tab goes through.
    pub const TABS: [Self; 5] = [Self::Services, Self::Backends, Self::Slots, Self::Events, Self::Processors];

    /// What it is called.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Backends => "backends",
            Self::Slots => "slots",
            Self::Events => "events",
            Self::Processors => "CPUs",
            Self::Balance => "balance",
            Self::Hot => "hot slots",
            Self::Help => "help",
        }
    }

    /// The tab that it belongs to; `None` where that is whichever was open before.
    #[must_use]
    pub const fn tab(self) -> Option<Self> {
        match self {
            Self::Balance => Some(Self::Backends),
            Self::Hot => Some(Self::Slots),
            Self::Help => None,
            tab => Some(tab),
        }
    }

    /// The contexts that hold in it while it shows what is now, the innermost first.
    #[must_use]
    pub const fn contexts(self) -> &'static [Context] {
        use Context as C;
        match self {
            Self::Services => &[C::Services, C::List, C::Views, C::Live, C::Always],
            Self::Backends => &[C::Backends, C::List, C::Views, C::Live, C::Always],
            Self::Slots => &[C::Slots, C::Views, C::Live, C::Always],
            Self::Events => &[C::Events, C::List, C::Views, C::Live, C::Always],
            Self::Processors => &[C::Processors, C::List, C::Views, C::Live, C::Always],
            Self::Balance => &[C::Balance, C::List, C::Views, C::Live, C::Always],
            Self::Hot => &[C::Hot, C::List, C::Views, C::Live, C::Always],
            Self::Help => &[C::Help, C::List, C::Views, C::Live, C::Always],
        }
    }

    /// The same while it stands still.
    #[must_use]
    pub const fn frozen_contexts(self) -> &'static [Context] {
        use Context as C;
        match self {
            Self::Services => &[C::Frozen, C::Services, C::List, C::Views, C::Always],
            Self::Backends => &[C::Frozen, C::Backends, C::List, C::Views, C::Always],
            Self::Slots => &[C::Frozen, C::Slots, C::Views, C::Always],
            Self::Events => &[C::Frozen, C::Events, C::List, C::Views, C::Always],
            Self::Processors => &[C::Frozen, C::Processors, C::List, C::Views, C::Always],
            Self::Balance => &[C::Frozen, C::Balance, C::List, C::Views, C::Always],
            Self::Hot => &[C::Frozen, C::Hot, C::List, C::Views, C::Always],
            Self::Help => &[C::Frozen, C::Help, C::List, C::Views, C::Always],
        }
    }

    /// The tab `steps` further on, round and round.
    #[must_use]
    pub fn step(self, steps: usize) -> Self {
        let at = Self::TABS.iter().position(|tab| *tab == self).unwrap_or(0);
        Self::TABS[(at + steps) % Self::TABS.len()]
    }
}

/// What came of an action.
#[derive(Debug)]
pub enum Outcome {
    /// It is not for this one.
    Ignored,
    /// It is done.
    Done,
    /// The rest is for others.
    Effect(Effect),
    /// Something has to be asked first.
    Ask(Box<Dialog>),
    /// Another view.
    Go(ViewName),
    /// That slot, among the others.
    Find(Found),
}

/// Something on screen.
pub trait Component {
    /// Does what a key asks for.
    fn act(&mut self, action: Action, data: &mut Data) -> Outcome;

    /// Looks at what changed, so that drawing has nothing left to work out.
    fn refresh(&mut self, _data: &Data) {}

    /// Its filter and its order, where it is a list that has them.
    fn list(&self) -> Option<&List> {
        None
    }

    /// The same, to be changed.
    fn list_mut(&mut self) -> Option<&mut List> {
        None
    }

    /// The backend that a change would be made to.
    fn subject(&self, _data: &Data) -> Option<String> {
        None
    }

    /// What is chosen, as text to take elsewhere.
    fn copied(&self, _data: &Data) -> Option<String> {
        None
    }

    /// Chooses what is at that place of what is drawn in `area`.
    fn click(&mut self, _place: Position, _area: Rect, _data: &mut Data) {}

    /// What the wheel does: forward, away from the hand, or back.
    fn wheel(&self, forward: bool) -> Action {
        if forward { Action::Up } else { Action::Down }
    }

    /// Draws itself, and changes nothing.
    fn draw(&self, data: &Data, look: &Look, area: Rect, buffer: &mut Buffer);
}
