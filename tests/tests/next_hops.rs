//! The next hops that are kept resolved are those that the program is told, whatever the routes are like.

use std::{collections::BTreeSet, process::Command};

use maglev_tests::{Plot, Site};

fn plot() -> Plot {
    Plot { table_size: 251, weights: vec![100; 3], ..Plot::default() }
}

fn ip(site: &Site, words: &str) -> String {
    let output = site.topology.balancer().run(|| Command::new("ip").args(words.split(' ')).output());
    let output = output.unwrap().unwrap();
    assert!(output.status.success(), "{words}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The neighbours that are kept once the routes were looked at: address and interface.
fn kept(site: &Site) -> BTreeSet<String> {
    let warnings = site.topology.balancer().run(|| site.datapath.refresh_next_hops()).unwrap().unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    ["-4", "-6"]
        .into_iter()
        .flat_map(|family| {
            let text = ip(site, &format!("{family} neigh show"));
            let managed = text.lines().filter(|line| line.contains("managed")).map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                format!("{} {}", words[0], words[2])
            });
            managed.collect::<Vec<_>>()
        })
        .collect()
}

fn hops<const N: usize>(hops: [&str; N]) -> BTreeSet<String> {
    hops.map(str::to_owned).into()
}

#[test]
fn every_path_of_a_route_with_several_is_kept() {
    let Some(site) = Site::start(&plot()) else { return };
    assert_eq!(kept(&site), hops(["10.82.1.2 b1", "10.82.2.2 b2", "10.82.3.2 b3"]));
    ip(&site, "route add 10.82.1.2/32 nexthop via 10.82.4.2 nexthop via 10.82.5.2");
    let both = hops(["10.82.2.2 b2", "10.82.3.2 b3", "10.82.4.2 b4", "10.82.5.2 b5"]);
    assert_eq!(kept(&site), both);
    // Doctor judges both.
    let output = maglev_tests::run_in(
        site.topology.balancer(),
        &["doctor", "-o", "json", "--instance", site.datapath.instance().name()],
    );
    let text = String::from_utf8(output.stdout).unwrap();
    for about in ["next hop 10.82.4.2", "next hop 10.82.5.2"] {
        assert!(text.contains(about), "{about}: {text}");
    }
    ip(&site, "route del 10.82.1.2/32");
    assert_eq!(kept(&site).len(), 3);
}

#[test]
fn an_ipv6_router_of_an_ipv4_route_is_kept() {
    let Some(site) = Site::start(&plot()) else { return };
    // Where the kernel has no IPv6 there is nothing to see.
    let Some(router) = site.topology.backends()[0].address_v6() else { return };
    ip(&site, &format!("route add 10.82.1.2/32 via inet6 {router} dev b1"));
    assert_eq!(kept(&site), hops([&format!("{router} b1"), "10.82.2.2 b2", "10.82.3.2 b3"]));
}

#[test]
fn the_rules_for_what_comes_in_are_heeded() {
    let Some(site) = Site::start(&plot()) else { return };
    ip(&site, "route add 10.82.1.2/32 via 10.82.4.2 table 100");
    ip(&site, "rule add iif client0 lookup 100");
    assert_eq!(kept(&site), hops(["10.82.2.2 b2", "10.82.3.2 b3", "10.82.4.2 b4"]));
    ip(&site, "rule del iif client0 lookup 100");
    assert_eq!(kept(&site), hops(["10.82.1.2 b1", "10.82.2.2 b2", "10.82.3.2 b3"]));
}
