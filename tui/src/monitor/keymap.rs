//! Which keys stand for which binding: those of the table, or the operator's own.

use std::collections::HashMap;

use ratatui::crossterm::event::KeyEvent;

use super::{
    action::{Action, BINDINGS, Binding, Context},
    dialog::Dialog,
    key::Key,
    view::ViewName,
};

/// The keys of every binding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keymap {
    /// The keys of bindings that have others than the table says, by [`Binding::identity`].
    own: HashMap<(Action, Context), Vec<Key>>,
}

/// A key that would mean two things in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The key.
    pub key: Key,
    /// What it means.
    pub one: (Action, Context),
    /// What else it means.
    pub other: (Action, Context),
}

/// What holds together at some time: each view without a dialog, live and frozen, and each dialog.
fn situations() -> impl Iterator<Item = &'static [Context]> {
    let views = ViewName::ALL.into_iter().flat_map(|view| [view.contexts(), view.frozen_contexts()]);
    views.chain(Dialog::CONTEXTS)
}

impl Keymap {
    /// Gives a binding other keys; none where it is to have none.
    pub fn bind(&mut self, binding: &Binding, keys: Vec<Key>) {
        self.own.insert(binding.identity(), keys);
    }

    /// The keys of a binding; the first one stands in the footer.
    #[must_use]
    pub fn keys(&self, binding: &Binding) -> &[Key] {
        self.own.get(&binding.identity()).map_or(binding.keys, Vec::as_slice)
    }

    /// The keys of a binding, as they are shown: `x Del`.
    #[must_use]
    pub fn shown(&self, binding: &Binding) -> String {
        let keys: Vec<String> = self.keys(binding).iter().map(ToString::to_string).collect();
        keys.join(" ")
    }

    /// The first key for an action, as it is shown; the action's name where it has none.
    #[must_use]
    pub fn first(&self, action: Action) -> String {
        let binding = BINDINGS.iter().find(|binding| binding.action == action);
        let key = binding.and_then(|binding| self.keys(binding).first().map(ToString::to_string));
        key.or_else(|| binding.map(Binding::name)).unwrap_or_default()
    }

    /// The binding of a key where those contexts hold, the first one first.
    #[must_use]
    pub fn find(&self, event: KeyEvent, contexts: &[Context]) -> Option<&'static Binding> {
        contexts.iter().find_map(|context| {
            BINDINGS.iter().find(|binding| {
                binding.contexts.contains(context) && self.keys(binding).iter().any(|key| key.is(event))
            })
        })
    }

    /// The keys that would mean two things.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Conflict> {
        let mut conflicts: Vec<Conflict> = Vec::new();
        for contexts in situations() {
            let mut seen: Vec<(Key, (Action, Context))> = Vec::new();
            for binding in BINDINGS.iter().filter(|b| b.contexts.iter().any(|c| contexts.contains(c))) {
                for &key in self.keys(binding) {
                    let other = binding.identity();
                    if let Some((_, one)) = seen.iter().find(|(other, _)| *other == key) {
                        let conflict = Conflict { key, one: *one, other };
                        if !conflicts.contains(&conflict) {
                            conflicts.push(conflict);
                        }
                    }
                    seen.push((key, other));
                }
            }
        }
        conflicts
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::monitor::{dialog::add::AddForm, key::letter};

    #[test]
    fn no_key_means_two_things() {
        assert_eq!(Keymap::default().conflicts(), []);
    }

    #[test]
    fn a_key_that_would_mean_two_things_is_found() {
        let mut keymap = Keymap::default();
        let drain = BINDINGS.iter().find(|binding| binding.action == Action::Drain).unwrap();
        keymap.bind(drain, vec![letter('x')]);
        let conflicts = keymap.conflicts();
        assert_eq!(conflicts.len(), 1);
        assert_eq!((conflicts[0].one.0, conflicts[0].other.0), (Action::Drain, Action::Remove));
        keymap.bind(drain, vec![letter('z')]);
        assert_eq!(keymap.conflicts(), []);
        let contexts = ViewName::Backends.contexts();
        let found = |key: Key| keymap.find(key.event(), contexts).map(|found| found.action);
        assert_eq!((found(letter('z')), found(letter('d'))), (Some(Action::Drain), None));
    }

    #[test]
    fn every_binding_has_a_name_of_its_own() {
        let names: HashSet<String> = BINDINGS.iter().map(Binding::name).collect();
        assert_eq!(names.len(), BINDINGS.len());
        let identities: HashSet<_> = BINDINGS.iter().map(Binding::identity).collect();
        assert_eq!(identities.len(), BINDINGS.len());
        for name in ["drain", "open-in-services", "quit-anywhere", "next-view", "cancel-in-preview"] {
            assert!(names.contains(name), "{name} is none of {names:?}");
        }
    }

    #[test]
    fn every_action_is_within_reach() {
        for binding in BINDINGS {
            assert!(!binding.description.is_empty());
            assert!(!binding.keys.is_empty() || binding.is_in_palette(), "{}", binding.name());
            for context in binding.contexts {
                for key in binding.keys {
                    let situation = situations().find(|contexts| contexts.contains(context));
                    let situation = situation.unwrap_or_else(|| panic!("nobody is ever in {context:?}"));
                    let found = Keymap::default().find(key.event(), situation).map(|found| found.action);
                    assert_eq!(found, Some(binding.action), "{key} in {situation:?}");
                }
            }
        }
    }

    #[test]
    fn typing_is_not_taken_for_a_command() {
        for character in ' '..='~' {
            let found = Keymap::default().find(letter(character).event(), AddForm::CONTEXTS);
            assert!(found.is_none(), "{character:?}");
        }
        for binding in BINDINGS.iter().filter(|binding| !binding.takes_characters()) {
            assert!(binding.keys.iter().all(|key| !key.types()), "{}", binding.name());
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
