//! What the monitor calls a frontend. A service of Kubernetes has several, so that its name alone would not do.

use maglev_core::cilium::{Frontend, FrontendKind};

use crate::cilium::names::Names;

/// A name that no other frontend of the node has: `default/nginx #5` where it is known what the service is called,
/// else `192.0.2.10:80/tcp`.
pub(super) fn named(frontend: &Frontend, names: &Names) -> String {
    let scope = if frontend.internal { "/internal" } else { "" };
    match names.of(frontend.address, frontend.kind == FrontendKind::NodePort) {
        Some(name) => format!("{name}{scope} #{}", frontend.id),
        None => format!("{}/{}{scope}", frontend.address, frontend.protocol_name()),
    }
}
