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
    kernel::{Access, link_info, program_by_id, replace_under_link, shape_of_pin},
    load::{self, Sizes, balancer, is_replaceable},
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
    let object = object::bytes()?;
    let meta = state::meta_of(&instance.maps(), Access::Read)
        .map_err(|error| missing(error, instance.folder(), instance.name()))?;
    let sizes = Sizes { rows: meta.rows, processors: meta.processors };
    let absent = absent_maps(instance, &load::shapes(&object, sizes)?)?;
    let replaced = replace_on(instance, &object, sizes, &absent);
    if replaced.is_err() {
        for name in &absent {
            // One too many does no harm.
            let _ = fs::remove_file(instance.maps().join(name));
        }
    }
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

/// The maps that the instance does not have; an error where one cannot be made anew, or is not what it should be.
pub(crate) fn absent_maps(
    instance: &Instance,
    shapes: &BTreeMap<String, MapShape>,
) -> Result<Vec<String>, DatapathError> {
    let mut absent = Vec::new();
    for (name, expected) in shapes {
        let path = instance.maps().join(name);
        match shape_of_pin(&path).map_err(DatapathError::from) {
            Ok(found) if found.fits(expected) => {}
            Ok(found) => {
                return Err(MapError::Shape { path, found, expected: *expected }.into());
            }
            Err(error) if error.absent_pin().is_some() && is_replaceable(name) => absent.push(name.clone()),
            Err(error) => return Err(missing(error, instance.folder(), instance.name())),
        }
    }
    Ok(absent)
}

fn replace_on(
    instance: &Instance,
    object: &[u8],
    sizes: Sizes,
    absent: &[String],
) -> Result<Option<Replacement>, DatapathError> {
    let mut ebpf = load::load(instance, object, sizes)?;
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
    if is_same && absent.is_empty() {
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
    let outcome = links.into_iter().try_for_each(|(path, old)| switched.switch(path, old)).and_then(|()| {
        fs::rename(&next, instance.program())
            .map_err(|error| DatapathError::of_io("replace the pin of the program", error))
    });
    if let Err(error) = outcome {
        switched.switch_back();
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
    Ok(Some(Replacement { from, to: new.id(), made: absent.to_vec(), warnings }))
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
