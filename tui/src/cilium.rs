//! What a Cilium node knows beside its maps: the names of services, and the seed of its tables.

pub(crate) mod names;
pub(crate) mod seed;
