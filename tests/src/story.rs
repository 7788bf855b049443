//! The whole story, as an operator lives it: the real binary in tmux, on a real datapath with real connections.
//!
//! Each chapter presses keys, waits for what the screen says, and holds it against what another command says. The same run
//! makes the pictures of the README and the book.

use std::{fs, num::NonZeroU16, path::PathBuf, process::Command, time::Duration};

use maglev_lab::Namespace;
use serde_json::Value;

use crate::{binary::maglev_top, site::eventually, tmux::Tmux};

const COLUMNS: NonZeroU16 = NonZeroU16::new(120).unwrap();
const ROWS: NonZeroU16 = NonZeroU16::new(40).unwrap();
/// How long slots may take to settle: the demo's settle time is 10 s, and its connections are not silent at once.
const SETTLING: Duration = Duration::from_secs(120);
/// One of the demo's clients, which has some twenty connections at a time.
const CLIENT: &str = "10.81.0.1";
/// A client that is nobody's: who gets it is known all the same.
const NOBODY: &str = "203.0.113.7:4711";

/// Tells the story. `picture` is handed the screen where it is worth a picture, and a name for it. False where it cannot
/// be told here, which is said.
///
/// # Panics
///
/// When the screen says something else than it should.
pub fn tell(mut picture: impl FnMut(&str, &vt100::Screen)) -> bool {
    if let Err(error) = Namespace::new("trial") {
        println!("skipped: {error} (run as root)");
        return false;
    }
    let Some(tmux) = Tmux::start(COLUMNS, ROWS) else {
        println!("skipped: tmux is not installed");
        return false;
    };
    let mut story = Story { tmux, picture: &mut picture, instance: String::new() };
    story.begins();
    story.finds_the_hot_slot();
    story.lists_the_hot_slots();
    story.previews_a_drain();
    story.drains();
    story.compares_with_a_mark();
    story.watches_it_settle();
    story.undoes();
    story.removes();
    story.stages_two();
    story.searches_a_flow();
    story.traces_it();
    story.freezes_and_scrubs();
    story.filters();
    story.changes_the_theme();
    story.is_suspended_and_resumed();
    story.loses_its_terminal();
    true
}

struct Story<'a> {
    tmux: Tmux,
    picture: &'a mut dyn FnMut(&str, &vt100::Screen),
    /// The demo's.
    instance: String,
}

/// A slot, as the line below the heatmap tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Slot {
    number: u64,
    owner: String,
    /// The rest of the line.
    state: String,
}

/// The digits of a text, as a number: `12,018` is 12018.
fn number_in(text: &str) -> u64 {
    text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
}

/// The number before those words in a text.
fn number_before(words: &str, text: &str) -> u64 {
    let before = text.split_once(words).unwrap_or_else(|| panic!("no {words:?} in\n{text}")).0;
    number_in(before.rsplit([' ', '│', '(']).next().unwrap_or_default())
}

impl Story<'_> {
    fn picture(&mut self, name: &str) {
        let screen = self.tmux.screen();
        (self.picture)(name, screen.screen());
    }

    /// What is shown before a change is made, once it is all there: before, its button does nothing.
    fn preview(&self) -> String {
        let all_there = |screen: &str| screen.contains("[>Cancel<]") && screen.contains(" had to move");
        self.tmux.wait_until("what a change would move", all_there)
    }

    /// Goes to the button that does it, presses it, and waits until the dialog is gone.
    fn do_it(&self) {
        self.preview();
        self.tmux.press(&["Tab", "Enter"]);
        self.dialog_is_gone();
    }

    fn dialog_is_gone(&self) {
        self.tmux.wait_until("the dialog is gone", |screen| !screen.contains("Cancel"));
    }

    /// Types into the palette, and does what it offers first.
    fn palette(&self, words: &str) {
        self.tmux.write(":");
        self.tmux.wait_for("What to do");
        self.tmux.write(words);
        self.tmux.press(&["Enter"]);
    }

    /// What another command says of the same datapath.
    fn says(&self, words: &[&str]) -> Value {
        let output = Command::new(maglev_top())
            .args(words)
            .args(["--instance", &self.instance, "-o", "json"])
            .output();
        let output = output.expect("the binary starts");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// A backend of `web`, as `status` has it; nothing where there is none.
    fn backend(&self, name: &str) -> Option<Value> {
        let status = self.says(&["status"]);
        let find = |list: &Value, name: &str| {
            list.as_array().and_then(|list| list.iter().find(|one| one["name"] == name)).cloned()
        };
        find(&find(&status["services"], "web").expect("web")["backends"], name)
    }

    fn state(&self, backend: &str) -> String {
        let backend = self.backend(backend).expect("the backend is there");
        backend["state"].as_str().expect("a word").to_owned()
    }

    /// The slot under the cursor.
    fn slot(&self) -> Slot {
        let screen = self.tmux.text();
        let told = screen.lines().find_map(|line| line.trim_start().strip_prefix("slot "));
        let told = told.and_then(|line| line.split_once("owned by "));
        let (number, rest) = told.unwrap_or_else(|| panic!("no slot is told of in\n{screen}"));
        let number = number.split([':', ',']).take_while(|part| part.trim().parse::<u64>().is_ok());
        let (owner, state) = rest.split_at(rest.find([' ', ',']).unwrap_or(rest.len()));
        Slot {
            number: number_in(&number.collect::<String>()),
            owner: owner.to_owned(),
            state: state.to_owned(),
        }
    }

    /// The demo comes up, and every backend gets packets.
    fn begins(&mut self) {
        self.tmux.write(&format!("clear; {} demo --theme dark --interval 500ms", maglev_top().display()));
        self.tmux.press(&["Enter"]);
        let screen = self.tmux.wait_for("web 192.0.2.10:80");
        let name = screen.split_once("maglev-top ").and_then(|(_, rest)| rest.split_once(" on client0"));
        name.expect("the instance and the interface").0.clone_into(&mut self.instance);
        for backend in ["b1", "b2", "b3", "b4", "b5"] {
            self.tmux.wait_until("every backend gets packets", |screen| {
                let row = screen
                    .lines()
                    .find(|line| line.contains(&format!("■ {backend} ")) && line.contains("active"));
                let rate = row.and_then(|row| row.split_whitespace().nth(6));
                rate.is_some_and(|rate| number_in(rate) > 0)
            });
        }
        self.tmux.wait_until("there is some history", |screen| number_before(" packets,", screen) >= 2000);
        self.picture("overview");
    }

    /// Among the slots, by how often they are hit: the one that is hit most.
    fn finds_the_hot_slot(&mut self) {
        self.tmux.write("3");
        self.tmux.wait_for("by owner");
        self.tmux.write("c");
        self.tmux.wait_for("by hits");
        // Rates take two looks; pressed earlier, the key finds nothing.
        self.tmux.wait_until("the cursor is on a slot that is hit", |screen| {
            self.tmux.write("M");
            screen.contains(" a second") && !screen.contains(" 0 a second")
        });
        let hot = self.slot();
        let lookup = self.says(&["table", "show", "--service", "web"]);
        let owner = lookup["slots"][usize::try_from(hot.number).expect("small")].as_u64().expect("an index");
        let owner = &lookup["backends"][usize::try_from(owner).expect("small")]["name"];
        assert_eq!(owner, &Value::from(hot.owner), "the table says so");
        self.picture("hot-slot");
    }

    /// The slots that are hit most, in a list, and from there back to one of them.
    fn lists_the_hot_slots(&mut self) {
        self.tmux.write("H");
        let screen = self.tmux.wait_for("hottest of 16,381 slots have");
        let first =
            screen.lines().find_map(|line| line.trim_start().strip_prefix('▌')).expect("one is chosen");
        let number = number_in(first.split_whitespace().next().expect("its number"));
        self.tmux.press(&["Enter"]);
        self.tmux.wait_for("by hits");
        assert_eq!(self.slot().number, number);
    }

    /// What would be, before anything is: on the heatmap, and in the dialog. Enter alone cancels.
    fn previews_a_drain(&mut self) {
        let owner = self.slot().owner;
        self.tmux.write("d");
        let screen = self.preview();
        assert!(screen.contains(&format!("what if · drain {owner}")), "{screen}");
        let (moved, minimum) =
            (number_before(" slots of 16,381", &screen), number_before(" had to move", &screen));
        assert!(moved >= minimum && minimum >= 3276, "{moved} moved, {minimum} had to");
        assert_eq!(number_before(" would move", &screen), moved, "heatmap and dialog say the same");
        self.picture("what-if");
        self.tmux.press(&["Enter"]);
        self.dialog_is_gone();
        assert_eq!(self.state(&owner), "active", "Enter alone did it");
    }

    /// The same for good: at once its slots are others'.
    fn drains(&mut self) {
        let Slot { owner, .. } = self.slot();
        // A mark of how it was before.
        self.tmux.write("m");
        self.tmux.wait_for("mark 1 is set");
        self.tmux.write("d");
        let moved = number_before(" slots of 16,381", &self.preview());
        self.do_it();
        let screen = self.tmux.wait_for(" settling");
        assert!(number_before(" settling", &screen) <= moved, "{screen}");
        assert_eq!(self.state(&owner), "draining");
        // The first slot that settles has another owner now, and holds the connections of the one before.
        self.tmux.write("n");
        self.tmux.wait_for(&format!("{owner} keeps its connections"));
        assert_ne!(self.slot().owner, owner);
        self.picture("settling");
    }

    /// What is other than it was at the operator's mark.
    fn compares_with_a_mark(&mut self) {
        self.tmux.write("2");
        self.tmux.wait_for("DRAINING");
        self.palette("compare mark 1");
        self.tmux.wait_for("BESIDE");
        self.tmux.wait_until("the drained one has lost its slots since", |screen| {
            let row = screen.lines().find(|line| line.contains("DRAINING"));
            row.is_some_and(|row| row.contains("-3,27"))
        });
        self.tmux.write("3");
        self.tmux.wait_for("by hits");
        self.tmux.write("C");
        self.tmux.wait_for("by new owner");
        self.picture("compare");
        self.tmux.write("c");
        self.tmux.wait_for("by hits");
        self.tmux.write("v");
        self.tmux.wait_until("nothing is beside it any more", |screen| !screen.contains("BESIDE"));
    }

    /// Its connections end by and by, and then it may go.
    fn watches_it_settle(&mut self) {
        self.tmux.write("2");
        self.tmux.wait_for("DRAINING");
        self.tmux.wait_long("it is safe to remove", SETTLING, |screen| screen.contains(": safe to remove"));
        self.tmux.write("3");
        self.tmux.wait_until("nothing settles any more", |screen| {
            screen.contains(" all 16,381 slots ") && !screen.contains(" settling ·")
        });
    }

    fn undoes(&mut self) {
        self.tmux.write("2");
        let screen = self.tmux.wait_for("DRAINING");
        let row = screen.lines().find(|line| line.contains("DRAINING")).expect("its row");
        let drained = row.split_whitespace().find(|word| word.starts_with('b')).expect("its name").to_owned();
        self.tmux.write("u");
        self.do_it();
        self.tmux.wait_until("nobody drains any more", |screen| !screen.contains("DRAINING"));
        assert_eq!(self.state(&drained), "active");
    }

    /// A backend leaves, and comes back by undo.
    fn removes(&mut self) {
        self.palette("backend b5");
        self.tmux.wait_for("▌■ b5");
        self.tmux.write("x");
        let screen = self.preview();
        assert!(screen.contains("remove b5"), "{screen}");
        self.do_it();
        self.tmux.wait_until("b5 is gone", |screen| !screen.contains("■ b5 "));
        assert_eq!(self.backend("b5"), None);
        self.tmux.write("u");
        self.do_it();
        self.tmux.wait_for("■ b5 ");
        assert_eq!(self.state("b5"), "active");
    }

    /// Two changes, looked at together, made as one, taken back as one.
    fn stages_two(&mut self) {
        for (count, backend) in [(1, "b1"), (2, "b2")] {
            self.palette(&format!("backend {backend}"));
            self.tmux.wait_for(&format!("▌■ {backend}"));
            self.tmux.write("d");
            self.preview();
            self.tmux.write("s");
            self.tmux.wait_for(&format!("{count} STAGED"));
            assert_eq!(self.state(backend), "active", "a staged change was made");
        }
        self.tmux.write("p");
        let screen = self.tmux.wait_for("2 staged changes");
        assert!(screen.contains("web: drain b1") && screen.contains("web: drain b2"), "{screen}");
        self.picture("staged");
        self.do_it();
        self.tmux.wait_for("b1 drained, b2 drained");
        assert_eq!((self.state("b1"), self.state("b2")), ("draining".to_owned(), "draining".to_owned()));
        self.tmux.write("u");
        self.do_it();
        self.tmux.wait_until("nobody drains any more", |screen| !screen.contains("DRAINING"));
    }

    /// Who gets a client, whether there is one or not.
    fn searches_a_flow(&mut self) {
        self.tmux.write("3");
        self.tmux.write("/");
        self.tmux.wait_for("a client's flow");
        self.tmux.write(NOBODY);
        self.tmux.press(&["Enter"]);
        self.tmux.wait_for(&format!("where {NOBODY} falls"));
        let lookup = self.says(&["lookup", "--service", "web", "--flow", NOBODY]);
        let slot = self.slot();
        assert_eq!(
            (Value::from(slot.number), Value::from(slot.owner)),
            (lookup["slot"].clone(), lookup["backend"].clone())
        );
    }

    /// A flow that there is: what becomes of its packets, one by one. It may be over before it is looked for: then another.
    fn traces_it(&mut self) {
        let traced = (0..10).find_map(|_| {
            let packet = self.says(&["trace", "--flow", CLIENT, "--count", "1"]);
            let client = packet["client"].as_str().filter(|_| packet["service"] == "web")?;
            self.tmux.write("/");
            self.tmux.wait_for("a client's flow");
            self.tmux.write(client);
            self.tmux.press(&["Enter"]);
            self.tmux.wait_for(&format!("where {client} falls"));
            self.tmux.write("t");
            self.tmux.wait_for(&format!("trace of {client}"));
            let shown = self.tmux.shows_within(Duration::from_secs(5), |screen| screen.contains("sent to b"));
            if shown.is_none() {
                self.tmux.press(&["Escape"]);
                self.tmux.wait_until("the trace is closed", |screen| !screen.contains("trace of"));
            }
            shown.map(|screen| (packet, screen))
        });
        let (packet, screen) = traced.expect("one of ten connections is alive when it is traced");
        let slot = self.slot().number;
        assert_eq!(packet["slot"], Value::from(slot), "both say the same slot");
        let row =
            screen.lines().find(|line| line.contains(" web ") && line.contains(" ack ")).unwrap_or_default();
        assert!(
            row.split_whitespace().any(|word| number_in(word) == slot),
            "no packet in slot {slot}:\n{screen}"
        );
        self.picture("trace");
        self.tmux.press(&["Escape"]);
        self.tmux.wait_until("the trace is closed", |screen| !screen.contains("trace of"));
    }

    /// The picture stands still, and goes back to before the first change and on to it.
    fn freezes_and_scrubs(&mut self) {
        self.tmux.write("2");
        self.tmux.wait_for("BACKEND");
        self.tmux.press(&["C-f"]);
        self.tmux.wait_for("FROZEN");
        self.tmux.write("[");
        self.tmux.wait_for(" back ");
        self.tmux.write("^");
        let screen = self.tmux.wait_until("the first moment", |screen| screen.contains(" · 1 of "));
        assert!(!screen.contains("DRAINING"), "nobody was draining then:\n{screen}");
        // The operator's mark, and then the drain's.
        self.tmux.write("))");
        let screen = self.tmux.wait_for("drain b");
        assert!(screen.contains("(web) by root"), "who did it is told:\n{screen}");
        self.tmux.wait_for("DRAINING");
        self.picture("scrub");
        self.tmux.press(&["C-f"]);
        self.tmux.wait_until("it is live again", |screen| {
            !screen.contains("FROZEN") && !screen.contains("DRAINING")
        });
    }

    /// The rows that hold a word, and then all again.
    fn filters(&mut self) {
        self.tmux.write("2");
        self.tmux.wait_for("BACKEND");
        self.tmux.write("/");
        self.tmux.write("b3");
        self.tmux.press(&["Enter"]);
        let rows = |screen: &str| screen.lines().filter(|line| line.contains(" active ")).count();
        self.tmux
            .wait_until("one row is left", |screen| screen.contains("\"b3\": 1 of 5") && rows(screen) == 1);
        self.tmux.press(&["Escape"]);
        self.tmux.wait_until("all rows are back", |screen| rows(screen) == 5);
    }

    /// Another theme: the same words in other colours.
    fn changes_the_theme(&mut self) {
        let colour = |story: &Self| {
            let screen = story.tmux.screen();
            // The heading of the first column.
            screen.screen().cell(2, 1).map(vt100::Cell::fgcolor)
        };
        let dark = colour(self);
        self.palette("theme light");
        self.tmux.wait_until("the colours are others", |_| colour(self) != dark);
        self.picture("light");
        self.palette("theme dark");
        self.tmux.wait_until("the colours are back", |_| colour(self) == dark);
    }

    /// A job of the shell, like any other.
    fn is_suspended_and_resumed(&mut self) {
        let monitor = self.monitor();
        self.tmux.press(&["C-z"]);
        let screen = self.tmux.wait_for("Stopped");
        assert!(!screen.contains("BACKEND"), "the shell has its screen back:\n{screen}");
        assert_eq!(state_of(monitor), Some('T'));
        self.tmux.write("fg");
        self.tmux.press(&["Enter"]);
        self.tmux.wait_for("BACKEND");
        assert_ne!(state_of(monitor), Some('T'));
        // It takes keys again.
        self.tmux.write("4");
        self.tmux.wait_for("MOVED");
    }

    /// Its terminal is taken away: it ends, spins nowhere, and nothing of the demo is left.
    fn loses_its_terminal(&mut self) {
        let monitor = self.monitor();
        let pins = PathBuf::from("/sys/fs/bpf/maglev-top").join(&self.instance);
        assert!(pins.exists());
        self.tmux.take_terminal_away();
        eventually("the monitor is gone", || state_of(monitor).is_none_or(|state| state == 'Z'));
        eventually("the demo's datapath is gone", || !pins.exists());
    }

    /// The monitor's process: the shell's only child.
    fn monitor(&self) -> u32 {
        let shell = self.tmux.shell();
        let children =
            fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).expect("the shell is there");
        children
            .split_whitespace()
            .next()
            .and_then(|child| child.parse().ok())
            .expect("the shell has a child")
    }
}

/// The state of a process, as the kernel has it: T is stopped, Z ended; nothing where there is none.
fn state_of(process: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
