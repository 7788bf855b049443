//! Putting this version's program in the place of the one that runs, on the same maps and under the same links.
//!
//! Whatever it is cut short at, each link has the old program or the new one, and doing it again finishes it: the pin
//! `program` is replaced last, so that the links and it agree only where all is done.

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use aya::programs::ProgramInfo;

use crate::{
    attach::aya_error,
    datapath::Datapath,
    error::{DatapathError, MapError},
    instance::Instance,
    kernel::{Access, KernelMap, MapKind, link_info, program_by_id, replace_under_link, shape_of_pin},
    load::{self, GROWING, Sizes, balancer, beside, has_more, is_outgrown, is_replaceable},
    object,
    shape::MapShape,
    state,
    writer::{Note, Writer},
};

/// What came of putting one program in the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The id of the program that was pinned before.
    pub from: Option<u32>,
    /// The id of the one that runs now.
    pub to: u32,
    /// The maps that the instance did not have, and has now, by name.
    pub made: Vec<String>,
    /// The maps of counts that were too small and are larger now, by name.
    pub grown: Vec<String>,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// Puts the embedded program in the place of the one that runs, unless that is the same. The lock on all instances is
/// held.
///
/// # Errors
///
/// When the instance cannot be adopted, or the kernel refuses: then it runs as before.
pub(crate) fn replace_program(instance: &Instance) -> Result<Option<Replacement>, DatapathError> {
    let object = object::BALANCER.bytes()?;
    let meta = state::meta_of(&instance.maps(), Access::Read)
        .map_err(|error| missing(error, instance.folder(), instance.name()))?;
    let sizes = Sizes { rows: meta.rows, processors: meta.processors };
    let lacks = Lacks::of(instance, &load::shapes(&object, sizes)?)?;
    let was_cut_short = sweep(instance);
    let replaced = replace_on(instance, &object, sizes, &lacks, was_cut_short);
    if replaced.is_err() {
        for name in &lacks.absent {
            // One too many does no harm.
            let _ = fs::remove_file(instance.maps().join(name));
        }
    }
    sweep(instance);
    replaced
}

/// The same error, told as of a running instance where a map is not there.
pub(crate) fn missing(error: DatapathError, folder: &Path, instance: &str) -> DatapathError {
    let Some(pin) = error.absent_pin() else { return error };
    if !Instance::links_in(folder).is_ok_and(|links| !links.is_empty()) {
        return DatapathError::HalfWay(instance.to_owned());
    }
    let name = pin.file_name().unwrap_or_default().to_string_lossy();
    DatapathError::MissingMap { pin: pin.to_owned(), replaceable: is_replaceable(&name) }
}

/// What an instance lacks of what this version expects, by the names of its maps.
#[derive(Debug, Default)]
pub(crate) struct Lacks {
    /// It does not have these.
    absent: Vec<String>,
    /// These have too few entries.
    outgrown: Vec<String>,
}

impl Lacks {
    /// Looks at every map; an error where one cannot be made up for.
    pub(crate) fn of(
        instance: &Instance,
        shapes: &BTreeMap<String, MapShape>,
    ) -> Result<Self, DatapathError> {
        let Self { mut absent, mut outgrown } = Self::default();
        for (name, expected) in shapes {
            let path = instance.maps().join(name);
            match shape_of_pin(&path).map_err(DatapathError::from) {
                Ok(found) if found.fits(expected) || has_more(name, &found, expected) => {}
                Ok(found) if is_outgrown(name, &found, expected) => outgrown.push(name.clone()),
                Ok(found) => {
                    return Err(MapError::Shape { path, found, expected: *expected }.into());
                }
                Err(error) if error.absent_pin().is_some() && is_replaceable(name) => {
                    absent.push(name.clone());
                }
                Err(error) => return Err(missing(error, instance.folder(), instance.name())),
            }
        }
        Ok(Self { absent, outgrown })
    }

    pub(crate) const fn is_nothing(&self) -> bool {
        self.absent.is_empty() && self.outgrown.is_empty()
    }

    /// Puts the larger maps in the place of the smaller ones, with the counts that those have.
    fn exchange(&self, instance: &Instance) -> Result<(), DatapathError> {
        for name in &self.outgrown {
            let at = |name: &str| instance.maps().join(name);
            let open =
                |path: &Path| KernelMap::<u32, u64>::open(path, MapKind::PerProcessorArray, Access::Write);
            let (small, large) = (open(&at(name))?, open(&at(&beside(name, NEXT)))?);
            for (place, counts) in small.first_per_processor(small.capacity())? {
                large.set_per_processor(&place, &counts)?;
            }
            // Never without a pin of that name: nobody could open the instance then, nor finish this.
            fs::hard_link(at(name), at(&beside(name, OLD)))
                .and_then(|()| fs::rename(at(&beside(name, NEXT)), at(name)))
                .map_err(|error| DatapathError::of_io(&format!("exchange map {name}"), error))?;
        }
        Ok(())
    }

    /// Puts the smaller maps back, where they were exchanged.
    fn exchange_back(&self, instance: &Instance) {
        for name in &self.outgrown {
            let _ = fs::rename(instance.maps().join(beside(name, OLD)), instance.maps().join(name));
        }
    }
}

/// Takes away what an exchange of maps leaves beside them, this one or one that was cut short; whether there was any.
fn sweep(instance: &Instance) -> bool {
    let mut was_there = false;
    for name in GROWING {
        for what in [NEXT, OLD] {
            was_there |= fs::remove_file(instance.maps().join(beside(name, what))).is_ok();
        }
    }
    was_there
}

/// What the larger map is called before it has its place, and the smaller one after it has lost it.
const NEXT: &str = "next";
const OLD: &str = "old";

fn replace_on(
    instance: &Instance,
    object: &[u8],
    sizes: Sizes,
    lacks: &Lacks,
    was_cut_short: bool,
) -> Result<Option<Replacement>, DatapathError> {
    let mut ebpf = load::load(instance, object, sizes, &lacks.outgrown)?;
    let program = balancer(&mut ebpf)?;
    let failed = |error| aya_error("look at the program".to_owned(), error);
    let new = program.info().map_err(failed)?;
    let old = ProgramInfo::from_pin(instance.program()).ok();

    let mut links = Vec::new();
    let mut warnings = Vec::new();
    for path in instance.links()? {
        let attempted = format!("look at {}", path.display());
        let info = link_info(&path).map_err(|error| DatapathError::of_io(&attempted, error))?;
        if info.interface == 0 {
            warnings
                .push(format!("the interface of {} is gone: `down` and `up` attach anew", path.display()));
        } else {
            links.push((path, info.program));
        }
    }
    let is_same = old
        .as_ref()
        .is_some_and(|old| old.tag() == new.tag() && links.iter().all(|(_, program)| *program == old.id()));
    // A program that is cut off from an exchange of maps counts in those that are gone.
    if is_same && lacks.is_nothing() && !was_cut_short {
        return Ok(None);
    }

    // From here on nobody else changes the instance.
    let datapath = Datapath::open(instance)?;
    let mut writer = Writer::begin(instance, datapath.maps())?;
    let next = instance.next_program();
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(DatapathError::of_io("remove what an earlier replacement left", error));
        }
        _ => {}
    }
    program.pin(&next).map_err(|error| aya_error("pin the program".to_owned(), error))?;
    let mut switched = Switched { new: program.fd().map_err(failed)?.as_fd(), links: Vec::new() };
    // The counts of the moment between this and the switch are lost where a map grows: an instant, once.
    let outcome = lacks
        .exchange(instance)
        .and_then(|()| links.into_iter().try_for_each(|(path, old)| switched.switch(path, old)))
        .and_then(|()| {
            fs::rename(&next, instance.program())
                .map_err(|error| DatapathError::of_io("replace the pin of the program", error))
        });
    if let Err(error) = outcome {
        switched.switch_back();
        lacks.exchange_back(instance);
        let _ = fs::remove_file(&next);
        return Err(error);
    }
    let from = old.map(|old| old.id());
    let detail = format!(
        "program {} instead of {}",
        new.id(),
        from.map_or_else(|| "one that had no pin".to_owned(), |id| id.to_string())
    );
    let note = Note { action: "program", detail, ..Note::default() };
    if let Err(error) = writer.put_on_record(&note) {
        warnings.push(format!("the program is replaced, and that is not on record: {error}"));
    }
    Ok(Some(Replacement {
        from,
        to: new.id(),
        made: lacks.absent.clone(),
        grown: lacks.outgrown.clone(),
        warnings,
    }))
}

/// The links that have the new program by now.
struct Switched<'a> {
    new: BorrowedFd<'a>,
    /// With the program that each had.
    links: Vec<(PathBuf, OwnedFd)>,
}

impl Switched<'_> {
    /// Gives the link the new program, if it has still that of the id `old`.
    fn switch(&mut self, link: PathBuf, old: u32) -> Result<(), DatapathError> {
        let result =
            program_by_id(old).and_then(|old| replace_under_link(&link, old.as_fd(), self.new).map(|()| old));
        match result {
            Ok(old) => self.links.push((link, old)),
            Err(error) => return Err(DatapathError::NotReplaced { link, error }),
        }
        Ok(())
    }

    /// Gives all of them back what they had.
    fn switch_back(&self) {
        for (link, old) in &self.links {
            // One that cannot be switched back goes on with the new program, which is as good, and the next `up`
            // makes all alike.
            let _ = replace_under_link(link, self.new, old.as_fd());
        }
    }
}
