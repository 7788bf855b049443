//! Where the packets come from that a datapath sends on.

use maglev_core::config;

use crate::{datapath::Datapath, error::DatapathError, network::Origin};

impl Origin {
    /// What the datapath would ask the routes with that is attached to those interfaces, with those settings.
    #[must_use]
    pub fn of_settings(interfaces: Vec<u32>, settings: &config::Datapath) -> Self {
        let v4 = settings.tunnel_source_v4.map(|source| source.addr().into());
        let v6 = settings.tunnel_source_v6.map(|source| source.addr().into());
        Self { interfaces, sources: v4.into_iter().chain(v6).collect() }
    }
}

impl Datapath {
    /// Where its packets come from.
    pub(crate) fn origin(&self) -> Result<Origin, DatapathError> {
        let mut interfaces = self.links()?;
        interfaces.retain(|&interface| interface != 0);
        Ok(Origin::of_settings(interfaces, &self.settings()?))
    }
}
