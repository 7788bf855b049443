//! `maglev-top cilium` on maps of Cilium's layouts in the real kernel.

use std::{
    fs,
    process::{Command, Output},
};

use aya::maps::{MapData, PerCpuArray};
use maglev_tests::{Frontend, Rig, maglev_top, story, table_of as table};
use serde_json::{Value, json};

/// Nothing of this machine's own Cilium, if it has one.
const NOWHERE: &str = "/nonexistent";

fn command(rig: &Rig, words: &[&str]) -> Command {
    let mut command = Command::new(maglev_top());
    command.arg("cilium").args(words).arg("--pins").arg(&rig.folder).args(["--run-dir", NOWHERE]);
    command
}

fn run(rig: &Rig, words: &[&str]) -> Output {
    command(rig, words).output().unwrap()
}

fn document(rig: &Rig, words: &[&str], status: i32) -> Value {
    let output = command(rig, words).args(["-o", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(status), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["schema-version"], 1);
    value
}

fn text(rig: &Rig, words: &[&str]) -> String {
    let output = run(rig, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn vectors(file: &str) -> Value {
    let path = format!("{}/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}

#[test]
fn services_say_who_has_a_table_and_why_others_have_none() {
    let Some(rig) = story() else { return };
    let services = document(&rig, &["services"], 0)["services"].as_array().unwrap().clone();
    let told: Vec<Value> = services
        .iter()
        .map(|one| json!([one["id"], one["type"], one["table"], one["reason"], one["proxy-port"]]))
        .collect();
    let expected = [
        json!([7, "NodePort", "absent", "wildcard", null]),
        json!([8, "NodePort", "present", null, null]),
        json!([11, "HostPort", "present", null, null]),
        json!([9, "ClusterIP", "absent", "cluster-ip", null]),
        json!([16, "LocalRedirect", "absent", "local-redirect", null]),
        json!([5, "LoadBalancer", "present", null, null]),
        json!([6, "LoadBalancer", "absent", "l7-redirect", 15_735]),
        json!([12, "LoadBalancer", "stale", "no-backends", null]),
        json!([13, "LoadBalancer", "present", null, null]),
        json!([15, "LoadBalancer", "absent", "random", null]),
        json!([10, "ExternalIPs", "present", null, null]),
        json!([14, "LoadBalancer", "present", null, null]),
    ];
    for one in &expected {
        assert!(told.contains(one), "{one} is not among {told:#?}");
    }
    assert_eq!(told.len(), expected.len());
    let five = services.iter().find(|one| one["id"] == 5).unwrap();
    let states: Vec<&str> =
        five["backends"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["active", "active", "active", "terminating", "quarantined"]);

    let gateway = text(&rig, &["explain", "6"]);
    assert!(gateway.contains("Envoy on port 15735") && gateway.contains("by design"), "{gateway}");
    assert!(text(&rig, &["services"]).contains("absent: l7-redirect, Envoy on port 15735"));
}

#[test]
fn each_reason_is_explained_with_where_traffic_goes() {
    let Some(rig) = story() else { return };
    let expected: [(u32, &[&str]); 9] = [
        (5, &["present", "a LoadBalancer with 3 usable backends", "they keep the connections they have"]),
        (6, &["absent, l7-redirect", "Envoy on port 15735", "by design"]),
        (7, &["absent, wildcard", "the entries of the node's own addresses"]),
        (9, &["absent, cluster-ip", "before there is a packet", "bpf.lbExternalClusterIP"]),
        (11, &["present", "a HostPort with 1 usable backend:"]),
        (12, &["stale, no-backends", "new connections are dropped", "nothing looks at it"]),
        (13, &["present", "Session affinity: the client's port is not hashed"]),
        (15, &["absent, random", "service.cilium.io/lb-algorithm"]),
        (16, &["absent, local-redirect", "a pod on this node"]),
    ];
    for (id, phrases) in expected {
        let told = text(&rig, &["explain", &id.to_string()]);
        for phrase in phrases {
            assert!(told.contains(phrase), "{id}: no {phrase:?} in\n{told}");
        }
        let document = document(&rig, &["explain", &id.to_string()], 0);
        let one = &document["services"][0];
        let story = one["explanation"].as_str().unwrap_or_else(|| panic!("{document:#}"));
        assert!(told.contains(story), "{id}: text and JSON say the same: {told}\n{story}");
    }
}

#[test]
fn an_entry_that_drops_what_is_for_no_service_is_no_service() {
    let Some(rig) = story() else { return };
    let before = document(&rig, &["services"], 0);
    let entries = |rig: &Rig| document(rig, &["maps"], 0)["maps"].as_array().unwrap().clone();
    let count = |rig: &Rig| {
        number(&entries(rig).iter().find(|map| map["name"] == "cilium_lb4_services_v2").unwrap()["entries"])
    };
    let had = count(&rig);
    rig.wildcard_drop("192.0.2.10:0");
    assert_eq!(count(&rig), had + 1);
    assert_eq!(document(&rig, &["services"], 0), before);
}

#[test]
fn maps_are_counted_with_their_inner_maps() {
    let Some(rig) = story() else { return };
    let maps = document(&rig, &["maps"], 0)["maps"].as_array().unwrap().clone();
    let outer = maps.iter().find(|map| map["name"] == "cilium_lb4_maglev").unwrap();
    assert_eq!((outer["type"].as_str(), number(&outer["entries"])), (Some("hash_of_maps"), 6));
    let inner: Vec<Value> =
        outer["inner"].as_array().unwrap().iter().map(|one| json!([one["key"], one["slots"]])).collect();
    assert_eq!(json!(inner), json!([[5, 251], [8, 251], [10, 251], [11, 251], [12, 251], [13, 251]]));
    assert!(outer["inner"][0]["id"].as_u64() > Some(0) && outer["inner"][0]["bytes"].as_u64() >= Some(1004));
    let backends = maps.iter().find(|map| map["name"] == "cilium_lb4_backends_v3").unwrap();
    assert_eq!(number(&backends["entries"]), 5);
    assert!(text(&rig, &["maps"]).contains("table of service 5"));
}

#[test]
fn golden_tables_and_flows_pass_through_the_commands() {
    let cases = vectors("cilium-tables.json")["cases"].as_array().unwrap().clone();
    let flows = vectors("cilium-flow-hashes.json")["vectors"].as_array().unwrap().clone();
    let mut looked_up = 0;
    for case in &cases {
        let Some(rig) = Rig::new(number(&case["table_size"])) else { return };
        let backends = case["backends"].as_array().unwrap();
        for backend in backends {
            let ip = backend["addr"].as_str().unwrap().parse().unwrap();
            let address = std::net::SocketAddr::new(ip, u16::try_from(number(&backend["port"])).unwrap());
            rig.backend(number(&backend["id"]), address, if backend["proto"] == "UDP" { 17 } else { 6 }, 0);
        }
        let ids: Vec<u32> = backends.iter().map(|backend| number(&backend["id"])).collect();
        let slots: Vec<u32> = case["table"].as_array().unwrap().iter().map(number).collect();
        let service = |id, address: &str, flags, protocol| {
            let frontend = Frontend { id, address, flags, word: 0, usable: &ids, unusable: &[] };
            rig.frontend_of(&frontend, protocol);
            rig.table(id, address.starts_with('['), &slots);
        };
        service(5, "192.0.2.10:1", 0x60, 6);
        let seed = case["hash_seed_base64"].as_str().unwrap();
        let shown = document(&rig, &["tables", "--service", "5"], 0)["services"][0].clone();
        let owners: Vec<u32> =
            shown["backends"].as_array().unwrap().iter().map(|one| number(&one["id"])).collect();
        let read: Vec<u32> =
            shown["slots"].as_array().unwrap().iter().map(|at| owners[number(at) as usize]).collect();
        assert_eq!(read, slots, "{}", case["name"]);
        document(&rig, &["verify", "--seed", seed], 0);
        let mine = flows.iter().filter(|flow| flow["case"] == case["name"]);
        for (id, flow) in (100..).zip(mine) {
            let v6 = flow["family"] == "v6";
            let host = if v6 { "[2001:db8::10]" } else { "192.0.2.10" };
            let flags = if flow["session_affinity"] == true { 0x70 } else { 0x60 };
            let address = format!("{host}:{}", flow["service_port"]);
            service(id, &address, flags, u8::try_from(number(&flow["proto"])).unwrap());
            let id = id.to_string();
            let client = flow["client_ip"].as_str().unwrap();
            let client = if v6 {
                format!("[{client}]:{}", flow["client_port"])
            } else {
                format!("{client}:{}", flow["client_port"])
            };
            let words = ["lookup", "--service", &id, "--flow", &client, "--seed", seed];
            let found = document(&rig, &words, 0);
            let expected = json!([flow["hash"], flow["slot"], flow["backend_id_in_case_table"]]);
            assert_eq!(json!([found["hash"], found["slot"], found["backend"]]), expected, "{client}");
            looked_up += 1;
            let older = document(&rig, &[&words[..], &["--older-hash"]].concat(), 0);
            assert_eq!(
                json!([older["hash"], older["slot"]]),
                json!([flow["hash_pre_pr37005"], flow["slot_pre_pr37005"]])
            );
        }
    }
    assert_eq!(looked_up, flows.len(), "every flow is looked up");
}

#[test]
fn one_flipped_slot_among_131071_is_found() {
    let Some(rig) = Rig::new(131_071) else { return };
    for id in 1..=3 {
        rig.backend(id, format!("10.244.0.{id}:8080").parse().unwrap(), 6, 0);
    }
    rig.frontend(&Frontend {
        id: 5,
        address: "192.0.2.10:80",
        flags: 0x60,
        word: 0,
        usable: &[1, 2, 3],
        unusable: &[],
    });
    let mut slots = table(&[1, 2, 3], 131_071);
    rig.table(5, false, &slots);
    let right = document(&rig, &["verify"], 0);
    assert_eq!(
        (&right["services"][0]["verdict"], &right["seed"]),
        (&json!("matches"), &json!("JLfvgnHc2kaSUFaI"))
    );
    let owner = slots[77_777];
    slots[77_777] = owner % 3 + 1;
    rig.table(5, false, &slots);
    let wrong = document(&rig, &["verify"], 3);
    assert_eq!(wrong["services"][0]["verdict"], "differs");
    let expected = json!([{
        "slot": 77_777,
        "kernel": format!("10.244.0.{}:8080", owner % 3 + 1),
        "expected": format!("10.244.0.{owner}:8080"),
    }]);
    assert_eq!(wrong["services"][0]["differing-slots"], expected);
}

#[test]
fn another_seed_is_said_to_be_unknown_and_is_found_when_given() {
    let Some(rig) = Rig::new(1021) else { return };
    let case = vectors("cilium-tables.json")["cases"][2].clone();
    let mut ids = Vec::new();
    for backend in case["backends"].as_array().unwrap() {
        let address = format!("{}:{}", backend["addr"].as_str().unwrap(), backend["port"]);
        rig.backend(
            number(&backend["id"]),
            address.parse().unwrap(),
            if backend["proto"] == "UDP" { 17 } else { 6 },
            0,
        );
        ids.push(number(&backend["id"]));
    }
    rig.frontend(&Frontend {
        id: 5,
        address: "192.0.2.10:80",
        flags: 0x60,
        word: 0,
        usable: &ids,
        unusable: &[],
    });
    rig.table(5, false, &case["table"].as_array().unwrap().iter().map(number).collect::<Vec<_>>());
    let unknown = document(&rig, &["verify"], 0);
    assert_eq!((&unknown["seed"], &unknown["services"][0]["verdict"]), (&Value::Null, &json!("unexplained")));
    let output = run(&rig, &["lookup", "--service", "5", "--flow", "1.2.3.4:5"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--seed"));
    let known = document(&rig, &["verify", "--seed", case["hash_seed_base64"].as_str().unwrap()], 0);
    assert_eq!(known["services"][0]["verdict"], "matches");
    let mistyped = document(&rig, &["verify", "--seed", "JLfvgnHc2kaSUFaI"], 0)["services"][0].clone();
    assert_eq!(mistyped["verdict"], "unexplained");
    assert!(mistyped["reason"].as_str().unwrap().contains("another seed"), "{mistyped}");
}

#[test]
fn a_plan_is_the_table_that_comes() {
    let Some(rig) = story() else { return };
    let plan = document(&rig, &["plan", "--service", "5", "--remove", "10.244.0.3:8080"], 0);
    let (before, after) = (table(&[1, 2, 3], 251), table(&[1, 2], 251));
    let moved = before.iter().zip(&after).filter(|(old, new)| old != new).count();
    assert_eq!(plan["moved"], moved);
    assert_eq!(plan["minimum"], before.iter().filter(|&&owner| owner == 3).count());
    assert_eq!(plan["backends"][2]["after"], 0);
    let add = document(&rig, &["plan", "--service", "10", "--add", "10.244.0.3:8080"], 0);
    assert_eq!((&add["moved"], &add["table-size"]), (&json!(moved), &json!(251)));
    for (words, reason) in [
        (&["plan", "--service", "5", "--remove", "10.9.9.9:1"][..], "no usable backend"),
        (&["plan", "--service", "5", "--add", "10.244.0.1:8080"], "already"),
    ] {
        let output = run(&rig, words);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(reason));
    }
}

#[test]
fn services_go_by_their_names_where_those_are_given() {
    let Some(rig) = story() else { return };
    let list = std::env::temp_dir().join(format!("maglev-cilium-names-{}.json", std::process::id()));
    let item = json!({
        "metadata": {"name": "nginx", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": [{"port": 80, "nodePort": 30_080}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}},
    });
    fs::write(&list, json!({"items": [item]}).to_string()).unwrap();
    let named = document(&rig, &["services", "--names", list.to_str().unwrap()], 0);
    let ids: Vec<u32> = named["services"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["name"] == "default/nginx")
        .map(|one| number(&one["id"]))
        .collect();
    assert_eq!(ids, [7, 8, 9, 5]);
    fs::write(&list, "nginx").unwrap();
    let output = run(&rig, &["services", "--names", list.to_str().unwrap()]);
    fs::remove_file(&list).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("kubectl get services"));
}

#[test]
fn no_map_of_ciliums_is_opened_for_writing() {
    let Some(rig) = story() else { return };
    if Command::new("strace").arg("-V").output().is_err() {
        return println!("skipped: strace is not installed");
    }
    for words in [&["maps"][..], &["services"], &["tables"], &["verify"], &["explain"]] {
        let ours = command(&rig, words);
        let output = Command::new("strace")
            .args(["-f", "-e", "trace=bpf"])
            .arg(ours.get_program())
            .args(ours.get_args())
            .output()
            .unwrap();
        let trace = String::from_utf8_lossy(&output.stderr);
        let calls: Vec<&str> = trace.lines().filter(|line| line.contains("bpf(")).collect();
        let opened =
            calls.iter().filter(|line| line.contains("BPF_OBJ_GET,") || line.contains("GET_FD_BY_ID"));
        assert!(opened.clone().count() >= 11, "{trace}");
        for line in opened {
            assert!(line.contains("BPF_F_RDONLY"), "{line}");
        }
        for line in calls {
            let reads = ["OBJ_GET", "GET_FD_BY_ID", "LOOKUP", "GET_NEXT_KEY"];
            assert!(reads.iter().any(|call| line.contains(call)), "{line}");
        }
    }
}

#[test]
fn what_is_not_there_or_of_another_shape_is_named() {
    let Some(rig) = Rig::new(251) else { return };
    let path = rig.folder.join("cilium_lb4_services_v2");
    fs::remove_file(&path).unwrap();
    fs::rename(rig.folder.join("cilium_lb4_backends_v3"), &path).unwrap();
    let output = run(&rig, &["services"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("cilium_lb4_services_v2")
            && error.contains("keys of 4")
            && error.contains("keys of 12"),
        "{error}"
    );

    let output = Command::new(maglev_top()).args(["cilium", "maps", "--pins", NOWHERE]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(NOWHERE) && error.contains("--pins"), "{error}");
}

#[test]
fn an_unknown_map_with_values_per_processor_is_counted_and_not_read() {
    let Some(rig) = story() else { return };
    // Large values: read into the room for one, those of the other processors would overwrite much.
    let map = PerCpuArray::<MapData, [u64; 2048]>::create(5, 0).unwrap();
    map.pin(rig.folder.join("cilium_lb_x")).unwrap();
    let read = document(&rig, &["maps"], 0);
    let found = read["maps"].as_array().unwrap().iter().find(|map| map["name"] == "cilium_lb_x").unwrap();
    assert_eq!((&found["entries"], &found["type"]), (&json!(5), &json!("percpu_array")), "{found}");
}
