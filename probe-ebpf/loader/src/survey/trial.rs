//! Loading the program without attaching it: whether this kernel takes it.

use crate::{attach::aya_error, error::DatapathError, load::balancer, object};

/// A program that the kernel took, and that is gone again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The kernel's digest of its instructions: two programs of one tag are one program.
    pub tag: u64,
    /// How many bytes of machine code were made of it; 0 where it would be interpreted.
    pub machine_code: u32,
}

impl Trial {
    /// Loads the embedded program with maps as small as they can be, and lets it go.
    ///
    /// # Errors
    ///
    /// What the kernel says against it.
    pub fn load() -> Result<Self, DatapathError> {
        let mut ebpf = object::smallest()?;
        let program = balancer(&mut ebpf)?;
        program.load().map_err(|error| aya_error("load the program".to_owned(), error))?;
        let info = program.info().map_err(|error| aya_error("look at the program".to_owned(), error))?;
        Ok(Self { tag: info.tag(), machine_code: info.size_jitted() })
    }
}
