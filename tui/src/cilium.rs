//! What a Cilium node knows beside its maps: the names of services, and the seed of its tables; and where its hits are
//! counted.

pub(crate) mod counting;
pub(crate) mod names;
pub(crate) mod seed;
