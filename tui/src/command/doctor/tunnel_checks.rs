//! Health checks through tunnels.

use maglev_core::{health::Via, service::Service};
use maglev_probe::survey::version_of;

use super::{
    finding::{Found, Judgement},
    scene::{Scene, Standing},
};

/// The oldest kernel that they can be led by: tcx links.
const OLDEST: (u32, u32) = (6, 6);

pub(super) fn tunnel_checks(scene: &Scene) -> Vec<Found> {
    let balancers = scene.subjects.iter().filter(|subject| subject.standing != Standing::BackendEnd);
    balancers
        .flat_map(|subject| &subject.services)
        .filter(|service| goes_through_tunnel(service))
        .map(|service| judge(&scene.machine.release).about(format!("service {}", service.name)))
        .collect()
}

fn goes_through_tunnel(service: &Service) -> bool {
    service.health.as_ref().is_some_and(|check| check.via == Via::Tunnel)
}

fn judge(release: &str) -> Judgement {
    match version_of(release) {
        None => Judgement::skipped(format!("nothing is known of release {release:?}")),
        Some(version) if version < OLDEST => Judgement::fault(
            format!("Linux {release} has no tcx links, by which health checks are led through the tunnel"),
            "boot Linux 6.6 or newer, or check with via = \"direct\"",
        ),
        Some(_) => {
            Judgement::ok("this kernel has tcx links, by which health checks are led through the tunnel")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, judge};

    #[test]
    fn tunnel_checks_need_tcx_links() {
        assert_eq!(judge("6.6.0-1-amd64").verdict, Verdict::Ok);
        assert_eq!(judge("6.5.13").verdict, Verdict::Fault);
        assert_eq!(judge("unknown").verdict, Verdict::Skipped);
    }
}
