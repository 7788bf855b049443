//! The real binary: what it prints, what it refuses, and how it ends.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use maglev_tests::{Plot, Site, maglev_top, run_in};
use serde_json::Value;

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("maglev-top-test-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(words: &[&str]) -> Output {
    Command::new(maglev_top()).args(words).output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stdout));
    })
}

const GOOD: &str = r#"seed = "JLfvgnHc2kaSUFaI"
[datapath]
interfaces = ["eth0"]
tunnel-source-v4 = "10.0.0.2"
[[services]]
name = "web"
address = "192.0.2.10:80"
protocol = "tcp"
table-size = 251
forwarding = "ipip"
[[services.backends]]
name = "b11"
address = "10.244.0.1:8080"
[[services.backends]]
name = "b3"
address = "10.244.0.2:8080"
[[services.backends]]
name = "b5"
address = "10.244.0.3:8080"
"#;

#[test]
fn a_wrong_configuration_is_refused_with_file_line_key_and_reason() {
    let folder = Folder::new("refused");
    let cases = [
        ("unknown key", "table-size = 251", "table-size = 251\ncolour = 7", 10, "colour", "unknown key"),
        ("size not prime", "table-size = 251", "table-size = 250", 9, "table-size", "prime"),
        ("seed too short", "JLfvgnHc2kaSUFaI", "JLfvgnHc2kY=", 1, "seed", "12"),
        ("weight too large", "name = \"b3\"", "name = \"b3\"\nweight = 65536", 16, "weight", "65535"),
        ("weight zero", "name = \"b3\"", "name = \"b3\"\nweight = 0", 16, "weight", "drain"),
        ("family", "forwarding = \"ipip\"", "forwarding = \"l2\"\n", 14, "address", "IPv4"),
    ];
    for (name, old, new, line, key, reason) in cases {
        let mut text = GOOD.replace(old, new);
        if name == "family" {
            text = text.replace("10.244.0.1:8080", "[2001:db8::1]:8080");
        }
        let file = folder.write("web.toml", &text);
        for words in
            [&["up", "--config", &file][..], &["table", "show", "--service", "web", "--config", &file]]
        {
            let output = run(words);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{name}: {error}");
            let first = error.lines().find(|line| !line.starts_with("warning")).unwrap_or_default();
            assert!(first.starts_with(&format!("{file}:{line}: ")), "{name}: line {line} of {first}");
            assert!(first.contains(key) && first.contains(reason), "{name}: {key} and {reason} in {first}");
        }
    }
}

#[test]
fn services_that_get_in_each_others_way_are_refused() {
    let folder = Folder::new("twice");
    let second = GOOD[GOOD.find("[[services]]").unwrap()..].replace("\"web\"", "\"web2\"");
    let file = folder.write("two.toml", &format!("{GOOD}{second}"));
    let output = run(&["up", "--config", &file]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("two.toml:22: ") && error.contains("address") && error.contains("web"), "{error}");

    let empty = &GOOD[..GOOD.find("[[services.backends]]").unwrap()];
    let file = folder.write("empty.toml", &format!("{empty}backends = []\n"));
    let output = run(&["up", "--config", &file]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("empty.toml:11: ") && error.contains("backend"), "{error}");

    let light = GOOD
        .replace("name = \"b3\"", "name = \"b3\"\nweight = 2")
        .replace("name = \"b5\"", "name = \"b5\"\nweight = 1");
    let light = light.replace("name = \"b11\"", "name = \"b11\"\nweight = 1");
    let file = folder.write("light.toml", &light);
    let output = run(&["up", "--config", &file]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("weight") && error.contains("multiply"), "{error}");
}

#[test]
fn wrong_words_end_with_2_and_say_which() {
    for words in [
        &["frobnicate"][..],
        &["backend", "drain"],
        &["backend", "add", "--service", "web", "b1", "10.0.0.1"],
        &["table", "plan", "--service", "web", "--add", "b1"],
        &["lookup", "--service", "web", "--flow", "1.2.3.4"],
        &["demo", "--duration", "0s"],
        &["--instance", "a/b", "status"],
    ] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(!output.stderr.is_empty(), "{words:?} are refused without a word");
    }
}

#[test]
fn a_theme_is_printed_and_can_be_used_as_a_file() {
    let folder = Folder::new("theme");
    let printed = run(&["--theme", "gruvbox", "--print-theme"]);
    assert_eq!(printed.status.code(), Some(0));
    let text = String::from_utf8(printed.stdout).unwrap();
    let file = folder.write("mine.toml", &text);
    let again = run(&["--theme", &file, "--print-theme"]);
    assert_eq!(String::from_utf8(again.stdout).unwrap(), text);
    let preferences = folder.write("preferences.toml", "theme = \"solarized-light\"\n");
    let preferred = |words: &[&str]| {
        let output = Command::new(maglev_top())
            .args(words)
            .env("MAGLEV_TOP_PREFERENCES", &preferences)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let other = run(&["--theme", "solarized-light", "--print-theme"]);
    assert_eq!(preferred(&["--print-theme"]), String::from_utf8(other.stdout).unwrap());
    assert_eq!(preferred(&["--theme", "gruvbox", "--print-theme"]), text, "words come before preferences");
    let wrong = folder.write("wrong.toml", &text.replace("faint = ", "faintly = "));
    for theme in ["sunset", &wrong] {
        let output = run(&["--theme", theme, "--print-theme"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("faintly") || error.contains("solarized-light"), "{error}");
    }
}

#[test]
fn tables_are_shown_planned_and_looked_up_without_privileges() {
    let folder = Folder::new("offline");
    let file = folder.write("web.toml", GOOD);
    let vectors =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/cilium-tables.json")).unwrap();
    let vectors: Value = serde_json::from_str(&vectors).unwrap();
    let golden = &vectors["cases"][0];

    let shown = json(&run(&["table", "show", "--service", "web", "--config", &file, "-o", "json"]));
    assert_eq!(shown["schema-version"], 1);
    assert_eq!(shown["table-size"], 251);
    let names = ["b11", "b3", "b5"];
    let slots: Vec<u64> =
        shown["slots"].as_array().unwrap().iter().map(|slot| slot.as_u64().unwrap()).collect();
    let expected: Vec<u64> = golden["table"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| names.iter().position(|name| *name == format!("b{id}")).unwrap() as u64)
        .collect();
    assert_eq!(slots, expected, "the table is not Cilium's");
    assert_eq!(
        shown["backends"][0],
        serde_json::json!({"name": "b11", "address": "10.244.0.1:8080", "weight": 100, "state": "active", "slots": 84})
    );

    let planned = json(&run(&[
        "table",
        "plan",
        "--service",
        "web",
        "--config",
        &file,
        "--drain",
        "b3",
        "--add",
        "b9=10.244.0.9:8080@50",
        "-o",
        "json",
    ]));
    let minimum = planned["minimum"].as_u64().unwrap();
    assert!(planned["moved"].as_u64().unwrap() >= minimum && minimum >= 84, "{planned}");
    assert_eq!(planned["backends"].as_array().unwrap().len(), 4);

    let found = json(&run(&[
        "lookup",
        "--service",
        "web",
        "--config",
        &file,
        "--flow",
        "1.2.3.4:5678",
        "-o",
        "json",
    ]));
    assert_eq!(found["slot"].as_u64().unwrap(), found["hash"].as_u64().unwrap() % 251);
    assert_eq!(
        found["backend"],
        names[usize::try_from(slots[usize::try_from(found["slot"].as_u64().unwrap()).unwrap()]).unwrap()]
    );

    // Offline, tables and lookups take what the datapath does not yet.
    let six = GOOD
        .replace("192.0.2.10:80", "[2001:db8::10]:80")
        .replace("table-size = 251", "table-size = 251\naffinity = \"source-ip\"");
    let file = folder.write("six.toml", &six);
    let one = json(&run(&[
        "lookup",
        "--service",
        "web",
        "--config",
        &file,
        "--flow",
        "[2001:db8::1]:1",
        "-o",
        "json",
    ]));
    let two = json(&run(&[
        "lookup",
        "--service",
        "web",
        "--config",
        &file,
        "--flow",
        "[2001:db8::1]:2",
        "-o",
        "json",
    ]));
    assert_eq!(one, two, "with source affinity the port does not matter");
}

#[test]
fn what_is_not_there_yet_says_so() {
    for words in [&["exporter"][..], &["record", "/tmp/x"], &["bench"]] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("not there yet"), "{words:?}");
    }
}

#[test]
fn every_shell_gets_its_completions_and_none_of_what_is_hidden() {
    for (shell, drain) in [
        ("bash", "maglev__top__subcmd__backend__subcmd__drain"),
        ("zsh", "'drain:Its slots go to the others"),
        ("fish", "using_subcommand backend"),
        ("elvish", "maglev-top;backend;drain"),
        ("powershell", "maglev-top;backend;drain"),
    ] {
        let output = run(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains(drain), "{shell}: {script}");
        assert!(!script.contains("demo-sweep") && !script.contains("exporter"), "{shell}");
    }
    assert_eq!(run(&["completions", "cmd"]).status.code(), Some(2));
}

#[test]
fn bash_completes_what_it_is_given() {
    let script = r#"source <("$0" completions bash); COMP_WORDS=(maglev-top backend dr); COMP_CWORD=2
        "$(complete -p maglev-top | grep -o '_maglev[a-z_]*')" maglev-top dr backend; echo "${COMPREPLY[*]}""#;
    let Ok(output) = Command::new("bash").args(["-c", script]).arg(maglev_top()).output() else {
        println!("skipped: bash is not installed");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "drain", "{output:?}");
}

#[test]
fn the_manual_page_has_every_command_and_key_and_no_mistake() {
    let output = run(&["man"]);
    assert!(output.status.success());
    let page = String::from_utf8(output.stdout).unwrap();
    for part in [
        ".TH MAGLEV-TOP 8",
        ".SS \"backend drain\"",
        ".SH \"KEYS OF THE MONITOR\"",
        "drain the backend (among slots",
        ".SH \"EXIT STATUS\"",
        "MAGLEV_TOP_PREFERENCES",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    assert_eq!(page.matches(".SH OPTIONS").count(), 1, "each command's options stand with it");
    assert!(!page.contains("sweep") && !page.contains("exporter"));
    let groff = Command::new("groff")
        .args(["-man", "-Tutf8", "-ww", "-z"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut groff) = groff else {
        println!("skipped: groff is not installed");
        return;
    };
    groff.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let told = groff.wait_with_output().unwrap();
    assert!(told.status.success() && told.stderr.is_empty(), "{}", String::from_utf8_lossy(&told.stderr));
}

#[test]
fn status_and_bpftool_tell_the_same() {
    let Some(site) = Site::start(&Plot { weights: vec![100; 3], ..Plot::default() }) else { return };
    if Command::new("bpftool").arg("version").output().is_err() {
        println!("skipped: bpftool is not installed");
        return;
    }
    for _ in 0..50 {
        site.connect().request().unwrap();
    }
    let instance = site.datapath.instance().name();
    let dump = |map: &str| -> Value {
        let path = site.datapath.pins().join("maps").join(map);
        let output =
            Command::new("bpftool").args(["-j", "map", "dump", "pinned"]).arg(path).output().unwrap();
        json(&output)
    };
    // Nothing is under way any more: closed connections have said their last word.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let status = json(&run_in(site.topology.balancer(), &["status", "--instance", instance, "-o", "json"]));
    assert_eq!(status["schema-version"], 1);

    // Per processor values, field by field.
    let sum = |element: &Value, field: &str| -> u64 {
        element["formatted"]["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["value"][field].as_u64().unwrap())
            .sum()
    };
    let identities = dump("backend_ids");
    let counters = dump("backend_counters");
    let mut compared = 0;
    for service in status["services"].as_array().unwrap() {
        for backend in service["backends"].as_array().unwrap() {
            let number = identities
                .as_array()
                .unwrap()
                .iter()
                .map(|element| &element["formatted"])
                .find(|element| {
                    let name: String = element["value"]["name"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .filter_map(Value::as_u64)
                        .take_while(|&byte| byte != 0)
                        .map(|byte| char::from(u8::try_from(byte).unwrap()))
                        .collect();
                    let port = element["value"]["port"].as_u64().unwrap();
                    name == backend["name"].as_str().unwrap()
                        && backend["address"].as_str().unwrap().ends_with(&format!(":{port}"))
                })
                .unwrap_or_else(|| panic!("bpftool shows no backend {backend}"))["key"]
                .as_u64()
                .unwrap();
            let element = &counters.as_array().unwrap()[usize::try_from(number).unwrap()];
            for (field, key) in [
                ("packets", "packets"),
                ("bytes", "bytes"),
                ("new_connections", "new-connections"),
                ("held_packets", "held-packets"),
            ] {
                assert_eq!(
                    sum(element, field),
                    backend[key].as_u64().unwrap(),
                    "{field} of {}",
                    backend["name"]
                );
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 6, "three backends of two services");
}

#[test]
fn changes_are_printed_and_verified() {
    let Some(site) = Site::start(&Plot { weights: vec![100; 4], ..Plot::default() }) else { return };
    let instance = site.datapath.instance().name().to_owned();
    let run = |words: &[&str]| {
        let mut all = words.to_vec();
        all.extend(["--instance", &instance]);
        run_in(site.topology.balancer(), &all)
    };
    let drained = json(&run(&["backend", "drain", "--service", "web", "b2", "-o", "json"]));
    let change = &drained["changes"][0];
    assert_eq!((change["action"].as_str(), change["backend"].as_str()), (Some("drain"), Some("b2")));
    assert!(change["moved"].as_u64() >= change["minimum"].as_u64());
    assert_eq!(run(&["table", "verify", "--service", "web"]).status.code(), Some(0));

    let again = run(&["backend", "drain", "--service", "web", "b2"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("draining already"));

    // A configuration that says otherwise: verified against it, the kernel's table differs.
    let folder = Folder::new("verify");
    let file = folder.write("site.toml", &site.config.to_toml());
    let verified = run(&["table", "verify", "--service", "web", "--config", &file, "-o", "json"]);
    assert_eq!(verified.status.code(), Some(3));
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(report["verdict"], "differs");

    // The drain was by hand: the file alone does not undo it.
    let kept = json(&run(&["apply", "--config", &file, "-o", "json"]));
    assert_eq!(kept["changes"], serde_json::json!([]));
    assert_eq!(
        kept["kept"],
        serde_json::json!(["service web: b2 was made draining by hand; the configuration says active"])
    );
    let dry = json(&run(&["apply", "--config", &file, "--dry-run", "--override", "-o", "json"]));
    assert_eq!(dry["changes"][0]["action"], "undrain");
    assert_eq!(
        run(&["table", "verify", "--service", "web", "--config", &file]).status.code(),
        Some(3),
        "a dry run did something"
    );
    json(&run(&["apply", "--config", &file, "--override", "-o", "json"]));
    assert_eq!(run(&["table", "verify", "--service", "web", "--config", &file]).status.code(), Some(0));

    // What ends connections is asked for by name.
    let file =
        folder.write("other.toml", &site.config.to_toml().replace("table-size = 4093", "table-size = 2039"));
    let refused = run(&["apply", "--config", &file]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--break-connections"), "{refused:?}");
    assert_eq!(site.service("web").slots.len(), 4093, "what was refused was done");
    assert!(run(&["apply", "--config", &file, "--break-connections"]).status.success());
    assert_eq!(site.service("web").slots.len(), 2039);
    assert!(!site.connect().backend().is_empty());
}

#[test]
fn what_is_running_is_not_replaced() {
    let Some(site) = Site::start(&Plot { weights: vec![100; 2], ..Plot::default() }) else { return };
    let folder = Folder::new("taken");
    let file = folder.write("site.toml", &site.config.to_toml());
    let instance = site.datapath.instance().name().to_owned();
    let again = run_in(site.topology.balancer(), &["up", "--config", &file, "--instance", &instance]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("running already"), "{again:?}");

    let other = format!("{instance}-b");
    let taken = run_in(site.topology.balancer(), &["up", "--config", &file, "--instance", &other]);
    assert_eq!(taken.status.code(), Some(1));
    let error = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(error.contains("client0 has an XDP program already") && error.contains("maglev"), "{error}");
    assert!(!Path::new("/sys/fs/bpf/maglev-top").join(&other).exists(), "a failed start left pins behind");

    let nowhere = run_in(
        site.topology.balancer(),
        &["up", "--config", &file, "--interface", "nope0", "--instance", &other],
    );
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("no interface nope0"), "{nowhere:?}");

    // The balancer goes on.
    site.connect().request().unwrap();
    assert!(run_in(site.topology.balancer(), &["down", "--instance", &instance]).status.success());
    assert!(!site.datapath.pins().exists());
    let gone = run_in(site.topology.balancer(), &["status", "--instance", &instance]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("maglev-top up"), "{gone:?}");
}

#[test]
fn what_would_be_ignored_or_out_of_bounds_is_refused() {
    let folder = Folder::new("bounds");
    let file = folder.write("good.toml", GOOD);
    let table = ["table", "show", "--config", &file, "--service", "web"];
    for (words, told) in [
        (&["--theme", "light"][..], "without a command"),
        (&["--ascii"], "without a command"),
        (&["--interval", "5s"], "without a command"),
        (&["--interval", "1ns"], "between 100ms and 1m"),
    ] {
        let output = run(&[words, &table].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(told), "{words:?}: {error}");
    }
    // What holds for every command is no word too many.
    let output = Command::new(maglev_top()).args(table).env("MAGLEV_TOP_THEME", "light").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let demo = run(&["demo", "--simulate", "--headless", "--changes", "4294967295"]);
    let error = String::from_utf8_lossy(&demo.stderr);
    assert!(demo.status.code() == Some(2) && error.contains("0..=10000"), "{error}");

    let plan = |text: &str| {
        let other = folder.write("other.toml", text);
        let output = run(&["table", "plan", "--config", &file, "--to", &other, "--service", "web"]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(plan(GOOD).0, Some(0));
    for (from, to, told) in [
        ("JLfvgnHc2kaSUFaI", "cUnyPf8gC7rYyRUy", "another seed"),
        ("\"tcp\"", "\"udp\"", "protocol udp instead of tcp"),
        ("192.0.2.10:80", "192.0.2.11:80", "address 192.0.2.11:80 instead of 192.0.2.10:80"),
        ("table-size = 251", "table-size = 509", "509 slots instead of 251"),
    ] {
        let (status, error) = plan(&GOOD.replace(from, to));
        assert!(status == Some(1) && error.contains(told), "{to}: {error}");
    }
}
