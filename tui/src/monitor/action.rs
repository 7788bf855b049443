//! Everything that can be done, and the keys for it: one table that drives dispatch, footer, help and palette.

use ratatui::crossterm::event::KeyCode;

use super::key::{Key, code, control, letter};

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
    /// Everything that can be done here, by name.
    Palette,
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
    /// What backends get, beside what they should.
    Balance,
    /// The slots that are hit most.
    Hot,
    /// The service after this one.
    NextService,
    /// The service before this one.
    PreviousService,
    /// Have the picture stand still, or go on.
    Freeze,
    /// The moment before the one that is shown.
    EarlierMoment,
    /// The moment after it.
    LaterMoment,
    /// Ten moments back.
    MuchEarlier,
    /// Ten moments on.
    MuchLater,
    /// The marked moment before.
    PreviousMark,
    /// The next marked moment.
    NextMark,
    /// The earliest moment that is kept.
    EarliestMoment,
    /// The latest moment.
    LatestMoment,
    /// Mark the moment that is shown.
    Mark,
    /// Compare with a mark, or with none any more.
    Compare,
    /// Compare with the mark before that one.
    CompareWithEarlier,
    /// Look less often.
    Slower,
    /// Look more often.
    Faster,
    /// Put a change with those that are to be made as one.
    Stage,
    /// What is staged.
    Staged,
    /// Take one from what is staged.
    Unstage,
    /// Take all of it.
    Discard,
    /// The next service that a change is made to.
    NextPlan,
    /// The one before.
    PreviousPlan,
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
    /// The rows alone that hold some words.
    Filter,
    /// All rows again.
    ClearFilter,
    /// Sort by the next column.
    SortByNext,
    /// The same order, the other way round.
    ReverseOrder,
    /// What is chosen goes into the clipboard.
    Copy,
    /// Listen to the mouse, or no more.
    Mouse,
    /// The slot of a number, of a flow, or of a backend.
    Search,
    /// Trace the packets of the flow that was looked for, or no more.
    Trace,
    /// Leave the trace.
    CloseTrace,
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
    /// The rest of what is being typed.
    Complete,
}

/// Where keys mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Context {
    /// Wherever one is.
    Always,
    /// In every view, as long as no dialog is open.
    Views,
    /// In every view that shows what is now.
    Live,
    /// In every view that stands still.
    Frozen,
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
    /// In the balance.
    Balance,
    /// Among the hot slots.
    Hot,
    /// In the help.
    Help,
    /// While a change is shown before it is made.
    Preview,
    /// While one is shown that was asked for.
    Asked,
    /// While all that is staged is shown.
    Staged,
    /// While something is typed.
    Form,
    /// While it is typed into one of several fields.
    Fields,
    /// While it is said what to look for.
    Search,
    /// While it is said which rows to show.
    Filter,
    /// While something is chosen by its name.
    Palette,
}

impl Action {
    /// Whether it leads to a change of the datapath.
    #[must_use]
    pub fn changes(self) -> bool {
        BINDINGS.iter().any(|binding| binding.action == self && binding.changes)
    }
}

impl Context {
    /// What the help calls it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Always => "anywhere",
            Self::Views => "in every view",
            Self::Live => "in every view that is live",
            Self::Frozen => "in every view that is frozen",
            Self::List => "in lists",
            Self::Services => "services",
            Self::Backends => "backends",
            Self::Slots => "slots",
            Self::Events => "events",
            Self::Processors => "CPUs",
            Self::Balance => "balance",
            Self::Hot => "hot slots",
            Self::Help => "help",
            Self::Preview => "before a change",
            Self::Asked => "before a change that was asked for",
            Self::Staged => "before staged changes",
            Self::Form => "where something is typed",
            Self::Fields => "among several fields",
            Self::Search => "while searching",
            Self::Filter => "while filtering",
            Self::Palette => "in the palette",
        }
    }

    /// What it is called in the names of bindings.
    const fn word(self) -> &'static str {
        match self {
            Self::Always => "anywhere",
            Self::Views => "views",
            Self::Live => "live",
            Self::Frozen => "frozen",
            Self::List => "lists",
            Self::Services => "services",
            Self::Backends => "backends",
            Self::Slots => "slots",
            Self::Events => "events",
            Self::Processors => "cpus",
            Self::Balance => "balance",
            Self::Hot => "hot",
            Self::Help => "help",
            Self::Preview => "preview",
            Self::Asked => "asked",
            Self::Staged => "staged",
            Self::Form => "form",
            Self::Fields => "fields",
            Self::Search => "search",
            Self::Filter => "filter",
            Self::Palette => "palette",
        }
    }

    /// Whether characters are typed there: none of them can be a key for something else.
    #[must_use]
    pub const fn is_typed_into(self) -> bool {
        matches!(self, Self::Always | Self::Form | Self::Fields | Self::Search | Self::Filter | Self::Palette)
    }

    /// Whether it is a part of the views: what has no key there is still in the palette.
    #[must_use]
    pub const fn has_palette(self) -> bool {
        !self.is_typed_into() && !matches!(self, Self::Preview | Self::Asked | Self::Staged)
    }

    /// All of them, in the order of the help.
    pub const ALL: [Self; 21] = [
        Self::Views,
        Self::Live,
        Self::Frozen,
        Self::List,
        Self::Services,
        Self::Backends,
        Self::Slots,
        Self::Events,
        Self::Processors,
        Self::Balance,
        Self::Hot,
        Self::Preview,
        Self::Asked,
        Self::Staged,
        Self::Form,
        Self::Fields,
        Self::Search,
        Self::Filter,
        Self::Palette,
        Self::Help,
        Self::Always,
    ];
}

/// An action, its keys, and what is said of it.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// What is done.
    pub action: Action,
    /// The keys for it where the operator chose no others; the first one stands in the footer.
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

impl Binding {
    /// What no other one has: the action, and the first context.
    #[must_use]
    pub const fn identity(&self) -> (Action, Context) {
        (self.action, self.contexts[0])
    }

    /// The name by which it is rebound and called: the action's, `drain-machine`; where an action is bound more than
    /// once, with the place behind it, `open-in-services`.
    #[must_use]
    pub fn name(&self) -> String {
        let mut name = String::new();
        for character in format!("{:?}", self.action).chars() {
            if character.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(character.to_ascii_lowercase());
        }
        let alone = BINDINGS.iter().filter(|other| other.action == self.action).count() == 1;
        match self.contexts[0] {
            _ if alone => name,
            Context::Always => name + "-anywhere",
            context => format!("{name}-in-{}", context.word()),
        }
    }

    /// Where else its keys mean the same, as the help has it: ` (also: slots)`; empty where nowhere.
    #[must_use]
    pub fn also(&self) -> String {
        let others: Vec<&str> = self.contexts[1..].iter().map(|context| context.title()).collect();
        if others.is_empty() { String::new() } else { format!(" (also: {})", others.join(", ")) }
    }

    /// Whether its keys may be ones that type a character.
    #[must_use]
    pub fn takes_characters(&self) -> bool {
        !self.contexts.iter().any(|context| context.is_typed_into())
    }

    /// Whether it is within reach without a key.
    #[must_use]
    pub fn is_in_palette(&self) -> bool {
        self.contexts.iter().all(|context| context.has_palette())
    }
}

/// The bindings by the place where they mean something first, in the order of the help; no place without one.
pub fn sections() -> impl Iterator<Item = (Context, Vec<&'static Binding>)> {
    let of = |context| BINDINGS.iter().filter(move |binding| binding.contexts[0] == context).collect();
    Context::ALL
        .into_iter()
        .map(move |context| (context, of(context)))
        .filter(|(_, bindings): &(_, Vec<_>)| !bindings.is_empty())
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
    use Context::{
        Always, Asked, Backends, Balance, Events, Fields, Filter, Form, Frozen, Help, Hot, List, Live,
        Palette, Preview, Search, Services, Slots, Staged, Views,
    };
    use KeyCode as K;
    const MEMBERS: &[Context] = &[Backends, Slots, Balance, Hot];
    const LISTS: &[Context] = &[Services, Backends, Events, Balance, Hot];
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
        binding(A::Open, &[code(K::Enter)], &[Balance], "hot slots", "the slots that are hit most"),
        binding(A::Open, &[code(K::Enter)], &[Hot], "go there", "the slot, among the others"),
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
        change(
            A::Staged,
            &[letter('p')],
            &[Views],
            "",
            "what is staged: look at it, and make it as one change",
        ),
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
        binding(A::Hottest, &[letter('M')], &[Slots], "hot", "the slot that is hit most"),
        binding(
            A::Search,
            &[letter('/')],
            &[Slots],
            "find",
            "find a slot by its number, a client's flow, or a backend",
        ),
        binding(
            A::Trace,
            &[letter('t')],
            &[Slots],
            "trace",
            "trace the packets of the flow that was looked for, for a minute; again: end that",
        ),
        binding(A::CloseTrace, &[code(K::Esc)], &[Slots], "", "leave the trace"),
        binding(A::Filter, &[letter('/')], LISTS, "", "show the rows alone that hold some words"),
        binding(A::ClearFilter, &[code(K::Esc)], LISTS, "", "show all rows again"),
        binding(
            A::Copy,
            &[letter('y')],
            &[Services, Backends, Events, Slots, Balance, Hot],
            "",
            "copy what is chosen: an address, a change or a slot in words",
        ),
        binding(A::SortByNext, &[letter('s')], LISTS, "", "sort by the next column"),
        binding(A::ReverseOrder, &[letter('S')], LISTS, "", "the same order, the other way round"),
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
        binding(A::NextPlan, &[letter(']')], &[Preview], "", "the next service that it changes"),
        binding(A::PreviousPlan, &[letter('[')], &[Preview], "", "the service before"),
        binding(
            A::Stage,
            &[letter('s')],
            &[Asked],
            "stage",
            "stage it, to make it together with others as one change",
        ),
        binding(A::Up, &[code(K::Up), letter('k')], &[Staged], "", "the staged change above"),
        binding(A::Down, &[code(K::Down), letter('j')], &[Staged], "", "the one below"),
        binding(
            A::Unstage,
            &[letter('x'), code(K::Delete)],
            &[Staged],
            "unstage",
            "take the chosen change from what is staged",
        ),
        binding(A::Discard, &[letter('X')], &[Staged], "discard", "take everything from what is staged"),
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
        binding(A::Cancel, &[code(K::Esc), letter('q')], &[Preview], "cancel", "leave, and change nothing"),
        binding(A::Cancel, &[code(K::Esc)], &[Form], "cancel", "leave, and change nothing"),
        binding(A::Up, &[code(K::Up)], &[Palette], "", "the one above"),
        binding(A::Down, &[code(K::Down)], &[Palette], "", "the one below"),
        binding(A::Complete, &[code(K::Tab)], &[Palette], "complete", "type the rest of the chosen one"),
        binding(A::Accept, &[code(K::Enter)], &[Palette], "do", "do the chosen one"),
        binding(A::Cancel, &[code(K::Esc)], &[Palette], "cancel", "do nothing"),
        binding(A::Accept, &[code(K::Enter)], &[Filter], "keep", "keep the filter"),
        binding(A::Cancel, &[code(K::Esc)], &[Filter], "cancel", "the filter that was there before"),
        binding(A::Accept, &[code(K::Enter)], &[Search], "go", "go there"),
        binding(A::Cancel, &[code(K::Esc)], &[Search], "cancel", "stay where one is"),
        binding(A::Cancel, &[code(K::Esc)], &[Help], "back", "back to where one was"),
        binding(
            A::Palette,
            &[letter(':')],
            &[Views],
            "more",
            "everything that can be done here, by its name",
        ),
        binding(A::Help, &[letter('?'), code(K::F(1))], &[Views], "help", "this help"),
        binding(A::NextView, &[code(K::Tab)], &[Views], "", "the next view"),
        binding(A::PreviousView, &[code(K::BackTab)], &[Views], "", "the view before"),
        binding(A::Services, &[letter('1')], &[Views], "", "services"),
        binding(A::Backends, &[letter('2')], &[Views], "", "backends"),
        binding(A::Slots, &[letter('3')], &[Views], "", "slots"),
        binding(A::Events, &[letter('4')], &[Views], "", "events"),
        binding(A::Processors, &[letter('5')], &[Views], "", "CPUs"),
        binding(
            A::Balance,
            &[letter('b')],
            &[Views],
            "",
            "what backends get beside what weights and slots call for, and back",
        ),
        binding(A::Hot, &[letter('H')], &[Views], "", "the slots that are hit most, and back"),
        binding(A::NextService, &[letter(']')], &[Live], "service", "the next service"),
        binding(A::PreviousService, &[letter('[')], &[Live], "", "the service before"),
        binding(A::EarlierMoment, &[letter('[')], &[Frozen], "back", "the moment before"),
        binding(A::LaterMoment, &[letter(']')], &[Frozen], "on", "the next moment"),
        binding(A::MuchEarlier, &[letter('{')], &[Frozen], "", "ten moments back"),
        binding(A::MuchLater, &[letter('}')], &[Frozen], "", "ten moments on"),
        binding(A::PreviousMark, &[letter('(')], &[Frozen], "mark before", "the marked moment before"),
        binding(A::NextMark, &[letter(')')], &[Frozen], "next", "the next marked moment"),
        binding(A::EarliestMoment, &[letter('^')], &[Frozen], "", "the earliest moment that is kept"),
        binding(A::LatestMoment, &[letter('$')], &[Frozen], "", "the latest moment"),
        binding(
            A::Freeze,
            &[control('f'), letter(' ')],
            &[Views],
            "freeze",
            "have the picture stand still, and go back in time; or go on with what is now",
        ),
        binding(A::Mark, &[letter('m')], &[Views], "", "mark the moment that is shown"),
        binding(
            A::Compare,
            &[letter('v')],
            &[Views],
            "",
            "compare with the mark before what is shown, or with none any more",
        ),
        binding(A::CompareWithEarlier, &[letter('V')], &[Views], "", "compare with the mark before that one"),
        binding(A::Mouse, &[], &[Views], "", "listen to the mouse, or no more"),
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
