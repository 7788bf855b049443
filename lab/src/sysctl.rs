//! Kernel parameters of the calling thread's network namespace.
//!
//! `/proc/sys/net` shows each thread the parameters of the namespace that this thread is in.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::error::LabError;

pub(crate) fn write(parameter: &str, value: &str) -> Result<(), LabError> {
    // Written without creating: a parameter that the kernel lacks is an error, not a file.
    fs::OpenOptions::new()
        .write(true)
        .open(path_of(parameter)?)
        .and_then(|mut file| std::io::Write::write_all(&mut file, value.as_bytes()))
        .map_err(|error| LabError::new(format!("set {parameter} to {value}"), error))
}

pub(crate) fn read(parameter: &str) -> Result<String, LabError> {
    fs::read_to_string(path_of(parameter)?)
        .map(|text| text.trim_end().to_owned())
        .map_err(|error| LabError::new(format!("read {parameter}"), error))
}

pub(crate) fn exists(parameter: &str) -> bool {
    path_of(parameter).is_ok_and(|path| path.exists())
}

/// Refuses what is not a network parameter: the others are the whole machine's.
fn path_of(parameter: &str) -> Result<PathBuf, LabError> {
    let relative = Path::new(parameter);
    let plain = relative.components().all(|component| matches!(component, Component::Normal(_)));
    if plain && relative.starts_with("net") {
        Ok(Path::new("/proc/sys").join(relative))
    } else {
        Err(LabError::Invalid(format!("{parameter} is not a parameter of a network namespace")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_whole_machine_are_refused() {
        for parameter in ["kernel/panic", "net/../kernel/panic", "/etc/passwd", ""] {
            assert!(matches!(read(parameter), Err(LabError::Invalid(_))), "{parameter}");
        }
    }
}
