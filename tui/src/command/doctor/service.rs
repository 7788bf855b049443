//! The addresses that clients talk to.

use std::net::IpAddr;

use super::{
    finding::{Found, Judgement},
    scene::{Scene, Standing},
};

pub(super) fn address(scene: &Scene) -> Vec<Found> {
    let mut found = Vec::new();
    for subject in &scene.subjects {
        for service in &subject.services {
            let address = service.address.ip();
            let is_local = matches!(scene.ways.get(&address), Some(Ok(way)) if way.is_local);
            let judgement = if subject.standing == Standing::BackendEnd {
                judge_at_backend(address, is_local)
            } else {
                judge_at_balancer(address, is_local)
            };
            found.push(judgement.about(format!("service {}", service.name)));
        }
    }
    found
}

fn judge_at_balancer(address: IpAddr, is_local: bool) -> Judgement {
    if is_local {
        Judgement::warning(
            format!(
                "{address} is one of this host's own: what the program passes, other ports and protocols, this host answers itself, in the backends' place"
            ),
            format!(
                "route {address} to this host instead of giving it to one of its interfaces: `ip addr del {address} dev IF`"
            ),
        )
    } else {
        Judgement::ok(format!(
            "{address} is not one of this host's own; the router must send its packets here"
        ))
    }
}

fn judge_at_backend(address: IpAddr, is_local: bool) -> Judgement {
    if is_local {
        Judgement::ok(format!("{address} is one of this host's own, as it must be at a backend"))
    } else {
        let length = if address.is_ipv4() { 32 } else { 128 };
        Judgement::fault(
            format!("{address} is not one of this host's own: as a backend it drops what it is sent"),
            format!("ip addr add {address}/{length} dev lo"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    #[test]
    fn a_service_address_belongs_to_backends_alone() {
        let address = "192.0.2.10".parse().unwrap();
        assert_eq!(judge_at_balancer(address, false).verdict, Verdict::Ok);
        assert_eq!(judge_at_balancer(address, true).verdict, Verdict::Warning);
        assert_eq!(judge_at_backend(address, true).verdict, Verdict::Ok);
        let missing = judge_at_backend(address, false);
        assert_eq!(
            (missing.verdict, missing.mend.as_deref()),
            (Verdict::Fault, Some("ip addr add 192.0.2.10/32 dev lo"))
        );
    }
}
