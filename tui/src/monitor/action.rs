//! Everything that can be done, and the keys for it: one table that drives dispatch, footer and help.

use super::key::{Key, code, control, letter};
use ratatui::crossterm::event::{KeyCode, KeyEvent};

/// Something that an operator can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Leave.
    Quit,
    /// Leave, with what is on screen left as text.
    QuitKeepingScreen,
    /// Stop the process, as a shell's job.
    Suspend,
    /// Draw everything anew.
    Repaint,
    /// Show or leave the help.
    Help,
    /// The view to the right.
    NextView,
    /// The view to the left.
    PreviousView,
    /// The services.
    Services,
    /// The backends of a service.
    Backends,
    /// The slots of a service.
    Slots,
    /// The changes.
    Events,
    /// The processors.
    Processors,
    /// The service after this one.
    NextService,
    /// The service before this one.
    PreviousService,
    /// Take no samples, or take them again.
    Freeze,
    /// Look less often.
    Slower,
    /// Look more often.
    Faster,
    /// Take the last change back.
    Undo,
    /// One up.
    Up,
    /// One down.
    Down,
    /// One to the left.
    Left,
    /// One to the right.
    Right,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// The first one.
    First,
    /// The last one.
    Last,
    /// What the selected one consists of.
    Open,
    /// A new backend.
    Add,
    /// No new connections for a backend.
    Drain,
    /// New connections for it again.
    Undrain,
    /// A backend leaves.
    Remove,
    /// Another weight.
    Weight,
    /// No new connections for a machine, in any service.
    DrainMachine,
    /// New connections for it again.
    UndrainMachine,
    /// A machine leaves every service.
    RemoveMachine,
    /// Fewer slots, larger.
    ZoomIn,
    /// More slots, smaller.
    ZoomOut,
    /// All slots.
    Overview,
    /// Colour slots by something else.
    NextColouring,
    /// The same, the other way round.
    PreviousColouring,
    /// The next slot that is settling.
    NextSettling,
    /// The one before.
    PreviousSettling,
    /// The slot that is hit most.
    Hottest,
    /// The next field or button.
    NextField,
    /// The one before.
    PreviousField,
    /// What has the focus.
    Accept,
    /// Leave a dialog, change nothing.
    Cancel,
    /// Allow what leaves a service without an active backend.
    Force,
    /// The next backend on offer.
    NextSpare,
    /// The one before.
    PreviousSpare,
}

/// Where keys mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Context {
    /// Wherever one is.
    Always,
    /// In every view, as long as no dialog is open.
    Views,
    /// In every view that is a list.
    List,
    /// Among the services.
    Services,
    /// Among the backends.
    Backends,
    /// Among the slots.
    Slots,
    /// Among the changes.
    Events,
    /// Among the processors.
    Processors,
    /// In the help.
    Help,
    /// While a change is shown before it is made.
    Preview,
    /// While something is typed.
    Form,
    /// While it is typed into one of several fields.
    Fields,
}

impl Context {
    /// What the help calls it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Always => "anywhere",
            Self::Views => "in every view",
            Self::List => "in lists",
            Self::Services => "services",
            Self::Backends => "backends",
            Self::Slots => "slots",
            Self::Events => "events",
            Self::Processors => "CPUs",
            Self::Help => "help",
            Self::Preview => "before a change",
            Self::Form => "where something is typed",
            Self::Fields => "among several fields",
        }
    }

    /// All of them, in the order of the help.
    pub const ALL: [Self; 12] = [
        Self::Views,
        Self::List,
        Self::Services,
        Self::Backends,
        Self::Slots,
        Self::Events,
        Self::Processors,
        Self::Preview,
        Self::Form,
        Self::Fields,
        Self::Help,
        Self::Always,
    ];
}

/// An action, its keys, and what is said of it.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// What is done.
    pub action: Action,
    /// The keys for it; the first one stands in the footer.
    pub keys: &'static [Key],
    /// Where they mean that.
    pub contexts: &'static [Context],
    /// What the footer calls it; empty where the footer leaves it out.
    pub label: &'static str,
    /// What the help says of it.
    pub description: &'static str,
    /// It leads to a change of the datapath.
    pub changes: bool,
}

const fn binding(
    action: Action,
    keys: &'static [Key],
    contexts: &'static [Context],
    label: &'static str,
    description: &'static str,
) -> Binding {
    Binding { action, keys, contexts, label, description, changes: false }
}

const fn change(
    action: Action,
    keys: &'static [Key],
    contexts: &'static [Context],
    label: &'static str,
    description: &'static str,
) -> Binding {
    Binding { action, keys, contexts, label, description, changes: true }
}

/// Every binding. In the footer they stand in this order, the ones of the innermost context first.
pub const BINDINGS: &[Binding] = {
    use Action as A;
    use Context::{Always, Backends, Fields, Form, Help, List, Preview, Services, Slots, Views};
    use KeyCode as K;
    const MEMBERS: &[Context] = &[Backends, Slots];
    const MOVING: &[Context] = &[List, Slots];
    &[
        binding(A::Open, &[code(K::Enter)], &[Services], "backends", "the backends of the service"),
        binding(
            A::Open,
            &[code(K::Enter)],
            &[Backends],
            "",
            "the slots, with the cursor on the backend's hottest",
        ),
        change(A::Add, &[letter('a')], MEMBERS, "add", "add a backend"),
        change(
            A::Drain,
            &[letter('d')],
            MEMBERS,
            "drain",
            "drain the backend (among slots: the owner of the slot)",
        ),
        change(A::Undrain, &[letter('e')], MEMBERS, "enable", "end its drain: it gets slots again"),
        change(
            A::Remove,
            &[letter('x'), code(K::Delete)],
            MEMBERS,
            "remove",
            "remove the backend, and its connections with it",
        ),
        change(A::Weight, &[letter('w')], MEMBERS, "weight", "give the backend another weight"),
        change(
            A::DrainMachine,
            &[letter('D')],
            MEMBERS,
            "",
            "drain the backend's machine in every service, as one change",
        ),
        change(A::UndrainMachine, &[letter('E')], MEMBERS, "", "end its drain in every service"),
        change(A::RemoveMachine, &[letter('X')], MEMBERS, "", "remove it from every service"),
        change(A::Undo, &[letter('u')], &[Views], "undo", "take the last change back, then the one before"),
        binding(
            A::NextColouring,
            &[letter('c')],
            &[Slots],
            "colour",
            "colour slots by owner, hits, or last change",
        ),
        binding(A::PreviousColouring, &[letter('C')], &[Slots], "", "the same, the other way round"),
        binding(A::ZoomIn, &[letter('+'), letter('=')], &[Slots], "in", "zoom in on the cursor"),
        binding(A::ZoomOut, &[letter('-')], &[Slots], "out", "zoom out"),
        binding(A::Overview, &[letter('0')], &[Slots], "all", "all slots"),
        binding(A::NextSettling, &[letter('n')], &[Slots], "settling", "the next settling slot"),
        binding(A::PreviousSettling, &[letter('N')], &[Slots], "", "the settling slot before"),
        binding(A::Hottest, &[letter('m')], &[Slots], "hottest", "the slot that is hit most"),
        binding(A::Up, &[code(K::Up), letter('k')], MOVING, "", "up"),
        binding(A::Down, &[code(K::Down), letter('j')], MOVING, "", "down"),
        binding(A::Left, &[code(K::Left), letter('h')], &[Slots], "", "left"),
        binding(A::Right, &[code(K::Right), letter('l')], &[Slots], "", "right"),
        binding(A::PageUp, &[code(K::PageUp), control('b')], MOVING, "", "a page up"),
        binding(A::PageDown, &[code(K::PageDown), control('d')], MOVING, "", "a page down"),
        binding(A::First, &[code(K::Home), letter('g')], MOVING, "", "the first"),
        binding(A::Last, &[code(K::End), letter('G')], MOVING, "", "the last"),
        binding(A::NextField, &[code(K::Tab), code(K::Right)], &[Preview], "next", "the next button"),
        binding(A::PreviousField, &[code(K::BackTab), code(K::Left)], &[Preview], "", "the button before"),
        binding(A::NextField, &[code(K::Tab)], &[Fields], "next", "the next field"),
        binding(A::PreviousField, &[code(K::BackTab)], &[Fields], "", "the field before"),
        binding(A::NextSpare, &[code(K::Down)], &[Fields], "offer", "the next backend on offer"),
        binding(A::PreviousSpare, &[code(K::Up)], &[Fields], "", "the one before"),
        binding(
            A::Force,
            &[letter(' ')],
            &[Preview],
            "",
            "allow what leaves a service without an active backend",
        ),
        binding(
            A::Accept,
            &[code(K::Enter)],
            &[Preview, Form],
            "press",
            "press the button that has the focus, or go on",
        ),
        binding(A::Cancel, &[code(K::Esc)], &[Preview, Form], "cancel", "leave, and change nothing"),
        binding(A::Cancel, &[letter('q')], &[Preview], "", "leave, and change nothing"),
        binding(A::Cancel, &[code(K::Esc)], &[Help], "back", "back to where one was"),
        binding(A::Help, &[letter('?'), code(K::F(1))], &[Views], "help", "this help"),
        binding(A::NextView, &[code(K::Tab)], &[Views], "", "the next view"),
        binding(A::PreviousView, &[code(K::BackTab)], &[Views], "", "the view before"),
        binding(A::Services, &[letter('1')], &[Views], "", "services"),
        binding(A::Backends, &[letter('2')], &[Views], "", "backends"),
        binding(A::Slots, &[letter('3')], &[Views], "", "slots"),
        binding(A::Events, &[letter('4')], &[Views], "", "events"),
        binding(A::Processors, &[letter('5')], &[Views], "", "CPUs"),
        binding(A::NextService, &[letter(']')], &[Views], "service", "the next service"),
        binding(A::PreviousService, &[letter('[')], &[Views], "", "the service before"),
        binding(A::Freeze, &[control('f')], &[Views], "freeze", "take no samples, or take them again"),
        binding(A::Slower, &[letter('<')], &[Views], "", "look half as often"),
        binding(A::Faster, &[letter('>')], &[Views], "", "look twice as often"),
        binding(A::Quit, &[letter('q')], &[Views], "quit", "leave"),
        binding(
            A::QuitKeepingScreen,
            &[letter('Q')],
            &[Views],
            "",
            "leave, with the last screen left as text",
        ),
        binding(A::Quit, &[control('c')], &[Always], "", "leave"),
        binding(A::Repaint, &[control('l')], &[Always], "", "draw everything anew"),
        binding(A::Suspend, &[control('z')], &[Always], "", "stop, as a job of the shell"),
    ]
};

/// The binding of a key where those contexts hold, the first one first.
#[must_use]
pub fn find(event: KeyEvent, contexts: &[Context]) -> Option<&'static Binding> {
    contexts.iter().find_map(|context| {
        BINDINGS.iter().find(|binding| {
            binding.contexts.contains(context) && binding.keys.iter().any(|key| key.is(event))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::monitor::{
        dialog::{add::AddForm, preview::Preview, weight::WeightForm},
        view::ViewName,
    };

    /// What holds together at some time: each view without a dialog, and each dialog.
    fn situations() -> Vec<Vec<Context>> {
        let dialogs: [&[Context]; 3] = [Preview::CONTEXTS, AddForm::CONTEXTS, WeightForm::CONTEXTS];
        let dialogs = dialogs.map(<[Context]>::to_vec);
        ViewName::ALL.into_iter().map(|view| view.contexts().to_vec()).chain(dialogs).collect()
    }

    #[test]
    fn no_key_means_two_things() {
        for contexts in situations() {
            let mut seen: HashMap<String, &str> = HashMap::new();
            for binding in BINDINGS.iter().filter(|b| b.contexts.iter().any(|c| contexts.contains(c))) {
                for key in binding.keys {
                    let other = seen.insert(key.to_string(), binding.description);
                    assert_eq!(other, None, "{key} also means {:?} in {contexts:?}", binding.description);
                }
            }
        }
    }

    #[test]
    fn every_action_is_within_reach() {
        for binding in BINDINGS {
            assert!(!binding.keys.is_empty() && !binding.description.is_empty());
            for context in binding.contexts {
                for key in binding.keys {
                    let situation = situations().into_iter().find(|contexts| contexts.contains(context));
                    let situation = situation.unwrap_or_else(|| panic!("nobody is ever in {context:?}"));
                    let found = find(key.event(), &situation).map(|found| found.action);
                    assert_eq!(found, Some(binding.action), "{key} in {situation:?}");
                }
            }
        }
    }

    #[test]
    fn typing_is_not_taken_for_a_command() {
        let contexts = AddForm::CONTEXTS;
        for character in ' '..='~' {
            assert!(find(letter(character).event(), contexts).is_none(), "{character:?}");
        }
    }

    #[test]
    fn nothing_that_moves_also_changes() {
        for binding in BINDINGS.iter().filter(|binding| binding.changes) {
            for key in binding.keys {
                assert!(!"hjklgG".contains(&key.to_string()), "{key} is for moving");
            }
        }
    }
}
